//! Bad input: refused with words, and nobody else notices.

use std::time::Duration;

use serde_json::json;

use crate::harness::disk::Disk;
use crate::harness::rest::{Ask, raw};
use crate::harness::wait::{ensure, holds};
use crate::harness::{Program, Stage, process, until};

/// A second node of the same name does not start while the first answers.
pub async fn duplicate_name(stage: &Stage) {
    let cluster = stage.cluster(2).node(1, json!({"name": "pg1"})).laid();
    cluster[0].start();
    cluster.leads(0).await;
    let session = cluster.dcs.get("leader").await.unwrap().stat.ephemeral_owner;
    cluster[1].start();
    let status = cluster[1].ended().await;
    assert!(!status.success());
    assert!(
        cluster[1].log().contains("CRITICAL: Can't start; there is already a node named 'pg1' running"),
        "{}",
        cluster[1].log()
    );
    assert_eq!(cluster.dcs.get("leader").await.unwrap().stat.ephemeral_owner, session);
    assert!(!cluster[1].data().join("PG_VERSION").exists());

    // Who pushed its member key aside is gone, and Patroni writes it anew at its next look.
    until("the member key is the leader's own", async || {
        let owner = cluster.dcs.get("members/pg1").await?.stat.ephemeral_owner;
        ensure(owner == session, || format!("{owner:#x} owns it"))
    })
    .await;
    // It is told by the name, not by the address that others are given.
    let theirs = json!({"restapi": {"connect_address": format!("{}:8008", cluster[0].address)}});
    cluster[1].reconfigure(&theirs);
    cluster[1].start();
    assert!(!cluster[1].ended().await.success());
    assert_eq!(cluster.dcs.get("leader").await.unwrap().stat.ephemeral_owner, session);
    // Of an earlier life of its own a node is not afraid.
    cluster[0].kill();
    cluster[0].start();
    cluster.leads(0).await;
}

/// A data directory of another cluster is left as it is; its node ends with an error.
pub async fn foreign_system_identifier(stage: &Stage) {
    let cluster = stage.cluster(2).laid();
    let mut initdb = cluster[1].postgres_program("initdb");
    initdb.arg("-D").arg(cluster[1].data()).args(["-U", "postgres", "-A", "trust", "--no-sync"]);
    assert_eq!(process::run(initdb, Duration::from_secs(60)).await.code, Some(0));
    std::fs::write(cluster[1].data().join("a-file-of-theirs"), "").unwrap();
    cluster[0].start();
    cluster.leads(0).await;
    cluster[1].start();
    let status = cluster[1].ended().await;
    assert!(!status.success());
    assert!(cluster[1].data().join("a-file-of-theirs").exists());
    assert_eq!(cluster.leader().await, Ok(0));
    let mut control = cluster[1].postgres_program("pg_controldata");
    control.arg(cluster[1].data());
    let control = process::run(control, Duration::from_secs(60)).await.stdout;
    let ours = cluster.dcs.get("initialize").await.unwrap().data;
    assert!(control.contains("system identifier") && !control.contains(&ours), "{control}");
}

/// A folder full of other things is never taken for a data directory, never emptied.
pub async fn foreign_folder(stage: &Stage) {
    let cluster = stage.cluster(2).laid();
    let data = stage.folder(&format!("{}/pg2/data", cluster.scope));
    std::fs::write(data.join("thesis.txt"), "years of work").unwrap();
    cluster[0].start();
    cluster.leads(0).await;
    cluster[1].start();
    holds(Duration::from_secs(10), "it is left alone", async || {
        let text = std::fs::read_to_string(data.join("thesis.txt")).map_err(|error| error.to_string())?;
        ensure(text == "years of work", || text)?;
        ensure(cluster[1].postmaster().is_none(), || "PostgreSQL runs there".to_owned())
    })
    .await;
    assert_eq!(cluster.leader().await, Ok(0));
}

/// With a wrong password a replica is not made, and the leader does not care; with the right one it is.
pub async fn wrong_replication_password(stage: &Stage) {
    let wrong = json!({"postgresql": {"authentication": {"replication": {"password": "wrong"}}}});
    let cluster = stage.cluster(2).node(1, wrong).laid();
    cluster[0].start();
    cluster.leads(0).await;
    cluster[1].start();
    until("the log says why", async || {
        ensure(cluster[1].log().contains("password authentication failed"), || "it does not".to_owned())
    })
    .await;
    assert!(!cluster[1].data().join("PG_VERSION").exists());
    let right = json!({"postgresql": {"authentication": {"replication": {
        "password": crate::harness::settings::REPLICATOR_PASSWORD,
    }}}});
    cluster[1].reconfigure(&right);
    cluster[1].signal(nix::sys::signal::Signal::SIGHUP);
    cluster.streams(1).await;
    assert_eq!(cluster.leader().await, Ok(0));
}

/// A YAML file that is none, or lacks what is needed, is an error that names it.
pub async fn bad_yaml(stage: &Stage) {
    let cluster = stage.cluster(1).laid();
    for text in
        ["scope: [unclosed\n", "name: pg1\nrestapi: {listen: 127.0.0.1:8008, connect_address: 127.0.0.1:8008}\n"]
    {
        std::fs::write(cluster[0].yaml(), text).unwrap();
        cluster[0].start();
        let status = cluster[0].ended().await;
        assert!(!status.success(), "{text:?} was taken");
        let log = cluster[0].log();
        // Patroni looks for its DCS before it looks for anything else, and names only that.
        let patroni = stage.cast.program(0) == Program::Patroni && log.contains("distributed configuration store");
        assert!(log.contains("postgres.yml") || log.contains("scope") || patroni, "{log}");
        std::fs::remove_file(cluster[0].log_path()).unwrap();
    }
}

/// REST bodies that are garbage, or a hundred megabytes, get an error, and the leader stays one.
pub async fn bad_bodies(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let server = cluster[0].rest_address();
    let session = cluster.dcs.get("leader").await.unwrap().stat.ephemeral_owner;
    for path in ["/switchover", "/failover", "/restart"] {
        for body in ["garbage", "[1", "\u{1}\u{2}", "\"text\""] {
            let answer = Ask::new("POST", path).body(body).send(server).await.unwrap();
            assert_eq!(answer.status, 400, "POST {path} {body:?}");
        }
    }
    for (method, path) in [("POST", "/switchover"), ("PATCH", "/config"), ("PUT", "/config")] {
        let answer = raw(server, &format!("{method} {path} HTTP/1.0\r\n\r\n")).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 411 "), "{method} {path} without a body: {answer}");
    }
    let huge = format!("{{\"a\": \"{}\"", "x".repeat(100_000_000));
    let answer = Ask::new("PATCH", "/config").body(&huge).patient().send(server).await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status >= 400), "{:?}", answer.map(|answer| answer.status));
    let garbage = raw(server, "\u{0}\u{1}garbage\r\n\r\n").await;
    assert!(!garbage.unwrap_or_default().contains(" 200 "));
    for (method, path) in [("POST", "/nosuch"), ("PUT", "/nosuch"), ("DELETE", "/nosuch"), ("PATCH", "/nosuch")] {
        let answer = Ask::new(method, path).body("{}").send(server).await.unwrap();
        assert_eq!(answer.status, 501, "{method} {path}");
    }
    assert_eq!(cluster.ready().await, 0);
    assert_eq!(cluster.dcs.get("leader").await.unwrap().stat.ephemeral_owner, session);
    assert_eq!(cluster.dcs.json("config").await.unwrap()["loop_wait"], 2);
}

/// The leader's disk is full: it does not keep the lease while its PostgreSQL cannot write, nothing that it has
/// acknowledged is lost, and when there is room again it follows with the data that it has.
pub async fn full_disk(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).laid();
    stage.folder(&format!("{}/{}/data", cluster.scope, cluster[0].name));
    let disk = match Disk::new(&cluster[0].data(), 256) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    cluster[0].start();
    cluster.leads(0).await;
    cluster[1].start();
    cluster.streams(1).await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    let version = || std::fs::metadata(cluster[0].data().join("PG_VERSION")).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&version());
    disk.fill();
    until("the other node leads", async || {
        // A new WAL file has no room; PostgreSQL gives up for that again and again.
        let _ = cluster[0].value("select pg_switch_wal()").await;
        ensure(cluster.leader().await? == 1, || "the full one holds the lease".to_owned())
    })
    .await;
    cluster.leads(1).await;
    writer.progresses().await;
    assert!(cluster[0].log().contains("No space left on device"), "{}", cluster[0].log());
    disk.free();
    cluster.streams(0).await;
    cluster.synchronous(1, &[0]).await;
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&version()), inode, "a new copy was made");
    cluster.nothing_lost(writer, 1).await;
    cluster[0].kill();
}

/// Every refusal of the calls that change something: code and words.
pub async fn refusals(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    for (method, path, body, status, words) in [
        ("POST", "/failover", json!({"foo": "bar"}), 400, "Failover could be performed only to a specific candidate"),
        ("POST", "/failover", json!({"candidate": "nosuch"}), 412, "candidate does not exists"),
        (
            "POST",
            "/failover",
            json!({"candidate": "pg2", "scheduled_at": "2199-01-01T00:00:00+00:00"}),
            400,
            "Failover can't be scheduled",
        ),
        (
            "POST",
            "/switchover",
            json!({"candidate": "pg2"}),
            400,
            "Switchover could be performed only from a specific leader",
        ),
        ("POST", "/switchover", json!({"leader": "pg2"}), 412, "leader name does not match"),
        (
            "POST",
            "/switchover",
            json!({"leader": "pg1", "candidate": "pg1"}),
            400,
            "Switchover target and source are the same",
        ),
        (
            "POST",
            "/switchover",
            json!({"leader": "pg1", "candidate": "nosuch"}),
            412,
            "candidate name does not match with sync_standby",
        ),
        (
            "POST",
            "/restart",
            json!({"role": "x"}),
            400,
            "PostgreSQL role should be either primary, standby_leader, or replica",
        ),
        (
            "POST",
            "/restart",
            json!({"postgres_version": "9"}),
            400,
            "Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted: 9",
        ),
        ("POST", "/restart", json!({"timeout": "0"}), 400, "Timeout should be a positive number of seconds"),
        ("POST", "/restart", json!({"foo": 1}), 400, "Unknown filter for the scheduled restart: foo"),
        ("POST", "/restart", json!({"role": "replica"}), 503, "restart conditions are not satisfied"),
        ("POST", "/reinitialize", json!({}), 503, "I am the leader, can not reinitialize"),
        ("DELETE", "/restart", json!({}), 404, "no restarts are scheduled"),
        ("DELETE", "/switchover", json!({}), 404, "no switchover is scheduled"),
    ] {
        let answer = cluster[0].call(method, path, &body).await;
        assert_eq!((answer.status, &*answer.body), (status, words), "{method} {path} {body}");
        assert_eq!(answer.header("content-type"), "text/html");
    }
    assert_eq!(cluster.ready().await, 0);
}
