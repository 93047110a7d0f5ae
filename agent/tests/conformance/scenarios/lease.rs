//! The lease as a promise: agents that are killed or hung, nodes that are paused, a PostgreSQL that hangs. Here
//! labrun-agent differs from Patroni on purpose: what Patroni cannot keep without a watchdog is asked of it alone.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::wait::{ensure, holds};
use crate::harness::{Cluster, Program, Stage, process, until, writer};

/// SIGSTOP to the leader's agent alone, in asynchronous mode: another node takes over, and the old one has stopped
/// acknowledging by then. (Patroni: its PostgreSQL goes on acknowledging what is then lost.)
pub async fn frozen_agent(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let writer = cluster.writer(0).await;
    cluster[0].signal(Signal::SIGSTOP);
    cluster.leads(1).await;
    writer.progresses().await;
    cluster[0].signal(Signal::SIGCONT);
    cluster.streams(0).await;
    one_writer_at_a_time(&cluster, writer).await;
}

/// SIGKILL to the leader's agent alone: the same. (Patroni: two primaries until the agent is back.)
pub async fn killed_agent(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let writer = cluster.writer(0).await;
    cluster[0].kill_agent();
    cluster.leads(1).await;
    writer.progresses().await;
    cluster[0].start();
    cluster.streams(0).await;
    one_writer_at_a_time(&cluster, writer).await;
}

/// SIGKILL to the leader's agent, which is started again at once: the new one takes the running PostgreSQL over, and
/// keeps it beyond the end of the lease that the former one had.
pub async fn agent_replaced_within_lease(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    let postmaster = cluster[0].postmaster();
    let sync_key = cluster.dcs.get("sync").await.expect("synchronous mode is on").stat.version;
    cluster[0].kill_agent();
    cluster[0].start();
    holds(Duration::from_secs(24), "PostgreSQL serves on", async || cluster[0].is_primary().await).await;
    if cluster[0].program() == Program::Labrun {
        let now = cluster.dcs.get("sync").await.expect("synchronous mode is on").stat.version;
        assert_eq!(now, sync_key + 1, "what the former agent had sent to change it comes too late");
    }
    cluster.leads(0).await;
    assert_eq!(cluster[0].postmaster(), postmaster, "PostgreSQL was not restarted");
    assert_eq!(writer.sessions_on(0), 1, "no client was cut off");
    cluster[0].stop().await;
    cluster.leads(1).await;
    cluster.nothing_lost(writer, 1).await;
}

/// SIGKILL to the leader's agent while ZooKeeper is away, and none is started: its PostgreSQL serves on while the
/// lease may be valid, and is gone when it is not. (Patroni: it is writable for ever.)
pub async fn killed_agent_without_zookeeper(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let writer = cluster.writer(0).await;
    stage.zookeeper.stop();
    cluster[0].kill_agent();
    holds(Duration::from_secs(9), "PostgreSQL serves", async || cluster[0].is_primary().await).await;
    if cluster[0].program() == Program::Labrun {
        until("nothing of the node runs", async || {
            let left = labrun_agent::supervise::processes_in(&cluster[0].dir);
            ensure(left.is_empty(), || format!("{left:?}"))
        })
        .await;
    }
    stage.zookeeper.start().await;
    cluster[0].start();
    let leader = cluster.ready().await;
    writer.progresses().await;
    cluster.nothing_lost(writer, leader).await;
}

async fn one_writer_at_a_time(cluster: &Cluster, writer: writer::Writer) {
    if cluster[0].program() == Program::Labrun {
        cluster.nothing_lost(writer, 1).await;
    }
}

/// Everything on the leader's node stops and later goes on, in synchronous mode: the woken leader acknowledges
/// nothing that the new one does not have, and follows it.
pub async fn paused_node(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    process::signal_all(&cluster[0].dir, Signal::SIGSTOP);
    cluster.leads(1).await;
    writer.progresses().await;
    process::signal_all(&cluster[0].dir, Signal::SIGCONT);
    cluster.streams(0).await;
    cluster.synchronous(1, &[0]).await;
    cluster.nothing_lost(writer, 1).await;
}

/// SIGSTOP to every process of the leader's PostgreSQL: its agent sees that it answers nothing and gives up the
/// lease; REST answers meanwhile. (Patroni: no failover, however long it hangs.)
pub async fn hung_postgres(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    cluster[0].signal_postgres(Signal::SIGSTOP);
    if cluster[0].program() == Program::Labrun {
        assert_eq!(cluster[0].code("/health").await.map(|_| ()), Ok(()), "REST answers from the last view");
        cluster.leads(1).await;
        writer.progresses().await;
    } else {
        until("the agent says that it hangs", async || {
            let code = cluster[0].code("/liveness").await?;
            ensure(code == 503, || code.to_string())
        })
        .await;
    }
    cluster[0].signal_postgres(Signal::SIGCONT);
    let leader = cluster.ready().await;
    cluster.nothing_lost(writer, leader).await;
}
