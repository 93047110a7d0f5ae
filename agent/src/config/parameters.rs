//! PostgreSQL's parameters: which source may set which, and their defaults.
//!
//! Rules from Patroni's documentation, "Important rules" under "Dynamic Configuration Settings": the ones
//! that all nodes must agree on come from the DCS only and go to the postmaster's command line, where
//! nothing overrides them; addresses, port and cluster name come from the node's own settings only.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::units::boolean;

/// Parameter names (lower case) and values as texts.
pub type Parameters = IndexMap<String, String>;

/// How a value from the dynamic configuration is judged.
enum Rule {
    /// Set by the agent, never from `parameters`.
    Own,
    True,
    Bool,
    AtLeast(i64),
    OneOf(&'static [&'static str]),
    Megabytes(i64),
}

/// Parameters on the postmaster's command line: name, default, rule. `wal_keep_size` is among the
/// controlled ones but stays off the command line, as in Patroni.
const CONTROLLED: &[(&str, &str, Rule)] = &[
    ("listen_addresses", "", Rule::Own),
    ("port", "", Rule::Own),
    ("cluster_name", "", Rule::Own),
    ("wal_level", "replica", Rule::OneOf(&["replica", "logical", "hot_standby"])),
    ("hot_standby", "on", Rule::True),
    ("max_connections", "100", Rule::AtLeast(25)),
    ("max_wal_senders", "10", Rule::AtLeast(3)),
    ("wal_keep_size", "128MB", Rule::Megabytes(16)),
    ("max_prepared_transactions", "0", Rule::AtLeast(0)),
    ("max_locks_per_transaction", "64", Rule::AtLeast(32)),
    ("track_commit_timestamp", "off", Rule::Bool),
    ("max_replication_slots", "10", Rule::AtLeast(4)),
    ("max_worker_processes", "8", Rule::AtLeast(2)),
    ("wal_log_hints", "on", Rule::Bool),
];

/// Names of the parameters on the postmaster's command line, in its order.
pub const CMDLINE_OPTIONS: &[&str] = &[
    "listen_addresses",
    "port",
    "cluster_name",
    "wal_level",
    "hot_standby",
    "max_connections",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "track_commit_timestamp",
    "max_replication_slots",
    "max_worker_processes",
    "wal_log_hints",
];

/// Recovery settings that the agent decides itself.
const RECOVERY: &[&str] = &[
    "primary_conninfo",
    "primary_slot_name",
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "recovery_target_action",
    "recovery_target_inclusive",
    "standby_mode",
];

/// The parameters in force: `dynamic` with `local` over it, and the controlled ones.
pub(super) fn effective(dynamic: &Map<String, Value>, local: &Map<String, Value>, own: [String; 3]) -> Parameters {
    let mut parameters = Parameters::new();
    for (source, is_local) in [(dynamic, false), (local, true)] {
        for (name, value) in source {
            let name = name.to_ascii_lowercase();
            let Some(value) = text(value) else { continue };
            if may_set(&name, &value, is_local) {
                parameters.insert(name, value);
            }
        }
    }
    keep_segments_become_keep_size(&mut parameters);
    for (name, default, _) in CONTROLLED {
        parameters.entry((*name).to_owned()).or_insert_with(|| (*default).to_owned());
    }
    let [listen_addresses, port, cluster_name] = own;
    for (name, value) in [("listen_addresses", listen_addresses), ("port", port), ("cluster_name", cluster_name)] {
        parameters.insert(name.into(), value);
    }
    if parameters["wal_level"] == "hot_standby" {
        parameters["wal_level"] = "replica".into();
    }
    parameters.sort_keys();
    parameters
}

fn may_set(name: &str, value: &str, is_local: bool) -> bool {
    if RECOVERY.contains(&name) || name == "synchronous_standby_names" {
        return name == "synchronous_standby_names";
    }
    if name == "wal_keep_segments" {
        return !is_local && value.parse::<i64>().is_ok_and(|segments| segments >= 1);
    }
    match CONTROLLED.iter().find(|(controlled, ..)| *controlled == name) {
        None => true,
        Some((_, _, rule)) => !is_local && obeys(rule, value),
    }
}

fn obeys(rule: &Rule, value: &str) -> bool {
    match rule {
        Rule::Own => false,
        Rule::True => boolean(value) == Some(true),
        Rule::Bool => boolean(value).is_some(),
        Rule::AtLeast(least) => value.parse::<i64>().is_ok_and(|number| number >= *least),
        Rule::OneOf(values) => values.contains(&value),
        Rule::Megabytes(least) => megabytes(value).is_some_and(|size| size >= *least),
    }
}

fn megabytes(value: &str) -> Option<i64> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: i64 = value[..digits].parse().ok()?;
    match value[digits..].trim() {
        "" | "MB" => Some(number),
        "kB" => Some(number / 1024),
        "GB" => Some(number * 1024),
        "TB" => Some(number * 1024 * 1024),
        _ => None,
    }
}

/// Since PostgreSQL 13 the name is wal_keep_size; a segment has 16 MB.
fn keep_segments_become_keep_size(parameters: &mut Parameters) {
    if let Some(segments) = parameters.shift_remove("wal_keep_segments").and_then(|text| text.parse::<u64>().ok()) {
        parameters.entry("wal_keep_size".into()).or_insert_with(|| format!("{}MB", segments * 16));
    }
}

/// A YAML value as PostgreSQL reads it.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(true) => Some("on".into()),
        Value::Bool(false) => Some("off".into()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameters(dynamic: Value, local: Value) -> Parameters {
        let own = ["127.0.0.1".into(), "5432".into(), "demo".into()];
        effective(dynamic.as_object().unwrap(), local.as_object().unwrap(), own)
    }

    #[test]
    fn local_wins_except_where_all_nodes_must_agree() {
        let p = parameters(
            json!({"work_mem": "4MB", "max_connections": 50, "port": 1, "archive_mode": true}),
            json!({"Work_Mem": "8MB", "max_connections": 60, "listen_addresses": "*", "unix_socket_directories": "."}),
        );
        assert_eq!(p["work_mem"], "8MB");
        assert_eq!(p["max_connections"], "50");
        assert_eq!((p["port"].as_str(), p["listen_addresses"].as_str()), ("5432", "127.0.0.1"));
        assert_eq!((p["cluster_name"].as_str(), p["archive_mode"].as_str()), ("demo", "on"));
        assert!(p.keys().is_sorted());
    }

    #[test]
    fn values_that_break_their_rule_fall_back_to_the_default() {
        let p = parameters(
            json!({"max_connections": 10, "hot_standby": "off", "wal_level": "minimal", "wal_log_hints": "x"}),
            json!({}),
        );
        assert_eq!((p["max_connections"].as_str(), p["hot_standby"].as_str()), ("100", "on"));
        assert_eq!((p["wal_level"].as_str(), p["wal_log_hints"].as_str()), ("replica", "on"));
        assert!(!parameters(json!({"primary_conninfo": "host=x"}), json!({})).contains_key("primary_conninfo"));
    }

    #[test]
    fn keep_segments_become_a_size() {
        assert_eq!(parameters(json!({"wal_keep_segments": 8}), json!({}))["wal_keep_size"], "128MB");
        assert_eq!(parameters(json!({"wal_keep_segments": 100}), json!({}))["wal_keep_size"], "1600MB");
        assert_eq!(parameters(json!({"wal_keep_size": "1GB"}), json!({}))["wal_keep_size"], "1GB");
        assert_eq!(parameters(json!({"wal_keep_size": "1MB"}), json!({}))["wal_keep_size"], "128MB");
    }

    #[test]
    fn every_command_line_option_is_controlled() {
        assert!(CMDLINE_OPTIONS.iter().all(|name| CONTROLLED.iter().any(|(controlled, ..)| controlled == name)));
        let p = parameters(json!({}), json!({}));
        assert!(CMDLINE_OPTIONS.iter().all(|name| p.contains_key(*name)));
    }
}
