//! `/cluster`: all members as the DCS has them.

use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, Lsn, Member};

/// The JSON of `GET /cluster`, in Patroni's order of keys.
pub fn cluster(cluster: &Cluster, scope: &str, pause: bool) -> Value {
    let mut members: Vec<_> = cluster.members.values().collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let mut body = Map::new();
    body.insert("members".into(), members.into_iter().map(|member| row(cluster, member)).collect());
    if pause {
        body.insert("pause".into(), true.into());
    }
    if let Some(failover) = cluster.failover().filter(|failover| failover.scheduled_at.is_some()) {
        let mut scheduled = Map::new();
        scheduled.insert("at".into(), json!(failover.scheduled_at));
        for (key, name) in [("from", &failover.leader), ("to", &failover.candidate)] {
            if let Some(name) = name {
                scheduled.insert(key.into(), name.clone().into());
            }
        }
        body.insert("scheduled_switchover".into(), scheduled.into());
    }
    body.insert("scope".into(), scope.into());
    Value::Object(body)
}

fn row(cluster: &Cluster, member: &Member) -> Value {
    let data = &member.data;
    let sync = cluster.sync();
    let leads = cluster.leader_name() == Some(&member.name);
    let role = match (leads, sync.has_standby(&member.name)) {
        (true, _) if cluster.is_standby_cluster() => "standby_leader",
        (true, _) => "leader",
        (false, true) if cluster.is_quorum_mode() => "quorum_standby",
        (false, true) => "sync_standby",
        (false, false) => "replica",
    };
    let state = data.replication_state.as_ref().filter(|_| !leads).unwrap_or(&data.state);
    let mut row = Map::new();
    let mut put = |key: &str, value: Value| row.insert(key.into(), value);
    put("name", member.name.clone().into());
    put("role", role.into());
    put("state", state.clone().into());
    put("api_url", data.api_url.clone().into());
    if let Some((host, port)) = data.address() {
        put("host", host.into());
        put("port", port.into());
    }
    if let Some(timeline) = data.timeline {
        put("timeline", timeline.into());
    }
    if data.pending_restart {
        put("pending_restart", true.into());
        put("pending_restart_reason", json!(data.pending_restart_reason));
    }
    if let Some(restart) = &data.scheduled_restart {
        put("scheduled_restart", restart.clone());
    }
    if !data.tags.is_empty() {
        put("tags", json!(data.tags));
    }
    if !leads {
        let end = cluster.optime();
        for (name, position) in [("receive_", data.receive_lsn), ("replay_", data.replay_lsn), ("", data.xlog_location)]
        {
            let (lag, lsn) = distance(end, position);
            put(&format!("{name}lag"), lag);
            put(&format!("{name}lsn"), lsn);
        }
    }
    Value::Object(row)
}

fn distance(end: Lsn, position: Option<Lsn>) -> (Value, Value) {
    match position.filter(|position| position.0 > 0) {
        Some(position) => (end.since(position).into(), position.to_string().into()),
        None => ("unknown".into(), "unknown".into()),
    }
}
