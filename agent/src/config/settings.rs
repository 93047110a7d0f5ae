//! The settings in force: the dynamic configuration of the DCS with the node's own file over it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value};

use super::Config;
use super::local::{ListOption, list_options};
use super::parameters::{Parameters, effective};
use super::scripts::{Hooks, ReplicaMethod};
use super::slots::{self, PermanentSlot, SlotMatcher};
use super::standby::StandbyCluster;
use super::timing::Timing;

/// Patroni's `synchronous_mode` and `synchronous_mode_strict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    Off,
    /// Commits wait for the chosen standbys; with `strict` also while there are none.
    On {
        strict: bool,
    },
    /// Commits wait for any `synchronous_node_count` of the standbys, and a new leader needs their votes.
    Quorum {
        strict: bool,
    },
}

/// Everything that may change while the agent runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub ttl: Duration,
    pub loop_wait: Duration,
    pub retry_timeout: Duration,
    /// Bytes that a replica may lack and still take over.
    pub maximum_lag_on_failover: u64,
    /// Bytes that a standby may lack and still be picked as synchronous; no limit if `None`.
    pub maximum_lag_on_syncnode: Option<u64>,
    /// Whether a replica on an older timeline than the cluster's history may not take over.
    pub check_timeline: bool,
    /// A leader goes on without the DCS while all members agree.
    pub failsafe_mode: bool,
    /// How long the leader's PostgreSQL may take to start before another node takes over.
    pub primary_start_timeout: Duration,
    /// How long a stop of the leader may take in synchronous mode before it is enforced; no limit if `None`.
    pub primary_stop_timeout: Option<Duration>,
    pub sync_mode: SyncMode,
    pub sync_node_count: usize,
    /// Maintenance mode: the agent watches and does nothing.
    pub pause: bool,
    /// How long the slot of a member that is away is kept.
    pub member_slots_ttl: Duration,
    pub max_timelines_history: usize,
    pub use_slots: bool,
    pub use_pg_rewind: bool,
    /// PostgreSQL's parameters, complete.
    pub parameters: Parameters,
    /// Those that this node's PostgreSQL takes, once it was asked.
    pub accepted: Arc<OnceLock<Parameters>>,
    /// Replaces pg_hba.conf if set.
    pub pg_hba: Option<Vec<String>>,
    /// Replaces pg_ident.conf if set.
    pub pg_ident: Option<Vec<String>>,
    /// The ways to make a replica, the first to be tried first.
    pub replica_methods: Vec<ReplicaMethod>,
    /// Options of pg_basebackup.
    pub basebackup: Vec<ListOption>,
    pub hooks: Hooks,
    /// `recovery_conf` of the `postgresql` section: restore_command and the like.
    pub recovery: Parameters,
    /// Whether the agent itself connects through the Unix socket where there is an absolute one.
    pub use_unix_socket: bool,
    /// Permanent slots, in the order of the configuration.
    pub slots: Vec<PermanentSlot>,
    pub ignore_slots: Vec<SlotMatcher>,
    /// This node must run with hot_standby_feedback; follows from the slots and the cluster's topology.
    pub enforce_feedback: bool,
    /// The whole cluster follows another one.
    pub standby_cluster: Option<StandbyCluster>,
    /// Whether a data directory that cannot be rewound may be replaced by a new copy of the leader's.
    pub replace_if_rewind_fails: bool,
    pub replace_if_diverged: bool,
}

impl Settings {
    /// The ways to make a replica, the first to be tried first.
    pub fn replica_methods(&self) -> &[ReplicaMethod] {
        self.standby_cluster.as_ref().map_or(&self.replica_methods, |standby| &standby.replica_methods)
    }

    /// The settings in force for the node's file and the DCS' `config` (or what bootstraps it).
    pub fn new(config: &Config, dynamic: &Map<String, Value>) -> Settings {
        let number = |key: &str| dynamic.get(key).and_then(seconds);
        let either = |new: &str, old: &str| number(new).or_else(|| number(old));
        let asked = Timing::default();
        let timing = Timing {
            ttl: number("ttl").unwrap_or(asked.ttl),
            loop_wait: number("loop_wait").unwrap_or(asked.loop_wait),
            retry_timeout: number("retry_timeout").unwrap_or(asked.retry_timeout),
        };
        let timing = timing.obeying_the_rules();
        let section =
            Section { dynamic: dynamic.get("postgresql").and_then(Value::as_object), local: &config.postgresql };
        let lag = dynamic.get("maximum_lag_on_syncnode").and_then(Value::as_i64).unwrap_or(-1);
        Settings {
            ttl: Duration::from_secs(timing.ttl),
            loop_wait: Duration::from_secs(timing.loop_wait),
            retry_timeout: Duration::from_secs(timing.retry_timeout),
            maximum_lag_on_failover: number("maximum_lag_on_failover").unwrap_or(1 << 20),
            maximum_lag_on_syncnode: u64::try_from(lag).ok().filter(|lag| *lag > 0),
            check_timeline: flag(dynamic.get("check_timeline")).unwrap_or(false),
            failsafe_mode: flag(dynamic.get("failsafe_mode")).unwrap_or(false),
            primary_start_timeout: Duration::from_secs(
                either("primary_start_timeout", "master_start_timeout").unwrap_or(300),
            ),
            primary_stop_timeout: either("primary_stop_timeout", "master_stop_timeout")
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            // There is nothing to commit in a standby cluster.
            sync_mode: match StandbyCluster::of(dynamic, |_| None) {
                Some(_) => SyncMode::Off,
                None => sync_mode(dynamic),
            },
            sync_node_count: number("synchronous_node_count").unwrap_or(1).max(1) as usize,
            pause: flag(dynamic.get("pause")).unwrap_or(false),
            member_slots_ttl: Duration::from_secs(number("member_slots_ttl").unwrap_or(1800)),
            max_timelines_history: number("max_timelines_history").unwrap_or(0) as usize,
            // All nodes must agree on this one: a node's own file does not count.
            use_slots: flag(section.dynamic.and_then(|dynamic| dynamic.get("use_slots"))).unwrap_or(true),
            use_pg_rewind: section.flag("use_pg_rewind").unwrap_or(false),
            parameters: section.parameters(config),
            accepted: Arc::default(),
            pg_hba: section.lines("pg_hba"),
            pg_ident: section.lines("pg_ident"),
            replica_methods: section.replica_methods(),
            basebackup: list_options(section.get("basebackup")),
            hooks: Hooks::new(|key| section.get(key)),
            recovery: section.recovery(),
            use_unix_socket: section.flag("use_unix_socket").unwrap_or(false),
            slots: slots::permanent(dynamic),
            ignore_slots: slots::ignored(dynamic),
            enforce_feedback: false,
            standby_cluster: StandbyCluster::of(dynamic, |name| section.get(name)),
            replace_if_rewind_fails: section.flag("remove_data_directory_on_rewind_failure").unwrap_or(false),
            replace_if_diverged: section.flag("remove_data_directory_on_diverged_timelines").unwrap_or(false),
        }
    }
}

/// The `postgresql` section: the node's own over the dynamic one.
struct Section<'a> {
    dynamic: Option<&'a Map<String, Value>>,
    local: &'a Map<String, Value>,
}

impl Section<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        let local = self.local.get(key).filter(|value| !value.is_null());
        local.or_else(|| self.dynamic?.get(key)).filter(|value| !value.is_null())
    }

    fn flag(&self, key: &str) -> Option<bool> {
        flag(self.get(key))
    }

    fn lines(&self, key: &str) -> Option<Vec<String>> {
        let lines = self.get(key)?.as_array()?.iter().filter_map(|line| line.as_str().map(str::to_owned));
        Some(lines.collect::<Vec<_>>()).filter(|lines| !lines.is_empty())
    }

    fn replica_methods(&self) -> Vec<ReplicaMethod> {
        let named = ["create_replica_methods", "create_replica_method"].iter().find_map(|key| self.get(key));
        let names: Vec<_> = match named {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(names)) => names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
            _ => Vec::new(),
        };
        let names = if names.is_empty() { vec!["basebackup"] } else { names };
        names.into_iter().map(|name| ReplicaMethod::new(name, self.get(name))).collect()
    }

    fn parameters(&self, config: &Config) -> Parameters {
        let none = Map::new();
        let of = |section: Option<&Value>| section.and_then(Value::as_object).cloned().unwrap_or_default();
        let dynamic = of(self.dynamic.unwrap_or(&none).get("parameters"));
        let local = of(self.local.get("parameters"));
        effective(&dynamic, &local, [config.listen.host.clone(), config.listen.port.to_string(), config.scope.clone()])
    }

    fn recovery(&self) -> Parameters {
        let map = self.get("recovery_conf").and_then(Value::as_object).cloned().unwrap_or_default();
        let ours = |name: &str| name.starts_with("recovery_target") || name.starts_with("primary_");
        map.iter()
            .filter(|(name, _)| !ours(name))
            .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), super::parameters::text(value)?)))
            .collect()
    }
}

fn sync_mode(dynamic: &Map<String, Value>) -> SyncMode {
    let strict = flag(dynamic.get("synchronous_mode_strict")).unwrap_or(false);
    match dynamic.get("synchronous_mode") {
        Some(Value::String(text)) if text.eq_ignore_ascii_case("quorum") => SyncMode::Quorum { strict },
        value if flag(value) == Some(true) => SyncMode::On { strict },
        _ => SyncMode::Off,
    }
}

pub(crate) fn flag(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(on) => Some(*on),
        Value::Number(number) => Some(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A whole number, or a text with a unit of time such as `30s`, `5min`, `1h`.
pub(crate) fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| Some(number.as_f64()?.max(0.0) as u64)),
        Value::String(text) => {
            let text = text.trim();
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let number: u64 = text[..digits].parse().ok()?;
            match text[digits..].trim() {
                "" | "s" => Some(number),
                "ms" => Some(number / 1000),
                "min" => Some(number * 60),
                "h" => Some(number * 3600),
                "d" => Some(number * 86400),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(dynamic: Value) -> Settings {
        let text = include_str!("../../tests/data/postgres0.yml");
        let (config, _) = super::super::read("f", text, []).unwrap();
        let Value::Object(map) = dynamic else { panic!("not a map") };
        Settings::new(&config, &map)
    }

    #[test]
    fn the_reference_bootstrap_section_gives_the_settings_it_names() {
        let text = include_str!("../../tests/data/postgres0.yml");
        let (config, _) = super::super::read("f", text, []).unwrap();
        let s = Settings::new(&config, &config.bootstrap.dcs);
        assert_eq!((s.ttl.as_secs(), s.loop_wait.as_secs(), s.retry_timeout.as_secs()), (30, 10, 10));
        assert_eq!(s.primary_start_timeout.as_secs(), 300);
        assert_eq!(s.sync_mode, SyncMode::On { strict: false });
        assert!(s.use_pg_rewind && s.use_slots && !s.pause);
        assert_eq!(s.parameters["wal_keep_size"], "128MB");
        assert_eq!(s.parameters["archive_mode"], "always");
        assert_eq!(s.parameters["unix_socket_directories"], ".");
        assert_eq!(s.parameters["cluster_name"], "my_cluster");
    }

    #[test]
    fn slots_are_used_as_the_cluster_says_whatever_the_nodes_own_file_says() {
        let text = include_str!("../../tests/data/postgres0.yml").replacen(
            "\npostgresql:\n",
            "\npostgresql:\n  use_slots: false\n",
            1,
        );
        let (config, _) = super::super::read("f", &text, []).unwrap();
        assert!(Settings::new(&config, &Map::new()).use_slots);
        let Value::Object(dynamic) = json!({"postgresql": {"use_slots": false}}) else { panic!("not a map") };
        assert!(!Settings::new(&config, &dynamic).use_slots);
    }

    #[test]
    fn defaults_aliases_and_units() {
        let s = settings(json!({}));
        assert_eq!((s.maximum_lag_on_failover, s.maximum_lag_on_syncnode), (1048576, None));
        assert_eq!((s.sync_mode, s.use_pg_rewind), (SyncMode::Off, false));
        let s = settings(
            json!({"ttl": "1min", "primary_start_timeout": "5s", "master_start_timeout": 9, "synchronous_mode": "quorum"}),
        );
        assert_eq!((s.ttl.as_secs(), s.primary_start_timeout.as_secs()), (60, 5));
        assert_eq!(s.sync_mode, SyncMode::Quorum { strict: false });
        let s = settings(json!({"synchronous_mode": "Quorum", "synchronous_mode_strict": "on"}));
        assert_eq!(s.sync_mode, SyncMode::Quorum { strict: true });
        assert_eq!(settings(json!({"maximum_lag_on_syncnode": 100})).maximum_lag_on_syncnode, Some(100));
    }
}
