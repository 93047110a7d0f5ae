//! Bringing nodes up wave by wave, in parallel within a wave, whoever runs them.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::{Backend, DeployError, DeployedNode, Deployment, NodeStatus, Progress, answers};
use crate::topology::Service;
use crate::wait::{Answer, Unmet, until};

/// How long one node may take until its own service answers. initdb on a slow disk is the longest of all.
const NODE_LIMIT: Duration = Duration::from_secs(120);
/// A service that had to be started again this often will not come up by itself.
const MOST_RESTARTS: u32 = 5;

/// Start every node and wait until each one's own service answers. `stopped` are those that do not run yet.
pub async fn up(
    deployment: &Deployment,
    backend: &dyn Backend,
    stopped: &[String],
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    for wave in &deployment.plan.waves {
        let nodes: Vec<&DeployedNode> = wave.iter().map(|name| deployment.known(name)).collect::<Result<_, _>>()?;
        let new: Vec<&str> = wave.iter().map(String::as_str).filter(|name| stopped.iter().any(|s| s == name)).collect();
        if !new.is_empty() {
            progress.stage(&format!("starting {}", new.join(", ")));
        }
        try_join_all(nodes.iter().map(|node| bring_up(deployment, backend, node, progress))).await?;
    }
    Ok(())
}

/// Start one node and wait until its own service answers.
async fn bring_up(
    deployment: &Deployment,
    backend: &dyn Backend,
    node: &DeployedNode,
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    let begun = Instant::now();
    if matches!(node.service, Service::Haproxy { .. }) {
        leader_for(deployment, backend, node, progress).await?;
    }
    backend.start(deployment, &node.name).await?;
    let answered = until(
        NODE_LIMIT,
        |not_yet, _| progress.waiting(&format!("{}: {not_yet}", node.name)),
        || async {
            let before = backend.status(deployment, &node.name).await;
            let answer = answers::not_yet(node).await;
            let now = backend.status(deployment, &node.name).await;
            // Whoever else listens at the node's address answers too: the node's own service must have run all the while.
            let not_yet = match answer {
                None if runs_on(&before, &now) => return Answer::Done(()),
                None => "something answers at its address, but its own service does not run".to_owned(),
                Some(not_yet) => not_yet,
            };
            match now {
                Ok(NodeStatus::Running { restarts, .. }) if restarts >= MOST_RESTARTS => Answer::Never(not_yet),
                Ok(NodeStatus::Failing { last_exit, restarts }) if restarts >= MOST_RESTARTS => {
                    Answer::Never(format!("{last_exit}; {not_yet}"))
                }
                Ok(_) => Answer::NotYet(not_yet),
                Err(error) => Answer::NotYet(format!("{not_yet}; {error}")),
            }
        },
    );
    match answered.await {
        Ok(()) => Ok(()),
        Err(Unmet::TimedOut { after, last }) => Err(not_up(deployment, backend, node, after, last).await),
        Err(Unmet::Never(why)) => {
            let last = format!("its service has ended {MOST_RESTARTS} times: {why}");
            Err(not_up(deployment, backend, node, begun.elapsed(), last).await)
        }
    }
}

/// Whether one and the same process ran at both looks.
fn runs_on(before: &Result<NodeStatus, DeployError>, now: &Result<NodeStatus, DeployError>) -> bool {
    matches!((before, now), (Ok(before @ NodeStatus::Running { .. }), Ok(now)) if before == now)
}

/// Wait until some postgres node leads. HAProxy takes every server for up when it starts and marks it down at the first
/// failed check; a leader that comes a moment later then stays down for `rise` x `inter` more.
async fn leader_for(
    deployment: &Deployment,
    backend: &dyn Backend,
    proxy: &DeployedNode,
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    let nodes: Vec<_> = deployment.postgres_nodes().collect();
    let Some(first) = nodes.first() else { return Ok(()) };
    let led = until::<(), (), _, _, _>(
        NODE_LIMIT,
        |not_yet, _| progress.waiting(&format!("{}: {not_yet}", proxy.name)),
        || async {
            for node in &nodes {
                if answers::leads(node).await {
                    return Answer::Done(());
                }
            }
            Answer::NotYet("no postgres node leads yet".to_owned())
        },
    );
    match led.await {
        Err(Unmet::TimedOut { after, last }) => Err(not_up(deployment, backend, first, after, last).await),
        _ => Ok(()),
    }
}

async fn not_up(
    deployment: &Deployment,
    backend: &dyn Backend,
    node: &DeployedNode,
    after: Duration,
    last_status: String,
) -> DeployError {
    let evidence = backend.log_end(deployment, &node.name).await;
    DeployError::NotUp { node: node.name.clone(), after_s: after.as_secs(), last_status, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_runs_on_may_answer_for_its_node() {
        let running = |pid| Ok(NodeStatus::Running { pid, restarts: 0 });
        let failing = || Ok(NodeStatus::Failing { last_exit: "exit code 3".to_owned(), restarts: 1 });
        assert!(runs_on(&running(7), &running(7)));
        assert!(!runs_on(&running(7), &running(8)));
        assert!(!runs_on(&running(7), &failing()) && !runs_on(&failing(), &failing()));
        assert!(!runs_on(&Ok(NodeStatus::Stopped), &Ok(NodeStatus::Stopped)));
    }
}
