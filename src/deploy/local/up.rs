//! Bringing nodes up: wave by wave, in parallel within a wave.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::{addresses, node, programs, ready, run_dir, start, supervisor, user};
use crate::deploy::{DeployError, DeployedNode, Deployment, NodeStatus, Progress};
use crate::topology::{NodePlan, Plan, Service};
use crate::wait::{Answer, Unmet, until};

/// How long one node may take until its own service answers. initdb on a slow disk is the longest of all.
const NODE_LIMIT: Duration = Duration::from_secs(120);
/// A service that had to be started again this often will not come up by itself.
const MOST_RESTARTS: u32 = 5;
const LINES_SHOWN: usize = 20;

/// Bring every node of the plan up. What runs already is left alone.
pub async fn up(deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
    let stopped = stopped(deployment)?;
    check_ports(deployment, &stopped)?;
    let user = user::known(deployment.place.user.as_deref())?;
    run_dir::make(deployment, &programs::Search::from_env().agent()?)?;
    for plan in &deployment.plan.nodes {
        node::make(plan, &deployment.known(&plan.name)?.dir, &deployment.place, user.as_ref())?;
    }
    for wave in &deployment.plan.waves {
        let nodes: Vec<&DeployedNode> = wave.iter().map(|name| deployment.known(name)).collect::<Result<_, _>>()?;
        let new: Vec<&str> = wave.iter().map(String::as_str).filter(|name| stopped.iter().any(|s| s == name)).collect();
        if !new.is_empty() {
            progress.stage(&format!("starting {}", new.join(", ")));
        }
        try_join_all(nodes.iter().map(|node| bring_up(deployment, node, progress))).await?;
    }
    Ok(())
}

/// The nodes that do not run.
fn stopped(deployment: &Deployment) -> Result<Vec<String>, DeployError> {
    let mut stopped = Vec::new();
    for node in &deployment.nodes {
        if supervisor::status(&node.dir)? == NodeStatus::Stopped {
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
    match addresses::taken(&plan) {
        Some(address) => Err(DeployError::NoAddresses { address, holder: addresses::held_by(address) }),
        None => Ok(()),
    }
}

/// Start one node and wait until its own service answers.
async fn bring_up(deployment: &Deployment, node: &DeployedNode, progress: &dyn Progress) -> Result<(), DeployError> {
    let begun = Instant::now();
    if matches!(node.service, Service::Haproxy { .. }) {
        leader_for(deployment, node, progress).await?;
    }
    start(deployment, node).await?;
    let answered = until(
        NODE_LIMIT,
        |not_yet, _| progress.waiting(&format!("{}: {not_yet}", node.name)),
        || async {
            match ready::not_yet(node).await {
                None => Answer::Done(()),
                Some(not_yet) if supervisor::restarts(&node.dir) < MOST_RESTARTS => Answer::NotYet(not_yet),
                Some(not_yet) => Answer::Never(keeps_failing(node, begun, &not_yet)),
            }
        },
    );
    answered.await.map_err(|unmet| explain(unmet, node))
}

/// Wait until some postgres node leads. HAProxy takes every server for up when it starts and marks it down at the first
/// failed check; a leader that comes a moment later then stays down for `rise` x `inter` more.
async fn leader_for(deployment: &Deployment, proxy: &DeployedNode, progress: &dyn Progress) -> Result<(), DeployError> {
    let nodes: Vec<_> = deployment.postgres_nodes().collect();
    let Some(first) = nodes.first() else { return Ok(()) };
    let led = until(
        NODE_LIMIT,
        |not_yet, _| progress.waiting(&format!("{}: {not_yet}", proxy.name)),
        || async {
            for node in &nodes {
                if ready::leads(node).await {
                    return Answer::Done(());
                }
            }
            Answer::NotYet("no postgres node leads yet".to_owned())
        },
    );
    led.await.map_err(|unmet| explain(unmet, first))
}

fn keeps_failing(node: &DeployedNode, begun: Instant, not_yet: &str) -> DeployError {
    let last_exit = match supervisor::status(&node.dir) {
        Ok(NodeStatus::Failing { last_exit }) => format!(" ({last_exit})"),
        _ => String::new(),
    };
    DeployError::NotUp {
        node: node.name.clone(),
        after_s: begun.elapsed().as_secs(),
        last_status: format!("its service has ended {MOST_RESTARTS} times{last_exit}; {not_yet}"),
        evidence: log_end(node),
    }
}

fn explain(unmet: Unmet<DeployError>, node: &DeployedNode) -> DeployError {
    match unmet {
        Unmet::Never(error) => error,
        Unmet::TimedOut { after, last } => DeployError::NotUp {
            node: node.name.clone(),
            after_s: after.as_secs(),
            last_status: last,
            evidence: log_end(node),
        },
    }
}

/// The end of the service's log; where that is empty, of the supervisor's.
pub fn log_end(node: &DeployedNode) -> String {
    let service = node::tail(&node.log, LINES_SHOWN);
    let tail = if service.is_empty() { node::tail(&node.dir.join(node::SUPERVISOR_LOG), LINES_SHOWN) } else { service };
    if tail.is_empty() { "its log is empty".to_owned() } else { format!("its log ends with:\n{tail}") }
}
