//! Tags: who may lead, who is preferred, who serves, who follows whom.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::settings::own_log;
use crate::harness::wait::{ensure, holds};
use crate::harness::{Cluster, Stage, until};

fn tagged(tags: Value) -> Value {
    json!({"tags": tags})
}

/// Of two replicas that have the same, the one with the higher `failover_priority` takes over.
pub async fn failover_priority(stage: &Stage) {
    let plan = stage.cluster(3).node(1, tagged(json!({"failover_priority": 1})));
    let cluster = plan.node(2, tagged(json!({"failover_priority": 2}))).started().await;
    for index in [1, 2] {
        cluster.caught_up(index, 0).await;
    }
    cluster[0].stop().await;
    cluster.leads(2).await;
    cluster.streams(1).await;
}

/// `nofailover`, and `failover_priority: 0` which is the same, keep a node from leading even when nobody else can;
/// a switchover to it is refused.
pub async fn tag_nofailover(stage: &Stage) {
    let plan = stage.cluster(3).node(1, tagged(json!({"nofailover": true})));
    let cluster = plan.node(2, tagged(json!({"failover_priority": 0}))).started().await;
    assert_eq!(cluster.member(1).await.unwrap()["tags"], json!({"nofailover": true}));
    let answer = cluster[0].call("POST", "/switchover", &json!({"leader": "pg1"})).await;
    assert_eq!((answer.status, &*answer.body), (412, "switchover is not possible: no good candidates have been found"));
    cluster[0].stop().await;
    until("nobody holds the lease", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "there is a leader".to_owned())
    })
    .await;
    holds(Duration::from_secs(8), "nobody takes it", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "there is a leader".to_owned())
    })
    .await;
    cluster[0].start();
    assert_eq!(cluster.ready().await, 0);
}

/// Where a switch and a priority contradict each other, the switch counts and the log tells.
pub async fn tags_that_contradict(stage: &Stage) {
    let tags = json!({"nofailover": true, "failover_priority": 1, "nosync": false, "sync_priority": 0});
    let plan = stage.cluster(2).dcs(json!({"synchronous_mode": true})).node(1, tagged(tags.clone()));
    let cluster = plan.started().await;
    assert_eq!(cluster.member(1).await.unwrap()["tags"].to_string(), tags.to_string(), "in order");
    let log = cluster[1].log();
    for line in [
        "Conflicting configuration between nofailover: True and failover_priority: 1. Defaulting to nofailover: True",
        "Conflicting configuration between nosync: False and sync_priority: 0. Defaulting to nosync: False",
    ] {
        assert!(log.contains(line), "{log}");
    }
    cluster.synchronous(0, &[1]).await;
    cluster[0].stop().await;
    holds(Duration::from_secs(5), "it does not take over", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "there is a leader".to_owned())
    })
    .await;
}

/// A node with `noloadbalance` replicates, and answers no load balancer that looks for replicas.
pub async fn tag_noloadbalance(stage: &Stage) {
    let cluster = stage.cluster(2).node(1, tagged(json!({"noloadbalance": true}))).started().await;
    for (path, code) in [("/replica", 503), ("/read-only", 503), ("/async", 503), ("/health", 200), ("/readiness", 200)]
    {
        until(&format!("GET {path} gives {code}"), async || {
            let found = cluster[1].code(path).await?;
            ensure(found == code, || found.to_string())
        })
        .await;
    }
    cluster[0].stop().await;
    cluster.leads(1).await;
    assert_eq!(cluster[1].code("/primary").await.unwrap(), 200, "it may lead");
}

/// `nosync` keeps a standby from being synchronous; `sync_priority` says which is preferred.
pub async fn tag_nosync_and_sync_priority(stage: &Stage) {
    let plan = stage.cluster(4).dcs(json!({"synchronous_mode": true}));
    let plan = plan.node(1, tagged(json!({"nosync": true}))).node(2, tagged(json!({"sync_priority": 1})));
    let cluster = plan.node(3, tagged(json!({"sync_priority": 2}))).started().await;
    cluster.synchronous(0, &[3]).await;
    cluster[3].stop().await;
    cluster.synchronous(0, &[2]).await;
    cluster[2].stop().await;
    cluster.synchronous(0, &[]).await;
    assert_eq!(cluster[1].code("/async").await.unwrap(), 200);
    cluster[3].start();
    cluster.synchronous(0, &[3]).await;
}

/// A new member is cloned from the one that is tagged `clonefrom`, which spares the leader.
pub async fn tag_clonefrom(stage: &Stage) {
    let plan = stage.cluster(3).with(own_log()).node(1, tagged(json!({"clonefrom": true})));
    let cluster = plan.laid();
    cluster[0].start();
    cluster.leads(0).await;
    cluster[1].start();
    cluster.streams(1).await;
    cluster[2].start();
    cluster.streams(2).await;
    let backups = |index: usize| cluster[index].postgres_log().matches("replication command: BASE_BACKUP").count();
    assert_eq!((backups(0), backups(1)), (1, 1), "pg2 was cloned from pg1, and pg3 from pg2");
}

/// Who streams from node `index`, by name.
async fn standbys_of(cluster: &Cluster, index: usize, expected: &str) {
    let sql = "select string_agg(application_name, ',' order by application_name) from pg_stat_replication \
               where state = 'streaming'";
    cluster.shows(index, sql, expected).await;
}

/// A node with `replicatefrom` streams from that node, through a slot there, and from the leader while that node is
/// away.
pub async fn cascading_replication(stage: &Stage) {
    let plan = stage.cluster(3).node(2, tagged(json!({"replicatefrom": "pg2"})));
    let cluster = plan.started().await;
    standbys_of(&cluster, 0, "pg2").await;
    standbys_of(&cluster, 1, "pg3").await;
    cluster.shows(1, "select active from pg_replication_slots where slot_name = 'pg3'", "t").await;
    cluster[0].execute("create table cascaded as select 1 as id").await;
    cluster.caught_up(2, 0).await;

    cluster[1].stop().await;
    standbys_of(&cluster, 0, "pg3").await;
    cluster[0].execute("insert into cascaded values (2)").await;
    cluster.caught_up(2, 0).await;
    cluster[1].start();
    standbys_of(&cluster, 1, "pg3").await;
    standbys_of(&cluster, 0, "pg2").await;
}

/// When the leader of a cascade goes, its direct replica takes over and the last of the chain goes on.
pub async fn cascading_failover(stage: &Stage) {
    let tags = tagged(json!({"replicatefrom": "pg2", "nofailover": true}));
    let cluster = stage.cluster(3).node(2, tags).started().await;
    standbys_of(&cluster, 1, "pg3").await;
    cluster[0].stop().await;
    cluster.leads(1).await;
    cluster.streams(2).await;
    cluster[1].execute("create table after as select 1 as id").await;
    cluster.caught_up(2, 1).await;
    cluster[0].start();
    cluster.streams(0).await;
    standbys_of(&cluster, 1, "pg1,pg3").await;
}

/// A node with `nostream` does not stream: it replays what is in the archive, holds no slot, and says so.
pub async fn tag_nostream(stage: &Stage) {
    let archive = stage.folder("archive");
    let archiving = json!({"bootstrap": {"dcs": {"postgresql": {"parameters": {
        "archive_mode": "on",
        "archive_command": format!("cp %p {}/%f", archive.display()),
    }}}}});
    let restoring = json!({
        "tags": {"nostream": true},
        "postgresql": {"recovery_conf": {"restore_command": format!("cp {}/%f %p", archive.display())}},
    });
    let cluster = stage.cluster(3).with(archiving).node(2, restoring).laid();
    cluster[0].start();
    cluster.leads(0).await;
    for index in [1, 2] {
        cluster[index].start();
    }
    cluster.streams(1).await;
    until("pg3 replays the archive", async || {
        let member = cluster.member(2).await?;
        ensure(member["replication_state"] == "in archive recovery", || member.to_string())
    })
    .await;
    cluster[0].execute("create table archived as select 1 as id").await;
    cluster[0].execute("select pg_switch_wal()").await;
    cluster.shows(2, "select count(*) from pg_class where relname = 'archived'", "1").await;
    standbys_of(&cluster, 0, "pg2").await;
    assert_eq!(cluster[2].value("show primary_conninfo").await.unwrap(), "");
    cluster.shows(0, "select count(*) from pg_replication_slots where slot_name = 'pg3'", "0").await;
}
