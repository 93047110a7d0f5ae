//! `/metrics` in Prometheus' text format, with Patroni's names.

use std::fmt::Write;

use super::health::Health;
use crate::cluster::PgState;
use crate::decide::{self, Role, Server};

/// One metric: name, help, type, value.
type Metric = (&'static str, &'static str, &'static str, String);

pub(super) fn metrics(health: &Health, scope: &str) -> String {
    let labels = format!("{{scope=\"{scope}\",name=\"{}\"}}", health.view.me.name);
    let mut text = String::new();
    for (name, help, kind, value) in values(health) {
        let _ = writeln!(text, "# HELP patroni_{name} {help}\n# TYPE patroni_{name} {kind}");
        let _ = writeln!(text, "patroni_{name}{labels} {value}");
    }
    text
}

const STATE_HELP: &str = "Numeric representation of Postgres state.\n# Values: 0=initdb, 1=initdb_failed, \
    2=custom_bootstrap, 3=custom_bootstrap_failed, 4=creating_replica, 5=running, 6=starting, \
    7=bootstrap_starting, 8=start_failed, 9=restarting, 10=restart_failed, 11=stopping, 12=stopped, \
    13=stop_failed, 14=crashed";

fn values(health: &Health) -> Vec<Metric> {
    let view = health.view;
    let running = decide::state(view) == PgState::Running;
    let none = Server::default();
    let server = view.pg.server.as_ref().filter(|_| running).unwrap_or(&none);
    let flag = |on: bool| u8::from(on).to_string();
    let replica = view.pg.role == Role::Replica && !health.standby_leader();
    let of_replica = |value: u64| if replica { value } else { 0 }.to_string();
    let state = decide::replication_state(server);
    vec![
        ("version", "Patroni semver without periods.", "gauge", "040105".into()),
        ("postgres_running", "Value is 1 if Postgres is running, 0 otherwise.", "gauge", flag(running)),
        ("postmaster_start_time", "Epoch seconds since Postgres started.", "gauge", epoch(&server.start_time)),
        ("primary", "Value is 1 if this node is the leader, 0 otherwise.", "gauge", flag(health.primary())),
        (
            "xlog_location",
            "Current location of the Postgres transaction log, 0 if this node is not the leader.",
            "counter",
            server.written.0.to_string(),
        ),
        (
            "standby_leader",
            "Value is 1 if this node is the standby_leader, 0 otherwise.",
            "gauge",
            flag(health.standby_leader()),
        ),
        ("replica", "Value is 1 if this node is a replica, 0 otherwise.", "gauge", flag(replica)),
        (
            "sync_standby",
            "Value is 1 if this node is a sync standby, 0 otherwise.",
            "gauge",
            flag(health.is_sync_standby()),
        ),
        (
            "quorum_standby",
            "Value is 1 if this node is a quorum standby, 0 otherwise.",
            "gauge",
            flag(health.is_quorum_standby()),
        ),
        (
            "xlog_received_location",
            "Current location of the received Postgres transaction log, 0 if this node is not a replica.",
            "counter",
            of_replica(server.received.0),
        ),
        (
            "xlog_replayed_location",
            "Current location of the replayed Postgres transaction log, 0 if this node is not a replica.",
            "counter",
            of_replica(server.replayed.0),
        ),
        (
            "xlog_replayed_timestamp",
            "Current timestamp of the replayed Postgres transaction log, 0 if null.",
            "gauge",
            epoch(server.replay_timestamp.as_deref().filter(|_| replica).unwrap_or_default()),
        ),
        ("xlog_paused", "Value is 1 if the Postgres xlog is paused, 0 otherwise.", "gauge", flag(server.replay_paused)),
        (
            "postgres_streaming",
            "Value is 1 if Postgres is streaming, 0 otherwise.",
            "gauge",
            flag(state == Some("streaming")),
        ),
        (
            "postgres_in_archive_recovery",
            "Value is 1 if Postgres is replicating from archive, 0 otherwise.",
            "gauge",
            flag(state == Some("in archive recovery")),
        ),
        (
            "postgres_server_version",
            "Version of Postgres (if running), 0 otherwise.",
            "gauge",
            server.version.to_string(),
        ),
        ("cluster_unlocked", "Value is 1 if the cluster is unlocked, 0 if locked.", "gauge", flag(health.unlocked())),
        (
            "failsafe_mode_is_active",
            "Value is 1 if failsafe mode is active, 0 if inactive.",
            "gauge",
            flag(decide::failsafe::is_active(view, health.now)),
        ),
        (
            "postgres_timeline",
            "Postgres timeline of this node (if running), 0 otherwise.",
            "gauge",
            server.timeline.to_string(),
        ),
        (
            "dcs_last_seen",
            "Epoch timestamp when DCS was last contacted successfully by Patroni.",
            "gauge",
            health.dcs_last_seen().to_string(),
        ),
        (
            "pending_restart",
            "Value is 1 if the node needs a restart, 0 otherwise.",
            "gauge",
            flag(!view.pg.pending_restart.is_empty()),
        ),
        ("is_paused", "Value is 1 if auto failover is disabled, 0 otherwise.", "gauge", flag(view.settings.pause)),
        ("postgres_state", STATE_HELP, "gauge", (decide::state(view) as u8).to_string()),
    ]
}

/// Seconds since 1970 of a time as PostgreSQL prints it, 0 if there is none.
fn epoch(text: &str) -> String {
    match text.replacen(' ', "T", 1).parse::<jiff::Timestamp>() {
        Ok(at) => {
            let fraction = format!("{:06}", at.subsec_microsecond());
            match fraction.trim_end_matches('0') {
                "" => format!("{}.0", at.as_second()),
                fraction => format!("{}.{fraction}", at.as_second()),
            }
        }
        Err(_) => "0".into(),
    }
}
