//! Waiting until the whole cluster is ready.

use std::time::Duration;

use super::{DeployError, Deployment, Progress, local};
use crate::observe::{Observer, not_ready};
use crate::wait::{Answer, Unmet, until};

/// Wait until the ready predicate holds of the whole cluster.
pub async fn until_ready(deployment: &Deployment, limit: Duration, progress: &dyn Progress) -> Result<(), DeployError> {
    let observer = Observer::new(deployment);
    let ready = until::<(), (), _, _, _>(
        limit,
        |not_yet, _| progress.waiting(not_yet),
        || async {
            match not_ready(&observer.look().await, observer.has_proxy()) {
                None => Answer::Done(()),
                Some(not_yet) => Answer::NotYet(not_yet),
            }
        },
    );
    let Err(Unmet::TimedOut { after, last }) = ready.await else { return Ok(()) };
    let guilty = deployment.nodes.iter().find(|node| last.contains(&node.name));
    let guilty = guilty.or_else(|| deployment.postgres_nodes().next());
    Err(DeployError::NotUp {
        node: "the cluster".to_owned(),
        after_s: after.as_secs(),
        last_status: last,
        log_tail: guilty.map(local::log_tail).unwrap_or_default(),
    })
}

/// How long a new cluster may take from its nodes' start until it is ready: a lease may have to run out once, the proxy
/// may have to mark a server down and up again, and every node has a minute for its own work.
pub fn ready_limit(deployment: &Deployment) -> Duration {
    let timing = deployment.timing();
    let proxy = timing.inter_ms * u64::from(timing.fall + timing.rise);
    Duration::from_millis(60_000 + timing.ttl_ms + timing.loop_wait_ms + proxy)
}
