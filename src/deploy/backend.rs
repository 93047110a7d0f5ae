//! What a backend can do with a deployment.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DeployError, Deployment, tail};

/// What a node's service is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum NodeStatus {
    /// It runs.
    Running {
        /// The service's process.
        pid: u32,
        /// How often its supervisor had to start it again.
        restarts: u32,
    },
    /// It is frozen: its processes are there and do not run.
    Frozen,
    /// It was stopped, or never started.
    Stopped,
    /// Its supervisor runs, the service does not: it keeps failing.
    Failing {
        /// How it ended last.
        last_exit: String,
        /// How often it had to be started again.
        restarts: u32,
    },
}

/// What a program on a node printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutput {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output (bounded).
    pub stdout: String,
    /// Standard error (bounded).
    pub stderr: String,
}

/// Told while something takes long; the terminal shows it.
pub trait Progress: Send + Sync {
    /// A new stage has begun (`starting pg-master`).
    fn stage(&self, text: &str);
    /// What is not yet true (`no leader yet`).
    fn waiting(&self, not_yet: &str);
}

/// Where nodes run. Every method is idempotent: stopping what is stopped is fine.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Bring up every node of `deployment.plan`, wave by wave, until each node's own service answers.
    /// The state file is already written, with the phase `Deploying`.
    async fn up(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError>;
    /// Start one node.
    async fn start(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError>;
    /// Stop one node's service cleanly (SIGTERM) and wait for its end.
    async fn stop(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError>;
    /// SIGKILL everything on one node.
    async fn kill(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError>;
    /// Freeze every process on one node, as it stands.
    async fn freeze(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError>;
    /// Let a frozen node's processes go on.
    async fn thaw(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError>;
    /// What the node's service is doing.
    async fn status(&self, deployment: &Deployment, node: &str) -> Result<NodeStatus, DeployError>;
    /// Run a program on a node, with a time limit.
    async fn exec(
        &self,
        deployment: &Deployment,
        node: &str,
        argv: &[String],
        limit: Duration,
    ) -> Result<ExecOutput, DeployError>;
    /// The node's whole log, or what lies behind `offset` bytes; and the offset of its end.
    async fn logs(&self, deployment: &Deployment, node: &str, offset: u64) -> Result<(String, u64), DeployError>;
    /// The end of the node's log, as evidence of what keeps it from being up.
    async fn log_end(&self, deployment: &Deployment, node: &str) -> String {
        match self.logs(deployment, node, 0).await {
            Ok((text, _)) => tail::shown(&tail::of(&text, tail::LINES_SHOWN)),
            Err(error) => format!("its log cannot be read: {error}"),
        }
    }
    /// Take down everything, prove that nothing is left, and say what was removed. Runs are kept.
    async fn destroy(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<Vec<String>, DeployError>;
}
