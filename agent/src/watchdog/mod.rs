//! The watchdog: a device that resets the machine unless it hears from the leader in time. It covers what the guard
//! cannot: a kernel that hangs, a machine that starves.
//!
//! Rules and words are Patroni's (`watchdog/base.py`): it runs while this node leads, is given a sign of life with
//! every extension of the lease, and is disarmed when PostgreSQL is down or in pause mode. The agent that is killed
//! leaves it armed: its successor takes it over, or the machine is reset. Unlike Patroni's, it bites no later than the
//! lease that was negotiated ends.

mod device;
mod ioctl;

use std::time::Duration;

use crate::config::{WatchdogConfig, WatchdogMode};
use device::Device;

/// What the cluster's configuration says of the lease, what was negotiated, and the pace of its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub ttl: Duration,
    pub lease: Duration,
    pub loop_wait: Duration,
}

pub struct Watchdog {
    config: WatchdogConfig,
    open: Option<Device>,
    /// What the open device was set for.
    times: Option<Times>,
    /// It could not be armed where it need not be; tried again when the configuration has changed.
    given_up: bool,
}

impl Watchdog {
    pub fn new(config: WatchdogConfig) -> Watchdog {
        Watchdog { config, open: None, times: None, given_up: false }
    }

    /// Takes up a changed configuration.
    pub fn configure(&mut self, config: &WatchdogConfig) {
        if self.config == *config {
            return;
        }
        self.disarm();
        self.config = config.clone();
        self.given_up = false;
    }

    pub fn is_required(&self) -> bool {
        self.config.mode == WatchdogMode::Required
    }

    pub fn is_armed(&self) -> bool {
        self.open.is_some()
    }

    /// Where it is required: whether it could be armed.
    pub fn is_usable(&self, times: Times) -> bool {
        let writable = || rustix::fs::access(&self.config.device, rustix::fs::Access::WRITE_OK).is_ok();
        !self.is_required() || (self.slack(times) >= 0 && (self.is_armed() || writable()))
    }

    fn slack(&self, times: Times) -> i64 {
        self.config.timeout(times.ttl, times.lease) - times.loop_wait.as_secs() as i64
    }

    /// Arms it unless it is armed. False where it is required and cannot be relied on.
    pub fn arm(&mut self, times: Times) -> bool {
        if self.config.mode == WatchdogMode::Off || self.is_armed() || self.given_up {
            return true;
        }
        match self.open(times) {
            Ok(device) => {
                let (slack, timeout) = (self.slack(times), self.config.timeout(times.ttl, times.lease));
                tracing::info!(
                    "{} activated with {timeout} second timeout, timing slack {slack} seconds",
                    device.name()
                );
                if !device.can_be_disabled() {
                    tracing::warn!(
                        "Watchdog implementation can't be disabled. Watchdog will trigger after Patroni loses leader key."
                    );
                }
                (self.open, self.times) = (Some(device), Some(times));
                true
            }
            Err(reason) if self.is_required() => {
                tracing::error!("Configuration requires watchdog, but watchdog could not be activated: {reason}");
                false
            }
            Err(reason) => {
                tracing::debug!("Could not activate watchdog: {reason}");
                self.given_up = true;
                true
            }
        }
    }

    /// An armed device that bites in time.
    fn open(&self, times: Times) -> Result<Device, String> {
        let wanted = self.config.timeout(times.ttl, times.lease);
        let loop_wait = times.loop_wait.as_secs() as i64;
        if wanted < loop_wait {
            let ttl = times.ttl.min(times.lease).as_secs();
            return Err(format!("leader TTL {ttl} is less than 2x loop_wait {loop_wait}"));
        }
        let mut device = Device::open(&self.config)?;
        let timeout = device.set_timeout(wanted).and_then(|()| device.timeout());
        let reason = match timeout {
            Ok(timeout) if timeout < loop_wait => {
                format!("loop_wait of {loop_wait} seconds is too long for watchdog {timeout} second timeout")
            }
            Ok(timeout) if timeout > wanted && self.is_required() => {
                format!("a safe timeout of {wanted} seconds could not be configured, it is {timeout}")
            }
            Ok(timeout) => {
                if timeout > wanted {
                    tracing::warn!(
                        "Watchdog timeout {timeout} seconds does not ensure safe termination within {wanted} seconds"
                    );
                }
                return Ok(device);
            }
            Err(reason) => reason,
        };
        device.close()?;
        Err(reason)
    }

    /// The lease was extended: a sign of life; other times are taken up with it.
    pub fn keepalive(&mut self, times: Times) {
        let Some(device) = &mut self.open else { return };
        let timeout = self.config.timeout(times.ttl, times.lease);
        let mut result = device.keepalive();
        if result.is_ok() && self.times != Some(times) {
            result = device.set_timeout(timeout);
            self.times = Some(times);
        }
        if let Err(reason) = result {
            tracing::error!("Error while sending keepalive: {reason}");
        }
    }

    /// Disarms it, if it is armed.
    pub fn disarm(&mut self) {
        let Some(mut device) = self.open.take() else { return };
        if !device.can_be_disabled() {
            // Some time for whoever clears up.
            let _ = device.keepalive();
            tracing::warn!("Watchdog implementation can't be disabled. The system will be reset by it.");
        }
        if let Err(reason) = device.close() {
            tracing::error!("Error while disabling watchdog: {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WatchdogDriver;

    const TIMES: Times =
        Times { ttl: Duration::from_secs(20), lease: Duration::from_secs(18), loop_wait: Duration::from_secs(2) };

    fn watchdog(mode: WatchdogMode, device: std::path::PathBuf) -> Watchdog {
        let driver = WatchdogDriver::Testing;
        Watchdog::new(WatchdogConfig { mode, driver, device, ..WatchdogConfig::default() })
    }

    #[test]
    fn it_is_armed_kept_alive_set_anew_and_disarmed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watchdog = watchdog(WatchdogMode::Required, file.path().into());
        assert!(watchdog.arm(TIMES) && watchdog.arm(TIMES));
        watchdog.keepalive(TIMES);
        watchdog.keepalive(Times { ttl: Duration::from_secs(30), lease: Duration::from_secs(28), ..TIMES });
        watchdog.disarm();
        watchdog.disarm();
        watchdog.keepalive(TIMES);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "Ctimeout=15\n11Ctimeout=25\nV");
    }

    #[test]
    fn a_missing_device_matters_only_where_it_is_required() {
        let mut required = watchdog(WatchdogMode::Required, "/nowhere/watchdog".into());
        assert!(!required.is_usable(TIMES) && !required.arm(TIMES));
        let mut automatic = watchdog(WatchdogMode::Automatic, "/nowhere/watchdog".into());
        assert!(automatic.is_usable(TIMES) && automatic.arm(TIMES) && !automatic.is_armed());
    }

    #[test]
    fn a_lease_too_short_for_the_loop_has_no_watchdog() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watchdog = watchdog(WatchdogMode::Required, file.path().into());
        let times = Times { loop_wait: Duration::from_secs(16), ..TIMES };
        assert!(!watchdog.is_usable(times) && !watchdog.arm(times));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
    }

    #[test]
    fn a_fifo_that_nobody_reads_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("watchdog");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(!watchdog(WatchdogMode::Required, fifo).arm(TIMES));
    }

    #[test]
    fn switched_off_it_touches_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watchdog = watchdog(WatchdogMode::Off, file.path().into());
        assert!(watchdog.arm(TIMES) && !watchdog.is_armed() && watchdog.is_usable(TIMES));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
    }
}
