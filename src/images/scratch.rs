//! A folder for the time of a build, removed at its end; and the right to build, which one process has at a time.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;

use super::ImageError;

/// A folder that is removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one, for this process alone.
    pub fn new() -> Result<Scratch, ImageError> {
        let path = std::env::temp_dir().join(format!("labrun-images-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(ImageError::io("make", &path))?;
        Ok(Scratch(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Wait for the right to build. A second build of the same would only take the first one's time.
pub async fn turn(waiting: impl FnOnce()) -> Result<Flock<File>, ImageError> {
    let path = std::env::temp_dir().join(format!("labrun-images-{}.lock", Uid::effective()));
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(ImageError::io("open", &path))?;
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((file, nix::Error::EWOULDBLOCK)) => file,
        Err((_, errno)) => return Err(ImageError::io("lock", &path)(errno.into())),
    };
    waiting();
    let taken = tokio::task::spawn_blocking(move || Flock::lock(file, FlockArg::LockExclusive)).await;
    match taken {
        Ok(Ok(lock)) => Ok(lock),
        Ok(Err((_, errno))) => Err(ImageError::io("lock", &path)(errno.into())),
        Err(error) => Err(ImageError::io("lock", &path)(std::io::Error::other(error))),
    }
}
