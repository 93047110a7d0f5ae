//! `members/<name>`: what each node says about itself.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Lsn, json};

/// A member key: its name, the session that owns it and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub name: String,
    /// The session that owns the key (`ephemeralOwner`).
    pub session: i64,
    pub data: MemberData,
}

/// The payload. Field order is the order on the wire; absent fields are not written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberData {
    pub conn_url: String,
    pub api_url: String,
    pub state: String,
    pub role: String,
    /// The Patroni version that is spoken, dotted numeric.
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<String>,
    /// `false` on a leader from its promotion to its first checkpoint after it: do not rewind from it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_after_promote: Option<bool>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, Value>,
    #[serde(skip_serializing_if = "is_false")]
    pub pending_restart: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_restart_reason: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xlog_location: Option<Lsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_lsn: Option<Lsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_lsn: Option<Lsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_restart: Option<Value>,
    #[serde(skip_serializing_if = "is_false")]
    pub pause: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl MemberData {
    /// Whatever can be read; a payload that is not JSON says nothing, as in Patroni.
    pub fn parse(text: &[u8]) -> MemberData {
        serde_json::from_slice(text).unwrap_or_default()
    }

    pub fn to_json(&self) -> String {
        json::compact(self)
    }

    /// Host and port of `conn_url` (`postgres://host:port/db`).
    pub fn address(&self) -> Option<(String, u16)> {
        let rest = self.conn_url.split_once("://")?.1;
        let authority = rest.split(['/', '?']).next()?;
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, 5432),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then(|| (host.to_owned(), port))
    }

    /// The database that `conn_url` names.
    pub fn database(&self) -> Option<&str> {
        let path = self.conn_url.split_once("://")?.1.split_once('/')?.1;
        Some(path.split('?').next().unwrap_or(path)).filter(|name| !name.is_empty())
    }

    /// Whether a boolean tag is on. Patroni takes tags as Python does: what is not empty, is true.
    pub fn tag(&self, name: &str) -> bool {
        self.tags.get(name).is_some_and(truthy)
    }

    /// Whether the node may become the leader (tags `nofailover` and `failover_priority`).
    pub fn may_lead(&self) -> bool {
        match self.tags.get("nofailover") {
            Some(nofailover) => !truthy(nofailover),
            None => self.failover_priority() > 0,
        }
    }

    /// The tag `failover_priority`, 1 without it.
    pub fn failover_priority(&self) -> i64 {
        priority(&self.tags, "failover_priority", "nofailover")
    }

    /// Whether the node may be a synchronous standby (tags `nosync` and `sync_priority`).
    pub fn may_be_synchronous(&self) -> bool {
        match self.tags.get("nosync") {
            Some(nosync) => !truthy(nosync),
            None => self.sync_priority() > 0,
        }
    }

    /// The tag `sync_priority`, 1 without it, 0 if `nosync` is on.
    pub fn sync_priority(&self) -> i64 {
        priority(&self.tags, "sync_priority", "nosync")
    }

    pub fn is_running(&self) -> bool {
        self.state == PgState::Running.as_str()
    }
}

fn priority(tags: &IndexMap<String, Value>, priority: &str, never: &str) -> i64 {
    if tags.get(never).is_some_and(truthy) {
        return 0;
    }
    match tags.get(priority) {
        Some(Value::Number(number)) => number.as_i64().unwrap_or(1),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(1),
        _ => 1,
    }
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.to_ascii_lowercase().as_str(), "" | "false" | "off" | "no" | "0"),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

/// The role that a node publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberRole {
    Primary,
    Replica,
    StandbyLeader,
    Demoted,
    Promoted,
    #[default]
    Uninitialized,
}

impl MemberRole {
    pub fn as_str(self) -> &'static str {
        match self {
            MemberRole::Primary => "primary",
            MemberRole::Replica => "replica",
            MemberRole::StandbyLeader => "standby_leader",
            MemberRole::Demoted => "demoted",
            MemberRole::Promoted => "promoted",
            MemberRole::Uninitialized => "uninitialized",
        }
    }
}

/// The state of a node's PostgreSQL as it is published; the numbers are those of `patroni_postgres_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum PgState {
    InitializingNewCluster = 0,
    InitdbFailed = 1,
    RunningCustomBootstrap = 2,
    CustomBootstrapFailed = 3,
    CreatingReplica = 4,
    Running = 5,
    Starting = 6,
    StartingAfterCustomBootstrap = 7,
    StartFailed = 8,
    Restarting = 9,
    RestartFailed = 10,
    Stopping = 11,
    #[default]
    Stopped = 12,
    StopFailed = 13,
    Crashed = 14,
}

impl PgState {
    pub fn as_str(self) -> &'static str {
        match self {
            PgState::InitializingNewCluster => "initializing new cluster",
            PgState::InitdbFailed => "initdb failed",
            PgState::RunningCustomBootstrap => "running custom bootstrap script",
            PgState::CustomBootstrapFailed => "custom bootstrap failed",
            PgState::CreatingReplica => "creating replica",
            PgState::Running => "running",
            PgState::Starting => "starting",
            PgState::StartingAfterCustomBootstrap => "starting after custom bootstrap",
            PgState::StartFailed => "start failed",
            PgState::Restarting => "restarting",
            PgState::RestartFailed => "restart failed",
            PgState::Stopping => "stopping",
            PgState::Stopped => "stopped",
            PgState::StopFailed => "stop failed",
            PgState::Crashed => "crashed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_payloads_survive_a_round_trip_byte_for_byte() {
        for line in include_str!("../../tests/golden/members.txt").lines() {
            assert_eq!(MemberData::parse(line.as_bytes()).to_json(), line);
        }
    }

    #[test]
    fn a_payload_that_is_not_json_says_nothing() {
        assert_eq!(MemberData::parse(b"\xff{"), MemberData::default());
    }

    #[test]
    fn addresses_are_read_from_urls_of_every_shape() {
        let address = |url: &str| MemberData { conn_url: url.into(), ..Default::default() }.address();
        assert_eq!(address("postgres://127.0.1.1:5432/postgres"), Some(("127.0.1.1".into(), 5432)));
        assert_eq!(address("postgres://user:p@h:6000/db?a=b"), Some(("h".into(), 6000)));
        assert_eq!(address("postgres://[::1]:5433/postgres"), Some(("::1".into(), 5433)));
        assert_eq!(address("postgres://host/postgres"), Some(("host".into(), 5432)));
        assert_eq!(address(""), None);
    }

    #[test]
    fn tags_decide_who_may_lead_and_who_may_be_synchronous() {
        let member = |tags: Value| MemberData { tags: serde_json::from_value(tags).unwrap(), ..Default::default() };
        assert!(member(serde_json::json!({})).may_lead());
        assert!(!member(serde_json::json!({"nofailover": true})).may_lead());
        assert!(!member(serde_json::json!({"failover_priority": 0})).may_lead());
        assert!(member(serde_json::json!({"nofailover": false, "failover_priority": 0})).may_lead());
        assert_eq!(member(serde_json::json!({"nosync": true, "sync_priority": 3})).sync_priority(), 0);
        assert_eq!(member(serde_json::json!({"sync_priority": "3"})).sync_priority(), 3);
    }
}
