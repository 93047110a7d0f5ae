//! The ioctls of linux/watchdog.h. The only unsafe code of the agent: the kernel's interface to a watchdog's
//! timeout is by ioctl alone, and no library wraps these.

use std::os::fd::BorrowedFd;

use rustix::io::Result;
use rustix::ioctl::{Getter, Opcode, Updater, ioctl, opcode};

/// `struct watchdog_info`.
#[repr(C)]
pub struct Info {
    pub options: u32,
    pub firmware: u32,
    identity: [u8; 32],
}

impl Info {
    /// What the driver calls the device.
    pub fn identity(&self) -> String {
        let end = self.identity.iter().position(|byte| *byte == 0).unwrap_or(self.identity.len());
        String::from_utf8_lossy(&self.identity[..end]).into_owned()
    }
}

/// Bits of [`Info::options`]: the timeout can be set; a `V` before closing disarms it.
pub const SETTIMEOUT: u32 = 0x0080;
pub const MAGICCLOSE: u32 = 0x0100;

const GETSUPPORT: Opcode = opcode::read::<Info>(b'W', 0);
const SET: Opcode = opcode::read_write::<i32>(b'W', 6);
const GET: Opcode = opcode::read::<i32>(b'W', 7);

/// What the device can do.
pub fn support(device: BorrowedFd) -> Result<Info> {
    // SAFETY: WDIOC_GETSUPPORT fills a `struct watchdog_info`, which `Info` is, for any bytes in it.
    unsafe { ioctl(device, Getter::<GETSUPPORT, Info>::new()) }
}

/// Asks for a timeout in seconds. The driver may round it: read it again.
pub fn set_timeout(device: BorrowedFd, mut seconds: i32) -> Result<()> {
    // SAFETY: WDIOC_SETTIMEOUT reads and writes one int, which lives during the call.
    unsafe { ioctl(device, Updater::<SET, i32>::new(&mut seconds)) }
}

/// The timeout in force, in seconds.
pub fn timeout(device: BorrowedFd) -> Result<i32> {
    // SAFETY: WDIOC_GETTIMEOUT fills one int.
    unsafe { ioctl(device, Getter::<GET, i32>::new()) }
}
