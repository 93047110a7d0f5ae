//! The attached backend: a cluster that somebody else made. Its nodes are acted on, and never made or removed.

mod commands;
mod subject;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::containers::{self, Reached};
use super::docker::{self, names};
use super::local::{Remains, take_down};
use super::trial::{self, Folder, InEngine, Origin, Trial};
use super::{
    Backend, Blow, DeployError, Deployment, ExecOutput, NodeCommands, NodeStatus, Over, Part, Processes, Progress,
    Rule, waves, whole_node,
};
use crate::lab::model::{FaultKind, Text};
use commands::Act;

/// Somebody else's cluster.
#[derive(Debug)]
pub enum Attached {
    /// In containers of an engine.
    Containers(Box<Reached>),
    /// Anywhere, with commands that act on its nodes.
    Commands(BTreeMap<String, NodeCommands>),
}

impl Attached {
    /// A cluster with this over its nodes.
    pub fn over(over: &Over) -> Attached {
        match over {
            Over::Engine(address) => Attached::Containers(Box::new(Reached::at(address))),
            Over::Commands(commands) => Attached::Commands(commands.clone()),
        }
    }
}

#[async_trait]
impl Backend for Attached {
    async fn up(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
        waves::up(deployment, self, &[], progress).await
    }

    async fn start(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        match self {
            Attached::Containers(engine) => containers::start(engine.engine().await?, deployment, node).await,
            Attached::Commands(commands) => commands::act(commands, node, Act::Start).await,
        }
    }

    async fn stop(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        match self {
            Attached::Containers(engine) => containers::stop(engine.engine().await?, deployment, node).await,
            Attached::Commands(commands) => commands::act(commands, node, Act::Stop).await,
        }
    }

    async fn kill(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        match self {
            Attached::Containers(engine) => containers::kill(engine.engine().await?, deployment, node).await,
            Attached::Commands(commands) => commands::act(commands, node, Act::Kill).await,
        }
    }

    async fn freeze(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        match self {
            Attached::Containers(engine) => containers::freeze(engine.engine().await?, deployment, node).await,
            Attached::Commands(commands) => commands::act(commands, node, Act::Freeze).await,
        }
    }

    async fn thaw(&self, deployment: &Deployment, node: &str) -> Result<(), DeployError> {
        match self {
            Attached::Containers(engine) => containers::thaw(engine.engine().await?, deployment, node).await,
            Attached::Commands(commands) => commands::act(commands, node, Act::Thaw).await,
        }
    }

    fn lacks(&self, _: &Deployment, kind: FaultKind) -> Option<String> {
        match self {
            Attached::Containers(_) => containers::lacks(kind),
            Attached::Commands(_) => commands::lacks(kind),
        }
    }

    async fn processes(&self, deployment: &Deployment, node: &str, part: Part) -> Result<Processes, DeployError> {
        match self {
            Attached::Containers(engine) => containers::processes(engine.engine().await?, deployment, node, part).await,
            Attached::Commands(_) if part == Part::Node => Ok(whole_node(&self.status(deployment, node).await?)),
            Attached::Commands(_) => Err(commands::inside(node, "see the processes")),
        }
    }

    async fn strike(&self, deployment: &Deployment, node: &str, part: Part, blow: Blow) -> Result<(), DeployError> {
        match (self, part, blow) {
            (Attached::Containers(engine), ..) => {
                containers::strike(engine.engine().await?, deployment, node, part, blow).await
            }
            (_, Part::Node, Blow::Stop) => self.freeze(deployment, node).await,
            (_, Part::Node, Blow::Continue) => self.thaw(deployment, node).await,
            (_, Part::Node, Blow::Kill) => self.kill(deployment, node).await,
            (Attached::Commands(_), ..) => Err(commands::inside(node, "signal processes")),
        }
    }

    async fn shape(&self, deployment: &Deployment, rules: &[Rule]) -> Result<Vec<Rule>, DeployError> {
        match self {
            Attached::Containers(engine) => containers::shape(engine.engine().await?, deployment, rules).await,
            Attached::Commands(_) if rules.is_empty() => Ok(Vec::new()),
            Attached::Commands(_) => Err(commands::inside(&rules[0].from, "cut the way")),
        }
    }

    async fn shaped(&self, deployment: &Deployment) -> Result<Vec<Rule>, DeployError> {
        match self {
            Attached::Containers(engine) => containers::shaped(engine.engine().await?, deployment).await,
            Attached::Commands(_) => Ok(Vec::new()),
        }
    }

    async fn status(&self, deployment: &Deployment, node: &str) -> Result<NodeStatus, DeployError> {
        match self {
            Attached::Containers(engine) => containers::status(engine.engine().await?, deployment, node).await,
            Attached::Commands(_) => commands::status(deployment, node).await,
        }
    }

    async fn exec(
        &self,
        deployment: &Deployment,
        node: &str,
        argv: &[String],
        limit: Duration,
    ) -> Result<ExecOutput, DeployError> {
        match self {
            Attached::Containers(engine) => {
                containers::exec(engine.engine().await?, deployment, node, argv, limit).await
            }
            Attached::Commands(_) => Err(commands::inside(node, "run a program")),
        }
    }

    async fn logs(&self, deployment: &Deployment, node: &str, offset: u64) -> Result<(String, u64), DeployError> {
        match self {
            Attached::Containers(engine) => containers::logs(engine.engine().await?, deployment, node, offset).await,
            Attached::Commands(commands) => commands::logs(commands, node, offset).await,
        }
    }

    async fn trial(&self, deployment: &Deployment) -> Result<Box<dyn Trial>, Text> {
        let Attached::Containers(engine) = self else { return Err(subject::elsewhere()) };
        let told = |error: DeployError| Text::Same(error.to_string());
        let (subject, build) = subject::of(deployment)?;
        let dir = build.dir;
        let unread = |error: std::io::Error| Text::Same(format!("{}: {error}", dir.display()));
        let folder = Folder::read(&dir, deployment.dir.parent().unwrap_or(&deployment.dir)).map_err(unread)?;
        let engine = engine.engine().await.map_err(|error| told(error.into()))?;
        let (owner, origin) = (names::owner(&deployment.dir), Origin::Folder { folder, args: build.args });
        let trial = InEngine::new(engine, &owner, &deployment.name, subject, origin).await.map_err(told)?;
        Ok(Box::new(trial))
    }

    async fn destroy(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
        // What labrun made beside the cluster and wrote about it goes; the cluster stays as it is.
        let mut removed = Vec::new();
        // An engine that is gone has nothing of ours that would still run.
        if let Attached::Containers(reached) = self
            && let Ok(engine) = reached.engine().await
        {
            removed = docker::remove_visitors(engine, &deployment.dir, progress).await?;
            let owner = names::owner(&deployment.dir);
            removed.extend(trial::leftovers(engine, &owner, &deployment.name, progress).await?);
        }
        removed.extend(take_down(&Remains::of(deployment), progress).await?);
        Ok(removed)
    }
}
