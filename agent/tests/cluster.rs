//! A cluster of two: its beginning, and what it survives.

mod common;

use std::time::{Duration, Instant};

use common::{Lab, PATIENCE, Setup, eventually};
use labrun_agent::cluster::Lsn;
use labrun_agent::config::{self, Settings};
use labrun_agent::postgres::promote;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::SimpleQueryMessage;

const TABLE: &str = "CREATE TABLE ledger (n bigserial PRIMARY KEY)";

/// A ready cluster with a table that both nodes have.
async fn started(test: &str, setup: Setup) -> Lab {
    let mut lab = Lab::new(test, setup).await;
    lab.start().await;
    let (leader, other) = lab.roles().await;
    lab.nodes[leader].sql(TABLE).await.unwrap();
    eventually("the table is there", async || lab.nodes[other].sql("TABLE ledger").await.ok()).await;
    lab
}

#[tokio::test]
async fn two_nodes_become_a_leader_and_its_synchronous_standby() {
    let mut lab = Lab::new("bootstrap", Setup::default()).await;
    let begun = Instant::now();
    lab.start().await;
    println!("start to synchronous standby: {:.2} s", begun.elapsed().as_secs_f64());
    let (leader, other) = lab.roles().await;
    let cluster = lab.cluster().await;
    let (primary, standby) = (&lab.nodes[leader], &lab.nodes[other]);

    assert_eq!(cluster.sync().standbys.join(" "), standby.name);
    assert!(cluster.sync().is_leader(&primary.name));
    let sysid = primary.value("SELECT system_identifier FROM pg_control_system()").await;
    assert_eq!(cluster.initialize.unwrap().value, sysid);
    let status = cluster.status.unwrap().value;
    assert!(status.optime > Lsn(0) && status.slots.unwrap().contains_key(&standby.name));
    assert_eq!(cluster.config.unwrap().value.get("ttl").and_then(|ttl| ttl.as_u64()), Some(20));

    let row = primary.value("SELECT application_name || ' ' || sync_state FROM pg_stat_replication").await;
    assert_eq!(row, format!("{} sync", standby.name));
    let slot = primary.value("SELECT slot_name || active::text FROM pg_replication_slots").await;
    assert_eq!(slot, format!("{}true", standby.name));

    primary.sql(TABLE).await.unwrap();
    primary.sql("INSERT INTO ledger SELECT FROM generate_series(1, 100)").await.unwrap();
    eventually("the rows arrive", async || {
        (standby.sql("SELECT count(*) FROM ledger").await.ok()? == ["100"]).then_some(())
    })
    .await;
    let refusal = standby.sql("INSERT INTO ledger VALUES (DEFAULT)").await.unwrap_err();
    assert!(refusal.contains("read-only"), "{refusal}");

    for (route, of_leader, of_standby) in [
        ("/primary", 200, 503),
        ("/replica", 503, 200),
        ("/sync", 503, 200),
        ("/health", 200, 200),
        ("/async", 503, 503),
    ] {
        assert_eq!((primary.code(route).await, standby.code(route).await), (of_leader, of_standby), "{route}");
    }
    for node in [primary, standby] {
        assert!(!node.log().contains("rep-pass") && !node.log().contains("secret"), "a password is in the log");
        let status = std::fs::read_to_string(format!("/proc/{}/status", node.agent_pid())).unwrap();
        println!(
            "{}: {}",
            node.name,
            status.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("Threads")).collect::<Vec<_>>().join(" ")
        );
    }
}

#[tokio::test]
async fn a_leader_that_is_stopped_hands_over_at_once_and_comes_back_as_synchronous_standby() {
    let mut lab = started("sigterm", Setup::default()).await;
    let (leader, other) = lab.roles().await;
    lab.nodes[leader].sql("INSERT INTO ledger SELECT FROM generate_series(1, 50)").await.unwrap();
    let begun = Instant::now();
    assert_eq!(lab.nodes[leader].stop().await.code(), Some(0));
    let stopped = begun.elapsed();
    assert!(lab.nodes[leader].postmaster().is_none(), "PostgreSQL still runs");
    lab.leads(other).await;
    println!(
        "SIGTERM: stopped after {:.2} s, writes again after {:.2} s",
        stopped.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(lab.nodes[other].value("SELECT count(*) FROM ledger WHERE n <= 50").await, "50");
    assert_eq!(lab.nodes[other].value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 8, 1)").await, "2");

    let begun = Instant::now();
    lab.nodes[leader].start();
    lab.ready().await;
    println!("start of the former leader to synchronous standby: {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!(lab.cluster().await.history.unwrap().value.last_timeline(), Some(1));
    assert_eq!(lab.nodes[leader].code("/sync").await, 200);
}

#[tokio::test]
async fn a_crashed_postmaster_is_started_again_by_its_leader() {
    let mut lab = started("crash", Setup::default()).await;
    let (leader, other) = lab.roles().await;
    let key = lab.cluster().await.leader.unwrap();
    lab.nodes[leader].sql("INSERT INTO ledger SELECT FROM generate_series(1, 50)").await.unwrap();
    let begun = Instant::now();
    kill(Pid::from_raw(lab.nodes[leader].postmaster().unwrap()), Signal::SIGKILL).unwrap();
    lab.leads(leader).await;
    println!("SIGKILL of the postmaster: writes again after {:.2} s", begun.elapsed().as_secs_f64());
    lab.ready().await;
    assert_eq!(lab.cluster().await.leader.unwrap(), key, "the lease was given up");
    assert_eq!(lab.nodes[other].value("SELECT count(*) FROM ledger WHERE n <= 50").await, "50");
    lab.nodes[leader].stop().await;
}

/// Kills the leader's node while it has WAL that nobody else has; it must come back without that.
async fn dies_with_wal_of_its_own(test: &str, socket_directory: &str, sign: &str) {
    let session = Duration::from_secs(6);
    let mut lab = Lab::new(test, Setup { session, ..Setup::default() }).await;
    lab.nodes.iter().for_each(|node| node.edit("directories: '.'", &format!("directories: '{socket_directory}'")));
    lab.start().await;
    let (leader, other) = lab.roles().await;
    lab.nodes[leader].sql(TABLE).await.unwrap();
    lab.nodes[leader].sql("INSERT INTO ledger SELECT FROM generate_series(1, 50)").await.unwrap();
    // The standby's receiver stands still, and the commit does not wait for it.
    for receiver in lab.nodes[other].backends("walreceiver") {
        kill(Pid::from_raw(receiver), Signal::SIGSTOP).unwrap();
    }
    let lost = "SET synchronous_commit = local; INSERT INTO ledger SELECT FROM generate_series(1, 1000)";
    lab.nodes[leader].sql(lost).await.unwrap();
    let begun = Instant::now();
    lab.nodes[leader].kill().await;
    for receiver in lab.nodes[other].backends("walreceiver") {
        kill(Pid::from_raw(receiver), Signal::SIGCONT).unwrap();
    }
    lab.leads(other).await;
    println!("SIGKILL of the node at a session of 6 s: writes again after {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!(lab.nodes[other].value("SELECT count(*) FROM ledger WHERE n <= 50").await, "50");

    lab.nodes[leader].start();
    lab.ready().await;
    assert!(lab.nodes[leader].log().contains(sign), "not `{sign}`");
    let rows = lab.nodes[other].value("SELECT count(*) || ' ' || sum(n) FROM ledger").await;
    eventually("both nodes have the same rows", async || {
        (lab.nodes[leader].value("SELECT count(*) || ' ' || sum(n) FROM ledger").await == rows).then_some(())
    })
    .await;
    eventually("nothing is left aside", async || (!lab.nodes[leader].dir.join("data.diverged").exists()).then_some(()))
        .await;
}

#[tokio::test]
async fn a_node_that_dies_is_replaced_when_its_lease_ends_and_is_rewound_when_it_returns() {
    dies_with_wal_of_its_own("rewind", "..", "rewound to the way of").await;
}

#[tokio::test]
async fn a_node_that_cannot_be_rewound_since_the_socket_is_in_the_way_is_copied_anew() {
    dies_with_wal_of_its_own("socket", ".", "making a new copy").await;
}

#[tokio::test]
async fn an_agent_that_was_killed_takes_its_running_postgresql_over_again() {
    let mut lab = started("adopt", Setup::default()).await;
    let (leader, other) = lab.roles().await;
    for node in [leader, other] {
        let postmaster = lab.nodes[node].postmaster();
        lab.nodes[node].kill_agent().await;
        lab.nodes[node].start();
        lab.ready().await;
        eventually("REST says running", async || (lab.nodes[node].code("/health").await == 200).then_some(())).await;
        assert_eq!(lab.nodes[node].postmaster(), postmaster, "PostgreSQL was restarted");
    }
    assert_eq!(lab.roles().await.0, leader);
    assert_eq!(lab.nodes[leader].code("/primary").await, 200);
}

#[tokio::test]
async fn a_short_absence_of_zookeeper_costs_nothing_and_a_long_one_ends_the_primary_in_time() {
    let session = Duration::from_secs(8);
    let lab = started("dcs", Setup { session, ..Setup::default() }).await;
    let (leader, _) = lab.roles().await;
    let key = lab.cluster().await.leader.unwrap();
    let start = lab.nodes[leader].value("SELECT pg_postmaster_start_time()").await;
    lab.zoo.freeze();
    let begun = Instant::now();
    // Well within the lease: 8 s less the margin and the age of the last sign of life.
    while begun.elapsed() < Duration::from_secs(4) {
        lab.nodes[leader].sql("INSERT INTO ledger VALUES (DEFAULT)").await.expect("an outage within the lease");
        assert_eq!(lab.nodes[leader].code("/primary").await, 200);
    }
    lab.zoo.thaw();
    lab.ready().await;
    assert_eq!(lab.cluster().await.leader.unwrap(), key, "the lease was lost");
    assert_eq!(lab.nodes[leader].value("SELECT pg_postmaster_start_time()").await, start);
    let thawed = jiff::Timestamp::now().as_second();
    eventually("the leader has heard of ZooKeeper again", async || {
        let (_, status) = lab.nodes[leader].get("/patroni").await?;
        let status: serde_json::Value = serde_json::from_str(&status).ok()?;
        (status["dcs_last_seen"].as_i64()? > thawed).then_some(())
    })
    .await;

    lab.zoo.freeze();
    let begun = Instant::now();
    eventually("the primary stops", async || lab.nodes[leader].sql("INSERT INTO ledger VALUES (DEFAULT)").await.err())
        .await;
    let stopped = begun.elapsed();
    println!("ZooKeeper away at a session of 8 s: the last write after {:.2} s", stopped.as_secs_f64());
    assert!(stopped > session / 2, "stopped after {stopped:?}, long before the lease of {session:?} could end");
    assert!(stopped < session, "writable for {stopped:?} without a lease of more than {session:?}");
    lab.zoo.thaw();
    lab.ready().await;
}

#[tokio::test]
async fn a_restarted_zookeeper_costs_nothing() {
    let mut lab = started("zkrestart", Setup::default()).await;
    let (leader, _) = lab.roles().await;
    let start = lab.nodes[leader].value("SELECT pg_postmaster_start_time()").await;
    lab.zoo.crash();
    lab.nodes[leader].sql("INSERT INTO ledger VALUES (DEFAULT)").await.unwrap();
    lab.zoo.start_again();
    lab.ready().await;
    assert_eq!(lab.roles().await.0, leader);
    assert_eq!(lab.nodes[leader].value("SELECT pg_postmaster_start_time()").await, start, "it was demoted");
}

#[tokio::test]
async fn a_switchover_through_the_failover_key_or_rest_hands_over() {
    let lab = started("switchover", Setup::default()).await;
    let (leader, other) = lab.roles().await;
    let begun = Instant::now();
    let request = format!(r#"{{"leader":"{}"}}"#, lab.nodes[leader].name);
    lab.zoo.set("/service/test/failover", &request).await;
    lab.leads(other).await;
    println!("switchover by the key: writes again after {:.2} s", begun.elapsed().as_secs_f64());
    lab.ready().await;
    assert!(lab.cluster().await.failover().is_none(), "the request was not cleared");
    assert_eq!(lab.nodes[leader].code("/sync").await, 200);
}

#[tokio::test]
async fn a_promotion_does_not_wait_until_wal_would_be_asked_for_again() {
    let mut lab = Lab::new("promote", Setup { synchronous: false, ..Setup::default() }).await;
    let interval = "    wal_retrieve_retry_interval: 1h\n    dynamic_shared";
    lab.nodes.iter().for_each(|node| node.edit("    dynamic_shared", interval));
    lab.start().await;
    let (_, other) = lab.roles().await;
    let standby = &mut lab.nodes[other];
    standby.kill_agent().await;
    // It loses its receiver, and the postmaster starts no other one before it is asked for the promotion.
    let (client, connection) = standby.connect().await.unwrap();
    tokio::spawn(connection);
    let postmaster = standby.postmaster().unwrap();
    kill(Pid::from_raw(postmaster), Signal::SIGSTOP).unwrap();
    for receiver in standby.backends("walreceiver") {
        kill(Pid::from_raw(receiver), Signal::SIGTERM).unwrap();
    }
    let waits = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = ";
    let first = async |wait: &str| {
        let rows = client.simple_query(&format!("{waits}'{wait}'")).await.unwrap();
        rows.iter().find_map(|row| match row {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok().map(Pid::from_raw),
            _ => None,
        })
    };
    eventually("it waits for a receiver", async || {
        // Where it has lost one before, it sleeps.
        if let Some(startup) = first("RecoveryRetrieveRetryInterval").await {
            kill(startup, Signal::SIGHUP).unwrap();
        }
        first("RecoveryWalStream").await.filter(|_| standby.backends("walreceiver").is_empty())
    })
    .await;
    let (config, _) = config::load(&standby.config(), []).unwrap();
    let settings = Settings::new(&config, &serde_json::Map::new());
    let promoted = tokio::time::timeout(PATIENCE, promote::promote(&config, &settings, postmaster));
    let goes_on = async {
        eventually("the promotion is asked for", async || standby.data_dir.join("promote").exists().then_some(()))
            .await;
        kill(Pid::from_raw(postmaster), Signal::SIGCONT).unwrap();
    };
    let (promoted, ()) = tokio::join!(promoted, goes_on);
    promoted.expect("it sleeps").unwrap();
    assert_eq!(standby.value("SELECT pg_is_in_recovery()").await, "f");
}

/// A standby that starts again has more WAL on its disk than it has replayed; what it says of that would be counted as a
/// vote for a node that has less.
#[tokio::test]
async fn a_standby_tells_its_peers_no_position_before_it_has_read_its_own_wal() {
    let mut lab = started("unread", Setup::default()).await;
    let (leader, other) = lab.roles().await;
    let (primary, standby) = (&lab.nodes[leader], &lab.nodes[other]);
    let xlog = async |node: &common::Node| {
        let (_, body) = node.get("/patroni").await?;
        let status: serde_json::Value = serde_json::from_str(&body).ok()?;
        (status["state"] == "running").then(|| status.get("xlog").cloned())
    };
    assert!(xlog(primary).await.unwrap().is_some() && xlog(standby).await.unwrap().is_some());

    standby.sql("ALTER SYSTEM SET recovery_min_apply_delay = '1h'").await.unwrap();
    standby.sql("SELECT pg_reload_conf()").await.unwrap();
    primary.sql("INSERT INTO ledger SELECT FROM generate_series(1, 50)").await.unwrap();
    kill(Pid::from_raw(standby.postmaster().unwrap()), Signal::SIGKILL).unwrap();
    eventually("a standby that waits in the middle of its WAL tells no position", async || {
        xlog(standby).await?.is_none().then_some(())
    })
    .await;
    assert_eq!(standby.sql("SELECT pg_last_wal_receive_lsn() IS NULL").await.unwrap(), ["t"]);

    standby.sql("ALTER SYSTEM RESET recovery_min_apply_delay").await.unwrap();
    standby.sql("SELECT pg_reload_conf()").await.unwrap();
    eventually("it has read everything", async || xlog(standby).await?).await;
    assert_eq!(standby.value("SELECT count(*) FROM ledger").await, "50");
    lab.nodes[leader].stop().await;
}
