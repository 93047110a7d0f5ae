//! Hearing of the end of a process, whoever's child it is: a pidfd that the runtime's own reactor watches.
//!
//! The one place with `unsafe`: tokio cannot see that a descriptor stays open while it is registered.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Error;

/// After the reactor has failed to watch.
const PAUSE: Duration = Duration::from_millis(100);

/// A process, by a handle that no other process can get when its id is used again.
#[derive(Debug)]
pub struct PidFd(AsyncFd<OwnedFd>);

impl PidFd {
    /// `None` if there is no such process any more.
    pub fn open(pid: i32) -> Result<Option<PidFd>, Error> {
        let Some(fd) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return Ok(None);
        };
        // SAFETY: the descriptor is open, owned by the AsyncFd alone, and closed only when that is dropped; an
        // OwnedFd always answers with the same one.
        let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        let watched = registered.map_err(|error| Error::Other(format!("a process cannot be watched: {error}")))?;
        Ok(Some(PidFd(watched)))
    }

    /// Resolves when the process may have ended: readiness can be reported falsely, so look, and ask again.
    pub async fn may_have_ended(&self) {
        match self.0.readable().await {
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Resolves when the process has ended; a zombie has. One that cannot be watched is looked at now and then.
pub async fn end_of(pid: i32) {
    let watched = PidFd::open(pid).ok().flatten();
    while super::postmaster::is_alive(pid) {
        match &watched {
            Some(process) => process.may_have_ended().await,
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_somebody_elses_process_is_heard_of_at_once_and_one_that_has_ended_is_not_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let end = tokio::spawn(end_of(pid));
        tokio::task::yield_now().await;
        child.kill().unwrap();
        end.await.unwrap();
        child.wait().unwrap();
        end_of(pid).await;
        assert!(PidFd::open(pid).unwrap().is_none());
    }
}
