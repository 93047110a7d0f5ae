//! Which keys there are, so that a misspelt or misplaced one does not pass in silence. The one table of them: labrun's
//! labs and its linter read it too.

use super::Warning;
use super::yaml::{Node, Tree};

/// A section of Patroni's YAML.
pub struct Section {
    /// Its path, with dots; empty at the top.
    pub path: &'static str,
    /// The keys that are read there.
    pub keys: &'static [&'static str],
}

/// Every section whose keys are fixed; one that is not listed takes any key (`postgresql.parameters`, `tags`).
/// From the documentation of Patroni 4.1, "YAML Configuration Settings" and "Dynamic Configuration Settings".
pub const SECTIONS: &[Section] = &[
    Section {
        path: "",
        keys: &[
            "scope",
            "name",
            "namespace",
            "restapi",
            "ctl",
            "log",
            "zookeeper",
            "bootstrap",
            "postgresql",
            "tags",
            "watchdog",
            "thread_pool_size",
            "thread_stack_size",
        ],
    },
    Section {
        path: "restapi",
        keys: &[
            "listen",
            "connect_address",
            "authentication",
            "certfile",
            "keyfile",
            "keyfile_password",
            "cafile",
            "ciphers",
            "verify_client",
            "allowlist",
            "allowlist_include_members",
            "http_extra_headers",
            "https_extra_headers",
            "request_queue_size",
            "server_tokens",
            "thread_pool_size",
        ],
    },
    Section {
        path: "zookeeper",
        keys: &["hosts", "use_ssl", "cacert", "cert", "key", "key_password", "verify", "set_acls", "auth_data"],
    },
    Section {
        path: "bootstrap",
        keys: &["dcs", "method", "initdb", "pg_hba", "pg_ident", "post_bootstrap", "post_init"],
    },
    Section { path: "bootstrap.dcs", keys: DYNAMIC },
    Section {
        path: "bootstrap.dcs.postgresql",
        keys: &[
            "use_pg_rewind",
            "use_slots",
            "parameters",
            "pg_hba",
            "pg_ident",
            "recovery_conf",
            "pg_ctl_timeout",
            "remove_data_directory_on_rewind_failure",
            "remove_data_directory_on_diverged_timelines",
            "create_replica_methods",
            "basebackup",
            "callbacks",
            "before_stop",
            "pre_promote",
            "use_unix_socket",
            "use_unix_socket_repl",
            "custom_conf",
        ],
    },
    Section {
        path: "postgresql",
        keys: &[
            "listen",
            "connect_address",
            "proxy_address",
            "data_dir",
            "config_dir",
            "bin_dir",
            "bin_name",
            "pgpass",
            "database",
            "authentication",
            "parameters",
            "pg_hba",
            "pg_ident",
            "callbacks",
            "create_replica_method",
            "create_replica_methods",
            "basebackup",
            "recovery_conf",
            "custom_conf",
            "pg_ctl_timeout",
            "use_pg_rewind",
            "use_slots",
            "use_unix_socket",
            "use_unix_socket_repl",
            "remove_data_directory_on_rewind_failure",
            "remove_data_directory_on_diverged_timelines",
            "before_stop",
            "pre_promote",
            "krbsrvname",
            "config_base_name",
            "wal_e",
            "wal_g",
            "pgbackrest",
            "barman",
        ],
    },
    Section { path: "postgresql.authentication", keys: &["superuser", "replication", "rewind"] },
    Section { path: "postgresql.authentication.superuser", keys: USER },
    Section { path: "postgresql.authentication.replication", keys: USER },
    Section { path: "postgresql.authentication.rewind", keys: USER },
    Section { path: "restapi.authentication", keys: &["username", "password"] },
    Section { path: "ctl.authentication", keys: &["username", "password"] },
    Section { path: "ctl", keys: &["authentication", "insecure", "cacert", "certfile", "keyfile", "keyfile_password"] },
    Section {
        path: "log",
        keys: &[
            "type",
            "level",
            "traceback_level",
            "format",
            "dateformat",
            "static_fields",
            "max_queue_size",
            "dir",
            "mode",
            "file_size",
            "file_num",
            "loggers",
            "deduplicate_heartbeat_logs",
        ],
    },
    Section { path: "watchdog", keys: &["mode", "device", "driver", "safety_margin"] },
    Section {
        path: "bootstrap.dcs.standby_cluster",
        keys: &[
            "host",
            "port",
            "primary_slot_name",
            "create_replica_methods",
            "restore_command",
            "archive_cleanup_command",
            "recovery_min_apply_delay",
        ],
    },
];

/// What a user of PostgreSQL is told to connect with.
const USER: &[&str] = &[
    "username",
    "password",
    "sslmode",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "gssencmode",
    "channel_binding",
    "sslnegotiation",
    "options",
];

/// The keys of the dynamic configuration.
const DYNAMIC: &[&str] = &[
    "ttl",
    "loop_wait",
    "retry_timeout",
    "maximum_lag_on_failover",
    "maximum_lag_on_syncnode",
    "max_timelines_history",
    "check_timeline",
    "primary_start_timeout",
    "master_start_timeout",
    "primary_stop_timeout",
    "master_stop_timeout",
    "synchronous_mode",
    "synchronous_mode_strict",
    "synchronous_node_count",
    "failsafe_mode",
    "pause",
    "member_slots_ttl",
    "slots",
    "permanent_slots",
    "permanent_replication_slots",
    "ignore_slots",
    "standby_cluster",
    "postgresql",
];

/// Other stores that Patroni knows and this agent does not.
pub const OTHER_STORES: &[&str] = &["etcd", "etcd3", "consul", "kubernetes", "raft", "exhibitor"];

/// Warnings for keys that nothing will read.
pub(super) fn check(file: &str, tree: &Tree) -> Vec<Warning> {
    let mut warnings = Vec::new();
    walk(file, "", &tree.root, &mut warnings);
    warnings
}

fn walk(file: &str, path: &str, node: &Node, warnings: &mut Vec<Warning>) {
    let Some(known) = keys_of(path) else { return };
    for (key, child) in node.entries() {
        let below = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
        let own_section = path == "bootstrap" || path == "postgresql";
        // A custom bootstrap or replica method has a section of the method's name.
        let custom = own_section && matches!(child, Node::Map(_)) && key.name != "users";
        if known.contains(&key.name.as_str()) || custom {
            walk(file, &below, child, warnings);
            continue;
        }
        warnings.push(Warning { file: file.into(), line: key.line, text: complaint(path, &key.name) });
    }
}

fn complaint(path: &str, key: &str) -> String {
    let here = if path.is_empty() { "at the top level".to_owned() } else { format!("in `{path}`") };
    if path.is_empty() && OTHER_STORES.contains(&key) {
        return format!("`{key}` is ignored: labrun-agent keeps the cluster in ZooKeeper (`zookeeper:`)");
    }
    if path == "bootstrap" && key == "users" {
        return "Patroni has made no users since 4.0, nor does labrun-agent: create them in `post_bootstrap`"
            .to_owned();
    }
    let homes: Vec<_> = SECTIONS
        .iter()
        .filter(|section| section.path != path && section.keys.contains(&key))
        .map(|Section { path, .. }| if path.is_empty() { "the top level".to_owned() } else { format!("`{path}`") })
        .collect();
    if homes.is_empty() {
        let hint = nearest(path, key).map(|known| format!(" (did you mean `{known}`?)")).unwrap_or_default();
        return format!("`{key}` is no key that is known {here}; it is ignored{hint}");
    }
    format!("`{key}` is ignored {here}; it belongs to {} (check the indentation)", homes.join(" or "))
}

/// The keys of a section; none if it takes any.
fn keys_of(path: &str) -> Option<&'static [&'static str]> {
    SECTIONS.iter().find(|section| section.path == path).map(|section| section.keys)
}

/// A known key of the same section that looks like this one.
fn nearest(path: &str, key: &str) -> Option<&'static str> {
    let ranked = keys_of(path)?.iter().map(|known| (strsim::jaro_winkler(key, known), *known));
    ranked.filter(|(likeness, _)| *likeness > 0.85).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        check("f", &parse("f", text).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misplaced_key_is_named_with_its_line_and_its_home() {
        let found = complaints("scope: a\nttl: 30\nbootstrap:\n  dcs:\n    ttl: 30\n    use_slots: true\n");
        assert_eq!(
            found,
            [
                "f:2: `ttl` is ignored at the top level; it belongs to `bootstrap.dcs` (check the indentation)",
                "f:6: `use_slots` is ignored in `bootstrap.dcs`; it belongs to `bootstrap.dcs.postgresql` or `postgresql` (check the indentation)",
            ]
        );
    }

    #[test]
    fn a_misspelt_key_and_another_store_are_named_and_free_sections_are_not() {
        let found = complaints(
            "scop: a\netcd: {}\ntags: {any: 1}\npostgresql: {parameters: {x: 1}, my_method: {command: c}}\n",
        );
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("`scop` is no key") && found[1].contains("ZooKeeper"), "{found:?}");
        assert!(found[0].ends_with("(did you mean `scope`?)"), "{found:?}");
        assert_eq!(complaints("restapi: {certfille: x}\nwatchdog: {mode: off}\n").len(), 1);
        assert!(complaints("bootstrap: {users: {u: {password: p}}}\n")[0].contains("post_bootstrap"));
        assert!(!complaints("quite_another: 1\n")[0].contains("did you mean"));
    }
}
