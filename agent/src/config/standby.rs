//! `standby_cluster`: the whole cluster follows another one.

use serde_json::{Map, Value};

use super::parameters::text;
use super::scripts::ReplicaMethod;

/// Where the standby cluster's leader gets its WAL from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandbyCluster {
    /// The remote primary: one or several hosts, separated by commas. None: WAL comes by `restore_command` alone.
    pub host: Option<String>,
    pub port: u16,
    /// The slot on the remote primary.
    pub slot: Option<String>,
    pub restore_command: Option<String>,
    pub archive_cleanup_command: Option<String>,
    pub recovery_min_apply_delay: Option<String>,
    /// The ways in which nodes of this cluster are made.
    pub replica_methods: Vec<ReplicaMethod>,
}

impl StandbyCluster {
    /// Without any of host, port and restore_command the section says nothing. `method` gives a method's section.
    pub(super) fn of<'a>(
        dynamic: &Map<String, Value>,
        method: impl Fn(&str) -> Option<&'a Value>,
    ) -> Option<StandbyCluster> {
        let section = dynamic.get("standby_cluster")?.as_object()?;
        let own = |key: &str| section.get(key).and_then(text).filter(|text| !text.is_empty());
        if ["host", "port", "restore_command"].iter().all(|key| own(key).is_none()) {
            return None;
        }
        let port = own("port").map(|port| port.parse()).unwrap_or(Ok(5432)).unwrap_or_else(|_| {
            tracing::error!("standby_cluster.port is no port number: 5432 is taken");
            5432
        });
        let methods = section.get("create_replica_methods").and_then(Value::as_array);
        let methods: Vec<_> = methods.into_iter().flatten().filter_map(Value::as_str).collect();
        let methods = if methods.is_empty() { vec!["basebackup"] } else { methods };
        Some(StandbyCluster {
            host: own("host"),
            port,
            slot: own("primary_slot_name"),
            restore_command: own("restore_command"),
            archive_cleanup_command: own("archive_cleanup_command"),
            recovery_min_apply_delay: own("recovery_min_apply_delay"),
            replica_methods: methods.into_iter().map(|name| ReplicaMethod::new(name, method(name))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Option<StandbyCluster> {
        StandbyCluster::of(json!({"standby_cluster": value}).as_object().unwrap(), |_| None)
    }

    #[test]
    fn a_section_that_names_no_source_is_none() {
        assert_eq!(of(Value::Null), None);
        assert_eq!(of(json!({"primary_slot_name": "s"})), None);
        let by_archive = of(json!({"restore_command": "cp x %p"})).unwrap();
        assert_eq!((by_archive.host, by_archive.restore_command.as_deref()), (None, Some("cp x %p")));
    }

    #[test]
    fn ports_are_numbers_or_texts_and_copies_are_made_by_pg_basebackup_unless_told() {
        let standby = of(json!({"host": "a,b", "port": "6000", "primary_slot_name": "s"})).unwrap();
        assert_eq!((standby.host.as_deref(), standby.port), (Some("a,b"), 6000));
        assert_eq!(standby.replica_methods, [ReplicaMethod::Basebackup]);
        assert_eq!(of(json!({"host": "a", "port": 7000})).unwrap().port, 7000);
    }
}
