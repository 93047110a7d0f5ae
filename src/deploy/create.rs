//! `deploy`: from a lab to a deployment that is ready, with the state written before every step.

use std::future::Future;
use std::path::Path;
use std::time::Instant;

use super::placement::{place, same};
use super::ready::{ready_limit, until_ready};
use super::{DeployError, Deployment, Lock, NodeStatus, Options, Phase, Progress, local, state};
use crate::lab::Loaded;

/// What is to be deployed.
pub struct Request<'a> {
    /// The lab.
    pub loaded: &'a Loaded,
    /// The output folder; made if there is none.
    pub output: &'a Path,
    /// The deployment's name; the lab's unless told.
    pub name: Option<&'a str>,
    /// What is asked for beside the lab.
    pub options: Options,
    /// Whether to take down what did not become ready.
    pub clean_on_failure: bool,
    /// The command line, for whoever finds the deployment locked.
    pub command: &'a str,
}

/// A deployment that is ready, with the right to change it.
pub struct Deployed {
    /// The deployment.
    pub deployment: Deployment,
    /// Its lock, held on.
    pub lock: Lock,
    /// Whether it was ready already, so that nothing was done.
    pub already: bool,
}

/// Deploy, unless that is done already. `cancel` ends when the user wants no more of it.
pub async fn deploy(
    request: Request<'_>,
    progress: &dyn Progress,
    cancel: impl Future<Output = ()>,
) -> Result<Deployed, DeployError> {
    let begun = Instant::now();
    std::fs::create_dir_all(request.output).map_err(DeployError::io("make", request.output))?;
    let name = request.name.unwrap_or(&request.loaded.lab.file.name);
    let dir = state::dir_of(request.output, name)?;
    let lock = take_lock(&dir, request.command)?;
    let mut changed = false;
    let (mut deployment, fresh) = match state::read(&dir)? {
        Some(there) => {
            let (deployment, changes) = same(there, &request).await?;
            changed = !changes.is_empty();
            changes.iter().for_each(|change| progress.stage(&format!("changing {change}")));
            (deployment, false)
        }
        None => match place(&request, name, &dir).await {
            Ok(deployment) => (deployment, true),
            Err(error) => {
                // Nothing was begun: leave no empty folder. One with runs of an earlier deployment stays.
                lock.remove()?;
                let _ = std::fs::remove_dir(&dir);
                return Err(error);
            }
        },
    };
    if !fresh && !changed && deployment.phase == Phase::Ready && all_run(&deployment).await? {
        return Ok(Deployed { deployment, lock, already: true });
    }
    deployment.phase = Phase::Deploying;
    deployment.ready_after_ms = None;
    state::write(&deployment)?;
    let brought_up = tokio::select! {
        done = bring_up(&deployment, progress) => done,
        () = cancel => return Err(interrupted(&deployment)),
    };
    match brought_up {
        Ok(()) => {
            deployment.phase = Phase::Ready;
            deployment.ready_after_ms = fresh.then(|| u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
            state::write(&deployment)?;
            Ok(Deployed { deployment, lock, already: false })
        }
        Err(error) => {
            deployment.phase = Phase::Failed;
            state::write(&deployment)?;
            if request.clean_on_failure {
                super::remove::destroy_locked(&dir, lock, progress).await?;
            }
            Err(error)
        }
    }
}

/// The lock of a deployment that may not be there yet. A destroy may remove the folder between our two steps.
fn take_lock(dir: &Path, command: &str) -> Result<Lock, DeployError> {
    loop {
        std::fs::create_dir_all(dir).map_err(DeployError::io("make", dir))?;
        match Lock::take(dir, command) {
            Err(DeployError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            taken => return taken,
        }
    }
}

/// Start everything and wait until the whole cluster is ready.
async fn bring_up(deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
    local::node::write_files(&deployment.plan.project, &deployment.dir.join("project"))?;
    deployment.backend().up(deployment, progress).await?;
    if deployment.postgres_nodes().next().is_none() {
        // No cluster: each node's own service answers, and that is all there is.
        return Ok(());
    }
    progress.stage("waiting until the cluster is ready");
    until_ready(deployment, ready_limit(deployment), progress).await
}

/// Whether every node runs.
pub async fn all_run(deployment: &Deployment) -> Result<bool, DeployError> {
    let backend = deployment.backend();
    for node in &deployment.nodes {
        match backend.status(deployment, &node.name).await {
            Ok(NodeStatus::Running { .. }) => {}
            Ok(_) => return Ok(false),
            Err(DeployError::Engine(error)) if error.is_missing() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn interrupted(deployment: &Deployment) -> DeployError {
    let name = &deployment.name;
    DeployError::Interrupted {
        left: format!(
            "what was started is left running; go on: labrun deploy --name {name}, remove it: labrun destroy --name {name}"
        ),
    }
}
