//! Streaming replication and its slots.

use crate::harness::wait::ensure;
use crate::harness::{Stage, until};

/// Rows appear on every replica; a replica takes none; each streams through the slot that has its name.
pub async fn replication(stage: &Stage) {
    let cluster = stage.cluster(3).started().await;
    cluster[0].execute("create table replicated as select generate_series(1, 1000) as id").await;
    for replica in [1, 2] {
        cluster.caught_up(replica, 0).await;
        assert_eq!(cluster[replica].value("select count(*) from replicated").await.unwrap(), "1000");
        let refused = cluster[replica].rows("insert into replicated values (0)").await.unwrap_err();
        assert!(refused.contains("25006"), "a replica is read-only: {refused}");
    }
    let standbys =
        "select string_agg(application_name || ' ' || state, ',' order by application_name) from pg_stat_replication";
    cluster.shows(0, standbys, "pg2 streaming,pg3 streaming").await;
    let slots =
        "select string_agg(slot_name, ',' order by slot_name) from pg_replication_slots where active and not temporary";
    cluster.shows(0, slots, "pg2,pg3").await;
    for (replica, name) in [(1, "pg2"), (2, "pg3")] {
        assert_eq!(cluster[replica].value("show primary_slot_name").await.unwrap(), name);
        let upstream = format!("host={}", cluster[0].address);
        let conninfo = cluster[replica].value("show primary_conninfo").await.unwrap();
        assert!(conninfo.contains(&upstream) && conninfo.contains(&format!("application_name={name}")), "{conninfo}");
    }
}

/// A replica holds the slots of all other members too, and moves them on, so that a failover loses no WAL that
/// another member still needs.
pub async fn slots_on_replicas(stage: &Stage) {
    let cluster = stage.cluster(3).started().await;
    cluster.shows(1, "select string_agg(slot_name, ',' order by slot_name) from pg_replication_slots", "pg1,pg3").await;
    cluster.shows(2, "select string_agg(slot_name, ',' order by slot_name) from pg_replication_slots", "pg1,pg2").await;
    cluster[0].execute("create table filler as select generate_series(1, 10000) as id").await;
    let mark = cluster[0].value("select pg_current_wal_lsn()").await.unwrap();
    cluster[0].execute("insert into filler values (1)").await;
    let moved = format!("select restart_lsn >= '{mark}' from pg_replication_slots where slot_name = 'pg3'");
    cluster.shows(1, &moved, "t").await;
    until("/status names every member's slot", async || {
        let status = cluster.dcs.json("status").await?;
        let slots = status["slots"].as_object().ok_or("no slots")?;
        let all = ["pg1", "pg2", "pg3"].iter().all(|name| slots.get(*name).is_some_and(|lsn| lsn.is_i64()));
        ensure(all, || status.to_string())
    })
    .await;
}

/// A member that joins later is cloned from the leader and comes to stream, with its rows.
pub async fn late_member(stage: &Stage) {
    let cluster = stage.cluster(2).laid();
    cluster[0].start();
    cluster.leads(0).await;
    cluster[0].execute("create table before as select generate_series(1, 100) as id").await;
    cluster[1].start();
    cluster.streams(1).await;
    cluster[0].execute("insert into before values (101)").await;
    cluster.caught_up(1, 0).await;
    assert_eq!(cluster[1].value("select count(*) from before").await.unwrap(), "101");
    assert_eq!(cluster[1].value("select pg_is_in_recovery()").await.unwrap(), "t");
    // It is cloned once: a restart of the agent finds the data directory and goes on with it.
    std::fs::write(cluster[1].data().join("a-file-of-ours"), "").unwrap();
    cluster[1].stop().await;
    cluster[1].start();
    cluster.streams(1).await;
    assert!(cluster[1].data().join("a-file-of-ours").exists(), "the data directory was made anew");
}
