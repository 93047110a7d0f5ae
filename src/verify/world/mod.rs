//! What a run needs of the world outside: asking a deployment's parts, and doing things to its nodes.
//!
//! [`live::Live`] asks real servers; the tests of the runner and of the built-in checks use a world of their own.

pub mod live;
#[cfg(test)]
pub mod pretended;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::deploy::trial::Trial;
use crate::deploy::{Blow, DeployError, Deployment, ExecOutput, NodeStatus, Part, Processes, Rule};
use crate::lab::model::{FaultKind, HttpMethod, Operation, Text};
use crate::observe::http::Answer;
use crate::observe::{ClusterView, DcsKey, ObserveError, ProxyView, SqlError, SqlOutput};

/// A session with a PostgreSQL server, or with a proxy before one.
#[async_trait]
pub trait Session: Send + Sync {
    /// Run statements and give the last one's result.
    async fn run(&self, statements: &str) -> Result<SqlOutput, SqlError>;
}

/// Opens sessions. It outlives the step that asked for it: the writers of a workload keep it.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Open a session with the node's main port; every later statement on it may take `limit`.
    async fn open(&self, node: &str, limit: Duration) -> Result<Box<dyn Session>, SqlError>;
}

/// The world outside of a run.
#[async_trait]
pub trait World: Send + Sync {
    /// The deployment that is verified.
    fn deployment(&self) -> &Deployment;
    /// Opens sessions with its nodes.
    fn dial(&self) -> Arc<dyn Dial>;
    /// The cluster, now.
    async fn cluster(&self) -> ClusterView;
    /// The statistics of an haproxy node.
    async fn statistics(&self, node: &str) -> Result<ProxyView, ObserveError>;
    /// Ask a node's second port: REST of a postgres node, the statistics page of an haproxy node.
    async fn http(&self, node: &str, method: HttpMethod, path: &str) -> Result<Answer, ObserveError>;
    /// Ask a node's agent to do something; its answer may take `limit`.
    async fn operate(
        &self,
        node: &str,
        operation: Operation,
        body: &Value,
        limit: Duration,
    ) -> Result<Answer, ObserveError>;
    /// A key below the cluster's own path, and the names of the keys below it.
    async fn dcs(&self, key: &str) -> Result<(Option<DcsKey>, Vec<String>), ObserveError>;
    /// Run a program on a node.
    async fn exec(&self, node: &str, argv: &[String], limit: Duration) -> Result<ExecOutput, DeployError>;
    /// What a node's log holds behind `offset`, and the offset of its end.
    async fn logs(&self, node: &str, offset: u64) -> Result<(String, u64), DeployError>;
    /// What a node's service is doing.
    async fn status(&self, node: &str) -> Result<NodeStatus, DeployError>;
    /// SIGTERM to a node's service; returns once it has ended.
    async fn stop(&self, node: &str) -> Result<(), DeployError>;
    /// SIGKILL to everything on a node.
    async fn kill(&self, node: &str) -> Result<(), DeployError>;
    /// Start a node.
    async fn start(&self, node: &str) -> Result<(), DeployError>;
    /// Why this kind of fault cannot be done here, where it cannot.
    fn lacks(&self, kind: FaultKind) -> Option<String>;
    /// The processes of a part of a node.
    async fn processes(&self, node: &str, part: Part) -> Result<Processes, DeployError>;
    /// Signal the processes of a part of a node.
    async fn strike(&self, node: &str, part: Part, blow: Blow) -> Result<(), DeployError>;
    /// Make these the rules of the network between the nodes; those of them that can be seen now.
    async fn shape(&self, rules: &[Rule]) -> Result<Vec<Rule>, DeployError>;
    /// The rules that are in force, in order.
    async fn shaped(&self) -> Result<Vec<Rule>, DeployError>;
    /// A copy of the deployment's own project on which a control question is tried, or why there can be none.
    async fn trial(&self) -> Result<Box<dyn Trial>, Text>;
    /// What a ZooKeeper server says that it is: `leader`, `follower`, `standalone`; nothing where it does not answer.
    async fn zookeeper_mode(&self, node: &str) -> Option<String>;
}
