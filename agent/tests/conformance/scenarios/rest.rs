//! The REST API that load balancers, peers and people read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::pause::pause;
use super::shape::{golden_body, shape};
use crate::harness::rest::{Ask, raw};
use crate::harness::wait::ensure;
use crate::harness::{Cluster, Stage, until};

/// Path, and the codes that the leader and a replica answer.
type Row = (&'static str, u16, u16);

/// What does not depend on how the standby replicates.
const MATRIX: &[Row] = &[
    ("/", 200, 503),
    ("/primary", 200, 503),
    ("/master", 200, 503),
    ("/read-write", 200, 503),
    ("/leader", 200, 503),
    ("/standby-leader", 503, 503),
    ("/standby_leader", 503, 503),
    ("/replica", 503, 200),
    ("/replica?lag=0", 503, 200),
    ("/replica?lag=10MB", 503, 200),
    ("/replica?lag=nonsense", 503, 200),
    ("/replica?tag_clonefrom=false", 503, 503),
    ("/replica?tag_x=y", 503, 503),
    ("/replica?tag_city=Omsk", 503, 200),
    ("/replica?tag_city=Omsk&tag_floor=2", 503, 200),
    ("/replica?tag_city=Omsk&tag_floor=3", 503, 503),
    ("/read-only", 200, 200),
    ("/read-only?tag_x=y", 503, 503),
    ("/health", 200, 200),
    ("/anything/health", 200, 200),
    ("/liveness", 200, 200),
    ("/readiness", 200, 200),
    ("/readiness?mode=write&lag=1", 200, 200),
    ("/patroni", 200, 200),
    ("/cluster", 200, 200),
    ("/history", 200, 200),
    ("/config", 200, 200),
    ("/metrics", 200, 200),
    ("/failsafe", 502, 502),
    ("/nosuch", 503, 503),
];

/// The replica is the synchronous standby.
const SYNCHRONOUS: &[Row] = &[
    ("/sync", 503, 200),
    ("/synchronous", 503, 200),
    ("/read-only-sync", 200, 200),
    ("/quorum", 503, 503),
    ("/read-only-quorum", 200, 503),
    ("/async", 503, 503),
    ("/asynchronous", 503, 503),
];

/// Nothing is synchronous.
const ASYNCHRONOUS: &[Row] = &[
    ("/sync", 503, 503),
    ("/synchronous", 503, 503),
    ("/read-only-sync", 200, 503),
    ("/quorum", 503, 503),
    ("/read-only-quorum", 200, 503),
    ("/async", 503, 200),
    ("/asynchronous", 503, 200),
];

/// The replica is a quorum standby.
pub const QUORUM: &[Row] = &[
    ("/sync", 503, 503),
    ("/read-only-sync", 200, 503),
    ("/quorum", 503, 200),
    ("/read-only-quorum", 200, 200),
    ("/async", 503, 503),
];

/// Wait until the leader 0 and the replica 1 answer as the rows say.
pub async fn answers(cluster: &Cluster, rows: &[Row]) {
    for (path, leader, replica) in rows {
        until(&format!("GET {path} gives {leader} on the leader and {replica} on the replica"), async || {
            let codes = (cluster[0].code(path).await?, cluster[1].code(path).await?);
            ensure(codes == (*leader, *replica), || format!("{codes:?}"))
        })
        .await;
    }
}

/// Every health check's status code on the leader and on a synchronous, then an asynchronous replica.
pub async fn rest_status_matrix(stage: &Stage) {
    let tags = json!({"tags": {"city": "Omsk", "floor": 2, "clonefrom": false}});
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).with(tags).started().await;
    cluster.synchronous(0, &[1]).await;
    answers(&cluster, MATRIX).await;
    answers(&cluster, SYNCHRONOUS).await;

    // A load balancer asks with OPTIONS or HEAD, and reads the status line only.
    for (path, leader, replica) in SYNCHRONOUS.iter().chain(&MATRIX[..16]) {
        for (node, code) in [(0, leader), (1, replica)] {
            for method in ["OPTIONS", "HEAD"] {
                let answer = Ask::new(method, path).send(cluster[node].rest_address()).await.unwrap();
                assert_eq!((answer.status, answer.body.as_str()), (*code, ""), "{method} {path} on node {node}");
            }
        }
    }
    for (method, path, line) in [
        ("OPTIONS", "/primary", "HTTP/1.0 200 OK\r\n\r\n"),
        ("HEAD", "/primary", "HTTP/1.0 200 OK\r\n\r\n"),
        ("OPTIONS", "/replica", "HTTP/1.0 503 Service Unavailable\r\n\r\n"),
    ] {
        let answer = raw(cluster[0].rest_address(), &format!("{method} {path} HTTP/1.0\r\n\r\n")).await.unwrap();
        assert_eq!(answer, line, "HAProxy's own request: {method} {path}");
    }

    cluster.edit_config(json!({"synchronous_mode": null})).await;
    answers(&cluster, ASYNCHRONOUS).await;
}

/// A replica that stands still lags behind: `lag` filters say so, in bytes and in units.
pub async fn rest_replica_lag(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    cluster[0].execute("create table filler as select 1 as a").await;
    cluster.caught_up(1, 0).await;
    // Else the node would resume the replay at its next look.
    pause(&cluster, true).await;
    cluster[1].execute("select pg_wal_replay_pause()").await;
    cluster[0].execute("insert into filler select generate_series(1, 100000)").await;
    let rows: &[Row] = &[("/replica", 503, 200), ("/replica?lag=1MB", 503, 503), ("/replica?lag=1GB", 503, 200)];
    answers(&cluster, rows).await;
    answers(&cluster, &[("/read-only?lag=1000", 200, 503), ("/async?lag=1000", 503, 503)]).await;
    let status = cluster[1].status().await.unwrap();
    assert_eq!(status["xlog"]["paused"], true, "{status}");
    cluster[1].execute("select pg_wal_replay_resume()").await;
    answers(&cluster, &[("/replica?lag=1MB", 503, 200)]).await;
}

/// Bodies: keys and their order, types and spacing as Patroni writes them.
pub async fn rest_bodies(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    // A commit that has been replayed gives the replica a time to report.
    cluster[0].execute("create table something as select 1 as a").await;
    cluster.caught_up(1, 0).await;

    for node in &cluster.nodes {
        until(&format!("{} answers /patroni in the captured shape", node.name), async || {
            let (found, golden) = (shape(&node.status().await?), shape(&golden_body(&node.name, "/patroni")));
            ensure(found == golden, || format!("it is  {found}\nand not {golden}"))
        })
        .await;
        let same = shape(&node.get("/health").await.unwrap().json());
        assert_eq!(same, shape(&golden_body(&node.name, "/patroni")), "health checks answer the same body");
    }
    until("/cluster has the captured shape", async || {
        let (found, golden) = (cluster[0].get("/cluster").await?.json(), golden_body("pg1", "/cluster"));
        ensure(shape(&found) == shape(&golden), || format!("it is  {found}\nand not {golden}"))
    })
    .await;
    let answer = cluster[1].get("/cluster").await.unwrap();
    let members = answer.json()["members"].clone();
    assert_eq!((&members[0]["role"], &members[1]["role"]), (&json!("leader"), &json!("sync_standby")));
    assert_eq!((&members[0]["state"], &members[1]["state"]), (&json!("running"), &json!("streaming")));
    assert_eq!(answer.json()["scope"], "rest_bodies");

    let answer = cluster[0].get("/patroni").await.unwrap();
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.body.starts_with(r#"{"state": "running", "postmaster_start_time": ""#), "{}", answer.body);
    assert_eq!(answer.json()["patroni"]["scope"], "rest_bodies");
    assert_eq!(answer.json()["patroni"]["name"], "pg1");
    let system = cluster[0].value("select system_identifier from pg_control_system()").await.unwrap();
    assert_eq!(answer.json()["database_system_identifier"], system);

    assert_eq!(cluster[1].get("/history").await.unwrap().body, "[]");
    let config = cluster[1].get("/config").await.unwrap();
    let key = cluster.dcs.get("config").await.unwrap();
    assert_eq!(serde_json::to_string(&config.json()).unwrap(), key.data, "/config is the key, in its order");
    assert!(config.body.contains(r#""ttl": 20, "loop_wait": 2"#), "{}", config.body);
}

/// The names of the metrics on a leader and on a replica, and some of their values.
pub async fn rest_metrics(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let names = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())).collect()
    };
    let expected: BTreeSet<String> = METRICS.iter().map(|name| format!("patroni_{name}")).collect();
    let mut bodies = Vec::new();
    for node in &cluster.nodes {
        let answer = node.get("/metrics").await.unwrap();
        assert!(answer.header("content-type").starts_with("text/plain"), "{:?}", answer.headers);
        let found = names(&answer.body);
        assert!(expected.is_subset(&found), "missing: {:?}", expected.difference(&found));
        bodies.push(answer.body);
    }
    let label = r#"{scope="rest_metrics",name="pg1"}"#;
    for line in ["patroni_primary", "patroni_postgres_running", "patroni_postgres_timeline", "patroni_version"] {
        let value = if line == "patroni_version" { "040" } else { "1" };
        assert!(bodies[0].contains(&format!("{line}{label} {value}")), "{line} in\n{}", bodies[0]);
    }
    assert!(bodies[1].contains(r#"patroni_replica{scope="rest_metrics",name="pg2"} 1"#), "{}", bodies[1]);
    assert!(bodies[1].contains(r#"patroni_postgres_streaming{scope="rest_metrics",name="pg2"} 1"#), "{}", bodies[1]);
}

const METRICS: &[&str] = &[
    "cluster_unlocked",
    "dcs_last_seen",
    "failsafe_mode_is_active",
    "is_paused",
    "pending_restart",
    "postgres_in_archive_recovery",
    "postgres_running",
    "postgres_server_version",
    "postgres_state",
    "postgres_streaming",
    "postgres_timeline",
    "postmaster_start_time",
    "primary",
    "quorum_standby",
    "replica",
    "standby_leader",
    "sync_standby",
    "version",
    "xlog_location",
    "xlog_paused",
    "xlog_received_location",
    "xlog_replayed_location",
    "xlog_replayed_timestamp",
];

/// The `replicatefrom`, `nosync` … of the tags come back as they were written, those that are false left out.
pub async fn rest_tags(stage: &Stage) {
    let tags = json!({"zone": "1", "nofailover": false, "clonefrom": true, "floor": 2, "noloadbalance": false});
    let cluster = stage.cluster(2).node(1, json!({"tags": tags})).started().await;
    let expected = r#"{"zone":"1","clonefrom":true,"floor":2}"#;
    let text = |value: &Value| serde_json::to_string(value).unwrap();
    assert_eq!(text(&cluster.member(1).await.unwrap()["tags"]), expected);
    assert_eq!(text(&cluster[1].status().await.unwrap()["tags"]), expected);
    assert!(cluster.member(0).await.unwrap().get("tags").is_none());
    let members = cluster[0].get("/cluster").await.unwrap().json()["members"].clone();
    assert_eq!(text(&members[1]["tags"]), expected);
}

/// The wire: status lines, headers, error pages, and what is not there.
pub async fn rest_wire(stage: &Stage) {
    let headers = json!({"restapi": {"http_extra_headers": {"X-Frame-Options": "DENY"}, "server_tokens": "Minimal"}});
    let cluster = stage.cluster(1).with(headers).started().await;
    let server = cluster[0].rest_address();
    let ask = async |text: &str| raw(server, text).await.unwrap();
    for (request, whole) in [
        ("GET /liveness HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"),
        ("GET /readiness HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"),
        ("HEAD /health HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"),
        ("OPTIONS /anything/replica HTTP/1.0\r\n\r\n", "HTTP/1.0 503 Service Unavailable\r\n\r\n"),
        ("OPTIONS /liveness HTTP/1.0\r\n\r\n", "HTTP/1.0 503 Service Unavailable\r\n\r\n"),
    ] {
        assert_eq!(ask(request).await, whole, "{request:?}");
    }
    let status = ask("GET /patroni HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n").await;
    let (head, body) = status.split_once("\r\n\r\n").unwrap();
    let lines: Vec<_> = head.split("\r\n").collect();
    assert_eq!((lines[0], lines[1]), ("HTTP/1.0 200 OK", "Server: Patroni/4.1.5"), "{head}");
    assert!(lines[2].starts_with("Date: ") && lines[2].ends_with(" GMT"), "{head}");
    assert_eq!(lines[3..], ["Content-Type: application/json", "X-Frame-Options: DENY"], "{head}");
    assert!(body.starts_with("{\"state\": \"running\""), "{body}");
    for (request, line, words) in [
        ("POST /nosuch HTTP/1.0\r\n\r\n", "HTTP/1.0 501 Unsupported method ('POST')", "Unsupported method ('POST')."),
        ("DELETE /config HTTP/1.0\r\n\r\n", "HTTP/1.0 501 Unsupported method ('DELETE')", "501 - Server does not"),
        ("TRACE / HTTP/1.0\r\n\r\n", "HTTP/1.0 501 Unsupported method ('TRACE')", "Unsupported method ('TRACE')."),
        ("PUT /config HTTP/1.0\r\n\r\n", "HTTP/1.0 411 Length Required", "411 - Client must specify Content-Length."),
        (
            "PATCH /config HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.0 400 Bad Request",
            "400 - Bad request syntax or unsupported method.",
        ),
        ("GET /failsafe HTTP/1.0\r\n\r\n", "HTTP/1.0 502 Bad Gateway", "502 - Invalid responses from another"),
    ] {
        let answer = ask(request).await;
        assert_eq!(answer.lines().next(), Some(line), "{request:?}");
        assert!(answer.contains(words), "{request:?}: {answer}");
        assert!(answer.contains("Content-Type: text/html;charset=utf-8\r\n"), "{answer}");
    }
    let answer = ask("POST /mpp HTTP/1.0\r\nContent-Length: 7\r\n\r\n{\"a\":1}").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    let answer = ask("POST /sigterm HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 202 Accepted\r\n") && answer.ends_with("shutdown scheduled"), "{answer}");
    assert!(cluster[0].is_primary().await.is_ok(), "it goes on");
}

/// PUT replaces the dynamic configuration, PATCH merges, and both answer what holds.
pub async fn rest_config(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let mut config = cluster.dcs.json("config").await.unwrap();
    config["postgresql"]["parameters"]["work_mem"] = json!("9MB");
    let answer = cluster[1].call("PUT", "/config", &config).await;
    assert_eq!((answer.status, answer.json()), (200, config.clone()));
    for node in [0, 1] {
        cluster.shows(node, "show work_mem", "9MB").await;
    }
    let patch =
        json!({"postgresql": {"parameters": {"work_mem": null, "log_min_duration_statement": 5000}}, "x": {"y": 1}});
    let answer = cluster[0].call("PATCH", "/config", &patch).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["x"], json!({"y": 1}));
    assert_eq!(answer.json()["postgresql"]["parameters"].get("work_mem"), None);
    cluster.shows(1, "show log_min_duration_statement", "5s").await;
    cluster.shows(1, "show work_mem", "4MB").await;
    let version = cluster.dcs.get("config").await.unwrap().stat.version;
    assert_eq!(cluster[0].call("PATCH", "/config", &json!({"loop_wait": 2})).await.status, 200);
    assert_eq!(cluster.dcs.get("config").await.unwrap().stat.version, version, "nothing changed, nothing is written");
}

/// A restart is for the nodes that its filters name; the leader stays the leader.
pub async fn rest_restart_filters(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let before = [cluster[0].started_at().await.unwrap(), cluster[1].started_at().await.unwrap()];
    for body in [
        json!({"role": "replica"}),
        json!({"postgres_version": "9.6.1"}),
        json!({"restart_pending": true}),
        json!({"role": "primary", "restart_pending": true}),
    ] {
        let answer = cluster[0].call("POST", "/restart", &body).await;
        assert_eq!((answer.status, &*answer.body), (503, "restart conditions are not satisfied"), "{body}");
    }
    let answer = cluster[1].call("POST", "/restart", &json!({"role": "replica", "postgres_version": "99.1"})).await;
    assert_eq!((answer.status, &*answer.body), (200, "restarted successfully"));
    assert_ne!(cluster[1].started_at().await.unwrap(), before[1]);
    cluster.streams(1).await;
    cluster.synchronous(0, &[1]).await;
    let answer = cluster[0].call("POST", "/restart", &json!({"role": "primary", "timeout": "30"})).await;
    assert_eq!((answer.status, &*answer.body), (200, "restarted successfully"));
    assert_ne!(cluster[0].started_at().await.unwrap(), before[0]);
    assert_eq!(cluster.ready().await, 0);
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 1);
    assert!(cluster.member(1).await.unwrap().get("tags").is_none(), "it is synchronous again");
}
