//! The local backend: nodes as processes of this machine, each on a loopback address of its own.
//!
//! Every node is a folder and a supervisor (`labrun-agent supervise`), which keeps the node's one service running,
//! forwards its published ports and outlives labrun. All processes of a node keep their working directory inside
//! its folder: that is how everything can be found again, whatever was killed when.

pub mod addresses;
mod destroy;
mod exec;
mod logs;
pub mod node;
pub mod programs;
mod ready;
pub mod run_dir;
mod service;
mod shared_memory;
mod supervisor;
mod up;
pub mod user;

use std::time::Duration;

use async_trait::async_trait;

use super::{Backend, DeployError, DeployedNode, Deployment, ExecOutput, NodeStatus, Progress};
use crate::topology::Service;
pub use destroy::{Remains, take_down};
pub use up::log_end;

/// Nodes as processes of this machine. It knows nothing: everything stands in the deployment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

#[async_trait]
impl Backend for Local {
    async fn up(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
        up::up(deployment, progress).await
    }

    async fn start(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        start(deployment, deployment.known(node)?).await
    }

    async fn stop(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        let node = deployment.known(node)?;
        supervisor::stop(&node.dir, stop_limit(&node.service)).await
    }

    async fn kill(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        supervisor::kill_all(&deployment.known(node)?.dir).await
    }

    async fn status(&self, deployment: &Deployment, node: &str) -> Result<NodeStatus, DeployError> {
        supervisor::status(&deployment.known(node)?.dir)
    }

    async fn exec(
        &self,
        deployment: &Deployment,
        node: &str,
        argv: &[String],
        limit: Duration,
    ) -> Result<ExecOutput, DeployError> {
        exec::exec(deployment, deployment.known(node)?, argv, limit).await
    }

    async fn logs(&self, deployment: &Deployment, node: &str, offset: u64) -> Result<(String, u64), DeployError> {
        logs::read(&deployment.known(node)?.log, offset)
    }

    async fn destroy(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
        take_down(&Remains::of(deployment), progress).await
    }
}

/// Start the node's supervisor, unless it runs.
async fn start(deployment: &Deployment, node: &DeployedNode) -> Result<(), DeployError> {
    let user = user::known(deployment.place.user.as_deref())?;
    let programs = &deployment.place.programs;
    let env: Vec<_> = service::environment(&node.dir, programs).into_iter().collect();
    supervisor::start(&node.dir, &programs.agent, user.as_ref(), &env).await
}

/// How long a stop may take: what the supervisor grants the service, and a little.
fn stop_limit(service: &Service) -> Duration {
    Duration::from_secs(service::stop_timeout_s(service) + 5)
}
