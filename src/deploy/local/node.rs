//! A node's folder.
//!
//! ```text
//! nodes/<node>/          0700, owned by the user that the node runs as
//!   <rendered files>     zoo.cfg, postgres0.yml, haproxy.cfg, …
//!   node.json            what the supervisor keeps running; written last, so that its presence means: complete
//!   service.log          what the service prints (and service.log.1)
//!   supervisor.pid       locked while the supervisor lives
//!   supervisor.json      what the service is doing
//!   supervisor.log       what the supervisor prints
//!   data/                the service's data
//! ```

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::User;

use super::service;
use crate::deploy::{DeployError, LocalPlace, tail};
use crate::topology::{ConfigFile, NodePlan};

/// What the supervisor keeps running.
pub const SPEC_FILE: &str = "node.json";
/// The supervisor's own log.
pub const SUPERVISOR_LOG: &str = "supervisor.log";

/// Make the folder of `node` whole. One that is whole already is left as it is.
pub fn make(node: &NodePlan, dir: &Path, place: &LocalPlace, user: Option<&User>) -> Result<(), DeployError> {
    let spec_path = dir.join(SPEC_FILE);
    if spec_path.exists() {
        return Ok(());
    }
    // What a killed labrun has begun: nothing was ever started in it.
    remove_tree(dir)?;
    DirBuilder::new().mode(0o700).create(dir).map_err(DeployError::io("make", dir))?;
    write_files(&node.files, dir)?;
    let spec = service::spec(node, dir, place)?;
    let text = serde_json::to_string_pretty(&spec).map_err(|error| DeployError::process("write node.json", error))?;
    write_file(&dir.join("node.json.new"), &text, 0o600)?;
    std::fs::rename(dir.join("node.json.new"), &spec_path).map_err(DeployError::io("write", &spec_path))?;
    match user {
        Some(user) => give(dir, user),
        None => Ok(()),
    }
}

/// Write rendered files below `dir`. Their paths come from a lab, and never lead out of it.
pub fn write_files(files: &[ConfigFile], dir: &Path) -> Result<(), DeployError> {
    for file in files {
        let inside = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || file.path.is_empty() {
            return Err(DeployError::process(format!("write `{}`", file.path), "it leads out of its folder"));
        }
        let path = dir.join(&file.path);
        if let Some(parent) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(parent);
            made.map_err(DeployError::io("make", parent))?;
        }
        write_file(&path, &file.content, if file.secret { 0o600 } else { 0o644 })?;
    }
    Ok(())
}

fn write_file(path: &Path, content: &str, mode: u32) -> Result<(), DeployError> {
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content.as_bytes())
    })();
    written.map_err(DeployError::io("write", path))
}

/// Hand the folder and all that is in it to the user, the folder itself last.
fn give(dir: &Path, user: &User) -> Result<(), DeployError> {
    let entries = std::fs::read_dir(dir).map_err(DeployError::io("read", dir))?;
    for entry in entries {
        let path = entry.map_err(DeployError::io("read", dir))?.path();
        let meta = std::fs::symlink_metadata(&path).map_err(DeployError::io("look at", &path))?;
        if meta.is_dir() {
            give(&path, user)?;
        } else {
            own(&path, user)?;
        }
    }
    own(dir, user)
}

fn own(path: &Path, user: &User) -> Result<(), DeployError> {
    std::os::unix::fs::lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .map_err(DeployError::io("give away", path))
}

/// Open the supervisor's log for appending. The folder is the node's: a link that it may have put there is not followed.
pub fn supervisor_log(dir: &Path, user: Option<&User>) -> Result<File, DeployError> {
    let path = dir.join(SUPERVISOR_LOG);
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = options.open(&path).map_err(DeployError::io("open", &path))?;
    if let Some(user) = user {
        let given = std::os::unix::fs::fchown(&file, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        given.map_err(DeployError::io("give away", &path))?;
    }
    Ok(file)
}

/// The last `lines` lines of a log; empty where there is none.
pub fn tail(path: &Path, lines: usize) -> String {
    const MOST: u64 = 256 << 10;
    let read = || {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    tail::of(&read().unwrap_or_default(), lines)
}

/// Remove a folder and all below it; fine where there is none. A process that is just ending may still add a file to it.
pub fn remove_tree(dir: &Path) -> Result<(), DeployError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(DeployError::io("remove", dir)(error)),
        _ => Ok(()),
    }
}

/// The folder of the node `name`.
pub fn dir_of(nodes_dir: &Path, name: &str) -> PathBuf {
    nodes_dir.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, secret: bool) -> ConfigFile {
        ConfigFile { path: path.to_owned(), content: "x".to_owned(), secret }
    }

    #[test]
    fn a_secret_is_its_owners_alone_and_no_path_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        write_files(&[file("a/open", false), file("secret", true)], dir.path()).unwrap();
        let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a/open"), mode("secret")), (0o644, 0o600));
        for path in ["../out", "/etc/out", "a/../../out", ""] {
            assert!(write_files(&[file(path, false)], dir.path()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_link_in_place_of_the_supervisors_log_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(SUPERVISOR_LOG)).unwrap();
        assert!(supervisor_log(dir.path(), None).is_err());
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&log, 2), "b\nc");
        assert_eq!(tail(&dir.path().join("none"), 2), "");
    }
}
