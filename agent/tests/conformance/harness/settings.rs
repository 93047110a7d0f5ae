//! A node's Patroni YAML.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use super::{cast, sql};

pub const REPLICATOR: &str = "replicator";
pub const REPLICATOR_PASSWORD: &str = "secret-of-the-replicator";

/// What every node has, with the shortest times that Patroni allows and a small, quick PostgreSQL.
pub fn base(scope: &str, name: &str, address: Ipv4Addr, zookeeper: &str, dir: &Path) -> Value {
    json!({
        "scope": scope,
        "name": name,
        "restapi": {"listen": format!("{address}:8008"), "connect_address": format!("{address}:8008")},
        "zookeeper": {"hosts": [zookeeper]},
        "bootstrap": {
            "dcs": {
                "ttl": 20,
                "loop_wait": 2,
                "retry_timeout": 3,
                "maximum_lag_on_failover": 1_048_576,
                "postgresql": {
                    "use_pg_rewind": true,
                    "use_slots": true,
                    "parameters": {
                        "wal_level": "replica",
                        "hot_standby": "on",
                        "wal_log_hints": "on",
                        "max_wal_senders": 10,
                        "max_replication_slots": 10,
                        "max_connections": 50,
                        "shared_buffers": "16MB",
                        "fsync": "off",
                        "dynamic_shared_memory_type": "mmap"
                    }
                }
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "no-sync"]
        },
        "postgresql": {
            "listen": format!("{address}:{}", sql::PORT),
            "connect_address": format!("{address}:{}", sql::PORT),
            "data_dir": dir.join("data"),
            "bin_dir": cast::postgres_bin(),
            "pgpass": dir.join("pgpass"),
            "pg_hba": [
                "local all all trust",
                "host replication replicator 127.0.0.0/8 md5",
                "host all all 127.0.0.0/8 md5"
            ],
            "authentication": {
                "replication": {"username": REPLICATOR, "password": REPLICATOR_PASSWORD},
                "superuser": {"username": sql::SUPERUSER, "password": sql::SUPERUSER_PASSWORD}
            },
            "parameters": {"unix_socket_directories": dir}
        }
    })
}

/// PostgreSQL logs to `postgres.log` in the node's folder, replication commands too.
pub fn own_log() -> Value {
    json!({"postgresql": {"parameters": {
        "logging_collector": "on",
        "log_directory": "..",
        "log_filename": "postgres.log",
        "log_replication_commands": "on"
    }}})
}

/// Lay `patch` over `value`: mappings are merged, null removes, all else replaces.
pub fn merge(value: &mut Value, patch: &Value) {
    match (value, patch) {
        (Value::Object(value), Value::Object(patch)) => {
            for (key, new) in patch {
                if new.is_null() {
                    value.shift_remove(key);
                } else {
                    merge(value.entry(key.clone()).or_insert(Value::Null), new);
                }
            }
        }
        (value, patch) => *value = patch.clone(),
    }
}

/// `value` as a YAML file.
pub fn write(path: &Path, value: &Value) {
    std::fs::write(path, serde_saphyr::to_string(value).unwrap()).unwrap();
}
