//! The deployment's lock: every command that changes a deployment holds it, so that no two do so at once.
//!
//! On disk: `output/<deployment>/lock`, held by flock(2) and therefore freed by the kernel however its holder ends.
//! It holds `PID COMMAND` of whoever took it last, which means something only while the lock is held.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::DeployError;

/// The lock's file name in the deployment's folder.
pub const LOCK_FILE: &str = "lock";

/// The right to change a deployment, until dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: Flock<File>,
}

impl Lock {
    /// Take the lock of the deployment in `dir` for `command`, or say who holds it. The folder must exist.
    pub fn take(dir: &Path, command: &str) -> Result<Lock, DeployError> {
        let path = dir.join(LOCK_FILE);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o644);
            let file = options.open(&path).map_err(DeployError::io("open", &path))?;
            let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((file, nix::Error::EWOULDBLOCK)) => return Err(held(dir, file)),
                Err((_, errno)) => return Err(DeployError::io("lock", &path)(errno.into())),
            };
            // A destroy may have removed the file between our open and our lock; then this lock is nobody's.
            let same =
                std::fs::metadata(&path).is_ok_and(|there| file.metadata().is_ok_and(|own| own.ino() == there.ino()));
            if !same {
                continue;
            }
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| writeln!(file, "{} {command}", std::process::id()));
            written.map_err(DeployError::io("write", &path))?;
            return Ok(Lock { path, _file: file });
        }
    }

    /// Give the lock back and remove its file: the deployment is gone.
    pub fn remove(self) -> Result<(), DeployError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(DeployError::io("remove", &self.path)(error)),
            _ => Ok(()),
        }
    }
}

/// Who holds the lock. Its holder writes its name right after it has taken it; give it that moment.
fn held(dir: &Path, mut file: File) -> DeployError {
    let mut holder = None;
    for _ in 0..100 {
        let mut text = String::new();
        let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
        holder = read.ok().and_then(|_| parse(&text)).filter(|(pid, _)| alive(*pid));
        if holder.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let (pid, command) = holder.unwrap_or((0, "another labrun".to_owned()));
    let deployment = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    DeployError::Locked { deployment, pid, command }
}

fn parse(text: &str) -> Option<(i32, String)> {
    let (pid, command) = text.trim_end().split_once(' ')?;
    Some((pid.parse().ok()?, command.to_owned()))
}

fn alive(pid: i32) -> bool {
    labrun_agent::supervise::start_time(pid).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_a_freed_one_can_be_taken() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path(), "labrun verify").unwrap();
        let DeployError::Locked { pid, command, .. } = Lock::take(dir.path(), "labrun destroy").unwrap_err() else {
            panic!("not locked")
        };
        assert_eq!((pid, command.as_str()), (std::process::id() as i32, "labrun verify"));
        drop(first);
        Lock::take(dir.path(), "labrun destroy").unwrap().remove().unwrap();
        assert!(!dir.path().join(LOCK_FILE).exists());
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_taken_anew() {
        let dir = tempfile::tempdir().unwrap();
        let gone = Lock::take(dir.path(), "one").unwrap();
        std::fs::remove_file(dir.path().join(LOCK_FILE)).unwrap();
        let _second = Lock::take(dir.path(), "two").unwrap();
        drop(gone);
        assert!(matches!(Lock::take(dir.path(), "three"), Err(DeployError::Locked { .. })));
    }
}
