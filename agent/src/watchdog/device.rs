//! An open watchdog: the Linux device, or the file or FIFO of the testing driver, which gets in writing what would
//! be an ioctl (`Ctimeout=15\n`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use super::ioctl;
use crate::config::{WatchdogConfig, WatchdogDriver};

/// As long as the kernel's default; in force until it is set.
const UNSET: i64 = 60;

pub struct Device {
    file: File,
    name: String,
    settable: bool,
    can_be_disabled: bool,
    /// The testing driver has no other place for it.
    testing: Option<i64>,
}

impl Device {
    /// Opens it, which arms it.
    pub fn open(config: &WatchdogConfig) -> Result<Device, String> {
        // A FIFO that nobody reads must not hold the agent up.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new().write(true).custom_flags(nonblocking).open(&config.device);
        let file = file.map_err(|error| format!("Can't open watchdog device: {error}"))?;
        let place = match config.device.to_str() {
            Some("/dev/watchdog") => String::new(),
            _ => format!(" at {}", config.device.display()),
        };
        if config.driver == WatchdogDriver::Testing {
            let name = format!("Watchdog test harness{place}");
            return Ok(Device { file, name, settable: true, can_be_disabled: true, testing: Some(UNSET) });
        }
        let info = ioctl::support(file.as_fd())
            .map_err(|error| format!("Could not get information about watchdog device: {error}"))?;
        let firmware = if info.firmware == 0 { String::new() } else { format!(" (firmware {})", info.firmware) };
        Ok(Device {
            name: format!("{}{firmware}{place}", info.identity()),
            settable: info.options & ioctl::SETTIMEOUT != 0,
            can_be_disabled: info.options & ioctl::MAGICCLOSE != 0,
            file,
            testing: None,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn can_be_disabled(&self) -> bool {
        self.can_be_disabled
    }

    /// Asks for a timeout, where one can be set; in seconds.
    pub fn set_timeout(&mut self, seconds: i64) -> Result<(), String> {
        if !self.settable {
            return Ok(());
        }
        let usable = u16::try_from(seconds).ok().filter(|seconds| *seconds > 0 && *seconds < u16::MAX);
        let usable =
            usable.ok_or_else(|| format!("Invalid timeout {seconds}. Supported values are between 1 and 65535"))?;
        let failed = |error: std::io::Error| format!("Could not set timeout on watchdog device: {error}");
        match &mut self.testing {
            Some(timeout) => {
                self.file.write_all(format!("Ctimeout={usable}\n").as_bytes()).map_err(failed)?;
                *timeout = i64::from(usable);
                Ok(())
            }
            None => ioctl::set_timeout(self.file.as_fd(), i32::from(usable)).map_err(|error| failed(error.into())),
        }
    }

    /// The timeout in force, in seconds.
    pub fn timeout(&self) -> Result<i64, String> {
        match self.testing {
            Some(timeout) => Ok(timeout),
            None => ioctl::timeout(self.file.as_fd())
                .map(i64::from)
                .map_err(|error| format!("Could not get timeout on watchdog device: {error}")),
        }
    }

    /// A sign of life.
    pub fn keepalive(&mut self) -> Result<(), String> {
        self.file.write_all(b"1").map_err(|error| format!("Could not send watchdog keepalive: {error}"))
    }

    /// Disarms it, where it can be disarmed, and closes it.
    pub fn close(mut self) -> Result<(), String> {
        self.file.write_all(b"V").map_err(|error| format!("Error while closing {}: {error}", self.name))
    }
}
