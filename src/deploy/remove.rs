//! `destroy`: from whatever is left of a deployment to nothing but its runs.

use std::io::ErrorKind;
use std::path::Path;

use super::local::{Remains, take_down};
use super::{DeployError, Lock, Phase, Progress, docker, state};

/// Destroy the deployment `name` of `output`, and say what was removed. Its state may be missing or broken.
pub async fn destroy(
    output: &Path,
    name: &str,
    command: &str,
    progress: &dyn Progress,
) -> Result<Vec<String>, DeployError> {
    let dir = state::dir_of(output, name)?;
    if !Remains::in_folder(&dir).exist() && docker::lost(&dir, name).await.is_none() {
        return Err(state::missing(output, name));
    }
    // The folder may be gone with its processes still there.
    std::fs::create_dir_all(&dir).map_err(DeployError::io("make", &dir))?;
    let lock = Lock::take(&dir, command)?;
    destroy_locked(&dir, lock, progress).await
}

/// The same by whoever holds the lock already.
pub async fn destroy_locked(dir: &Path, lock: Lock, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
    let removed = match state::read(dir) {
        Ok(Some(mut deployment)) => {
            deployment.phase = Phase::Destroying;
            // A full disk must not keep a deployment from being destroyed.
            let _ = state::write(&deployment);
            deployment.backend().destroy(&deployment, progress).await?
        }
        Ok(None) | Err(DeployError::BadState { .. }) => {
            let mut removed = docker::remove_lost(dir, &state::name_of(dir), progress).await?;
            removed.extend(take_down(&Remains::in_folder(dir), progress).await?);
            removed
        }
        Err(error) => return Err(error),
    };
    lock.remove()?;
    match std::fs::remove_dir(dir) {
        // Its runs are kept.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(removed),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(DeployError::io("remove", dir)(error)),
        _ => Ok(removed),
    }
}
