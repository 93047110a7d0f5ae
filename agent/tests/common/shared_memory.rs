//! The shared memory that a killed PostgreSQL leaves in the kernel: it has nobody left to remove it.
//!
//! Two kinds. What is in /dev/shm the tests avoid by `dynamic_shared_memory_type: mmap`, whose files are in the data
//! directory. The System V segment of each postmaster is made in an IPC namespace of the test's own, which ends with
//! its last process. Whoever may have none (that takes root) has the segments removed that `postmaster.pid` files name.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};

/// Gives this thread, and all that it starts from now on, an IPC namespace of their own, if it may have one.
pub fn isolate() {
    let _ = unshare(CloneFlags::CLONE_NEWIPC);
}

/// Removes the segments of the data directories in the folders of `dir`, whose processes have ended.
pub fn remove_left(dir: &Path) {
    let folders = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    // A cluster's folder, a node's, and its data directory.
    for first in folders(dir) {
        for second in folders(&first).chain([first.clone()]) {
            for data in folders(&second) {
                let file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
                // Line 7: key and id. One that somebody is attached to only goes when they have left.
                if let Some(id) = file.lines().nth(6).and_then(|line| line.split_ascii_whitespace().nth(1)) {
                    let mut remove = Command::new("ipcrm");
                    remove.args(["-m", id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                    let _ = remove.status();
                }
            }
        }
    }
}
