//! `patroni.log` in the folder that `log.dir` names, rotated by size as `patroni.log.1`, `.2`, ….
//!
//! A thread of its own writes it, fed by a queue: a disk that hangs must not stop the agent. When the queue is full,
//! lines are lost, and counted.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::config::Log;

const NAME: &str = "patroni.log";

static QUEUED: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicUsize = AtomicUsize::new(0);

/// Lines that wait to be written.
pub fn queued() -> usize {
    QUEUED.load(Ordering::Relaxed)
}

/// Lines that were lost since the agent started.
pub fn records_lost() -> usize {
    LOST.load(Ordering::Relaxed)
}

/// The sending end; the file is closed when it is dropped.
pub(super) struct File(SyncSender<Vec<u8>>);

impl File {
    pub(super) fn open(dir: &Path, log: &Log) -> std::io::Result<File> {
        std::fs::create_dir_all(dir)?;
        let rotating = Rotating::open(dir.join(NAME), log.file_size, log.file_num, log.mode)?;
        let (sender, lines) = sync_channel(log.max_queue_size);
        std::thread::Builder::new().name("log".into()).stack_size(128 << 10).spawn(move || run(rotating, &lines))?;
        Ok(File(sender))
    }

    pub(super) fn write(&self, line: &[u8]) {
        QUEUED.fetch_add(1, Ordering::Relaxed);
        if self.0.try_send(line.to_vec()).is_err() {
            QUEUED.fetch_sub(1, Ordering::Relaxed);
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn run(mut file: Rotating, lines: &Receiver<Vec<u8>>) {
    for line in lines {
        if file.write(&line).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        QUEUED.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Rotating {
    path: PathBuf,
    file: std::fs::File,
    size: u64,
    /// Never rotated if 0.
    limit: u64,
    keep: u32,
    mode: Option<u32>,
}

impl Rotating {
    fn open(path: PathBuf, limit: u64, keep: u32, mode: Option<u32>) -> std::io::Result<Rotating> {
        let file = open(&path, mode)?;
        let size = file.metadata()?.len();
        Ok(Rotating { path, file, size, limit, keep, mode })
    }

    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.limit > 0 && self.keep > 0 && self.size > 0 && self.size + line.len() as u64 > self.limit {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        let old = |n: u32| self.path.with_file_name(format!("{NAME}.{n}"));
        for n in (1..self.keep).rev() {
            if old(n).exists() {
                std::fs::rename(old(n), old(n + 1))?;
            }
        }
        std::fs::rename(&self.path, old(1))?;
        self.file = open(&self.path, self.mode)?;
        self.size = 0;
        Ok(())
    }
}

fn open(path: &Path, mode: Option<u32>) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::PermissionsExt;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    if let Some(mode) = mode {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_moves_aside_and_only_so_many_are_kept() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let mut file = Rotating::open(path.clone(), 10, 2, Some(0o640)).unwrap();
        for line in ["first\n", "second\n", "third\n", "4\n", "fifth\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            (text("patroni.log"), text("patroni.log.1"), text("patroni.log.2")),
            ("fifth\n".into(), "third\n4\n".into(), "second\n".into())
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn lines_are_written_by_the_thread_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::open(dir.path(), &Log::default()).unwrap();
        for n in 0..100 {
            file.write(format!("{n}\n").as_bytes());
        }
        drop(file);
        let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
        let begun = std::time::Instant::now();
        while std::fs::read_to_string(dir.path().join(NAME)).unwrap() != expected {
            assert!(begun.elapsed().as_secs() < 30, "the lines are not written");
            std::thread::yield_now();
        }
    }
}
