//! A postgres node's whole Patroni configuration: the lab's fragment, and what depends on where the node runs.
//! Keys come in the order in which Patroni's documents and most people write them.

use serde_json::{Map, Value, json};

use super::{Credentials, Timing};
use crate::lab::settings::at;

/// Where a node runs, as far as its configuration must say it.
pub struct Place {
    /// The host or address that it listens on.
    pub listen: String,
    /// The host or address by which others reach it.
    pub connect: String,
    /// PostgreSQL's port.
    pub sql_port: u16,
    /// The REST API's port.
    pub rest_port: u16,
    /// The ZooKeeper servers, `host:port`.
    pub zookeeper: Vec<String>,
    /// PostgreSQL's data directory.
    pub data_dir: String,
    /// Where PostgreSQL's programs lie; none where they are in the PATH.
    pub bin_dir: Option<String>,
    /// The password file that the agent writes.
    pub pgpass: String,
}

/// The configuration of the member `name`.
pub fn document(fragment: &Map<String, Value>, name: &str, place: &Place) -> Map<String, Value> {
    let mut rest = fragment.clone();
    let mut out = Map::new();
    let mut section = |key: &str, own: Value| -> (String, Value) {
        let mut section = own;
        if let (Value::Object(section), Some(Value::Object(more))) = (&mut section, rest.shift_remove(key)) {
            section.extend(more);
        }
        (key.to_owned(), section)
    };
    let restapi = json!({
        "listen": format!("{}:{}", place.listen, place.rest_port),
        "connect_address": format!("{}:{}", place.connect, place.rest_port),
    });
    let mut postgresql = json!({
        "listen": format!("{}:{}", place.listen, place.sql_port),
        "connect_address": format!("{}:{}", place.connect, place.sql_port),
        "data_dir": place.data_dir,
    });
    if let Some(bin_dir) = &place.bin_dir {
        postgresql["bin_dir"] = json!(bin_dir);
    }
    postgresql["pgpass"] = json!(place.pgpass);
    let sections = [
        section("restapi", restapi),
        section("zookeeper", json!({"hosts": place.zookeeper})),
        section("bootstrap", json!({})),
        section("postgresql", postgresql),
        section("tags", json!({})),
    ];
    for key in ["scope", "namespace"] {
        out.extend(rest.shift_remove(key).map(|value| (key.to_owned(), value)));
    }
    out.insert("name".to_owned(), json!(name));
    out.extend(sections.into_iter().filter(|(_, section)| section.as_object().is_some_and(|map| !map.is_empty())));
    out.extend(rest);
    out
}

/// The fragment for nodes that share one file system: commands that write below `/tmp`, which is a container's own,
/// are pointed at `tmp` beside the data directory (PostgreSQL runs such commands in its data directory).
pub fn private_tmp(fragment: &Map<String, Value>) -> Map<String, Value> {
    fn walk(key: &str, value: &Value) -> Value {
        match value {
            Value::String(text) if key.ends_with("_command") => Value::String(text.replace("/tmp/", "../tmp/")),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), walk(key, value))).collect(),
            other => other.clone(),
        }
    }
    fragment.iter().map(|(key, value)| (key.clone(), walk(key, value))).collect()
}

/// The fragment for nodes that reach each other over the loopback interface. initdb's own lines in pg_hba.conf trust
/// whoever comes from 127.0.0.1, so that no password would ever be asked for, and a wrong one never found; between
/// machines those lines do not apply. So these, too, ask for the password, unless the lab says how initdb is run.
pub fn passwords_on_loopback(mut fragment: Map<String, Value>) -> Map<String, Value> {
    let has_password = at(&fragment, &["postgresql", "authentication", "superuser", "password"]).is_some();
    if let Some(Value::Object(bootstrap)) = fragment.get_mut("bootstrap").filter(|_| has_password) {
        bootstrap.entry("initdb").or_insert_with(|| json!([{"auth-host": "md5"}]));
    }
    fragment
}

/// The fragment for real Patroni on nodes that share one process table. A socket in the data directory (`.`) leaves a
/// lock file there that pg_basebackup copies: in a container the process that it names does not exist and the copy is
/// stale, here it does and PostgreSQL refuses to start. So the socket goes into the folder above.
pub fn sockets_outside_data(mut fragment: Map<String, Value>) -> Map<String, Value> {
    let directories = fragment
        .get_mut("postgresql")
        .and_then(|section| section.get_mut("parameters"))
        .and_then(|parameters| parameters.get_mut("unix_socket_directories"));
    if let Some(directories) = directories.filter(|directories| directories.as_str() == Some(".")) {
        *directories = json!("..");
    }
    fragment
}

/// Users and passwords. Patroni's own defaults stand where the lab says nothing.
pub fn credentials(fragment: &Map<String, Value>) -> Credentials {
    let read = |user: &str, key: &str, default: &str| {
        let value = at(fragment, &["postgresql", "authentication", user, key]).and_then(Value::as_str);
        value.unwrap_or(default).to_owned()
    };
    let rest = |key: &str| Some(at(fragment, &["restapi", "authentication", key])?.as_str()?.to_owned());
    Credentials {
        superuser: read("superuser", "username", "postgres"),
        superuser_password: read("superuser", "password", ""),
        replication: read("replication", "username", "replicator"),
        replication_password: read("replication", "password", ""),
        rest: rest("username").zip(rest("password")),
    }
}

/// Patroni's part of the timing; its defaults where the lab says nothing (Patroni, "Dynamic Configuration Settings").
pub fn timing(fragment: &Map<String, Value>, timing: &mut Timing) {
    let seconds = |key: &str, default: u64| {
        at(fragment, &["bootstrap", "dcs", key]).and_then(Value::as_u64).unwrap_or(default).saturating_mul(1_000)
    };
    timing.ttl_ms = seconds("ttl", 30);
    timing.loop_wait_ms = seconds("loop_wait", 10);
    timing.retry_timeout_ms = seconds("retry_timeout", 10);
    for key in [
        "maximum_lag_on_failover",
        "primary_start_timeout",
        "master_start_timeout",
        "synchronous_mode",
        "synchronous_mode_strict",
        "failsafe_mode",
    ] {
        if let Some(value) = at(fragment, &["bootstrap", "dcs", key]) {
            timing.other.insert(key.to_owned(), value.to_string());
        }
    }
}
