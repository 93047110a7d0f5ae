//! Quorum commit, and the strict form of synchronous mode.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::rest::{QUORUM, answers};
use crate::harness::wait::{ensure, holds};
use crate::harness::{Cluster, Program, Stage, until};

/// Wait until `/sync` and synchronous_standby_names are as told.
async fn quorum_is(cluster: &Cluster, leader: usize, quorum: u64, voters: &str, names: &str) {
    until(&format!("/sync has quorum {quorum} of {voters:?}"), async || {
        let sync = cluster.dcs.json("sync").await?;
        let named = sync["leader"] == *cluster[leader].name && sync["quorum"] == quorum;
        ensure(named && sync["sync_standby"].as_str().unwrap_or_default() == voters, || sync.to_string())
    })
    .await;
    cluster.shows(leader, "show synchronous_standby_names", names).await;
}

/// Any one of two standbys confirms a commit; the key says how many a new leader must ask; a failover loses nothing.
pub async fn quorum_commit(stage: &Stage) {
    let cluster = stage.cluster(3).dcs(json!({"synchronous_mode": "quorum"})).started().await;
    quorum_is(&cluster, 0, 1, "pg2,pg3", "ANY 1 (pg2,pg3)").await;
    answers(&cluster, QUORUM).await;
    let list = cluster[0].get("/cluster").await.unwrap().json()["members"].clone();
    assert_eq!((&list[1]["role"], &list[2]["role"]), (&json!("quorum_standby"), &json!("quorum_standby")));

    let writer = cluster.writer(0).await;
    cluster[0].kill();
    let new = cluster.new_leader(0).await;
    writer.progresses().await;
    cluster[0].start();
    assert_eq!(cluster.ready().await, new);
    let standbys: Vec<_> = (0..3).filter(|index| *index != new).map(|index| cluster[index].name.clone()).collect();
    let standbys = standbys.join(",");
    quorum_is(&cluster, new, 1, &standbys, &format!("ANY 1 ({standbys})")).await;
    cluster.nothing_lost(writer, new).await;
}

/// With two confirmations a commit a new leader needs no vote but its own; a standby that goes leaves the set.
pub async fn quorum_of_two(stage: &Stage) {
    let dcs = json!({"synchronous_mode": "quorum", "synchronous_node_count": 2});
    let cluster = stage.cluster(3).dcs(dcs).started().await;
    quorum_is(&cluster, 0, 0, "pg2,pg3", "ANY 2 (pg2,pg3)").await;
    cluster.edit_config(json!({"synchronous_node_count": 1})).await;
    quorum_is(&cluster, 0, 1, "pg2,pg3", "ANY 1 (pg2,pg3)").await;
    let writer = cluster.writer(0).await;
    cluster[2].stop().await;
    quorum_is(&cluster, 0, 0, "pg2", "ANY 1 (pg2)").await;
    writer.progresses().await;
    cluster[2].start();
    quorum_is(&cluster, 0, 1, "pg2,pg3", "ANY 1 (pg2,pg3)").await;
    cluster.nothing_lost(writer, 0).await;
}

/// A node outside of the quorum is not promoted while the members of it cannot be asked.
pub async fn quorum_needs_votes(stage: &Stage) {
    let cluster = stage.cluster(3).dcs(json!({"synchronous_mode": "quorum"})).started().await;
    quorum_is(&cluster, 0, 1, "pg2,pg3", "ANY 1 (pg2,pg3)").await;
    // The leader first: it must not get the time to take the standby out of the quorum.
    cluster[0].signal(Signal::SIGSTOP);
    cluster[1].kill();
    cluster[0].kill();
    until("the lease has run out", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "the leader key is there".to_owned())
    })
    .await;
    holds(Duration::from_secs(8), "pg3 is not promoted: pg2 may have what it lacks", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "there is a leader".to_owned())
    })
    .await;
    cluster[1].start();
    let new = cluster.new_leader(0).await;
    cluster[0].start();
    assert_eq!(cluster.ready().await, new);
}

/// Two nodes: each takes over from the other, stopped and killed, with every acknowledged write.
pub async fn quorum_there_and_back(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": "quorum"})).started().await;
    quorum_is(&cluster, 0, 0, "pg2", "ANY 1 (pg2)").await;
    let writer = cluster.writer(0).await;
    for (old, new) in [(0, 1), (1, 0)] {
        match old {
            0 => cluster[old].stop().await,
            _ => cluster[old].kill(),
        }
        cluster.leads(new).await;
        writer.progresses().await;
        cluster[old].start();
        cluster.streams(old).await;
        let standby = &cluster[old].name;
        quorum_is(&cluster, new, 0, standby, &format!("ANY 1 ({standby})")).await;
    }
    cluster.nothing_lost(writer, 0).await;
}

/// Quorum, plain and no synchronous mode follow each other under load; then the leader is killed, and no write
/// that it acknowledged is missing.
pub async fn quorum_switches(stage: &Stage) {
    let cluster = stage.cluster(3).dcs(json!({"synchronous_mode": "quorum"})).started().await;
    let (voters, any_one) = ("pg2,pg3", "ANY 1 (pg2,pg3)");
    quorum_is(&cluster, 0, 1, voters, any_one).await;
    let writer = cluster.writer(0).await;
    cluster.edit_config(json!({"synchronous_mode": true})).await;
    let one = until("one standby is synchronous", async || {
        let sync = cluster.dcs.json("sync").await?;
        let name = sync["sync_standby"].as_str().unwrap_or_default().to_owned();
        ensure(sync["quorum"] == 0 && ["pg2", "pg3"].contains(&&*name), || sync.to_string())?;
        Ok(name)
    })
    .await;
    cluster.shows(0, "show synchronous_standby_names", &one).await;
    cluster.edit_config(json!({"synchronous_mode": "quorum"})).await;
    quorum_is(&cluster, 0, 1, voters, any_one).await;
    cluster.edit_config(json!({"synchronous_mode": false})).await;
    cluster.shows(0, "show synchronous_standby_names", "").await;
    cluster.edit_config(json!({"synchronous_mode": "quorum"})).await;
    quorum_is(&cluster, 0, 1, voters, any_one).await;
    cluster.edit_config(json!({"synchronous_mode": true, "synchronous_node_count": 2})).await;
    quorum_is(&cluster, 0, 0, voters, "2 (pg2,pg3)").await;
    cluster.edit_config(json!({"synchronous_mode": "quorum"})).await;
    // Patroni 4.1.5 leaves the setting as it is where the standbys stay the same.
    if cluster[0].program() == Program::Labrun {
        quorum_is(&cluster, 0, 0, voters, "ANY 2 (pg2,pg3)").await;
    }
    writer.progresses().await;
    cluster[0].kill();
    let new = cluster.new_leader(0).await;
    writer.progresses().await;
    cluster.nothing_lost(writer, new).await;
}

/// In strict mode a leader whose standbys are gone acknowledges nothing until one is back.
pub async fn strict_synchronous_mode(stage: &Stage) {
    let dcs = json!({"synchronous_mode": true, "synchronous_mode_strict": true});
    let cluster = stage.cluster(2).dcs(dcs).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    cluster[1].stop().await;
    cluster.synchronous(0, &[]).await;
    cluster.shows(0, "show synchronous_standby_names", "*").await;
    let before = writer.count();
    holds(Duration::from_secs(5), "nothing is acknowledged", async || {
        ensure(writer.count() == before, || format!("{} writes were", writer.count() - before))
    })
    .await;
    cluster[1].start();
    cluster.synchronous(0, &[1]).await;
    writer.progresses().await;
    cluster.nothing_lost(writer, 0).await;
}

/// A standby that fell behind by more than `maximum_lag_on_syncnode` gives its place to one that did not.
pub async fn maximum_lag_on_syncnode(stage: &Stage) {
    let dcs = json!({"synchronous_mode": true, "maximum_lag_on_syncnode": 1_000_000});
    let cluster = stage.cluster(3).dcs(dcs).started().await;
    let slow = until("/sync names a standby", async || {
        let sync = cluster.dcs.json("sync").await?;
        Ok(cluster.index_of(sync["sync_standby"].as_str().ok_or_else(|| sync.to_string())?))
    })
    .await;
    let receiver = cluster[slow].value("select pid from pg_stat_wal_receiver").await.unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(receiver), Signal::SIGSTOP).unwrap();
    let load = "set synchronous_commit = local; create table load as select g, repeat('x', 500) from generate_series(1, 20000) g";
    cluster[0].execute(load).await;
    cluster.synchronous(0, &[3 - slow]).await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(receiver), Signal::SIGCONT).unwrap();
    cluster.caught_up(slow, 0).await;
}
