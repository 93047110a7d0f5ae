//! ZooKeeper away: without and with failsafe mode.

use std::time::Duration;

use serde_json::json;

use crate::harness::rest::Ask;
use crate::harness::wait::{ensure, holds};
use crate::harness::zookeeper::ZooKeeper;
use crate::harness::{Cast, Program, Stage, until};

/// Longer than any lease of the scenarios.
const BEYOND_LEASE: Duration = Duration::from_secs(26);

/// ZooKeeper hangs for less than the lease. Patroni demotes after retry_timeout, needlessly; labrun-agent goes on
/// serving as long as its lease is certainly valid. Either way nothing is lost and the same timeline goes on.
pub async fn short_outage(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    stage.zookeeper.freeze();
    let served = async || match stage.cast {
        Cast::Labrun | Cast::LabrunFirst => cluster[0].is_primary().await,
        Cast::Patroni | Cast::PatroniFirst => Ok(()),
    };
    holds(Duration::from_secs(9), "the leader serves", served).await;
    stage.zookeeper.thaw();
    cluster.ready().await;
    writer.progresses().await;
    let leader = cluster.leader().await.unwrap();
    cluster.nothing_lost(writer, leader).await;
}

/// The reference lab's times (ttl 30), and ZooKeeper hangs for 20 s: nobody is cut off, the leader serves on. (Patroni
/// demotes after retry_timeout.)
pub async fn outage_within_lease(stage: &Stage) {
    let times = json!({"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "synchronous_mode": true});
    let cluster = stage.cluster(2).dcs(times).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    stage.zookeeper.freeze();
    tokio::time::sleep(Duration::from_secs(20)).await;
    stage.zookeeper.thaw();
    cluster.ready().await;
    writer.progresses().await;
    if stage.cast.program(0) == Program::Labrun {
        assert_eq!(writer.sessions_on(0), 1, "the leader has cut its clients off");
        cluster.leads(0).await;
        cluster.synchronous(0, &[1]).await;
    }
    let leader = cluster.leader().await.unwrap();
    cluster.nothing_lost(writer, leader).await;
}

/// Of three ZooKeeper servers each hangs for a while, then two at a time, so that nothing is agreed on: the agents go
/// to another server, and the leader serves on.
pub async fn ensemble(stage: &Stage) {
    let servers = stage.ensemble(3).await;
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).kept_by(&servers).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    for server in &servers {
        server.freeze();
        tokio::time::sleep(Duration::from_secs(6)).await;
        server.thaw();
        server.served().await;
    }
    servers[..2].iter().for_each(ZooKeeper::freeze);
    tokio::time::sleep(Duration::from_secs(7)).await;
    servers[..2].iter().for_each(ZooKeeper::thaw);
    cluster.ready().await;
    writer.progresses().await;
    if stage.cast.program(0) == Program::Labrun {
        assert_eq!(writer.sessions_on(0), 1, "the leader has cut its clients off");
    }
    let leader = cluster.leader().await.unwrap();
    cluster.nothing_lost(writer, leader).await;
}

/// ZooKeeper is away for longer than the lease: no node takes writes then, and one does when it is back.
pub async fn long_outage(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    stage.zookeeper.stop();
    until("the leader is demoted", async || {
        ensure(cluster[0].value("select pg_is_in_recovery()").await? == "t", || "it is a primary".to_owned())
    })
    .await;
    for node in &cluster.nodes {
        assert_eq!(node.code("/primary").await.unwrap(), 503, "{} is no primary", node.name);
    }
    stage.zookeeper.start().await;
    let leader = cluster.ready().await;
    writer.progresses().await;
    cluster.nothing_lost(writer, leader).await;
}

/// With failsafe mode the leader goes on as long as every member says that it follows it, and REST says so.
pub async fn failsafe_mode(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"failsafe_mode": true})).started().await;
    until("the failsafe key names all members", async || {
        let key = cluster.dcs.json("failsafe").await?;
        let names: std::collections::BTreeMap<_, _> = [0, 1]
            .map(|index| (cluster[index].name.clone(), format!("http://{}:8008/patroni", cluster[index].address)))
            .into();
        ensure(key == json!(names), || key.to_string())
    })
    .await;
    let writer = cluster.writer(0).await;
    stage.zookeeper.stop();
    holds(BEYOND_LEASE, "the leader serves and the replica follows", async || {
        cluster[0].is_primary().await?;
        ensure(cluster[1].value("select pg_is_in_recovery()").await? == "t", || "pg2 was promoted".to_owned())
    })
    .await;
    writer.progresses().await;
    assert_eq!(cluster[0].status().await.unwrap()["failsafe_mode_is_active"], true);
    assert_eq!(cluster[0].code("/primary").await.unwrap(), 200);
    assert_eq!(cluster[1].code("/replica").await.unwrap(), 200);
    let answer = cluster[0].get("/failsafe").await.unwrap();
    assert_eq!((answer.status, answer.json().as_object().unwrap().len()), (200, 2));
    stage.zookeeper.start().await;
    cluster.leads(0).await;
    cluster.ready().await;
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 1);
    cluster.nothing_lost(writer, 0).await;
}

/// With failsafe mode, and one member that does not answer, the leader must assume that it was replaced.
pub async fn failsafe_needs_everyone(stage: &Stage) {
    let cluster = stage.cluster(3).dcs(json!({"failsafe_mode": true})).started().await;
    until("the failsafe key names all members", async || {
        let key = cluster.dcs.json("failsafe").await?;
        ensure(key.as_object().is_some_and(|names| names.len() == 3), || key.to_string())
    })
    .await;
    let writer = cluster.writer(0).await;
    stage.zookeeper.stop();
    cluster[2].kill();
    until("the leader is demoted", async || {
        ensure(cluster[0].value("select pg_is_in_recovery()").await? == "t", || "it is a primary".to_owned())
    })
    .await;
    stage.zookeeper.start().await;
    cluster[2].start();
    let leader = cluster.ready().await;
    writer.progresses().await;
    cluster.nothing_lost(writer, leader).await;
}

/// With failsafe mode no slot holds WAL back while ZooKeeper is away: the members tell the leader how far they are, and
/// the leader tells them of its slots. Here the third node replicates from the second.
pub async fn failsafe_moves_slots_on(stage: &Stage) {
    let dcs = json!({"failsafe_mode": true, "slots": {"keeper": {"type": "physical"}}});
    let cascade = json!({"tags": {"replicatefrom": "pg2"}});
    let cluster = stage.cluster(3).dcs(dcs).node(2, cascade).started().await;
    until("the failsafe key names all members", async || {
        let key = cluster.dcs.json("failsafe").await?;
        ensure(key.as_object().is_some_and(|names| names.len() == 3), || key.to_string())
    })
    .await;
    // A replica makes its copy once the status key tells it of the slot: before the outage, or not at all.
    for node in 0..3 {
        let kept = "select count(*) from pg_replication_slots where slot_name = 'keeper'";
        cluster.shows(node, kept, "1").await;
    }
    stage.zookeeper.stop();
    until("the leader lives on by its members' word", async || {
        let status = cluster[0].status().await?;
        ensure(status["failsafe_mode_is_active"] == true, || status.to_string())
    })
    .await;
    cluster[0].execute("create table during as select generate_series(1, 1000) as id").await;
    let written = cluster[0].value("select pg_current_wal_lsn()").await.unwrap();
    cluster[0].execute(&format!("select pg_replication_slot_advance('keeper', '{written}')")).await;
    let moved =
        |slot: &str| format!("select restart_lsn >= '{written}' from pg_replication_slots where slot_name = '{slot}'");
    // Those of the nodes that stream from where they are, and then those that only the agents can move.
    for (node, slot) in [(0, "pg2"), (1, "pg3"), (0, "pg3"), (1, "keeper"), (2, "keeper"), (2, "pg2"), (1, "pg1")] {
        cluster.shows(node, &moved(slot), "t").await;
    }
    cluster[0].is_primary().await.unwrap();
    stage.zookeeper.start().await;
    assert_eq!(cluster.ready().await, 0);
}

/// What a member says to a leader that asks whether it may go on.
pub async fn failsafe_requests(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let call = json!({"name": "pg1", "conn_url": "postgres://x", "api_url": "http://x", "slots": {}});
    assert_eq!(cluster[1].call("POST", "/failsafe", &call).await.status, 502, "failsafe mode is off");
    cluster.edit_config(json!({"failsafe_mode": true})).await;
    until("failsafe mode is on", async || {
        let code = cluster[1].code("/failsafe").await?;
        ensure(code == 200, || code.to_string())
    })
    .await;
    let answer = cluster[1].call("POST", "/failsafe", &call).await;
    assert_eq!((answer.status, &*answer.body), (200, "Accepted"));
    assert!(answer.header("lsn").parse::<u64>().is_ok(), "{:?}", answer.headers);
    let answer = cluster[0].call("POST", "/failsafe", &call).await;
    assert_eq!((answer.status, &*answer.body), (500, "Running as a leader"));
    let empty = Ask::new("POST", "/failsafe").body("garbage").send(cluster[1].rest_address()).await.unwrap();
    assert_eq!(empty.status, 400);
}
