//! Before nodes are started: their ports are free, their folders are whole.

use super::{Local, addresses, dir_of, node, place_of, programs, run_dir, supervisor, user};
use crate::deploy::{DeployError, Deployment, NodeStatus, Progress, waves};
use crate::topology::{NodePlan, Plan};

/// Bring every node of the plan up. What runs already is left alone.
pub async fn up(deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
    let stopped = stopped(deployment)?;
    check_ports(deployment, &stopped)?;
    let place = place_of(deployment)?;
    let user = user::known(place.user.as_deref())?;
    run_dir::make(deployment, &programs::Search::from_env().agent()?)?;
    for plan in &deployment.plan.nodes {
        node::make(plan, dir_of(deployment.known(&plan.name)?)?, place, user.as_ref())?;
    }
    waves::up(deployment, &Local, &stopped, progress).await
}

/// The nodes that do not run.
fn stopped(deployment: &Deployment) -> Result<Vec<String>, DeployError> {
    let mut stopped = Vec::new();
    for node in &deployment.nodes {
        if supervisor::status(dir_of(node)?)? == NodeStatus::Stopped {
            stopped.push(node.name.clone());
        }
    }
    Ok(stopped)
}

/// The ports of the nodes that are to start must be free, before any of them starts.
fn check_ports(deployment: &Deployment, stopped: &[String]) -> Result<(), DeployError> {
    let starting = |node: &&NodePlan| stopped.contains(&node.name);
    let nodes = deployment.plan.nodes.iter().filter(starting).cloned().collect();
    let plan = Plan { nodes, ..deployment.plan.clone() };
    addresses::check_published(&plan)?;
    match addresses::taken(&plan, place_of(deployment)?.block) {
        Some(address) => Err(DeployError::NoAddresses { address, holder: addresses::held_by(address) }),
        None => Ok(()),
    }
}
