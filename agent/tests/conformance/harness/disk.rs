//! A disk of its own for a node, which can be filled: a tmpfs in a mount namespace that only this thread and what it
//! starts can see, and that ends with them.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use super::process::unprivileged_user;

/// What takes up the room.
const BALLAST: &str = "ballast";

pub struct Disk(PathBuf);

impl Disk {
    /// Over the empty folder `at`; or why there can be none here: it takes root.
    pub fn new(at: &Path, megabytes: u32) -> Result<Disk, String> {
        let user = unprivileged_user().ok_or("only root may mount")?;
        unshare(CloneFlags::CLONE_NEWNS).map_err(|error| format!("no mount namespace: {error}"))?;
        // What is mounted in here stays in here.
        run(Command::new("mount").args(["--make-rprivate", "/"]))?;
        let options = format!("size={megabytes}m,uid={},gid={},mode=0750", user.uid, user.gid);
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at))?;
        Ok(Disk(at.to_owned()))
    }

    /// Leave no room at all.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join(BALLAST)).unwrap();
        let block = vec![0; 64 << 10];
        // It ends with the disk's own error; the last bytes are taken one block of the file system at a time.
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        while std::io::Write::write_all(&mut file, &block[..512]).is_ok() {}
    }

    pub fn free(&self) {
        std::fs::remove_file(self.0.join(BALLAST)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
