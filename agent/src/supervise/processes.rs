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
pub fn processes_in(dir: &Path) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| lies_in(*pid, &dir))
        .filter_map(live)
        .collect()
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
    let (state, start_time) = parse_stat(&stat)?;
    if matches!(state, 'Z' | 'X' | 'x') {
        return None;
    }
    Some(Process { pid, start_time, command: command(pid, &stat) })
}

/// State letter and start time (fields 3 and 22, proc(5)); the name in field 2 may hold blanks and brackets.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut rest = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = rest.next()?.chars().next()?;
    Some((state, rest.nth(18)?.parse().ok()?))
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

    fn sleeper(cwd: &Path) -> Child {
        Command::new("sleep").arg("60").current_dir(cwd).spawn().unwrap()
    }

    #[test]
    fn a_name_with_brackets_does_not_confuse_stat() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 2 3";
        assert_eq!(parse_stat(stat), Some(('S', 777)));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn processes_are_found_by_folder_also_below_it_and_when_it_is_deleted_but_not_next_to_it() {
        let root = tempfile::tempdir().unwrap();
        let (node, sub, other) = (root.path().join("n"), root.path().join("n/data"), root.path().join("n2"));
        std::fs::create_dir_all(&sub).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        let mut children = [sleeper(&node), sleeper(&sub), sleeper(&other)];
        std::fs::remove_dir(&sub).unwrap();
        let mut found = pids_in(&node);
        found.sort_unstable();
        let mut expected = vec![children[0].id() as i32, children[1].id() as i32];
        expected.sort_unstable();
        // A process that is still being loaded has no command line yet.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let commands = loop {
            let commands: Vec<_> = processes_in(&other).into_iter().map(|p| p.command).collect();
            if !commands.iter().any(|command| command.starts_with('[')) || std::time::Instant::now() > deadline {
                break commands;
            }
        };
        for child in &mut children {
            child.kill().unwrap();
        }
        // Dead but not yet waited for: a zombie is no process of the node.
        while !pids_in(&node).is_empty() {
            assert!(std::time::Instant::now() < deadline, "a zombie counts as live");
            std::thread::yield_now();
        }
        for mut child in children {
            child.wait().unwrap();
        }
        assert_eq!(found, expected);
        assert_eq!(commands, ["sleep 60"]);
    }

    #[test]
    fn our_own_start_time_is_known_and_a_missing_process_has_none() {
        assert!(start_time(std::process::id() as i32).is_some_and(|t| t > 0));
        assert_eq!(start_time(i32::MAX), None);
    }
}
