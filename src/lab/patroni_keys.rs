//! What is told about a key that Patroni 4.1 does not read where it stands. Which it reads, the agent's table says.

pub use labrun_agent::config::keys::{OTHER_STORES, SECTIONS};

use super::diagnostic::{listed, nearest};

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

/// Sections of the top level for what no lab has: other DCSs, and Citus. They are read, so they are no mistake here.
pub fn is_of_another_cluster(path: &str, key: &str) -> bool {
    path.is_empty() && (OTHER_STORES.contains(&key) || key == "citus")
}

/// What to do about a key that is not read at a place: the name that was meant, or where it is read.
pub fn advice(path: &str, key: &str) -> String {
    if path == "bootstrap" && key == "users" {
        return "Patroni makes no users since 4.0: create them in a script, `post_bootstrap`".to_owned();
    }
    let known = SECTIONS.iter().find(|known| known.path == path).map(|known| known.keys).unwrap_or_default();
    let elsewhere: Vec<&str> =
        SECTIONS.iter().filter(|known| known.keys.contains(&key)).map(|known| known.path).collect();
    match (elsewhere.as_slice(), nearest(key, known.iter().copied())) {
        ([], Some(near)) => format!("did you mean `{near}`?"),
        ([], None) => format!("Patroni 4.1 has no such setting; it reads here: {}", listed(known.iter().copied())),
        (places, _) => {
            let places = places.iter().map(|path| if path.is_empty() { "the top level" } else { *path });
            format!("Patroni reads it under {}; here it has no effect", listed(places))
        }
    }
}
