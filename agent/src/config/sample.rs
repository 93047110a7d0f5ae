//! `--generate-sample-config`: a file to begin with, for this machine, with what the environment already says.

use std::net::ToSocketAddrs;

use serde_json::{Map, Value, json};

use super::env;
use super::parameters::effective;

/// What must be filled in.
pub(super) const OPEN: &str = "#FIXME";

/// The YAML text.
pub fn sample(environment: impl IntoIterator<Item = (String, String)>) -> String {
    let environment: Vec<_> = environment.into_iter().collect();
    let (host, address) = this_machine();
    let mut value = template(&host, &address);
    env::apply(&mut value, &environment);
    // Whatever can be serialised to JSON can be to YAML.
    serde_saphyr::to_string(&value).unwrap_or_default()
}

pub(super) fn this_machine() -> (String, String) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    let Ok(host) = host else { return (OPEN.into(), OPEN.into()) };
    let mut found: Vec<_> = (host.as_str(), 0).to_socket_addrs().into_iter().flatten().collect();
    found.sort_by_key(|address| !address.is_ipv4());
    let address = found.first().map_or(OPEN.to_owned(), |address| address.ip().to_string());
    (host, address)
}

pub(super) fn template(host: &str, address: &str) -> Value {
    let none = Map::new();
    let mut parameters = effective(&none, &none, Default::default());
    parameters
        .retain(|name, _| !["listen_addresses", "port", "cluster_name", "wal_keep_size"].contains(&name.as_str()));
    let login = |username: &str| json!({"username": username, "password": OPEN});
    json!({
        "scope": OPEN,
        "name": host,
        "restapi": {"connect_address": format!("{address}:8008"), "listen": format!("{address}:8008")},
        "zookeeper": {"hosts": [OPEN]},
        "bootstrap": {
            "dcs": {
                "loop_wait": 10,
                "retry_timeout": 10,
                "ttl": 30,
                "postgresql": {"use_pg_rewind": true, "use_slots": true, "parameters": parameters},
            },
            "initdb": ["data-checksums"],
        },
        "postgresql": {
            "data_dir": OPEN,
            "connect_address": format!("{address}:5432"),
            "listen": format!("{address}:5432"),
            "bin_dir": "",
            "authentication": {
                "superuser": login("postgres"),
                "replication": login("replicator"),
                "rewind": login("rewind_user"),
            },
            "pg_hba": ["host all all all scram-sha-256", "host replication replicator all scram-sha-256"],
        },
        "tags": {
            "failover_priority": 1,
            "sync_priority": 1,
            "noloadbalance": false,
            "clonefrom": true,
            "nostream": false,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_configuration_that_the_environment_completes() {
        let set = |name: &str, text: &str| (format!("PATRONI_{name}"), text.to_owned());
        let environment = [
            set("SCOPE", "mine"),
            set("ZOOKEEPER_HOSTS", "zoo:2181"),
            set("POSTGRESQL_DATA_DIR", "/data"),
            set("RESTAPI_CONNECT_ADDRESS", "10.0.0.1:8008"),
            set("RESTAPI_LISTEN", "10.0.0.1:8008"),
            set("POSTGRESQL_CONNECT_ADDRESS", "10.0.0.1:5432"),
            set("POSTGRESQL_LISTEN", "10.0.0.1:5432"),
            set("NAME", "pg1"),
        ];
        let text = sample(environment);
        let (config, warnings) = super::super::read("sample", &text, []).unwrap();
        assert_eq!((config.scope.as_str(), config.name.as_str(), warnings), ("mine", "pg1", vec![]));
        assert_eq!(config.bootstrap.dcs["postgresql"]["parameters"]["max_connections"], "100");
        assert_eq!(config.authentication.replication.password.as_deref(), Some(OPEN));
        assert!(sample([]).contains("scope: '#FIXME'") || sample([]).contains("scope: \"#FIXME\""));
    }
}
