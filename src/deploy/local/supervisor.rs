//! A node's supervisor: starting it, stopping it, asking it; and killing everything of a node.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use labrun_agent::supervise::pidfile::{self, PID_FILE, Pidfile};
use labrun_agent::supervise::{LastExit, State, Status, pids_in};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use super::node::{self, SPEC_FILE};
use super::shared_memory;
use crate::deploy::{DeployError, NodeStatus};
use crate::wait::{Answer, until};

/// How long a supervisor may take to lock its pidfile and start its service.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long killed processes may take to be gone: the kernel ends them at once, unless the machine hangs.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// Start the supervisor of the node in `dir`, unless it runs.
pub async fn start(dir: &Path, agent: &Path, user: Option<&User>, env: &[(String, String)]) -> Result<(), DeployError> {
    if held(dir)?.is_some() {
        return Ok(());
    }
    // Left by a supervisor that was killed alone: nobody looks after them.
    kill_all(dir).await?;
    let what = || format!("start the supervisor of {}", dir.display());
    let log = node::supervisor_log(dir, user)?;
    let errors = log.try_clone().map_err(|error| DeployError::process(what(), error))?;
    // The supervisor starts as root, where labrun does, and becomes the node's user by itself.
    let mut command = tokio::process::Command::new(agent);
    command.arg("supervise").arg(dir.join(SPEC_FILE)).current_dir(dir).env_clear().envs(env.iter().cloned());
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    let mut child = command.spawn().map_err(|error| DeployError::process(what(), error))?;
    let begun = until(
        START_LIMIT,
        |_, _| (),
        || {
            let ended = child.try_wait();
            let begun = held(dir);
            async move {
                match (begun, ended) {
                    (Err(error), _) => Answer::Never(error),
                    (Ok(Some(_)), _) if Status::read(dir).is_some() => Answer::Done(()),
                    (_, Ok(Some(status))) => {
                        let why = format!("it ended with {status}: {}", node::tail(&dir.join(node::SUPERVISOR_LOG), 5));
                        Answer::Never(DeployError::process(what(), why))
                    }
                    _ => Answer::NotYet("the supervisor has not locked its pidfile yet".to_owned()),
                }
            }
        },
    );
    begun.await.map_err(|unmet| match unmet {
        crate::wait::Unmet::Never(error) => error,
        timed_out => DeployError::process(what(), timed_out),
    })
}

/// The supervisor's pid, where it lives.
pub fn held(dir: &Path) -> Result<Option<i32>, DeployError> {
    let path = dir.join(PID_FILE);
    match pidfile::read(&path).map_err(DeployError::io("read", &path))? {
        // The node's user can write this file: believe it only where that process is one of the node.
        Pidfile::HeldBy(pid) => Ok(Some(pid).filter(|pid| pids_in(dir).contains(pid))),
        Pidfile::NotExist | Pidfile::NotHeld => Ok(None),
    }
}

/// Ask the supervisor to stop the service cleanly and wait until all of the node is gone; it kills what does not stop in
/// its own time, and after `limit` so do we.
pub async fn stop(dir: &Path, limit: Duration) -> Result<(), DeployError> {
    if let Some(pid) = held(dir)? {
        signal(pid, Signal::SIGTERM)?;
        let gone = until::<(), (), _, _, _>(
            limit,
            |_, _| (),
            || async { if pids_in(dir).is_empty() { Answer::Done(()) } else { Answer::NotYet(String::new()) } },
        );
        let _ = gone.await;
    }
    kill_all(dir).await
}

/// SIGKILL every process of the node, again and again until there is none: one may fork while we look.
pub async fn kill_all(dir: &Path) -> Result<(), DeployError> {
    shared_memory::note(dir, &pids_in(dir));
    let gone = until::<(), DeployError, _, _, _>(
        KILL_LIMIT,
        |_, _| (),
        || async {
            let left = pids_in(dir);
            if left.is_empty() {
                return Answer::Done(());
            }
            match left.iter().try_for_each(|pid| signal(*pid, Signal::SIGKILL)) {
                Ok(()) => Answer::NotYet(format!("processes {left:?} are still there")),
                Err(error) => Answer::Never(error),
            }
        },
    );
    gone.await.map_err(|unmet| match unmet {
        crate::wait::Unmet::Never(error) => error,
        timed_out => DeployError::process(format!("kill all of {}", dir.display()), timed_out),
    })
}

/// SIGSTOP every process of the node, again and again until all have stopped: one may fork while we look.
pub async fn freeze(dir: &Path) -> Result<(), DeployError> {
    let frozen = until::<(), DeployError, _, _, _>(
        KILL_LIMIT,
        |_, _| (),
        || async {
            let going: Vec<_> = pids_in(dir).into_iter().filter(|pid| !is_stopped(*pid)).collect();
            match going.iter().try_for_each(|pid| signal(*pid, Signal::SIGSTOP)) {
                Ok(()) if going.is_empty() => Answer::Done(()),
                Ok(()) => Answer::NotYet(format!("processes {going:?} still run")),
                Err(error) => Answer::Never(error),
            }
        },
    );
    frozen.await.map_err(|unmet| match unmet {
        crate::wait::Unmet::Never(error) => error,
        timed_out => DeployError::process(format!("freeze all of {}", dir.display()), timed_out),
    })
}

/// SIGCONT every process of the node.
pub fn thaw(dir: &Path) -> Result<(), DeployError> {
    pids_in(dir).iter().try_for_each(|pid| signal(*pid, Signal::SIGCONT))
}

/// Whether a process is stopped (`T`), or has ended and is not yet collected: neither runs.
fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    matches!(state, None | Some('T' | 't' | 'Z' | 'X'))
}

/// Signal a process; fine where it is gone.
pub fn signal(pid: i32, signal: Signal) -> Result<(), DeployError> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(DeployError::process(format!("send {signal} to process {pid}"), errno)),
    }
}

/// What the node's service is doing.
pub fn status(dir: &Path) -> Result<NodeStatus, DeployError> {
    let supervised = held(dir)?.is_some();
    let status = Status::read(dir).filter(|_| supervised);
    Ok(match status {
        Some(Status { state: State::Running | State::Stopping, service_pid: Some(pid), restarts, .. }) => {
            if is_stopped(pid) { NodeStatus::Frozen } else { NodeStatus::Running { pid: pid.unsigned_abs(), restarts } }
        }
        Some(status) => {
            NodeStatus::Failing { last_exit: describe(status.last_exit.as_ref()), restarts: status.restarts }
        }
        None if pids_in(dir).is_empty() => NodeStatus::Stopped,
        None => NodeStatus::Failing { last_exit: "its supervisor is gone, processes are left".to_owned(), restarts: 0 },
    })
}

fn describe(exit: Option<&LastExit>) -> String {
    match exit {
        Some(LastExit { signal: Some(signal), at, .. }) => format!("killed by {signal} at {at}"),
        Some(LastExit { code: Some(code), at, .. }) => format!("exit code {code} at {at}"),
        _ => "not started yet".to_owned(),
    }
}
