//! Pause: the cluster's manager stands aside, PostgreSQL goes on.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::wait::{ensure, holds};
use crate::harness::{Cluster, Stage, until};

/// Turn the pause on or off, and wait until every node knows.
pub async fn pause(cluster: &Cluster, on: bool) {
    cluster.edit_config(json!({"pause": if on { json!(true) } else { json!(null) }})).await;
    for index in 0..cluster.nodes.len() {
        until(&format!("{} knows of the pause: {on}", cluster[index].name), async || {
            let paused = cluster.member(index).await?.get("pause").is_some();
            ensure(paused == on, || format!("its key says {paused}"))
        })
        .await;
    }
}

/// In a pause nothing that stopped is started, nobody is promoted; afterwards all is set right.
pub async fn pause_leaves_postgres_alone(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    cluster[0].execute("create table kept as select 1 as id").await;
    cluster.caught_up(1, 0).await;
    pause(&cluster, true).await;
    cluster[0].signal_postmaster(Signal::SIGINT);
    until("the primary is down", async || {
        ensure(cluster[0].postmaster().is_none(), || "its postmaster runs".to_owned())
    })
    .await;
    holds(Duration::from_secs(8), "nobody starts or promotes anything", async || {
        ensure(cluster[0].postmaster().is_none(), || "pg1 was started".to_owned())?;
        ensure(cluster[1].value("select pg_is_in_recovery()").await? == "t", || "pg2 was promoted".to_owned())
    })
    .await;
    cluster.edit_config(json!({"pause": null})).await;
    let leader = cluster.ready().await;
    assert_eq!(cluster[leader].value("select count(*) from kept").await.unwrap(), "1");
}

/// In a pause the agent can be stopped, and started again, under a PostgreSQL that goes on serving.
pub async fn pause_outlives_agent(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    pause(&cluster, true).await;
    let writer = cluster.writer(0).await;
    let postmasters = [cluster[0].postmaster(), cluster[1].postmaster()];
    for node in &cluster.nodes {
        node.signal(Signal::SIGTERM);
        node.ended().await;
    }
    writer.progresses().await;
    for node in &cluster.nodes {
        node.start();
    }
    cluster.leads(0).await;
    pause(&cluster, false).await;
    cluster.ready().await;
    assert_eq!([cluster[0].postmaster(), cluster[1].postmaster()], postmasters, "PostgreSQL was not restarted");
    cluster.nothing_lost(writer, 0).await;
}

/// In a pause a switchover needs a candidate, and works with one.
pub async fn pause_switchover(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    pause(&cluster, true).await;
    let answer = cluster[0].call("POST", "/switchover", &json!({"leader": "pg1"})).await;
    let words = "Switchover is possible only to a specific candidate in a paused state";
    assert_eq!((answer.status, &*answer.body), (400, words));
    let answer = cluster[0].call("POST", "/switchover", &json!({"leader": "pg1", "candidate": "pg2"})).await;
    assert_eq!((answer.status, &*answer.body), (200, r#"Successfully switched over to "pg2""#));
    cluster.leads(1).await;
    cluster.streams(0).await;
}

/// In a pause a primary goes on when ZooKeeper is away, for longer than any lease.
pub async fn pause_without_zookeeper(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    pause(&cluster, true).await;
    let writer = cluster.writer(0).await;
    stage.zookeeper.stop();
    holds(Duration::from_secs(26), "the primary stays one", async || cluster[0].is_primary().await).await;
    writer.progresses().await;
    stage.zookeeper.start().await;
    cluster.leads(0).await;
    pause(&cluster, false).await;
    cluster.ready().await;
    cluster.nothing_lost(writer, 0).await;
}

/// In a pause a restart and a new copy are made where people ask for them.
pub async fn pause_restart_and_reinitialize(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    pause(&cluster, true).await;
    for index in [0, 1] {
        let before = cluster[index].started_at().await.unwrap();
        let answer = cluster[index].call("POST", "/restart", &json!({})).await;
        assert_eq!((answer.status, &*answer.body), (200, "restarted successfully"));
        assert_ne!(cluster[index].started_at().await.unwrap(), before);
    }
    cluster.streams(1).await;
    let answer = cluster[1].call("POST", "/restart", &json!({"schedule": "2199-01-01T00:00:00Z"})).await;
    assert_eq!((answer.status, &*answer.body), (500, "Can't schedule restart in the paused state"));
    std::fs::write(cluster[1].data().join("a-file-of-ours"), "").unwrap();
    let answer = cluster[1].call("POST", "/reinitialize", &json!({})).await;
    assert_eq!((answer.status, &*answer.body), (200, "reinitialize started"));
    until("the data is new", async || {
        ensure(!cluster[1].data().join("a-file-of-ours").exists(), || "it is the old one".to_owned())
    })
    .await;
    cluster.streams(1).await;
    assert_eq!(cluster.leader().await, Ok(0));
    pause(&cluster, false).await;
    assert_eq!(cluster.ready().await, 0);
}
