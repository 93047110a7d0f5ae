//! The local backend: nodes as processes of this machine, each on a loopback address of its own.
//!
//! Every node is a folder and a supervisor (`labrun-agent supervise`), which keeps the node's one service running,
//! forwards its published ports and outlives labrun. All processes of a node keep their working directory inside
//! its folder: that is how everything can be found again, whatever was killed when.

pub mod addresses;
mod destroy;
mod exec;
mod logs;
pub mod network;
pub mod node;
mod parts;
pub mod programs;
pub mod run_dir;
mod service;
mod shared_memory;
mod supervisor;
mod up;
pub mod user;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::deployment::{Home, LOG_FILE};
use super::{
    Backend, Blow, DeployError, DeployedNode, Deployment, ExecOutput, LocalPlace, NodeStatus, Part, Place, Processes,
    Progress, Rule, tail,
};
use crate::lab::model::FaultKind;
use crate::topology::Service;
pub use destroy::{Remains, take_down};

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
        supervisor::stop(dir_of(node)?, stop_limit(&node.service)).await
    }

    async fn kill(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        supervisor::kill_all(dir_of(deployment.known(node)?)?).await
    }

    async fn freeze(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        supervisor::freeze(dir_of(deployment.known(node)?)?).await
    }

    async fn thaw(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        supervisor::thaw(dir_of(deployment.known(node)?)?)
    }

    async fn status(&self, deployment: &Deployment, node: &str) -> Result<NodeStatus, DeployError> {
        supervisor::status(dir_of(deployment.known(node)?)?)
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
        logs::read(&dir_of(deployment.known(node)?)?.join(LOG_FILE), offset)
    }

    /// The end of the service's log; where that is empty, of the supervisor's.
    async fn log_end(&self, deployment: &Deployment, node: &str) -> String {
        let Ok(dir) = deployment.known(node).and_then(dir_of) else { return tail::shown("") };
        let service = node::tail(&dir.join(LOG_FILE), tail::LINES_SHOWN);
        let supervisor = || node::tail(&dir.join(node::SUPERVISOR_LOG), tail::LINES_SHOWN);
        tail::shown(&if service.is_empty() { supervisor() } else { service })
    }

    fn lacks(&self, deployment: &Deployment, kind: FaultKind) -> Option<String> {
        let lacks = kind.is_of_network() && !place_of(deployment).is_ok_and(|place| place.own_network);
        lacks.then(|| {
            "its nodes share the machine's network: it was deployed from a lab without such faults; deploy again, or write \
             `network: separate` under `topology`"
                .to_owned()
        })
    }

    async fn processes(&self, deployment: &Deployment, node: &str, part: Part) -> Result<Processes, DeployError> {
        Ok(parts::processes(dir_of(deployment.known(node)?)?, part))
    }

    async fn strike(&self, deployment: &Deployment, node: &str, part: Part, blow: Blow) -> Result<(), DeployError> {
        parts::strike(dir_of(deployment.known(node)?)?, part, blow)
    }

    async fn shape(&self, deployment: &Deployment, rules: &[Rule]) -> Result<Vec<Rule>, DeployError> {
        network::shape(deployment, rules).await?;
        Ok(rules.to_vec())
    }

    async fn shaped(&self, deployment: &Deployment) -> Result<Vec<Rule>, DeployError> {
        network::shaped(deployment).await
    }

    async fn destroy(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
        take_down(&Remains::of(deployment), progress).await
    }
}

/// Start the node's supervisor, unless it runs.
async fn start(deployment: &Deployment, node: &DeployedNode) -> Result<(), DeployError> {
    let place = place_of(deployment)?;
    network::ensure(deployment, place).await?;
    let LocalPlace { user, programs, .. } = place;
    let (user, dir) = (user::known(user.as_deref())?, dir_of(node)?);
    let env: Vec<_> = service::environment(dir, programs).into_iter().collect();
    supervisor::start(dir, &programs.agent, user.as_ref(), &env).await
}

/// Where the deployment is; another backend's is not ours.
pub fn place_of(deployment: &Deployment) -> Result<&LocalPlace, DeployError> {
    match &deployment.place {
        Place::Local(place) => Ok(place),
        _ => Err(DeployError::process("find the nodes' folders", format!("{} runs elsewhere", deployment.name))),
    }
}

/// The node's folder.
pub fn dir_of(node: &DeployedNode) -> Result<&Path, DeployError> {
    match &node.home {
        Home::Dir(dir) => Ok(dir),
        Home::Container(_) | Home::Elsewhere => Err(DeployError::process("find the node's folder", "it has none here")),
    }
}

/// How long a stop may take: what the supervisor grants the service, and a little.
fn stop_limit(service: &Service) -> Duration {
    Duration::from_secs(service::stop_timeout_s(service) + 5)
}
