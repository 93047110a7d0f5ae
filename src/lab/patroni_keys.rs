//! The keys that Patroni 4.1 reads, by where it reads them (Patroni's documents "YAML Configuration Settings" and
//! "Dynamic Configuration Settings").

use super::diagnostic::{listed, nearest};

/// A place in Patroni's YAML with the keys that are read there.
pub struct Place {
    /// The path, with dots; empty at the top.
    pub path: &'static str,
    /// Keys with a meaning there.
    pub keys: &'static [&'static str],
}

/// Every place whose keys are fixed. What lies elsewhere (`postgresql.parameters`, `tags`) has free keys.
pub const PLACES: &[Place] = &[
    Place {
        path: "",
        keys: &[
            "scope",
            "namespace",
            "name",
            "log",
            "bootstrap",
            "postgresql",
            "restapi",
            "ctl",
            "watchdog",
            "tags",
            "zookeeper",
            "citus",
        ],
    },
    Place {
        path: "bootstrap",
        keys: &["dcs", "method", "initdb", "pg_hba", "pg_ident", "post_bootstrap", "post_init"],
    },
    Place {
        path: "bootstrap.dcs",
        keys: &[
            "loop_wait",
            "ttl",
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
            "postgresql",
            "standby_cluster",
            "slots",
            "permanent_slots",
            "permanent_replication_slots",
            "ignore_slots",
            "member_slots_ttl",
            "pause",
        ],
    },
    Place {
        path: "bootstrap.dcs.postgresql",
        keys: &[
            "use_pg_rewind",
            "use_slots",
            "parameters",
            "recovery_conf",
            "pg_hba",
            "pg_ident",
            "pg_ctl_timeout",
            "remove_data_directory_on_rewind_failure",
            "remove_data_directory_on_diverged_timelines",
            "create_replica_methods",
            "callbacks",
            "custom_conf",
            "basebackup",
        ],
    },
    Place {
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
            "authentication",
            "callbacks",
            "create_replica_methods",
            "recovery_conf",
            "custom_conf",
            "parameters",
            "pg_hba",
            "pg_ident",
            "pg_ctl_timeout",
            "use_pg_rewind",
            "use_slots",
            "database",
            "krbsrvname",
            "remove_data_directory_on_rewind_failure",
            "remove_data_directory_on_diverged_timelines",
            "basebackup",
            "use_unix_socket",
            "use_unix_socket_repl",
            "pre_promote",
            "before_stop",
        ],
    },
    Place { path: "postgresql.authentication", keys: &["superuser", "replication", "rewind"] },
    Place { path: "postgresql.authentication.superuser", keys: USER },
    Place { path: "postgresql.authentication.replication", keys: USER },
    Place { path: "postgresql.authentication.rewind", keys: USER },
];

const USER: &[&str] = &[
    "username",
    "password",
    "sslmode",
    "sslkey",
    "sslpassword",
    "sslcert",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslnegotiation",
    "gssencmode",
    "channel_binding",
];

/// What labrun itself sets, since it depends on where a node runs.
pub const OWN: &[&str] = &[
    "name",
    "restapi.listen",
    "restapi.connect_address",
    "zookeeper.hosts",
    "postgresql.listen",
    "postgresql.connect_address",
    "postgresql.proxy_address",
    "postgresql.data_dir",
    "postgresql.config_dir",
    "postgresql.bin_dir",
    "postgresql.pgpass",
];

/// The sections of other DCSs: a lab's cluster lives in its ZooKeeper nodes.
pub const OTHER_DCS: &[&str] = &["etcd", "etcd3", "consul", "exhibitor", "kubernetes", "raft"];

/// What to do about a key that is not read at a place: the name that was meant, or where it is read.
pub fn advice(path: &str, key: &str) -> String {
    let known = PLACES.iter().find(|known| known.path == path).map(|known| known.keys).unwrap_or_default();
    let elsewhere: Vec<&str> =
        PLACES.iter().filter(|known| known.keys.contains(&key)).map(|known| known.path).collect();
    match (elsewhere.as_slice(), nearest(key, known.iter().copied())) {
        ([], Some(near)) => format!("did you mean `{near}`?"),
        ([], None) => format!("Patroni 4.1 has no such setting; it reads here: {}", listed(known.iter().copied())),
        (places, _) => {
            let places = places.iter().map(|path| if path.is_empty() { "the top level" } else { *path });
            format!("Patroni reads it under {}; here it has no effect", listed(places))
        }
    }
}
