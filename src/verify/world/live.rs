//! The real world: a deployment's servers, and the backend that runs them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;
use serde_json::Value;

use super::{Dial, Session, World};
use crate::deploy::trial::Trial;
use crate::deploy::{Backend, Blow, DeployError, Deployment, ExecOutput, NodeStatus, Part, Processes, Rule};
use crate::lab::model::{FaultKind, HttpMethod, Operation, Text};
use crate::observe::http::{self, Answer};
use crate::observe::observer::QUESTION_LIMIT;
use crate::observe::{
    ClusterView, DcsKey, ObserveError, Observer, ProxyView, Sql, SqlError, SqlOutput, haproxy, zookeeper,
};
use crate::topology::Credentials;

/// A deployment and its backend.
pub struct Live<'a> {
    deployment: &'a Deployment,
    backend: &'a dyn Backend,
    observer: Observer,
    dial: Arc<Sessions>,
}

impl<'a> Live<'a> {
    /// The world of `deployment`, which `backend` runs.
    pub fn new(deployment: &'a Deployment, backend: &'a dyn Backend) -> Live<'a> {
        let dial = Arc::new(Sessions::new(deployment));
        Live { deployment, backend, observer: Observer::new(deployment), dial }
    }

    fn side(&self, node: &str) -> Result<SocketAddr, ObserveError> {
        let side = self.deployment.node(node).and_then(|node| node.side);
        side.ok_or_else(|| ObserveError::Unreachable { what: node.to_owned(), why: "it has no HTTP port".to_owned() })
    }
}

#[async_trait]
impl World for Live<'_> {
    fn deployment(&self) -> &Deployment {
        self.deployment
    }

    fn dial(&self) -> Arc<dyn Dial> {
        Arc::clone(&self.dial) as Arc<dyn Dial>
    }

    async fn cluster(&self) -> ClusterView {
        self.observer.look().await
    }

    async fn statistics(&self, node: &str) -> Result<ProxyView, ObserveError> {
        haproxy::statistics(self.side(node)?, &self.deployment.statistics_page(), QUESTION_LIMIT).await
    }

    async fn http(&self, node: &str, method: HttpMethod, path: &str) -> Result<Answer, ObserveError> {
        let method = match method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
            HttpMethod::Options => Method::OPTIONS,
        };
        http::request(method, self.side(node)?, path, QUESTION_LIMIT).await
    }

    async fn operate(
        &self,
        node: &str,
        operation: Operation,
        body: &Value,
        limit: Duration,
    ) -> Result<Answer, ObserveError> {
        let (method, path) = operation.call();
        let method = if method == "PATCH" { Method::PATCH } else { Method::POST };
        let login = self.deployment.credentials().rest.as_ref().map(|(user, word)| (user.as_str(), word.as_str()));
        http::send(method, self.side(node)?, path, login, body.to_string(), limit).await
    }

    async fn dcs(&self, key: &str) -> Result<(Option<DcsKey>, Vec<String>), ObserveError> {
        let dcs = self.observer.dcs();
        Ok((dcs.get(key).await?, dcs.children(key).await?))
    }

    async fn exec(&self, node: &str, argv: &[String], limit: Duration) -> Result<ExecOutput, DeployError> {
        self.backend.exec(self.deployment, node, argv, limit).await
    }

    async fn logs(&self, node: &str, offset: u64) -> Result<(String, u64), DeployError> {
        self.backend.logs(self.deployment, node, offset).await
    }

    async fn status(&self, node: &str) -> Result<NodeStatus, DeployError> {
        self.backend.status(self.deployment, node).await
    }

    async fn stop(&self, node: &str) -> Result<(), DeployError> {
        self.backend.stop(self.deployment, node).await
    }

    async fn kill(&self, node: &str) -> Result<(), DeployError> {
        self.backend.kill(self.deployment, node).await
    }

    async fn start(&self, node: &str) -> Result<(), DeployError> {
        self.backend.start(self.deployment, node).await
    }

    fn lacks(&self, kind: FaultKind) -> Option<String> {
        self.backend.lacks(self.deployment, kind)
    }

    async fn processes(&self, node: &str, part: Part) -> Result<Processes, DeployError> {
        self.backend.processes(self.deployment, node, part).await
    }

    async fn strike(&self, node: &str, part: Part, blow: Blow) -> Result<(), DeployError> {
        self.backend.strike(self.deployment, node, part, blow).await
    }

    async fn shape(&self, rules: &[Rule]) -> Result<Vec<Rule>, DeployError> {
        self.backend.shape(self.deployment, rules).await
    }

    async fn shaped(&self) -> Result<Vec<Rule>, DeployError> {
        self.backend.shaped(self.deployment).await
    }

    async fn trial(&self) -> Result<Box<dyn Trial>, Text> {
        self.backend.trial(self.deployment).await
    }

    async fn zookeeper_mode(&self, node: &str) -> Option<String> {
        zookeeper::mode(self.deployment.node(node)?.main, QUESTION_LIMIT).await
    }
}

/// Opens sessions with real servers, as the superuser.
pub struct Sessions {
    addresses: BTreeMap<String, SocketAddr>,
    credentials: Credentials,
}

impl Sessions {
    /// For the nodes of `deployment`.
    pub fn new(deployment: &Deployment) -> Sessions {
        let addresses = deployment.nodes.iter().map(|node| (node.name.clone(), node.main)).collect();
        Sessions { addresses, credentials: deployment.credentials().clone() }
    }
}

#[async_trait]
impl Dial for Sessions {
    async fn open(&self, node: &str, limit: Duration) -> Result<Box<dyn Session>, SqlError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = self
            .addresses
            .get(node)
            .copied()
            .ok_or_else(|| SqlError::Broken { address: unknown, why: format!("there is no node `{node}`") })?;
        Ok(Box::new(Sql::connect(address, &self.credentials, limit).await?))
    }
}

#[async_trait]
impl Session for Sql {
    async fn run(&self, statements: &str) -> Result<SqlOutput, SqlError> {
        Sql::run(self, statements).await
    }
}
