//! Synchronous mode: what the `sync` key promises is what PostgreSQL does.

use std::time::Duration;

use serde_json::json;

use crate::harness::wait::{ensure, holds};
use crate::harness::{Cluster, Stage, until};

/// Wait until PostgreSQL on the leader holds exactly the key's standbys as synchronous.
pub async fn postgres_agrees(cluster: &Cluster, leader: usize) {
    until("synchronous_standby_names agree with /sync", async || {
        let sync = cluster.dcs.json("sync").await?;
        let sql = "select string_agg(application_name, ',' order by application_name) from pg_stat_replication \
                   where sync_state in ('sync', 'quorum')";
        let streaming = cluster[leader].value(sql).await?;
        let named = sync["sync_standby"].as_str().unwrap_or_default().to_owned();
        ensure(named == streaming, || format!("/sync names {named:?}, PostgreSQL has {streaming:?}"))
    })
    .await;
}

/// One of two standbys is synchronous; when it goes the other takes its place, and when both are gone the leader
/// goes on alone and says so.
pub async fn synchronous_mode(stage: &Stage) {
    let cluster = stage.cluster(3).dcs(json!({"synchronous_mode": true})).started().await;
    let first = until("/sync names a standby", async || {
        let sync = cluster.dcs.json("sync").await?;
        Ok(cluster.index_of(sync["sync_standby"].as_str().ok_or_else(|| sync.to_string())?))
    })
    .await;
    let second = 3 - first;
    postgres_agrees(&cluster, 0).await;
    for (node, path) in [(first, "/sync"), (second, "/async")] {
        until(&format!("{} answers {path}", cluster[node].name), async || {
            let code = cluster[node].code(path).await?;
            ensure(code == 200, || code.to_string())
        })
        .await;
    }

    let writer = cluster.writer(0).await;
    cluster[first].stop().await;
    cluster.synchronous(0, &[second]).await;
    postgres_agrees(&cluster, 0).await;
    writer.progresses().await;

    cluster[second].stop().await;
    cluster.synchronous(0, &[]).await;
    cluster.shows(0, "show synchronous_standby_names", "").await;
    writer.progresses().await;

    cluster[second].start();
    cluster.synchronous(0, &[second]).await;
    postgres_agrees(&cluster, 0).await;
    cluster.nothing_lost(writer, 0).await;
}

/// `synchronous_node_count` standbys are synchronous at a time.
pub async fn synchronous_node_count(stage: &Stage) {
    let dcs = json!({"synchronous_mode": true, "synchronous_node_count": 2});
    let cluster = stage.cluster(3).dcs(dcs).started().await;
    cluster.synchronous(0, &[1, 2]).await;
    postgres_agrees(&cluster, 0).await;
    cluster.edit_config(json!({"synchronous_node_count": 1})).await;
    until("one standby is enough", async || {
        let sync = cluster.dcs.json("sync").await?;
        let names = sync["sync_standby"].as_str().unwrap_or_default();
        ensure(names == "pg2" || names == "pg3", || sync.to_string())
    })
    .await;
    postgres_agrees(&cluster, 0).await;
}

/// Synchronous mode is taken up and left while the cluster runs.
pub async fn synchronous_mode_changes(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    assert_eq!(cluster[0].value("show synchronous_standby_names").await.unwrap(), "");
    cluster.edit_config(json!({"synchronous_mode": true})).await;
    cluster.synchronous(0, &[1]).await;
    postgres_agrees(&cluster, 0).await;
    cluster.edit_config(json!({"synchronous_mode": false})).await;
    cluster.shows(0, "show synchronous_standby_names", "").await;
    until("/sync names nobody", async || {
        let sync = cluster.dcs.get("sync").await?.data;
        ensure(sync == "{}", || sync)
    })
    .await;
}

/// With the leader and its synchronous standby gone the other standby, which may lack acknowledged writes, is not
/// promoted, however long it waits; when the synchronous one is back it takes over.
pub async fn only_synchronous_standbys_promote(stage: &Stage) {
    let cluster = stage.cluster(3).dcs(json!({"synchronous_mode": true})).started().await;
    let sync = until("/sync names a standby", async || {
        let sync = cluster.dcs.json("sync").await?;
        Ok(cluster.index_of(sync["sync_standby"].as_str().ok_or_else(|| sync.to_string())?))
    })
    .await;
    let other = 3 - sync;
    let writer = cluster.writer(0).await;
    // The standby first: the leader must not get the time to take the other one into /sync.
    cluster[sync].signal_postgres(nix::sys::signal::Signal::SIGSTOP);
    cluster[0].kill();
    cluster[sync].kill();
    until("the lease has run out", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "the leader key is there".to_owned())
    })
    .await;
    holds(Duration::from_secs(8), "nobody leads", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "there is a leader".to_owned())?;
        ensure(cluster[other].value("select pg_is_in_recovery()").await? == "t", || "it was promoted".to_owned())
    })
    .await;
    cluster[sync].start();
    cluster.leads(sync).await;
    cluster.streams(other).await;
    cluster.nothing_lost(writer, sync).await;
}

/// A synchronous standby that is stopped asks the leader to do without it first, so that no commit has to wait for
/// one that is gone.
pub async fn synchronous_standby_leaves_first(stage: &Stage) {
    let cluster = stage.cluster(3).dcs(json!({"synchronous_mode": true})).started().await;
    let first = until("/sync names a standby", async || {
        let sync = cluster.dcs.json("sync").await?;
        Ok(cluster.index_of(sync["sync_standby"].as_str().ok_or_else(|| sync.to_string())?))
    })
    .await;
    postgres_agrees(&cluster, 0).await;
    let writer = cluster.writer(0).await;
    cluster[first].stop().await;
    let log = cluster[first].log();
    assert!(log.contains("Waiting for primary to release us from synchronous standby"), "{log}");
    let sync = cluster.dcs.json("sync").await.unwrap();
    assert_ne!(sync["sync_standby"], *cluster[first].name, "the key named it when it ended");
    writer.progresses().await;
    cluster.synchronous(0, &[3 - first]).await;
    cluster.nothing_lost(writer, 0).await;
}

/// Names that PostgreSQL must have in quotes.
pub async fn odd_names(stage: &Stage) {
    let plan = stage.cluster(2).named(stage.name, "Any-").dcs(json!({"synchronous_mode": "quorum"}));
    let cluster = plan.started().await;
    cluster.synchronous(0, &[1]).await;
    cluster.shows(0, "show synchronous_standby_names", "ANY 1 (\"Any-2\")").await;
    postgres_agrees(&cluster, 0).await;
    cluster.edit_config(json!({"synchronous_mode": true})).await;
    cluster.shows(0, "show synchronous_standby_names", "\"Any-2\"").await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    cluster[0].stop().await;
    cluster.leads(1).await;
    writer.progresses().await;
    cluster[0].start();
    cluster.synchronous(1, &[0]).await;
    cluster.nothing_lost(writer, 1).await;
}
