//! The service's log: written by the service itself (so that it survives the supervisor), bounded by us.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Error;

/// How often the size is looked at.
pub(super) const CHECK_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// The log file and its bound.
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
}

impl Log {
    pub(super) fn new(path: PathBuf, limit: u64) -> Log {
        Log { path, limit }
    }

    /// A handle that appends, for the service's stdout or stderr.
    pub(super) fn open(&self) -> Result<File, Error> {
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        }
        OpenOptions::new().create(true).append(true).open(&self.path).map_err(Error::file("open", &self.path))
    }

    /// Copies the log to `<log>.1` and empties it once it has reached its limit. The service keeps its
    /// handle, which appends, so that its next line is the first of the emptied file.
    pub(super) fn bound(&self) -> Result<(), Error> {
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.len() >= self.limit => self.rotate(),
            _ => Ok(()),
        }
    }

    fn rotate(&self) -> Result<(), Error> {
        let old = rotated(&self.path);
        let moved = (|| {
            let mut from = OpenOptions::new().read(true).write(true).open(&self.path)?;
            // No more than the limit is kept, its newest part.
            let skip = from.metadata()?.len().saturating_sub(self.limit);
            from.seek(SeekFrom::Start(skip))?;
            let mut to = File::create(&old)?;
            std::io::copy(&mut from, &mut to)?;
            from.set_len(0)
        })();
        moved.map_err(Error::file("rotate", &self.path))
    }
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_full_log_moves_aside_and_the_writer_goes_on_in_the_emptied_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/node.log");
        let log = Log::new(path.clone(), 10);
        let mut writer = log.open().unwrap();
        writer.write_all(b"short").unwrap();
        log.bound().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        writer.write_all(b" and more").unwrap();
        log.bound().unwrap();
        writer.write_all(b"next").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"next");
        assert_eq!(std::fs::read(rotated(&path)).unwrap(), b"t and more");
    }
}
