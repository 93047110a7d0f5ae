//! `PATRONI_*` variables, which win over the file (Patroni's documentation, "Environment Configuration
//! Settings"; the part that concerns ZooKeeper, REST, PostgreSQL and its users).

use serde_json::{Map, Value};

/// Variable (without the prefix) and the path that it sets.
const VARIABLES: &[(&str, &str)] = &[
    ("NAME", "name"),
    ("NAMESPACE", "namespace"),
    ("SCOPE", "scope"),
    ("ZOOKEEPER_HOSTS", "zookeeper.hosts"),
    ("RESTAPI_LISTEN", "restapi.listen"),
    ("RESTAPI_CONNECT_ADDRESS", "restapi.connect_address"),
    ("RESTAPI_USERNAME", "restapi.authentication.username"),
    ("RESTAPI_PASSWORD", "restapi.authentication.password"),
    ("POSTGRESQL_LISTEN", "postgresql.listen"),
    ("POSTGRESQL_CONNECT_ADDRESS", "postgresql.connect_address"),
    ("POSTGRESQL_PROXY_ADDRESS", "postgresql.proxy_address"),
    ("POSTGRESQL_DATA_DIR", "postgresql.data_dir"),
    ("POSTGRESQL_CONFIG_DIR", "postgresql.config_dir"),
    ("POSTGRESQL_BIN_DIR", "postgresql.bin_dir"),
    ("POSTGRESQL_PGPASS", "postgresql.pgpass"),
    ("SUPERUSER_USERNAME", "postgresql.authentication.superuser.username"),
    ("SUPERUSER_PASSWORD", "postgresql.authentication.superuser.password"),
    ("REPLICATION_USERNAME", "postgresql.authentication.replication.username"),
    ("REPLICATION_PASSWORD", "postgresql.authentication.replication.password"),
    ("REWIND_USERNAME", "postgresql.authentication.rewind.username"),
    ("REWIND_PASSWORD", "postgresql.authentication.rewind.password"),
];

const PREFIX: &str = "PATRONI_";

/// Whether a variable is configuration (it may hold a password) and so must not reach child processes.
pub fn is_patroni_variable(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Lays the variables over the file's values.
pub(super) fn apply(value: &mut Value, environment: impl IntoIterator<Item = (String, String)>) {
    for (name, text) in environment {
        let Some(name) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let Some((_, path)) = VARIABLES.iter().find(|(variable, _)| *variable == name) else {
            continue;
        };
        let parsed = if name == "ZOOKEEPER_HOSTS" { hosts(&text) } else { text.into() };
        set(value, path, parsed);
    }
}

/// Patroni reads this one as YAML; a bare list of quoted hosts is common, too.
fn hosts(text: &str) -> Value {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    text.split(',').map(|host| host.trim().trim_matches(['\'', '"'])).filter(|host| !host.is_empty()).collect()
}

fn set(value: &mut Value, path: &str, new: Value) {
    let mut place = value;
    for name in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(map) = place else { return };
        place = map.entry(name).or_insert(Value::Null);
    }
    *place = new;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_win_over_the_file_and_make_missing_sections() {
        let mut value = json!({"name": "a", "zookeeper": {"hosts": ["x:1"]}});
        let set = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        apply(
            &mut value,
            [
                set("PATRONI_NAME", "b"),
                set("PATRONI_ZOOKEEPER_HOSTS", "'localhost:2181', 'other:2181'"),
                set("PATRONI_SUPERUSER_PASSWORD", "s"),
                set("HOME", "/"),
            ],
        );
        assert_eq!(
            value,
            json!({
                "name": "b",
                "zookeeper": {"hosts": ["localhost:2181", "other:2181"]},
                "postgresql": {"authentication": {"superuser": {"password": "s"}}},
            })
        );
    }
}
