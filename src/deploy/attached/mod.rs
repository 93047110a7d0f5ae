//! The attached backend: somebody else's containers. They are acted on, and never made or removed.

use std::time::Duration;

use async_trait::async_trait;

use super::containers::{self, Reached};
use super::local::{Remains, take_down};
use super::{Backend, DeployError, Deployment, ExecOutput, NodeStatus, Progress, waves};
use crate::engine::Address;

/// Somebody else's containers.
#[derive(Debug)]
pub struct Attached(Reached);

impl Attached {
    /// On the engine at `address`.
    pub fn at(address: &Address) -> Attached {
        Attached(Reached::at(address))
    }
}

#[async_trait]
impl Backend for Attached {
    async fn up(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
        waves::up(deployment, self, &[], progress).await
    }

    async fn start(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        containers::start(self.0.engine().await?, deployment, node).await
    }

    async fn stop(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        containers::stop(self.0.engine().await?, deployment, node).await
    }

    async fn kill(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        containers::kill(self.0.engine().await?, deployment, node).await
    }

    async fn freeze(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        containers::freeze(self.0.engine().await?, deployment, node).await
    }

    async fn thaw(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        containers::thaw(self.0.engine().await?, deployment, node).await
    }

    async fn status(&self, deployment: &Deployment, node: &str) -> Result<NodeStatus, DeployError> {
        containers::status(self.0.engine().await?, deployment, node).await
    }

    async fn exec(
        &self,
        deployment: &Deployment,
        node: &str,
        argv: &[String],
        limit: Duration,
    ) -> Result<ExecOutput, DeployError> {
        containers::exec(self.0.engine().await?, deployment, node, argv, limit).await
    }

    async fn logs(&self, deployment: &Deployment, node: &str, offset: u64) -> Result<(String, u64), DeployError> {
        containers::logs(self.0.engine().await?, deployment, node, offset).await
    }

    async fn destroy(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
        // What labrun wrote about the cluster goes; the cluster stays as it is.
        take_down(&Remains::of(deployment), progress).await
    }
}
