//! What a backend can do with a deployment.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::trial::Trial;
use super::{DeployError, Deployment, tail};
use crate::lab::model::{FaultKind, Text};

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

/// A part of a node whose processes can be signalled by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// PostgreSQL's first process.
    Postmaster,
    /// Every process of PostgreSQL.
    Postgres,
    /// The HA agent.
    Agent,
    /// Everything on the node.
    Node,
}

/// What is done to the processes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
}

/// The processes of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processes {
    /// Those that live.
    pub pids: Vec<i32>,
    /// How many of them are stopped.
    pub stopped: usize,
}

/// What becomes of what one node sends to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The node that sends.
    pub from: String,
    /// The node that receives.
    pub to: String,
    /// How the way between them is.
    pub way: Way,
}

/// How the way from one node to another is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Everything is lost.
    Cut,
    /// Everything takes `ms` longer, and `loss` of 100 packets are lost.
    Slow {
        /// How much longer.
        ms: u64,
        /// How many are lost.
        loss: u8,
    },
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
    /// Why this kind of fault cannot be done to the deployment, where it cannot.
    fn lacks(&self, deployment: &Deployment, kind: FaultKind) -> Option<String>;
    /// The processes of a part of a node.
    async fn processes(&self, deployment: &Deployment, node: &str, part: Part) -> Result<Processes, DeployError>;
    /// Signal the processes of a part of a node.
    async fn strike(&self, deployment: &Deployment, node: &str, part: Part, blow: Blow) -> Result<(), DeployError>;
    /// Make these the rules of the deployment's network; no other is left in force. Those of them that can be seen now: a
    /// node that does not run may have no network to which rules could apply.
    async fn shape(&self, deployment: &Deployment, rules: &[Rule]) -> Result<Vec<Rule>, DeployError>;
    /// The rules that are in force, in order.
    async fn shaped(&self, deployment: &Deployment) -> Result<Vec<Rule>, DeployError>;
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
    /// A copy of the deployment's own project on which a control question is tried, or why there can be none.
    async fn trial(&self, _: &Deployment) -> Result<Box<dyn Trial>, Text> {
        Err(Text::Each {
            ru: "узлы работают не из образов, которые собирает этот проект".to_owned(),
            en: "the nodes do not run from images that this project builds".to_owned(),
        })
    }
    /// Take down everything, prove that nothing is left, and say what was removed. Runs are kept.
    async fn destroy(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<Vec<String>, DeployError>;
}

/// The processes of a node that is known only as a whole.
pub fn whole_node(status: &NodeStatus) -> Processes {
    match status {
        NodeStatus::Running { pid, .. } => Processes { pids: vec![pid.cast_signed()], stopped: 0 },
        NodeStatus::Frozen => Processes { pids: vec![0], stopped: 1 },
        NodeStatus::Stopped | NodeStatus::Failing { .. } => Processes::default(),
    }
}
