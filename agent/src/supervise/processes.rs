//! Finding all processes of a node by their working directory, through Linux' /proc.

use std::path::{Path, PathBuf};

/// One live process of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot; with `pid` it names a process for good.
    pub start_time: u64,
    /// Its command line as one text; the bare name in brackets where it has none.
    pub command: String,
}

/// All live (not zombie) processes whose working directory is `dir` or lies below it, also when that
/// directory has been deleted meanwhile. Processes of other users are seen by root only.
///
/// A person's shell or pager that looks around in there is none of them: it has a terminal, which the supervisor and
/// all that it starts have not (only a supervisor that has just been started still has its caller's).
pub fn processes_in(dir: &Path) -> Vec<Process> {
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    pids_below(&dir).filter_map(live).filter(|process| !is_at_a_terminal(process)).collect()
}

/// The pids of all processes, also zombies, whose working directory is `dir` or lies below it. `dir` is a real path:
/// nothing but /proc is looked at, so that a disk that does not answer is no hindrance.
pub fn pids_below(dir: &Path) -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(move |pid| lies_in(*pid, dir))
}

/// The pids of [`processes_in`].
pub fn pids_in(dir: &Path) -> Vec<i32> {
    processes_in(dir).into_iter().map(|process| process.pid).collect()
}

/// When process `pid` started, in clock ticks since boot; `None` if it is gone or a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    live(pid).map(|process| process.start_time)
}

fn lies_in(pid: i32, dir: &Path) -> bool {
    let Ok(cwd) = std::fs::read_link(format!("/proc/{pid}/cwd")) else {
        return false;
    };
    // The kernel appends this to the path of a directory that was unlinked.
    let cwd = cwd.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map_or(cwd.clone(), PathBuf::from);
    cwd.starts_with(dir)
}

fn live(pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let Stat { state, start_time, .. } = parse_stat(&stat)?;
    let process = || Process { pid, start_time, command: command(pid, &stat) };
    (!matches!(state, 'Z' | 'X' | 'x')).then(process)
}

/// Whether a process has a terminal, so that a person may sit before it.
fn is_at_a_terminal(process: &Process) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    let starting = process.command.contains("labrun-agent") && process.command.contains("supervise");
    parse_stat(&stat).is_some_and(|stat| stat.terminal != 0) && !starting
}

/// What matters of proc(5)'s `stat`: fields 3 (state letter), 7 (terminal's device, 0 for none) and 22 (start time).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    terminal: i64,
    start_time: u64,
}

/// The name in field 2 may hold blanks and brackets.
fn parse_stat(stat: &str) -> Option<Stat> {
    let fields: Vec<_> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    Some(Stat {
        state: field(3)?.chars().next()?,
        terminal: field(7)?.parse().ok()?,
        start_time: field(22)?.parse().ok()?,
    })
}

fn command(pid: i32, stat: &str) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|b| *b == 0).filter(|w| !w.is_empty()).map(String::from_utf8_lossy).collect();
    if words.is_empty() {
        let name = stat.find('(').zip(stat.rfind(')')).and_then(|(a, b)| stat.get(a + 1..b));
        return format!("[{}]", name.unwrap_or("?"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// Without a terminal, as everything that a supervisor starts.
    fn sleeper(cwd: &Path) -> Child {
        Command::new("setsid").args(["sleep", "60"]).current_dir(cwd).spawn().unwrap()
    }

    fn poll(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !holds() {
            assert!(std::time::Instant::now() < deadline, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_name_with_brackets_does_not_confuse_stat() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 2 3";
        assert_eq!(parse_stat(stat), Some(Stat { state: 'S', terminal: 0, start_time: 777 }));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn processes_are_found_by_folder_also_below_it_and_when_it_is_deleted_but_not_next_to_it() {
        let root = tempfile::tempdir().unwrap();
        let (node, sub, other) = (root.path().join("n"), root.path().join("n/data"), root.path().join("n2"));
        std::fs::create_dir_all(&sub).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        let mut children = [sleeper(&node), sleeper(&sub), sleeper(&other)];
        poll("not all of them sleep", || {
            let all = [processes_in(&node), processes_in(&other)].concat();
            all.len() == 3 && all.iter().all(|process| process.command == "sleep 60")
        });
        std::fs::remove_dir(&sub).unwrap();
        let mut found = pids_in(&node);
        found.sort_unstable();
        let mut expected = vec![children[0].id() as i32, children[1].id() as i32];
        expected.sort_unstable();
        for child in &mut children {
            child.kill().unwrap();
        }
        // Dead but not yet waited for: a zombie is no process of the node.
        poll("a zombie counts as live", || pids_in(&node).is_empty());
        for mut child in children {
            child.wait().unwrap();
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn a_shell_at_a_terminal_is_no_process_of_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let inside = format!("cd '{}' && exec sleep 61", dir.path().display());
        let mut person = Command::new("script").args(["-qec", &inside, "/dev/null"]).spawn().unwrap();
        let here = |pid: i32| lies_in(pid, dir.path()) && live(pid).is_some_and(|p| p.command == "sleep 61");
        let pids =
            || std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        poll("the shell is not there", || pids().any(here));
        assert_eq!(pids_in(dir.path()), [0; 0]);
        for pid in pids().filter(|pid| here(*pid)) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        person.wait().unwrap();
    }

    #[test]
    fn our_own_start_time_is_known_and_a_missing_process_has_none() {
        assert!(start_time(std::process::id() as i32).is_some_and(|t| t > 0));
        assert_eq!(start_time(i32::MAX), None);
    }
}
