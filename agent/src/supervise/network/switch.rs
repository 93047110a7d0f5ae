//! `labrun-agent switch DIR`: the process that holds the switch's namespace, and does nothing else.

use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid};

use super::{BRIDGE, caps, ip};
use crate::supervise::{Error, pidfile};

/// Make the switch, and hold it until told to stop (SIGTERM). Its pidfile in `dir` is locked once it is whole.
pub fn hold(dir: &Path) -> Result<(), Error> {
    // Out of the caller's session, as a supervisor is.
    let _ = nix::unistd::setsid();
    std::env::set_current_dir(dir).map_err(Error::file("enter", dir))?;
    // The signals that end it are waited for, not died of, so that its pidfile goes with it.
    let ends: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    ends.thread_block().map_err(Error::system("wait for signals"))?;
    if Uid::effective().is_root() {
        unshare(CloneFlags::CLONE_NEWNET).map_err(Error::system("make a network namespace"))?;
    } else {
        own_user_namespace()?;
    }
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    let path = dir.join(pidfile::PID_FILE);
    let held = pidfile::hold(&path).map_err(Error::file("hold", &path))?;
    let _held = held.map_err(|pid| Error::AlreadyRunning { node: "switch".to_owned(), pid })?;
    ends.wait().map_err(Error::system("wait for signals"))?;
    Ok(())
}

/// A user namespace with this user alone, under its own number, and a network namespace in it.
fn own_user_namespace() -> Result<(), Error> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(Error::system("make a user namespace (root, or a kernel that allows it to everybody, can)"))?;
    // The kernel wants to hear that groups stay as they are before it takes a map of them from anybody.
    for (file, text) in [("setgroups", "deny".to_owned()), ("uid_map", one(uid)), ("gid_map", one(gid))] {
        let path = Path::new("/proc/self").join(file);
        std::fs::write(&path, text).map_err(Error::file("write", &path))?;
    }
    caps::pass_on()
}

fn one(id: impl std::fmt::Display) -> String {
    format!("{id} {id} 1")
}
