//! The one service process of a node: starting it, and when to start it again.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::log::Log;
use super::status::{LastExit, now};
use super::{Error, Spec};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A service that was up this long starts its next series of pauses anew.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// How long to wait before the next start.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    last: Option<Duration>,
}

impl BackOff {
    /// The pause after a service that was up for `up`.
    pub(super) fn next(&mut self, up: Duration) -> Duration {
        let pause = match self.last {
            Some(last) if up < STEADY_AFTER => (last * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.last = Some(pause);
        pause
    }
}

/// A started service.
pub(super) struct Service {
    pub(super) pid: Pid,
    pub(super) started: Instant,
}

/// Starts the service in the node's folder with its output appended to the log.
pub(super) fn start(spec: &Spec, log: &Log) -> Result<Service, Error> {
    let child = Command::new(&spec.program)
        .args(&spec.args)
        .envs(&spec.env)
        .current_dir(&spec.cwd)
        .stdin(Stdio::null())
        .stdout(log.open()?)
        .stderr(log.open()?)
        .spawn()
        .map_err(|source| Error::Program { program: spec.program.clone(), source })?;
    // Reaped by the supervisor's own loop, as every other process that ends under it.
    Ok(Service { pid: Pid::from_raw(child.id() as i32), started: Instant::now() })
}

/// The wait status as it is shown in `supervisor.json`.
pub(super) fn last_exit(status: i32) -> LastExit {
    let status = ExitStatus::from_raw(status);
    let signal = status.signal().map(|number| {
        nix::sys::signal::Signal::try_from(number).map_or_else(|_| number.to_string(), |s| s.as_str().to_owned())
    });
    LastExit { code: status.code(), signal, at: now() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_limit_and_start_anew_after_a_steady_run() {
        let mut back_off = BackOff::default();
        let short = Duration::from_secs(1);
        let pauses: Vec<_> = (0..7).map(|_| back_off.next(short).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(back_off.next(Duration::from_secs(10)).as_millis(), 200);
        assert_eq!(back_off.next(short).as_millis(), 400);
    }
}
