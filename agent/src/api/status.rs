//! The status of this node: the body of most answers, and what peers read in a leader race.

use serde_json::{Map, Value, json};

use super::health::Health;
use crate::decide::{self, Role, VERSION};

/// The JSON that `GET /patroni` gives, in Patroni's order of keys.
pub fn status(health: &Health, scope: &str) -> Value {
    let view = health.view;
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.into(), value);
    put("state", decide::state(view).as_str().into());
    let server = view.pg.server.as_ref().filter(|_| health.is_running());
    if let Some(server) = server {
        put("postmaster_start_time", server.start_time.clone().into());
    }
    put("role", decide::role(view).as_str().into());
    if let Some(server) = server {
        put("server_version", server.version.into());
        put("xlog", xlog(server));
        if health.is_sync_standby() {
            put("sync_standby", true.into());
        } else if health.is_quorum_standby() {
            put("quorum_standby", true.into());
        }
        put("timeline", server.timeline.into());
        if let Some(state) = decide::replication_state(server) {
            put("replication_state", state.into());
        }
        if !server.wal_senders.is_empty() {
            put("replication", server.wal_senders.iter().map(sender).collect());
        }
    }
    if view.settings.pause {
        put("pause", true.into());
    }
    if health.unlocked() {
        put("cluster_unlocked", true.into());
    }
    if decide::failsafe::is_active(view, health.now) {
        put("failsafe_mode_is_active", true.into());
    }
    put("dcs_last_seen", health.dcs_last_seen().into());
    let tags = decide::tags(view);
    if !tags.is_empty() {
        put("tags", json!(tags));
    }
    if let Some(identifier) = view.pg.data.system_identifier() {
        put("database_system_identifier", identifier.to_string().into());
    }
    if let Some(reason) = decide::pending_restart_reason(view) {
        put("pending_restart", true.into());
        put("pending_restart_reason", reason);
    }
    put("patroni", json!({"version": VERSION, "scope": scope, "name": view.me.name}));
    if let Some(plan) = &view.asked.scheduled_restart {
        let mut published = plan.published.clone();
        published.shift_remove("postmaster_start_time");
        put("scheduled_restart", published.into());
    }
    if view.watchdog.unusable {
        put("watchdog_failed", true.into());
    }
    // More than a few lines that wait: the log cannot be written.
    let waiting = crate::logging::queued();
    if waiting > LOG_LINES_THAT_MAY_WAIT {
        body.insert("logger_queue_size".into(), waiting.into());
        if crate::logging::records_lost() > 0 {
            body.insert("logger_records_lost".into(), crate::logging::records_lost().into());
        }
    }
    Value::Object(body)
}

const LOG_LINES_THAT_MAY_WAIT: usize = 2;

fn xlog(server: &decide::Server) -> Value {
    if !server.in_recovery {
        return json!({"location": server.written});
    }
    json!({
        "received_location": server.received,
        "replayed_location": server.replayed,
        "replayed_timestamp": server.replay_timestamp,
        "paused": server.replay_paused,
    })
}

fn sender(sender: &decide::WalSender) -> Value {
    json!({
        "usename": sender.user,
        "application_name": sender.application_name,
        "client_addr": sender.client_addr,
        "state": sender.state,
        "sync_state": sender.sync_state,
        "sync_priority": sender.sync_priority,
    })
}

/// The role in one word, as HAProxy's users know it.
pub fn is_replica(health: &Health) -> bool {
    health.view.pg.role == Role::Replica
}
