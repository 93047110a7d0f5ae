//! The first process of a container (pid 1): whoever's parent ends becomes its child, and what it has no handler for never
//! reaches it. So the agent does not run as that one but below it: the first process hands signals on, collects every
//! process that ends, and ends as the agent does.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

/// Handed on to the agent. SIGCHLD is the first process's own.
const HANDED_ON: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Whether this is the first process of a container.
pub fn is_first() -> bool {
    getpid() == Pid::from_raw(1)
}

/// Start this program once more, with the same arguments, and look after it until it ends. Gives its exit code; where a
/// signal ended it, 128 and the signal's number, as shells do.
pub fn run() -> std::io::Result<u8> {
    let awaited = awaited();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&awaited), None)?;
    let mut words = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(words.next().unwrap_or_default());
    let agent = command.args(words).spawn()?;
    let agent = Pid::from_raw(i32::try_from(agent.id()).map_err(std::io::Error::other)?);
    loop {
        match awaited.wait()? {
            Signal::SIGCHLD => {
                if let Some(code) = collect(agent)? {
                    return Ok(code);
                }
            }
            // One that has just ended will be collected next.
            signal => drop(kill(agent, signal)),
        }
    }
}

/// Let the signals through that the first process, from which this one has its mask, holds back for itself.
pub fn listen() {
    // It fails for no signal that there is.
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&awaited()), None);
}

fn awaited() -> SigSet {
    let mut awaited = SigSet::from_iter(HANDED_ON);
    awaited.add(Signal::SIGCHLD);
    awaited
}

/// Collect every process that has ended: the agent's exit code, once that is among them.
fn collect(agent: Pid) -> std::io::Result<Option<u8>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == agent => return Ok(Some(code_of(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => return Ok(Some(code_of(128 + signal as i32))),
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn code_of(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}
