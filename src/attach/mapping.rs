//! A lab on a cluster that it was not written for: its nodes are mapped to the cluster's by what they are, and it then
//! speaks of those.

use serde_json::Value;

use super::AttachError;
use super::cluster::{Cluster, count, kind};
use crate::lab::Loaded;
use crate::lab::model::Node;

/// Pairs of names: the lab's, the cluster's.
pub type Mapping = Vec<(String, String)>;

/// The lab's nodes and the cluster's, by kind and order. The cluster may have more.
pub fn map(loaded: &Loaded, cluster: &Cluster) -> Result<Mapping, AttachError> {
    let wanted = count(loaded.lab.file.topology.nodes.values().map(kind_of));
    let found = count(cluster.nodes.iter().map(|node| kind(&node.service)));
    for (name, wanted) in &wanted {
        let found = found.get(name).copied().unwrap_or(0);
        if found < *wanted {
            let names: Vec<String> =
                cluster.nodes.iter().map(|node| format!("{} ({})", node.name, kind(&node.service))).collect();
            let kind = ["zookeeper", "postgres", "haproxy"].into_iter().find(|kind| kind == name).unwrap_or("other");
            return Err(AttachError::Lacks { kind, wanted: *wanted, found, names: names.join(", ") });
        }
    }
    let mut left: Vec<(&str, &str)> =
        cluster.nodes.iter().map(|node| (kind(&node.service), node.name.as_str())).collect();
    let mut mapping = Mapping::new();
    for (name, node) in &loaded.lab.file.topology.nodes {
        if let Some(place) = left.iter().position(|(kind, _)| *kind == kind_of(node)) {
            mapping.push((name.clone(), left.remove(place).1.to_owned()));
        }
    }
    Ok(mapping)
}

fn kind_of(node: &Node) -> &'static str {
    match node {
        Node::Zookeeper(_) => "zookeeper",
        Node::Postgres(_) => "postgres",
        Node::Haproxy(_) => "haproxy",
    }
}

/// The lab with the cluster's topology, and with the cluster's names where its checks name a node.
pub fn rewritten(loaded: &Loaded, cluster: &Cluster, mapping: &Mapping) -> Loaded {
    let mut loaded = loaded.clone();
    loaded.lab.file.topology = cluster.topology.clone();
    for check in loaded.lab.parts.iter_mut().flat_map(|part| &mut part.checks) {
        check.params.values_mut().for_each(|value| rename(value, mapping));
    }
    for part in &mut loaded.lab.file.parts {
        part.checks.iter_mut().flat_map(|check| check.with.values_mut()).for_each(|value| rename(value, mapping));
        // The files are the cluster's own: those that it has not are not printed.
        part.files.retain(|file| cluster.project.iter().any(|own| own.path == *file));
    }
    loaded
}

/// Texts that are exactly a node's name.
fn rename(value: &mut Value, mapping: &Mapping) {
    match value {
        Value::String(text) => {
            if let Some((_, own)) = mapping.iter().find(|(lab, _)| lab == text) {
                text.clone_from(own);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, mapping)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, mapping)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::cluster::Member;
    use super::*;
    use crate::deploy::Over;
    use crate::lab;
    use crate::lab::model::{AgentKind, Topology};
    use crate::topology::{Credentials, Service};

    fn node(name: &str, service: Service) -> Member {
        let main = "127.0.0.1:1".parse().unwrap();
        Member { name: name.into(), service, main, side: None, address: None, published: vec![], container: None }
    }

    fn postgres(name: &str) -> Member {
        let agent = AgentKind::Patroni;
        node(name, Service::Postgres { member: name.into(), agent, sql_port: 1, rest_port: 2 })
    }

    fn cluster(nodes: Vec<Member>) -> Cluster {
        Cluster {
            name: "c".into(),
            scope: "s".into(),
            namespace: "service".into(),
            credentials: Credentials {
                superuser: "postgres".into(),
                superuser_password: String::new(),
                replication: String::new(),
                replication_password: String::new(),
                rest: None,
            },
            nodes,
            topology: Topology { defaults: Default::default(), network: Default::default(), nodes: Default::default() },
            project: Vec::new(),
            folder: None,
            over: Over::Commands(BTreeMap::new()),
            page: Default::default(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn nodes_are_mapped_by_what_they_are() {
        let loaded = lab::load("builtin:ha-postgres").unwrap();
        let lb = || node("lb", Service::Haproxy { sql_port: 1, stats_port: 2 });
        let zk = || node("zk", Service::Zookeeper { client_port: 1 });
        let found = cluster(vec![lb(), postgres("b"), postgres("a"), zk(), postgres("third")]);
        let mapping = map(&loaded, &found).unwrap();
        let pairs: Vec<String> = mapping.iter().map(|(lab, own)| format!("{lab}={own}")).collect();
        assert_eq!(pairs, ["zoo=zk", "pg-master=b", "pg-slave=a", "haproxy=lb"]);
        let error = map(&loaded, &cluster(vec![lb(), postgres("only"), zk()])).unwrap_err().to_string();
        assert_eq!(
            error,
            "the lab has 2 postgres node(s), the cluster 1: lb (haproxy), only (postgres), zk (zookeeper)"
        );
    }

    #[test]
    fn a_check_that_names_a_node_speaks_of_the_clusters() {
        let mut value = serde_json::json!({"node": "pg-master", "all": ["zoo", "pg-master-2"], "n": 1});
        rename(&mut value, &vec![("zoo".into(), "zk".into()), ("pg-master".into(), "a".into())]);
        assert_eq!(value, serde_json::json!({"node": "a", "all": ["zk", "pg-master-2"], "n": 1}));
    }
}
