//! Slots that outlive a failover, slots of others, slots of members that went.

use serde_json::json;

use crate::harness::wait::{ensure, holds};
use crate::harness::{Cluster, Program, Stage, until};

const SLOTS: &str =
    "select string_agg(slot_name, ',' order by slot_name) from pg_replication_slots where not temporary";

/// Permanent slots are made on the leader, kept on replicas, and a consumer of a logical one finds its position
/// again after a failover.
pub async fn permanent_slots(stage: &Stage) {
    let slots = json!({
        "keeper": {"type": "physical"},
        "reader": {"type": "logical", "database": "postgres", "plugin": "pgoutput"},
    });
    let parameters = json!({"wal_level": "logical", "hot_standby_feedback": "on"});
    let dcs = json!({"slots": slots, "postgresql": {"parameters": parameters}});
    let cluster = stage.cluster(2).dcs(dcs).started().await;
    cluster.shows(0, SLOTS, "keeper,pg2,reader").await;
    cluster.shows(1, SLOTS, "keeper,pg1,reader").await;

    cluster[0].execute("create table read (id int); create publication p for table read").await;
    cluster[0].execute("insert into read select generate_series(1, 100)").await;
    let consume = "select count(*) from pg_logical_slot_get_binary_changes('reader', null, null, \
                   'proto_version', '1', 'publication_names', 'p')";
    assert!(cluster[0].value(consume).await.unwrap().parse::<u32>().unwrap() >= 100);
    let at = "select confirmed_flush_lsn from pg_replication_slots where slot_name = 'reader'";
    let confirmed = cluster[0].value(at).await.unwrap();
    let moved =
        format!("select confirmed_flush_lsn >= '{confirmed}' from pg_replication_slots where slot_name = 'reader'");
    cluster.shows(1, &moved, "t").await;

    cluster[0].stop().await;
    cluster.leads(1).await;
    cluster[1].execute("insert into read values (101)").await;
    let found: u32 = cluster[1].value(consume).await.unwrap().parse().unwrap();
    assert!((1..100).contains(&found), "the reader goes on where it was, not from the start: {found} changes");
    cluster[0].start();
    cluster.streams(0).await;
    cluster.shows(1, SLOTS, "keeper,pg1,reader").await;
}

/// Permanent slots can be added and taken away while the cluster runs.
pub async fn permanent_slots_change(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    cluster.shows(0, SLOTS, "pg2").await;
    cluster.edit_config(json!({"slots": {"added": {"type": "physical"}}})).await;
    cluster.shows(0, SLOTS, "added,pg2").await;
    cluster.shows(1, SLOTS, "added,pg1").await;
    until("/status tells of it", async || {
        let status = cluster.dcs.json("status").await?;
        ensure(status["slots"].get("added").is_some(), || status.to_string())
    })
    .await;
    cluster.edit_config(json!({"slots": null})).await;
    cluster.shows(0, SLOTS, "pg2").await;
    cluster.shows(1, SLOTS, "pg1").await;
}

/// Slots that nobody manages are dropped, but for those that `ignore_slots` describes.
pub async fn ignore_slots(stage: &Stage) {
    let ignored = json!([{"name": "theirs"}, {"type": "logical", "plugin": "pgoutput", "database": "postgres"}]);
    let dcs = json!({"ignore_slots": ignored, "postgresql": {"parameters": {"wal_level": "logical"}}});
    let cluster = stage.cluster(2).dcs(dcs).started().await;
    for slot in ["theirs", "stray"] {
        cluster[0].execute(&format!("select pg_create_physical_replication_slot('{slot}')")).await;
    }
    cluster[0].execute("select pg_create_logical_replication_slot('decoder', 'pgoutput')").await;
    if stage.cast.program(0) == Program::Patroni {
        // It looks at slots that it has not made itself when it has started PostgreSQL, else now and then.
        cluster[0].call("POST", "/restart", &json!({})).await;
    }
    cluster.shows(0, SLOTS, "decoder,pg2,theirs").await;
    holds(std::time::Duration::from_secs(6), "they stay", async || {
        let slots = cluster[0].value(SLOTS).await?;
        ensure(slots == "decoder,pg2,theirs", || slots)
    })
    .await;
}

/// The slot of a member that went is kept for `member_slots_ttl`, so that it can come back, and then dropped.
pub async fn member_slots_ttl(stage: &Stage) {
    let cluster = stage.cluster(3).dcs(json!({"member_slots_ttl": "15s"})).started().await;
    cluster.shows(0, SLOTS, "pg2,pg3").await;
    retained(&cluster, &["pg1", "pg2", "pg3"]).await;
    cluster[2].stop().await;
    until("its member key is gone", async || ensure(cluster.member(2).await.is_err(), || "it is there".to_owned()))
        .await;
    assert_eq!(cluster[0].value(SLOTS).await.unwrap(), "pg2,pg3", "the slot is kept for now");
    cluster.shows(0, SLOTS, "pg2").await;
    retained(&cluster, &["pg1", "pg2"]).await;
    cluster[2].start();
    cluster.streams(2).await;
    cluster.shows(0, SLOTS, "pg2,pg3").await;
}

async fn retained(cluster: &Cluster, names: &[&str]) {
    until(&format!("/status retains {names:?}"), async || {
        let status = cluster.dcs.json("status").await?;
        let mut found: Vec<_> =
            status["retain_slots"].as_array().ok_or("none")?.iter().map(|name| name.as_str()).collect();
        found.sort();
        ensure(found == names.iter().map(|name| Some(*name)).collect::<Vec<_>>(), || status.to_string())
    })
    .await;
}
