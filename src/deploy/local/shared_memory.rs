//! The shared memory that a killed PostgreSQL leaves in the kernel: it has nobody left to remove it.
//!
//! A postmaster that ends by itself removes its segments, and one that starts again in the same data directory those of
//! its forerunner. So only a destroy after a kill has something to do: the System V segment, whose key and id stand in
//! line 7 of `postmaster.pid`, and the POSIX segments (`/dev/shm/PostgreSQL.*`), which are known only while
//! a process maps them and are therefore noted before every kill, in `nodes/<node>/shared-memory`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NOTE: &str = "shared-memory";
const POSIX: &str = "/dev/shm/PostgreSQL.";

/// Note the POSIX segments that `pids`, processes of the node in `dir`, map. Best effort: a process may just have ended.
pub fn note(dir: &Path, pids: &[i32]) {
    let maps = pids.iter().filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/maps")).ok());
    let mapped: BTreeSet<String> = maps.flat_map(|maps| posix_segments(&maps).collect::<Vec<_>>()).collect();
    if !mapped.is_empty() {
        let known: BTreeSet<String> = noted(dir).into_iter().chain(mapped).collect();
        let text: String = known.iter().map(|path| format!("{path}\n")).collect();
        // Replaced, never written through: the folder is the node's own, and may hold a link of this name.
        let fresh = dir.join("shared-memory.new");
        let _ = std::fs::remove_file(&fresh);
        let mut options = std::fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).open(&fresh);
        let written = opened.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        let _ = written.and_then(|()| std::fs::rename(&fresh, dir.join(NOTE)));
    }
}

fn posix_segments(maps: &str) -> impl Iterator<Item = String> + '_ {
    maps.lines()
        .filter_map(|line| line.find(POSIX).map(|at| &line[at..]))
        .map(|path| path.trim_end_matches(" (deleted)").to_owned())
        .filter(|path| path[POSIX.len()..].chars().all(|c| c.is_ascii_digit()))
}

fn noted(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join(NOTE)).unwrap_or_default();
    text.lines().flat_map(|line| posix_segments(line).collect::<Vec<_>>()).collect()
}

/// Remove what the dead processes of the node in `dir` have left; how many segments that were. None of them may be
/// mapped by a living process: of another cluster that has come by the same number.
pub fn remove_left(dir: &Path) -> usize {
    let posix = noted(dir).into_iter().filter(|path| !mapped_by_anyone(path) && std::fs::remove_file(path).is_ok());
    let posix = posix.count();
    let data = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let pid_files = data.map(|folder| folder.join("postmaster.pid"));
    let segments = pid_files.filter_map(|file| system_v_segment(&std::fs::read_to_string(file).ok()?));
    posix + segments.filter(|(key, id)| remove_system_v(*key, *id)).count()
}

/// Key and id of the segment, from line 7 of `postmaster.pid`.
fn system_v_segment(pid_file: &str) -> Option<(u32, u32)> {
    let mut words = pid_file.lines().nth(6)?.split_ascii_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Remove the segment `id`, if it still has that key and nobody is attached.
fn remove_system_v(key: u32, id: u32) -> bool {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let unused = table.lines().skip(1).any(|line| is_unused(line, key, id));
    let mut remove = Command::new("ipcrm");
    remove.arg("-m").arg(id.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    unused && remove.status().is_ok_and(|status| status.success())
}

/// Whether this line of /proc/sysvipc/shm is that segment, with nobody attached.
fn is_unused(line: &str, key: u32, id: u32) -> bool {
    let column: Vec<_> = line.split_ascii_whitespace().collect();
    let number = |at: usize| column.get(at).and_then(|text| text.parse::<i64>().ok());
    number(0).map(|text| text as u32) == Some(key) && number(1) == Some(i64::from(id)) && number(6) == Some(0)
}

fn mapped_by_anyone(path: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let maps = processes.filter_map(|process: PathBuf| std::fs::read_to_string(process.join("maps")).ok());
    maps.into_iter().any(|maps| posix_segments(&maps).any(|mapped| mapped == path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_read_from_maps_and_from_the_pid_file() {
        let maps = "7f0 rw-s 0 00:1b 9 /dev/shm/PostgreSQL.1234\n7f1 r--p 0 0 1 /lib/x\n\
                    7f2 rw-s 0 00:1b 9 /dev/shm/PostgreSQL.77 (deleted)\n7f3 rw-s 0 0 1 /dev/shm/PostgreSQL.9/../../etc\n";
        let found: Vec<_> = posix_segments(maps).collect();
        assert_eq!(found, ["/dev/shm/PostgreSQL.1234", "/dev/shm/PostgreSQL.77"]);
        let pid_file = "42\n/data\n1700000000\n5432\n.\n127.40.0.10\n  5432001    131072\nready   \n";
        assert_eq!(system_v_segment(pid_file), Some((5432001, 131072)));
        assert_eq!(system_v_segment("42\n/data\n"), None);
    }

    #[test]
    fn a_segment_is_removed_only_where_nobody_is_attached() {
        let line = "   5432001     131072   600                    56 101 102      0   101   104   101   104 1 2 3 4 5";
        assert!(is_unused(line, 5432001, 131072));
        assert!(!is_unused(line, 5432002, 131072) && !is_unused(line, 5432001, 131073));
        assert!(!is_unused(&line.replace("102      0", "102      6"), 5432001, 131072));
    }
}
