//! The processes of a node's parts, and signals to them.

use std::path::Path;

use labrun_agent::supervise::{Status, pids_in};
use nix::sys::signal::Signal;

use super::supervisor::signal;
use crate::deploy::{Blow, DeployError, Part, Processes};

/// The processes of `part` of the node in `dir`.
pub fn processes(dir: &Path, part: Part) -> Processes {
    let all = pids_in(dir);
    let pids: Vec<i32> = match part {
        Part::Node => all,
        Part::Postgres => all.into_iter().filter(|pid| is_postgres(*pid)).collect(),
        Part::Postmaster => all.into_iter().filter(|pid| is_postmaster(*pid)).collect(),
        Part::Agent => {
            let agent = Status::read(dir).and_then(|status| status.service_pid);
            all.into_iter().filter(|pid| Some(*pid) == agent).collect()
        }
    };
    let stopped = pids.iter().filter(|pid| is_stopped(**pid)).count();
    Processes { pids, stopped }
}

/// Signal the processes of `part`; whoever has gone meanwhile is fine.
pub fn strike(dir: &Path, part: Part, blow: Blow) -> Result<(), DeployError> {
    let which = match blow {
        Blow::Kill => Signal::SIGKILL,
        Blow::Stop => Signal::SIGSTOP,
        Blow::Continue => Signal::SIGCONT,
    };
    processes(dir, part).pids.into_iter().try_for_each(|pid| signal(pid, which))
}

/// Whether a process is one of PostgreSQL's.
pub fn is_postgres(pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|exe| exe.file_name().is_some_and(|name| name.to_string_lossy().starts_with("postgres")))
}

/// PostgreSQL's first process: the one whose parent is none of PostgreSQL's.
pub fn is_postmaster(pid: i32) -> bool {
    let parent = stat(pid).and_then(|fields| fields.get(1)?.parse().ok());
    is_postgres(pid) && !parent.is_some_and(is_postgres)
}

/// Whether it is stopped by a signal (or traced, which comes to the same).
fn is_stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state == "T" || state == "t"))
}

/// The fields of proc(5)'s `stat` behind the name, which may hold blanks and brackets: the state, the parent, …
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit(')').next()?.split_ascii_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::wait::{Answer, until};

    #[tokio::test]
    async fn all_of_a_node_is_stopped_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("60").current_dir(dir.path()).spawn().unwrap();
        for (blow, stopped) in [(Blow::Stop, 1), (Blow::Stop, 1), (Blow::Continue, 0), (Blow::Continue, 0)] {
            strike(dir.path(), Part::Node, blow).unwrap();
            let seen = until::<(), (), _, _, _>(
                std::time::Duration::from_secs(60),
                |_, _| (),
                || async {
                    let now = processes(dir.path(), Part::Node);
                    if now.pids.len() == 1 && now.stopped == stopped {
                        Answer::Done(())
                    } else {
                        Answer::NotYet(String::new())
                    }
                },
            );
            seen.await.unwrap();
        }
        assert_eq!(processes(dir.path(), Part::Postgres), Processes::default());
        strike(dir.path(), Part::Node, Blow::Kill).unwrap();
        child.wait().unwrap();
    }
}
