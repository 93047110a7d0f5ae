//! A pidfile that is locked as long as its process lives, so that a stale one is never believed.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// The supervisor's pidfile inside the node's folder.
pub const PID_FILE: &str = "supervisor.pid";

/// What a pidfile says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pidfile {
    /// There is no such file.
    NotExist,
    /// It is there, but the process that wrote it is gone.
    NotHeld,
    /// The process with this pid lives and holds it.
    HeldBy(i32),
}

/// Reads the pidfile at `path` and finds out whether its process lives.
pub fn read(path: &Path) -> std::io::Result<Pidfile> {
    // Whoever has just taken the lock writes its pid next; give it that moment.
    for _ in 0..100 {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Pidfile::NotExist),
            Err(error) => return Err(error),
        };
        let mut file = match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_free) => return Ok(Pidfile::NotHeld),
            Err((file, nix::Error::EWOULDBLOCK)) => file,
            Err((_, errno)) => return Err(errno.into()),
        };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        if let Some(pid) = text.split_ascii_whitespace().next().and_then(|pid| pid.parse().ok()) {
            return Ok(Pidfile::HeldBy(pid));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Err(std::io::Error::new(ErrorKind::InvalidData, "the pidfile is locked but holds no pid"))
}

/// A pidfile that this process holds; removed when dropped.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    _file: Flock<File>,
}

/// Takes the pidfile: `Ok(Err(pid))` if another process holds it.
pub fn hold(path: &Path) -> std::io::Result<Result<Held, i32>> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(path)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, nix::Error::EWOULDBLOCK)) => match read(path)? {
                Pidfile::HeldBy(pid) => return Ok(Err(pid)),
                // A reader held it for a moment, or the holder has just ended.
                Pidfile::NotExist | Pidfile::NotHeld => continue,
            },
            Err((_, errno)) => return Err(errno.into()),
        };
        // The former holder may have removed the file between our open and our lock.
        let same = std::fs::metadata(path).is_ok_and(|on_disk| file.metadata().is_ok_and(|m| m.ino() == on_disk.ino()));
        if !same {
            continue;
        }
        let pid = std::process::id() as i32;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{pid} {}", super::start_time(pid).unwrap_or(0))?;
        return Ok(Ok(Held { path: path.into(), _file: file }));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfile_tells_missing_stale_and_held_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.pid");
        assert_eq!(read(&path).unwrap(), Pidfile::NotExist);
        std::fs::write(&path, "1 1\n").unwrap();
        assert_eq!(read(&path).unwrap(), Pidfile::NotHeld);
        let held = hold(&path).unwrap().unwrap();
        let me = std::process::id() as i32;
        assert_eq!(read(&path).unwrap(), Pidfile::HeldBy(me));
        assert_eq!(hold(&path).unwrap().unwrap_err(), me);
        drop(held);
        assert_eq!(read(&path).unwrap(), Pidfile::NotExist);
    }
}
