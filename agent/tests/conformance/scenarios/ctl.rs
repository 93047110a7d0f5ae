//! patronictl works against the agent as it works against Patroni.

use serde_json::json;

use super::failover::history_tells;
use crate::harness::wait::ensure;
use crate::harness::{Stage, until};

/// What only reads: list, topology, dsn, query, show-config, history, version.
pub async fn ctl_reads(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let scope = cluster.scope.as_str();

    let list = cluster.ctl(&["list", scope, "-f", "json"]).await.json();
    let row = |name: &str| {
        let mut rows = list.as_array().unwrap().iter();
        rows.find(|row| row["Member"] == name).cloned().unwrap_or_else(|| panic!("{name} in {list}"))
    };
    assert_eq!((&row("pg1")["Role"], &row("pg1")["State"]), (&json!("Leader"), &json!("running")), "{list}");
    assert_eq!((&row("pg2")["Role"], &row("pg2")["State"]), (&json!("Sync Standby"), &json!("streaming")), "{list}");
    assert_eq!(row("pg2")["TL"], 1);
    assert_eq!(row("pg2")["Host"], cluster[1].address.to_string());
    assert!(row("pg2")["Replay LSN"].as_str().is_some_and(|lsn| lsn.contains('/')), "{list}");

    let topology = cluster.ctl(&["topology", scope]).await.stdout;
    assert!(topology.contains("| + pg2 "), "the replica hangs below the leader:\n{topology}");
    let dsn = cluster.ctl(&["dsn", scope, "--role", "leader"]).await.stdout;
    assert_eq!(dsn.trim(), format!("host={} port=5432", cluster[0].address));
    let recovering = ["query", scope, "-U", "postgres", "-d", "postgres", "--format", "tsv", "-c"];
    for (role, answer) in [("primary", "False"), ("replica", "True")] {
        let ask = [&recovering[..], &["select pg_is_in_recovery() as r", "--role", role]].concat();
        let said = cluster.ctl(&ask).await.stdout;
        assert!(said.contains(answer), "{role}: {said}");
    }
    let config = cluster.ctl(&["show-config", scope]).await.stdout;
    assert!(config.contains("synchronous_mode: true\n") && config.contains("wal_log_hints: 'on'"), "{config}");
    assert_eq!(cluster.ctl(&["history", scope, "-f", "json"]).await.json(), json!([]));
    let version = cluster.ctl(&["version", scope]).await.stdout;
    let lines = version.lines().filter(|line| line.starts_with("pg") && line.contains("PostgreSQL 1"));
    assert_eq!(lines.count(), 2, "{version}");
}

/// edit-config changes what PostgreSQL does, and takes it back.
pub async fn ctl_edit_config(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let scope = cluster.scope.as_str();
    let edit = |pairs: &'static [&'static str]| [&["edit-config", scope, "--force", "--quiet"], pairs].concat();
    let said = cluster.ctl(&edit(&["-s", "loop_wait=3", "-p", "work_mem=8MB"])).await;
    assert!(said.stdout.contains("Configuration changed"), "{said:?}");
    for node in [0, 1] {
        cluster.shows(node, "show work_mem", "8MB").await;
        assert_eq!(cluster[node].get("/config").await.unwrap().json()["loop_wait"], 3);
    }
    cluster.ctl(&edit(&["-p", "work_mem=null"])).await;
    cluster.shows(0, "show work_mem", "4MB").await;
    cluster.shows(1, "show work_mem", "4MB").await;
    // Nothing was restarted and nobody lost the lease for it.
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 1);
}

/// A switchover to a named candidate, and one that lets the cluster choose; nothing is lost.
pub async fn ctl_switchover(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let scope = cluster.scope.as_str();
    let writer = cluster.writer(0).await;
    let said = cluster.ctl(&["switchover", scope, "--leader", "pg1", "--candidate", "pg2", "--force"]).await;
    assert!(said.text().contains(r#"Successfully switched over to "pg2""#), "{said:?}");
    cluster.leads(1).await;
    cluster.streams(0).await;
    cluster.synchronous(1, &[0]).await;
    writer.progresses().await;

    let said = cluster.ctl(&["switchover", scope, "--leader", "pg2", "--force"]).await;
    assert!(said.text().contains(r#"Successfully switched over to "pg1""#), "{said:?}");
    cluster.leads(0).await;
    cluster.streams(1).await;
    history_tells(&cluster, &[(1, "pg2"), (2, "pg1")]).await;
    assert_eq!(cluster.dcs.get("failover").await.unwrap().data, "{}");
    let history = cluster.ctl(&["history", scope, "-f", "json"]).await.json();
    assert_eq!(history[1]["New Leader"], "pg1", "{history}");
    cluster.nothing_lost(writer, 0).await;
}

/// What cannot be done is refused, with a reason, and changes nothing.
pub async fn ctl_switchover_refused(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let scope = cluster.scope.as_str();
    for arguments in [
        &["switchover", scope, "--leader", "pg2", "--force"][..],
        &["switchover", scope, "--leader", "pg1", "--candidate", "pg1", "--force"],
        &["switchover", scope, "--leader", "pg1", "--candidate", "nobody", "--force"],
        &["failover", scope, "--candidate", "nobody", "--force"],
    ] {
        let said = cluster.try_ctl(arguments).await;
        assert!(!said.text().contains("Successfully"), "{said:?}");
    }
    assert_eq!(cluster.leader().await, Ok(0));
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 1);
}

/// A failover by hand while the leader is well.
pub async fn ctl_failover(stage: &Stage) {
    let cluster = stage.cluster(3).started().await;
    let said = cluster.ctl(&["failover", &cluster.scope, "--candidate", "pg3", "--force"]).await;
    assert!(said.text().contains(r#"Successfully failed over to "pg3""#), "{said:?}");
    cluster.leads(2).await;
    cluster.streams(0).await;
    cluster.streams(1).await;
}

/// restart: a replica, the leader (which stays the leader), all of one role.
pub async fn ctl_restart(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let scope = cluster.scope.as_str();
    let before = [cluster[0].started_at().await.unwrap(), cluster[1].started_at().await.unwrap()];
    let said = cluster.ctl(&["restart", scope, "pg2", "--force"]).await;
    assert!(said.stdout.contains("Success: restart on member pg2"), "{said:?}");
    assert_ne!(cluster[1].started_at().await.unwrap(), before[1]);
    assert_eq!(cluster[0].started_at().await.unwrap(), before[0]);
    cluster.streams(1).await;

    let said = cluster.ctl(&["restart", scope, "--role", "primary", "--force"]).await;
    assert!(said.stdout.contains("Success: restart on member pg1"), "{said:?}");
    assert_ne!(cluster[0].started_at().await.unwrap(), before[0]);
    assert_eq!(cluster.ready().await, 0);
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 1);

    let said = cluster.try_ctl(&["restart", scope, "--pending", "--force"]).await;
    assert!(!said.stdout.contains("Success: restart on"), "nothing is pending: {said:?}");
}

/// reload: what changed in a node's own YAML comes into force.
pub async fn ctl_reload(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    cluster[1].reconfigure(&json!({"postgresql": {"parameters": {"work_mem": "6MB"}}, "tags": {"city": "Tomsk"}}));
    let said = cluster.ctl(&["reload", &cluster.scope, "pg2", "--force"]).await;
    assert!(said.stdout.contains("Reload request received for member pg2"), "{said:?}");
    cluster.shows(1, "show work_mem", "6MB").await;
    assert_eq!(cluster[0].value("show work_mem").await.unwrap(), "4MB");
    until("the member key has the new tag", async || {
        let tags = cluster.member(1).await?["tags"].clone();
        ensure(tags == json!({"city": "Tomsk"}), || tags.to_string())
    })
    .await;
}

/// reinit makes a replica anew; a leader refuses it.
pub async fn ctl_reinit(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let scope = cluster.scope.as_str();
    std::fs::write(cluster[1].data().join("a-file-of-ours"), "").unwrap();
    let said = cluster.ctl(&["reinit", scope, "pg2", "--force", "--wait"]).await;
    assert!(said.stdout.contains("Success: reinitialize for member pg2"), "{said:?}");
    assert!(said.stdout.contains("Reinitialize is completed on: pg2"), "{said:?}");
    assert!(!cluster[1].data().join("a-file-of-ours").exists(), "the data directory was made anew");
    cluster.streams(1).await;

    let answer = cluster[0].call("POST", "/reinitialize", &json!({"force": true})).await;
    assert_eq!((answer.status, &*answer.body), (503, "I am the leader, can not reinitialize"));
    assert_eq!(cluster.leader().await, Ok(0));
}

/// pause and resume, awaited on every member, and what list says meanwhile.
pub async fn ctl_pause(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let scope = cluster.scope.as_str();
    let said = cluster.ctl(&["pause", scope, "--wait"]).await;
    assert!(said.stdout.contains("Success: cluster management is paused"), "{said:?}");
    for node in [0, 1] {
        assert_eq!(cluster.member(node).await.unwrap()["pause"], true);
        assert_eq!(cluster[node].status().await.unwrap()["pause"], true);
    }
    assert!(cluster.ctl(&["list", scope]).await.stdout.contains("Maintenance mode: on"));
    assert_eq!(cluster[0].get("/cluster").await.unwrap().json()["pause"], true);
    let said = cluster.ctl(&["resume", scope, "--wait"]).await;
    assert!(said.stdout.contains("Success: cluster management is resumed"), "{said:?}");
    for node in [0, 1] {
        assert_eq!(cluster.member(node).await.unwrap().get("pause"), None);
    }
    assert_eq!(cluster.dcs.json("config").await.unwrap().get("pause"), None);
}

/// flush takes back what was scheduled; list and REST tell of it until then.
pub async fn ctl_flush(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let scope = cluster.scope.as_str();
    let far = "2199-01-01T00:00:00+00:00";
    let said = cluster.ctl(&["restart", scope, "pg2", "--scheduled", far, "--force"]).await;
    assert!(said.stdout.contains("Success: restart scheduled on member pg2"), "{said:?}");
    assert_eq!(cluster[1].status().await.unwrap()["scheduled_restart"]["schedule"], far);
    until("the member key tells of the restart", async || {
        let scheduled = cluster.member(1).await?["scheduled_restart"]["schedule"].clone();
        ensure(scheduled == far, || scheduled.to_string())
    })
    .await;
    let said = cluster.ctl(&["flush", scope, "pg2", "restart", "--force"]).await;
    assert!(said.stdout.contains("Success: flush scheduled restart for member pg2"), "{said:?}");
    assert_eq!(cluster[1].status().await.unwrap().get("scheduled_restart"), None);

    let plan = ["switchover", scope, "--leader", "pg1", "--candidate", "pg2", "--scheduled", far, "--force"];
    assert!(cluster.ctl(&plan).await.text().contains("Switchover scheduled"));
    let planned = cluster[0].get("/cluster").await.unwrap().json()["scheduled_switchover"].clone();
    assert_eq!(planned, json!({"at": far, "from": "pg1", "to": "pg2"}));
    let said = cluster.ctl(&["flush", scope, "switchover", "--force"]).await;
    assert!(said.stdout.contains("scheduled switchover deleted"), "{said:?}");
    until("no switchover is planned", async || {
        let cluster = cluster[0].get("/cluster").await?.json();
        ensure(cluster.get("scheduled_switchover").is_none(), || cluster.to_string())
    })
    .await;
    assert_eq!(cluster.leader().await, Ok(0));
}

/// remove, with its questions answered, leaves no key of the cluster behind.
pub async fn ctl_remove(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    for index in [1, 0] {
        cluster[index].stop().await;
    }
    until("the leader key is gone", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "it is there".to_owned())
    })
    .await;
    let answers = format!("{}\nYes I am aware\n", cluster.scope);
    let said = cluster.ctl_with(&["remove", &cluster.scope], &answers).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(cluster.dcs.children("").await.unwrap(), Vec::<String>::new());
}
