//! `PATRONI_*` variables, which win over the files (Patroni's documentation, "Environment Configuration
//! Settings"; all but those of other stores).

use serde_json::{Map, Value};

use super::yaml;

/// How a variable's text is read.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bool,
    Number,
    /// A YAML list, with or without its brackets.
    List,
    /// A YAML mapping, with or without its braces.
    Dict,
    /// A list where it is one, else a text: formats of the log.
    Format,
}
use Kind::{Bool, Dict, Format, List, Number, Text};

/// Names and how their values are read.
type Settings = &'static [(&'static str, Kind)];

/// A prefix, the section that it sets, and the settings below.
const SECTIONS: &[(&str, &str, Settings)] = &[
    ("", "", &[("name", Text), ("namespace", Text), ("scope", Text)]),
    (
        "RESTAPI_",
        "restapi",
        &[
            ("listen", Text),
            ("connect_address", Text),
            ("certfile", Text),
            ("keyfile", Text),
            ("keyfile_password", Text),
            ("cafile", Text),
            ("ciphers", Text),
            ("verify_client", Text),
            ("http_extra_headers", Dict),
            ("https_extra_headers", Dict),
            ("allowlist", List),
            ("allowlist_include_members", Bool),
            ("request_queue_size", Number),
            ("server_tokens", Text),
        ],
    ),
    (
        "CTL_",
        "ctl",
        &[("insecure", Bool), ("cacert", Text), ("certfile", Text), ("keyfile", Text), ("keyfile_password", Text)],
    ),
    (
        "POSTGRESQL_",
        "postgresql",
        &[
            ("listen", Text),
            ("connect_address", Text),
            ("proxy_address", Text),
            ("config_dir", Text),
            ("data_dir", Text),
            ("pgpass", Text),
            ("bin_dir", Text),
        ],
    ),
    (
        "POSTGRESQL_BIN_",
        "postgresql.bin_name",
        &[
            ("pg_ctl", Text),
            ("initdb", Text),
            ("pg_controldata", Text),
            ("pg_basebackup", Text),
            ("postgres", Text),
            ("pg_isready", Text),
            ("pg_rewind", Text),
        ],
    ),
    (
        "LOG_",
        "log",
        &[
            ("type", Text),
            ("level", Text),
            ("traceback_level", Text),
            ("format", Format),
            ("dateformat", Text),
            ("static_fields", Dict),
            ("max_queue_size", Number),
            ("dir", Text),
            ("mode", Text),
            ("file_size", Number),
            ("file_num", Number),
            ("loggers", Dict),
            ("deduplicate_heartbeat_logs", Bool),
        ],
    ),
    (
        "ZOOKEEPER_",
        "zookeeper",
        &[
            ("hosts", List),
            ("use_ssl", Bool),
            ("cacert", Text),
            ("cert", Text),
            ("key", Text),
            ("key_password", Text),
            ("verify", Bool),
            ("set_acls", Dict),
            ("auth_data", Dict),
        ],
    ),
    ("CTL_", "ctl.authentication", LOGIN),
    ("RESTAPI_", "restapi.authentication", LOGIN),
    ("REPLICATION_", "postgresql.authentication.replication", USER),
    ("SUPERUSER_", "postgresql.authentication.superuser", USER),
    ("REWIND_", "postgresql.authentication.rewind", USER),
];

const LOGIN: Settings = &[("username", Text), ("password", Text)];

/// What a user of PostgreSQL may be told to connect with.
const USER: Settings = &[
    ("username", Text),
    ("password", Text),
    ("sslmode", Text),
    ("sslcert", Text),
    ("sslkey", Text),
    ("sslpassword", Text),
    ("sslrootcert", Text),
    ("sslcrl", Text),
    ("sslcrldir", Text),
    ("gssencmode", Text),
    ("channel_binding", Text),
    ("sslnegotiation", Text),
];

/// Former names, which the new ones win over.
const FORMER: &[(&str, &str)] =
    &[("LOGLEVEL", "LOG_LEVEL"), ("LOGFORMAT", "LOG_FORMAT"), ("LOG_DATEFMT", "LOG_DATEFORMAT")];

const PREFIX: &str = "PATRONI_";

/// The whole configuration as YAML, for a node that has no file.
pub(super) const WHOLE: &str = "PATRONI_CONFIGURATION";

/// Whether a variable is configuration (it may hold a password) and so must not reach child processes.
pub fn is_patroni_variable(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Lays the variables over the files' values; what cannot be read, by its name. As in Patroni, an empty variable
/// and one whose number or truth value is none says nothing.
pub(super) fn apply(value: &mut Value, environment: &[(String, String)]) -> Vec<String> {
    let get = |name: &str| {
        let of = |name: &str| environment.iter().find(|(known, _)| known.strip_prefix(PREFIX) == Some(name));
        let former = FORMER.iter().find(|(_, new)| *new == name).and_then(|(old, _)| of(old));
        of(name).or(former).map(|(_, text)| text.as_str()).filter(|text| !text.is_empty())
    };
    let mut unreadable = Vec::new();
    for (prefix, section, settings) in SECTIONS {
        for (setting, kind) in *settings {
            let name = format!("{prefix}{}", setting.to_ascii_uppercase());
            let Some(text) = get(&name) else { continue };
            let path = if section.is_empty() { (*setting).to_owned() } else { format!("{section}.{setting}") };
            match read(text, *kind) {
                Some(new) => set(value, &path, new),
                None => unreadable.push(format!("{PREFIX}{name}")),
            }
        }
    }
    unreadable
}

fn read(text: &str, kind: Kind) -> Option<Value> {
    let trimmed = text.trim();
    let open = |from: char, to: char, is_whole: bool| {
        yaml::value(&if is_whole { text.to_owned() } else { format!("{from}{text}{to}") })
    };
    match kind {
        Text => Some(text.into()),
        Bool => super::settings::flag(Some(&text.into())).map(Value::Bool),
        Number => trimmed.parse::<u64>().ok().map(Value::from),
        List => open('[', ']', trimmed.starts_with('-') || text.contains('[')).filter(Value::is_array),
        Dict => open('{', '}', trimmed.starts_with('{')).filter(Value::is_object),
        Format if text.contains("%(") => Some(text.into()),
        Format => read(text, List),
    }
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
    // Mappings are merged, as two files would be.
    match (place, new) {
        (Value::Object(old), Value::Object(new)) => old.extend(new),
        (place, new) => *place = new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn applied(file: Value, variables: &[(&str, &str)]) -> (Value, Vec<String>) {
        let mut value = file;
        let variables: Vec<_> = variables.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        let unreadable = apply(&mut value, &variables);
        (value, unreadable)
    }

    #[test]
    fn variables_win_over_the_file_and_make_missing_sections() {
        let (value, unreadable) = applied(
            json!({"name": "a", "zookeeper": {"hosts": ["x:1"]}}),
            &[
                ("PATRONI_NAME", "b"),
                ("PATRONI_ZOOKEEPER_HOSTS", "'localhost:2181', 'other:2181'"),
                ("PATRONI_SUPERUSER_PASSWORD", "s"),
                ("PATRONI_SUPERUSER_SSLMODE", "require"),
                ("PATRONI_SCOPE", ""),
                ("HOME", "/"),
            ],
        );
        assert_eq!(unreadable, Vec::<String>::new());
        assert_eq!(
            value,
            json!({
                "name": "b",
                "zookeeper": {"hosts": ["localhost:2181", "other:2181"]},
                "postgresql": {"authentication": {"superuser": {"password": "s", "sslmode": "require"}}},
            })
        );
    }

    #[test]
    fn lists_mappings_numbers_and_truth_are_read_as_yaml() {
        let (value, unreadable) = applied(
            json!({"restapi": {"http_extra_headers": {"A": "1"}}}),
            &[
                ("PATRONI_RESTAPI_HTTP_EXTRA_HEADERS", "'X-Frame-Options': deny"),
                ("PATRONI_RESTAPI_ALLOWLIST", "- 10.0.0.0/8\n- host"),
                ("PATRONI_RESTAPI_ALLOWLIST_INCLUDE_MEMBERS", "on"),
                ("PATRONI_ZOOKEEPER_SET_ACLS", "{CN=a: [CREATE, READ]}"),
                ("PATRONI_LOGLEVEL", "DEBUG"),
                ("PATRONI_LOG_FILE_NUM", "7"),
                ("PATRONI_LOG_FILE_SIZE", "much"),
                ("PATRONI_LOG_FORMAT", "%(message)s"),
                ("PATRONI_POSTGRESQL_BIN_POSTGRES", "postgres.real"),
            ],
        );
        assert_eq!(unreadable, ["PATRONI_LOG_FILE_SIZE"]);
        assert_eq!(
            value,
            json!({
                "restapi": {
                    "http_extra_headers": {"A": "1", "X-Frame-Options": "deny"},
                    "allowlist": ["10.0.0.0/8", "host"],
                    "allowlist_include_members": true,
                },
                "postgresql": {"bin_name": {"postgres": "postgres.real"}},
                "log": {"level": "DEBUG", "format": "%(message)s", "file_num": 7},
                "zookeeper": {"set_acls": {"CN=a": ["CREATE", "READ"]}},
            })
        );
    }
}
