//! From nothing to a cluster: who writes which key, in which order, with what in it.

use serde_json::json;

use super::shape::{golden_key, key_shape, shape};
use crate::harness::wait::ensure;
use crate::harness::{Stage, until};

/// Two nodes in synchronous mode come to the very keys that were captured from Patroni, key for key and type for
/// type.
pub async fn bootstrap_layout(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;

    let expected = ["config", "initialize", "leader", "members", "members/pg1", "members/pg2", "status", "sync"];
    until("the cluster's keys are those of the capture", async || {
        let names: Vec<_> = cluster.dcs.tree().await?.into_keys().collect();
        // A failover key emptied, or a history without an entry, may be there: Patroni leaves them behind.
        let names: Vec<_> = names.into_iter().filter(|name| !["failover", "history"].contains(&&**name)).collect();
        ensure(names == expected, || format!("{names:?}"))
    })
    .await;
    for name in ["members/pg1", "members/pg2", "status", "sync"] {
        until(&format!("{name} has the shape of the capture"), async || {
            let (found, golden) = (key_shape(&cluster, name).await?, shape(&golden_key(name)));
            ensure(found == golden, || format!("it is  {found}\nand not {golden}"))
        })
        .await;
    }

    let tree = cluster.dcs.tree().await.unwrap();
    for name in ["config", "members/pg1", "members/pg2", "status", "sync"] {
        let compact = serde_json::to_string(&tree[name].json()).unwrap();
        assert_eq!(tree[name].data, compact, "{name} is compact JSON");
    }
    let lasting: Vec<_> = tree.iter().filter(|(_, key)| key.stat.ephemeral_owner == 0).map(|(name, _)| name).collect();
    assert_eq!(lasting, ["config", "initialize", "members", "status", "sync"], "these keys outlive a session");
    let owner = |name: &str| tree[name].stat.ephemeral_owner;
    assert_eq!(owner("leader"), owner("members/pg1"), "one session holds the lease and the member key");
    assert_eq!(tree["leader"].data, "pg1");
    assert_eq!(tree["sync"].data, r#"{"leader":"pg1","quorum":0,"sync_standby":"pg2"}"#);

    let system = cluster[0].value("select system_identifier from pg_control_system()").await.unwrap();
    assert_eq!(tree["initialize"].data, system);
    assert_eq!(cluster[1].value("select system_identifier from pg_control_system()").await.unwrap(), system);
    assert_eq!(tree["config"].json()["synchronous_mode"], true);
    assert_eq!(tree["config"].json()["postgresql"]["parameters"]["wal_log_hints"], "on");
    let member = tree["members/pg1"].json();
    assert_eq!(member["conn_url"], format!("postgres://{}:5432/postgres", cluster[0].address));
    assert_eq!(member["api_url"], format!("http://{}:8008/patroni", cluster[0].address));
    let version: Vec<u32> =
        member["version"].as_str().unwrap().split('.').map(|part| part.parse().expect("a dotted number")).collect();
    assert!(version >= vec![4, 1, 0], "peers treat {version:?} as one of before 4.1");
}

/// The keys come into being in the order that a reader of half a bootstrap relies on.
pub async fn bootstrap_order(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let tree = cluster.dcs.tree().await.unwrap();
    let made = |name: &str| tree[name].stat.czxid;
    assert!(made("members/pg1") < made("initialize"), "a node makes itself known before it races");
    assert!(
        made("initialize") < tree["initialize"].stat.mzxid,
        "the race is won before initdb, its result comes after"
    );
    assert!(tree["initialize"].stat.mzxid < made("config"));
    assert!(made("config") < made("leader"));
    assert!(made("leader") < made("status"));
    assert!(made("leader") < made("sync"));
    assert_eq!(tree["initialize"].stat.version, 1);
    assert_eq!(tree["config"].stat.version, 0);
}

/// Two nodes that start together agree on one that bootstraps; the other is cloned from it.
pub async fn bootstrap_race(stage: &Stage) {
    let cluster = stage.cluster(3).laid();
    for node in &cluster.nodes {
        node.start();
    }
    let leader = cluster.ready().await;
    let mut systems = Vec::new();
    for node in &cluster.nodes {
        systems.push(node.value("select system_identifier from pg_control_system()").await.unwrap());
    }
    assert!(systems.iter().all(|system| *system == systems[0]), "one cluster was made: {systems:?}");
    let slots = "select string_agg(slot_name, ',' order by slot_name) from pg_replication_slots where active";
    let others: Vec<_> = (0..3).filter(|index| *index != leader).map(|index| cluster[index].name.clone()).collect();
    cluster.shows(leader, slots, &others.join(",")).await;
    assert_eq!(cluster[leader].value("select timeline_id from pg_control_checkpoint()").await.unwrap(), "1");
}
