//! Nodes that are containers of an engine, whoever made them: what is done to one of them.

mod parts;
mod ways;

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::ContainerState;
use tokio::sync::OnceCell;

use super::docker::names;
use super::{
    Blow, DeployError, DeployedNode, Deployment, ExecOutput, Home, NodeStatus, Part, Processes, Rule, whole_node,
};
use crate::engine::container::Container;
use crate::engine::{Address, Engine, EngineError};
use crate::lab::model::FaultKind;
use crate::topology::Service;

/// A clean shutdown of PostgreSQL takes a checkpoint; the others have nothing to save.
const POSTGRES_STOP: Duration = Duration::from_secs(30);
const OTHER_STOP: Duration = Duration::from_secs(10);

/// An engine that is reached when it is first needed.
#[derive(Debug)]
pub struct Reached {
    address: Address,
    engine: OnceCell<Engine>,
}

impl Reached {
    /// The engine at `address`.
    pub fn at(address: &Address) -> Reached {
        Reached { address: address.clone(), engine: OnceCell::new() }
    }

    /// The engine, once it has answered.
    pub async fn engine(&self) -> Result<&Engine, EngineError> {
        self.engine.get_or_try_init(|| Engine::connect(&self.address)).await
    }
}

/// How long the service may take to stop before it is killed.
pub fn stop_limit(service: &Service) -> Duration {
    if matches!(service, Service::Postgres { .. }) { POSTGRES_STOP } else { OTHER_STOP }
}

/// The container of a node.
pub fn container<'e>(engine: &'e Engine, node: &'e DeployedNode) -> Result<Container<'e>, DeployError> {
    Ok(engine.container(name(node)?))
}

/// What the engine calls it.
fn name(node: &DeployedNode) -> Result<&str, DeployError> {
    match &node.home {
        Home::Container(name) => Ok(name),
        Home::Dir(_) | Home::Elsewhere => {
            Err(DeployError::process(format!("find the container of {}", node.name), "it has none"))
        }
    }
}

/// Start it.
pub async fn start(engine: &Engine, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
    Ok(container(engine, deployment.known(node)?)?.start().await?)
}

/// SIGTERM, and wait for its end.
pub async fn stop(engine: &Engine, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
    let node = deployment.known(node)?;
    Ok(container(engine, node)?.stop(stop_limit(&node.service)).await?)
}

/// SIGKILL: with its first process all others of a container end.
pub async fn kill(engine: &Engine, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
    Ok(container(engine, deployment.known(node)?)?.kill("SIGKILL").await?)
}

/// Freeze it.
pub async fn freeze(engine: &Engine, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
    Ok(container(engine, deployment.known(node)?)?.pause().await?)
}

/// Thaw it.
pub async fn thaw(engine: &Engine, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
    Ok(container(engine, deployment.known(node)?)?.unpause().await?)
}

/// Why this kind of fault cannot be done, where it cannot.
pub fn lacks(kind: FaultKind) -> Option<String> {
    (kind == FaultKind::Slow).then(|| "ways between containers can be cut, and not slowed down".to_owned())
}

/// The processes of a part of it.
pub async fn processes(
    engine: &Engine,
    deployment: &Deployment,
    node: &str,
    part: Part,
) -> Result<Processes, DeployError> {
    match part {
        Part::Node => Ok(whole_node(&status(engine, deployment, node).await?)),
        part => parts::processes(&container(engine, deployment.known(node)?)?, part).await,
    }
}

/// Signal the processes of a part of it; all of them by the engine.
pub async fn strike(
    engine: &Engine,
    deployment: &Deployment,
    node: &str,
    part: Part,
    blow: Blow,
) -> Result<(), DeployError> {
    match (part, blow) {
        (Part::Node, Blow::Stop) => freeze(engine, deployment, node).await,
        (Part::Node, Blow::Continue) => thaw(engine, deployment, node).await,
        (Part::Node, Blow::Kill) => kill(engine, deployment, node).await,
        (part, blow) => parts::strike(&container(engine, deployment.known(node)?)?, part, blow).await,
    }
}

/// Make these the rules of the network between the nodes; those that can be seen in force.
pub async fn shape(engine: &Engine, deployment: &Deployment, rules: &[Rule]) -> Result<Vec<Rule>, DeployError> {
    ways::shape(engine, deployment, rules, &visitors(deployment)).await
}

/// The rules that are in force, in order.
pub async fn shaped(engine: &Engine, deployment: &Deployment) -> Result<Vec<Rule>, DeployError> {
    ways::shaped(engine, deployment, &visitors(deployment)).await
}

/// The labels of what visits the deployment's containers, by which it is found should labrun be killed meanwhile.
fn visitors(deployment: &Deployment) -> HashMap<String, String> {
    HashMap::from([(names::OWNER.to_owned(), names::owner(&deployment.dir))])
}

/// What its service is doing.
pub async fn status(engine: &Engine, deployment: &Deployment, node: &str) -> Result<NodeStatus, DeployError> {
    let (state, restarts) = container(engine, deployment.known(node)?)?.state().await?;
    Ok(meant(&state, restarts))
}

/// The state of a container as that of a node.
fn meant(state: &ContainerState, restarts: u32) -> NodeStatus {
    let is = |flag: Option<bool>| flag == Some(true);
    if is(state.restarting) {
        let why = state.error.as_deref().filter(|error| !error.is_empty()).map(|error| format!(": {error}"));
        let code = state.exit_code.unwrap_or_default();
        let last_exit = format!("exit code {code}{}", why.unwrap_or_default());
        return NodeStatus::Failing { last_exit, restarts };
    }
    if is(state.paused) {
        return NodeStatus::Frozen;
    }
    let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    if is(state.running) { NodeStatus::Running { pid, restarts } } else { NodeStatus::Stopped }
}

/// Run a program in it; on a postgres node with the environment of its clients, so that `psql` just works.
pub async fn exec(
    engine: &Engine,
    deployment: &Deployment,
    node: &str,
    argv: &[String],
    limit: Duration,
) -> Result<ExecOutput, DeployError> {
    let node = deployment.known(node)?;
    let mut env = Vec::new();
    if let Service::Postgres { sql_port, .. } = node.service {
        let credentials = deployment.credentials();
        env = vec![
            format!("PGHOST={}", node.name),
            format!("PGPORT={sql_port}"),
            format!("PGUSER={}", credentials.superuser),
            format!("PGPASSWORD={}", credentials.superuser_password),
        ];
    }
    let ran = container(engine, node)?.exec(argv, &env, limit).await?;
    Ok(ExecOutput { code: ran.code, stdout: ran.stdout, stderr: ran.stderr })
}

/// What lies behind `offset` in its log, and the offset of its end.
pub async fn logs(
    engine: &Engine,
    deployment: &Deployment,
    node: &str,
    offset: u64,
) -> Result<(String, u64), DeployError> {
    Ok(container(engine, deployment.known(node)?)?.logs(offset).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_container_is_that_of_a_node() {
        let running = ContainerState { running: Some(true), pid: Some(7), ..Default::default() };
        assert_eq!(meant(&running, 0), NodeStatus::Running { pid: 7, restarts: 0 });
        let paused = ContainerState { paused: Some(true), ..running.clone() };
        assert_eq!(meant(&paused, 0), NodeStatus::Frozen);
        let failing = ContainerState { restarting: Some(true), exit_code: Some(3), ..running };
        assert_eq!(meant(&failing, 2), NodeStatus::Failing { last_exit: "exit code 3".into(), restarts: 2 });
        assert_eq!(meant(&ContainerState::default(), 0), NodeStatus::Stopped);
    }
}
