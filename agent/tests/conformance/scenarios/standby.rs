//! A standby cluster: its leader replicates from another cluster, its replicas from its leader.

use serde_json::json;

use crate::harness::wait::ensure;
use crate::harness::{Cluster, Stage, until};

/// A main cluster of one, and a standby cluster of two that follows it.
async fn pair(stage: &Stage) -> (Cluster, Cluster) {
    let slot = json!({"slots": {"standby_cluster": {"type": "physical"}}});
    let main = stage.cluster(1).dcs(slot).started().await;
    let source = json!({
        "host": main[0].address.to_string(),
        "port": 5432,
        "primary_slot_name": "standby_cluster",
        "create_replica_methods": ["basebackup"],
    });
    main.shows(0, "select count(*) from pg_replication_slots where slot_name = 'standby_cluster'", "1").await;
    let standby = stage.cluster(2).named("standby", "sb").dcs(json!({"standby_cluster": source})).laid();
    standby[0].start();
    until("sb1 is the standby leader", async || {
        let member = standby.member(0).await?;
        let leads = standby.leader().await? == 0 && member["role"] == "standby_leader" && member["state"] == "running";
        ensure(leads, || member.to_string())
    })
    .await;
    standby[1].start();
    standby.streams(1).await;
    (main, standby)
}

/// The standby cluster follows, through the slot; REST says who leads it; it takes no writes.
pub async fn standby_cluster(stage: &Stage) {
    let (main, standby) = pair(stage).await;
    main[0].execute("create table followed as select generate_series(1, 10) as id").await;
    for index in [0, 1] {
        standby.shows(index, "select count(*) from pg_class where relname = 'followed'", "1").await;
        let refused = standby[index].rows("insert into followed values (0)").await.unwrap_err();
        assert!(refused.contains("25006"), "{refused}");
    }
    for (path, leader, replica) in [
        ("/primary", 503, 503),
        ("/leader", 200, 503),
        ("/standby-leader", 200, 503),
        ("/replica", 503, 200),
        ("/read-only", 200, 200),
        ("/health", 200, 200),
    ] {
        let codes = (standby[0].code(path).await.unwrap(), standby[1].code(path).await.unwrap());
        assert_eq!(codes, (leader, replica), "GET {path}");
    }
    assert_eq!(standby[0].status().await.unwrap()["role"], "standby_leader");
    let members = standby[0].get("/cluster").await.unwrap().json()["members"].clone();
    assert_eq!(members[0]["role"], "standby_leader", "{members}");
    let downstream = "select string_agg(application_name, ',') from pg_stat_replication";
    standby.shows(0, downstream, "sb2").await;
    main.shows(0, "select active from pg_replication_slots where slot_name = 'standby_cluster'", "t").await;

    // Its leader goes: the other follows the main cluster from then on.
    standby[0].stop().await;
    until("sb2 is the standby leader", async || {
        let member = standby.member(1).await?;
        ensure(standby.leader().await? == 1 && member["role"] == "standby_leader", || member.to_string())
    })
    .await;
    main[0].execute("insert into followed values (11)").await;
    standby.shows(1, "select count(*) from followed", "11").await;
    standby[0].start();
    standby.streams(0).await;
}

/// Without its `standby_cluster` section it is promoted, and is a cluster like any other.
pub async fn standby_cluster_promoted(stage: &Stage) {
    let (main, standby) = pair(stage).await;
    main[0].execute("create table followed as select 1 as id").await;
    standby.shows(0, "select count(*) from pg_class where relname = 'followed'", "1").await;
    standby.patch_config(0, json!({"standby_cluster": null})).await;
    standby.leads(0).await;
    standby.streams(1).await;
    standby[0].execute("insert into followed values (2)").await;
    standby.caught_up(1, 0).await;
    assert_eq!(standby[1].value("select count(*) from followed").await.unwrap(), "2");
    assert_eq!(standby[0].code("/primary").await.unwrap(), 200);
}

/// demote-cluster and promote-cluster of patronictl.
pub async fn ctl_demote_and_promote_cluster(stage: &Stage) {
    let main = stage.cluster(1).started().await;
    main[0].execute("create table theirs as select 1 as id").await;
    let twin = stage.cluster(2).named("twin", "tw").dcs(json!({"standby_cluster": {
        "host": main[0].address.to_string(), "port": 5432, "create_replica_methods": ["basebackup"],
    }}));
    let twin = twin.laid();
    for node in &twin.nodes {
        node.start();
    }
    until("the twin has a standby leader", async || {
        let leader = twin.leader().await?;
        let member = twin.member(leader).await?;
        ensure(member["role"] == "standby_leader" && member["state"] == "running", || member.to_string())
    })
    .await;
    let said = twin.ctl(&["promote-cluster", "twin", "--force"]).await;
    assert!(said.stdout.contains("cluster is successfully promoted"), "{said:?}");
    let leader = twin.ready().await;
    twin[leader].execute("create table ours as select 1 as id").await;

    let host = main[0].address.to_string();
    let said = twin.ctl(&["demote-cluster", "twin", "--force", "--host", &host, "--port", "5432"]).await;
    assert!(said.stdout.contains("cluster is successfully demoted"), "{said:?}");
    let leader = until("the twin is a standby cluster again", async || {
        let leader = twin.leader().await?;
        let member = twin.member(leader).await?;
        ensure(member["role"] == "standby_leader", || member.to_string())?;
        Ok(leader)
    })
    .await;
    twin.shows(leader, "select pg_is_in_recovery()", "t").await;
    until("REST says who leads it", async || {
        let code = twin[leader].code("/standby-leader").await?;
        ensure(code == 200, || code.to_string())
    })
    .await;
}
