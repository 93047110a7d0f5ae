//! The folder that holds the nodes' folders, and the agent's program where nodes cannot run the installed one.
//!
//! Nodes of a deployment live in the deployment's own folder where their user can enter it. Root's nodes run as another
//! user, who cannot enter, say, a folder below /root: then they live in a run folder elsewhere, owned by root, with a name
//! that nobody can foresee. The state records it before it is made; `origin` in it names the deployment, for a destroy
//! that finds no state.
//!
//! ```text
//! /var/tmp/labrun-<deployment>-<random>/
//!   origin              the deployment's folder
//!   bin/labrun-agent    a copy, where the nodes' user cannot run the installed one
//!   nodes/<node>/
//! ```

use std::fs::{DirBuilder, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use super::{place_of, user};
use crate::deploy::deployment::NODES;
use crate::deploy::{DeployError, Deployment};

/// Where run folders are made: the first that the user can enter. Data in /var/tmp outlives a restart of the machine.
const ELSEWHERE: [&str; 2] = ["/var/tmp", "/tmp"];
const PREFIX: &str = "labrun-";
const ORIGIN: &str = "origin";
/// Others may pass through, to the one folder that is theirs, and see nothing.
const PASSABLE: u32 = 0o711;

/// Where the nodes of the deployment in `dir` are to live. `dir` exists; a run folder elsewhere is not made yet.
pub fn choose(dir: &Path, user: Option<&User>) -> Result<PathBuf, DeployError> {
    let Some(user) = user else { return Ok(dir.to_owned()) };
    let meta = std::fs::metadata(dir).map_err(DeployError::io("look at", dir))?;
    let passable = Permissions::from_mode(meta.mode() & 0o7777 | PASSABLE);
    std::fs::set_permissions(dir, passable).map_err(DeployError::io("open", dir))?;
    if user::can_enter(Some(user), dir) {
        return Ok(dir.to_owned());
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let elsewhere = ELSEWHERE.iter().map(Path::new).find(|base| user::can_enter(Some(user), base));
    let base = elsewhere.ok_or_else(|| DeployError::BadUser {
        user: user.name.clone(),
        why: format!("it can enter neither {} nor {}", dir.display(), ELSEWHERE.join(" nor ")),
    })?;
    Ok(base.join(format!("{PREFIX}{name}-{:016x}", unforeseen()?)))
}

/// Make what the deployment's place names: the run folder, `nodes/`, and the agent's copy. Fine when it is there already.
pub fn make(deployment: &Deployment, installed_agent: &Path) -> Result<(), DeployError> {
    let place = place_of(deployment)?;
    let run_dir = &place.run_dir;
    if *run_dir != deployment.dir {
        make_dir(run_dir, PASSABLE)?;
        let origin = run_dir.join(ORIGIN);
        std::fs::write(&origin, deployment.dir.as_os_str().as_encoded_bytes())
            .map_err(DeployError::io("write", origin))?;
    }
    make_dir(&place.nodes_dir(), PASSABLE)?;
    let agent = &place.programs.agent;
    if *agent == agent_copy(run_dir) && !agent.exists() {
        let bin = run_dir.join("bin");
        make_dir(&bin, PASSABLE)?;
        // Whole or not at all, should labrun be killed meanwhile.
        let fresh = bin.join("labrun-agent.new");
        std::fs::copy(installed_agent, &fresh).map_err(DeployError::io("write", &fresh))?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o755)).map_err(DeployError::io("open", &fresh))?;
        std::fs::rename(&fresh, agent).map_err(DeployError::io("write", agent))?;
    }
    Ok(())
}

/// The agent as nodes are to run it: the installed one where their user can.
pub fn agent_for(user: Option<&User>, installed: &Path, run_dir: &Path) -> PathBuf {
    if user::can_run(user, installed) { installed.to_owned() } else { agent_copy(run_dir) }
}

fn agent_copy(run_dir: &Path) -> PathBuf {
    run_dir.join("bin/labrun-agent")
}

/// Run folders whose `origin` is the deployment in `dir`. Only folders of whoever runs labrun are believed.
pub fn of_origin(dir: &Path) -> Vec<PathBuf> {
    let own = |path: &Path| {
        std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == Uid::effective().as_raw())
    };
    let folders = ELSEWHERE.iter().filter_map(|base| std::fs::read_dir(base).ok()).flatten().flatten();
    folders
        .filter(|folder| folder.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)))
        .map(|folder| folder.path())
        .filter(|path| own(path))
        .filter(|path| {
            std::fs::read(path.join(ORIGIN)).is_ok_and(|origin| origin == dir.as_os_str().as_encoded_bytes())
        })
        .collect()
}

/// Whether `path` is one that [`choose`] may have made up: a destroy removes nothing else outside the deployment.
pub fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let base = path.parent().unwrap_or(Path::new(""));
    name.starts_with(PREFIX) && ELSEWHERE.iter().any(|elsewhere| base == Path::new(elsewhere))
}

fn make_dir(dir: &Path, mode: u32) -> Result<(), DeployError> {
    match DirBuilder::new().mode(mode).create(dir) {
        // The mode that was asked for, whatever the umask.
        Ok(()) => std::fs::set_permissions(dir, Permissions::from_mode(mode)).map_err(DeployError::io("open", dir)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match std::fs::symlink_metadata(dir) {
            Ok(meta) if meta.is_dir() && meta.uid() == Uid::effective().as_raw() => Ok(()),
            _ => Err(DeployError::io("make", dir)(error)),
        },
        Err(error) => Err(DeployError::io("make", dir)(error)),
    }
}

fn unforeseen() -> Result<u64, DeployError> {
    let mut bytes = [0; 8];
    let mut source = std::fs::File::open("/dev/urandom").map_err(DeployError::io("open", "/dev/urandom"))?;
    source.read_exact(&mut bytes).map_err(DeployError::io("read", "/dev/urandom"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// `nodes/` of a run folder.
pub fn nodes_of(run_dir: &Path) -> PathBuf {
    run_dir.join(NODES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_run_folders_are_ours() {
        assert!(is_ours(Path::new("/var/tmp/labrun-lab-0123456789abcdef")));
        for other in ["/var/tmp", "/var/tmp/other", "/home/labrun-x", "/var/tmp/labrun-x/..", "/"] {
            assert!(!is_ours(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_closed_output_folder_leads_elsewhere() {
        let Ok(Some(user)) = user::choose(None) else { return };
        let closed = tempfile::tempdir().unwrap();
        std::fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
        let dir = closed.path().join("lab");
        std::fs::create_dir(&dir).unwrap();
        let elsewhere = choose(&dir, Some(&user)).unwrap();
        assert!(is_ours(&elsewhere), "{}", elsewhere.display());
        assert!(elsewhere.file_name().unwrap().to_str().unwrap().starts_with("labrun-lab-"));
        assert_ne!(elsewhere, choose(&dir, Some(&user)).unwrap(), "a name that can be foreseen");
        std::fs::set_permissions(closed.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(choose(&dir, Some(&user)).unwrap(), dir);
    }
}
