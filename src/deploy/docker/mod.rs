//! The docker backend: nodes as containers that labrun makes, in a network of the deployment's own.
//!
//! In the engine, all of it labelled (see [`names`]): the network `<deployment>_default`, a volume for each of compose's,
//! an image `<deployment>/my-postgres-…` for each Dockerfile, and a container for each node, under the lab's own names.
//! The state on this machine is written before any of that is made; a destroy finds it by the label alone.

pub mod build;
mod context;
mod create;
mod error;
mod image;
pub mod names;
mod place;
pub mod remains;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::containers::{self, Reached};
use super::local::programs::Search;
use super::local::{Remains, take_down};
use super::trial::{self, InEngine, Origin, Subject, Trial};
use super::{
    Backend, Blow, DeployError, Deployment, DockerPlace, ExecOutput, NodeStatus, Part, Place, Processes, Progress,
    Rule, waves,
};
use crate::engine::{Address, Engine};
use crate::lab::model::{AgentKind, FaultKind, Text};
use crate::topology::{Credentials, ImagePlan, NodePlan, Plan, Service};
pub use error::DockerError;
pub use image::id as image_id;
pub use place::{check, choose, nodes, other_machine};

/// Nodes as containers that labrun makes.
#[derive(Debug)]
pub struct Docker(Reached);

impl Docker {
    /// On the engine at `address`.
    pub fn at(address: &Address) -> Docker {
        Docker(Reached::at(address))
    }

    /// Make what is not there yet, and start it.
    async fn bring_up(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
        let (engine, place, plan) = (self.0.engine().await?, place_of(deployment)?, &deployment.plan);
        let with_agent = plan.images.iter().any(|image| image.agent == AgentKind::Labrun);
        let agent = with_agent.then(|| Search::from_env().agent_for_images()).transpose()?;
        image::ensure(engine, place, plan, agent.as_deref(), progress).await?;
        progress.stage("making the network, volumes and containers");
        create::network(engine, place).await?;
        for node in &plan.nodes {
            create::container(engine, deployment, place, node, progress).await?;
        }
        let mut stopped = Vec::new();
        for node in &plan.nodes {
            if !matches!(self.status(deployment, &node.name).await?, NodeStatus::Running { .. }) {
                stopped.push(node.name.clone());
            }
        }
        waves::up(deployment, self, &stopped, progress).await
    }

    /// A copy of the first image that the deployment has built.
    async fn copy(&self, deployment: &Deployment) -> Result<InEngine, DeployError> {
        let (engine, place) = (self.0.engine().await?, place_of(deployment)?);
        let none = || DeployError::process("copy an image", "the deployment builds none");
        let (subject, image) = subject(&deployment.plan).ok_or_else(none)?;
        let base = engine.docker().inspect_image(&image.base).await;
        let base = Box::new(base.map_err(engine.failed(format!("look at the image {}", image.base)))?);
        let has_agent = image.agent == AgentKind::Labrun;
        let agent = has_agent.then(|| Search::from_env().agent_for_images()).transpose()?;
        let origin = Origin::Plan { image: image.clone(), base, agent };
        InEngine::new(engine, &place.owner, &place.project, subject, origin).await
    }
}

/// The node that is tried, of all that run from images of the deployment's own: the first.
fn subject(plan: &Plan) -> Option<(Subject, &ImagePlan)> {
    let image = plan.images.first()?;
    let runs = |node: &&NodePlan| node.container.as_ref().is_some_and(|container| container.image == image.name);
    let node = plan.nodes.iter().find(runs)?;
    let command = node.container.as_ref().map(|container| container.command.as_slice()).unwrap_or_default();
    let config = command.iter().find_map(|word| {
        let file = image.files.iter().find(|file| *word == format!("/{}", file.path))?;
        Some((file.path.clone(), word.clone()))
    });
    let subject = Subject {
        node: node.name.clone(),
        image: image.name.clone(),
        dockerfile: "Dockerfile".to_owned(),
        config,
        always_built: false,
    };
    Some((subject, image))
}

/// The base images of a plan, and those that its nodes run as they are.
pub fn base_images(plan: &Plan) -> BTreeSet<&str> {
    let built = |name: &str| plan.images.iter().any(|image| image.name == name);
    let containers = plan.nodes.iter().filter_map(|node| node.container.as_ref());
    let ready_made = containers.map(|it| it.image.as_str()).filter(|name| !built(name));
    plan.images.iter().map(|image| image.base.as_str()).chain(ready_made).collect()
}

/// Whether a deployment of one plan can become that of another by replacing containers, whose data stays: the same nodes,
/// users, passwords and names of the cluster.
pub fn can_become(there: &Plan, asked: &Plan) -> bool {
    let shape = |plan: &Plan| {
        let nodes: Vec<_> = plan.nodes.iter().map(|node| (node.name.clone(), kind(node), node.address)).collect();
        let Credentials { superuser, superuser_password, replication, replication_password, rest: _ } =
            plan.credentials.clone();
        let users = [superuser, superuser_password, replication, replication_password];
        (nodes, users, plan.lab.clone(), plan.scope.clone(), plan.namespace.clone())
    };
    shape(there) == shape(asked)
}

/// A member keeps its name and its data, whoever is its agent.
fn kind(node: &NodePlan) -> (&'static str, String) {
    match &node.service {
        Service::Zookeeper { .. } => ("zookeeper", String::new()),
        Service::Postgres { member, .. } => ("postgres", member.clone()),
        Service::Haproxy { .. } => ("haproxy", String::new()),
    }
}

/// Where the deployment is; another backend's is not ours.
pub fn place_of(deployment: &Deployment) -> Result<&DockerPlace, DeployError> {
    match &deployment.place {
        Place::Docker(place) => Ok(place),
        _ => Err(DeployError::process("find the containers", format!("{} runs elsewhere", deployment.name))),
    }
}

/// What the engine that is meant now has of the deployment in `dir`, whose state is lost. Without an engine: nothing.
pub async fn remove_lost(dir: &Path, name: &str, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
    match lost(dir, name).await {
        Some(engine) => {
            let owner = names::owner(dir);
            let mut removed = trial::leftovers(&engine, &owner, name, progress).await?;
            removed.extend(remains::remove(&engine, &owner, name, progress).await?);
            Ok(removed)
        }
        None => Ok(Vec::new()),
    }
}

/// Remove what labrun left at containers that are not its own, should it have been killed there.
pub async fn remove_visitors(engine: &Engine, dir: &Path, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
    remains::remove(engine, &names::owner(dir), "", progress).await
}

/// The engine that has something of the deployment in `dir`, whose state is lost.
pub async fn lost(dir: &Path, name: &str) -> Option<Engine> {
    let engine = Engine::connect(&Address::from_env().ok()?).await.ok()?;
    let found = remains::find(&engine, &names::owner(dir), name).await.ok()?;
    (!found.is_empty()).then_some(engine)
}

#[async_trait]
impl Backend for Docker {
    async fn up(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
        self.bring_up(deployment, progress).await
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

    fn lacks(&self, _: &Deployment, kind: FaultKind) -> Option<String> {
        containers::lacks(kind)
    }

    async fn processes(&self, deployment: &Deployment, node: &str, part: Part) -> Result<Processes, DeployError> {
        containers::processes(self.0.engine().await?, deployment, node, part).await
    }

    async fn strike(&self, deployment: &Deployment, node: &str, part: Part, blow: Blow) -> Result<(), DeployError> {
        containers::strike(self.0.engine().await?, deployment, node, part, blow).await
    }

    async fn shape(&self, deployment: &Deployment, rules: &[Rule]) -> Result<Vec<Rule>, DeployError> {
        containers::shape(self.0.engine().await?, deployment, rules).await
    }

    async fn shaped(&self, deployment: &Deployment) -> Result<Vec<Rule>, DeployError> {
        containers::shaped(self.0.engine().await?, deployment).await
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

    async fn trial(&self, deployment: &Deployment) -> Result<Box<dyn Trial>, Text> {
        let trial = self.copy(deployment).await;
        trial.map(|trial| Box::new(trial) as Box<dyn Trial>).map_err(|error| Text::Same(error.to_string()))
    }

    async fn destroy(&self, deployment: &Deployment, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
        let (engine, place) = (self.0.engine().await?, place_of(deployment)?);
        let mut removed = trial::leftovers(engine, &place.owner, &place.project, progress).await?;
        removed.extend(remains::remove(engine, &place.owner, &place.project, progress).await?);
        removed.extend(take_down(&Remains::of(deployment), progress).await?);
        Ok(removed)
    }
}
