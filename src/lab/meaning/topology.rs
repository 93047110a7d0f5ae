//! The topology: kinds that need one another, published ports, images, HAProxy's and ZooKeeper's settings.

use std::collections::HashMap;

use super::Meaning;
use crate::lab::diagnostic::{Code, listed};
use crate::lab::model::{HaproxyNode, Node, Topology};
use crate::lab::settings;

/// The most nodes of a topology: each has an address in one block of loopback addresses.
pub const MAX_NODES: usize = 200;
/// The paths of the agents' REST API that answer 200 on the leader alone (Patroni, "REST API", health checks).
const LEADER_PATHS: [&str; 5] = ["/", "/primary", "/read-write", "/leader", "/master"];

impl Meaning<'_> {
    pub(super) fn topology(&mut self, topology: &Topology) {
        self.kinds(topology);
        self.ports(topology);
        self.images(topology);
        for (name, node) in &topology.nodes {
            if let Node::Haproxy(node) = node {
                self.haproxy(topology, name, node);
            }
        }
    }

    fn kinds(&mut self, topology: &Topology) {
        let place = self.key(&["topology", "nodes"]);
        let count = topology.nodes.len();
        if count > MAX_NODES {
            self.error(
                Code::TooLarge,
                format!("{count} nodes are too many: a lab may have {MAX_NODES}"),
                place.clone(),
            );
        }
        let of = |kind: fn(&Node) -> bool| topology.nodes.iter().find(|(_, node)| kind(node)).map(|(name, _)| name);
        let postgres = of(|node| matches!(node, Node::Postgres(_)));
        let zookeeper = of(|node| matches!(node, Node::Zookeeper(_)));
        let haproxy = of(|node| matches!(node, Node::Haproxy(_)));
        if count == 0 {
            self.error(Code::MissingKind, "a topology without nodes is nothing to deploy", place);
        } else if let (Some(name), None) = (postgres, zookeeper) {
            let place = self.key(&["topology", "nodes", name]);
            self.error(Code::MissingKind, format!("`{name}` needs a node of kind `zookeeper`"), place)
                .with_help("the HA agents elect their leader through ZooKeeper: add a node `zoo: {kind: zookeeper}`");
        } else if let (Some(name), None) = (haproxy, postgres) {
            let place = self.key(&["topology", "nodes", name]);
            self.error(Code::MissingKind, format!("`{name}` has no node of kind `postgres` to lead to"), place);
        }
    }

    fn ports(&mut self, topology: &Topology) {
        let mut taken: HashMap<u16, (String, std::ops::Range<usize>)> = HashMap::new();
        for (name, node) in &topology.nodes {
            let published = match node {
                Node::Zookeeper(node) => vec![("client", node.publish.client)],
                Node::Postgres(node) => vec![("sql", node.publish.sql), ("rest", node.publish.rest)],
                Node::Haproxy(node) => vec![("sql", node.publish.sql), ("stats", node.publish.stats)],
            };
            for (key, port) in published {
                let Some(port) = port else { continue };
                let place = self.value(&["topology", "nodes", name, "publish", key]);
                let shown = format!("{name}.{key}");
                if let Some((other, before)) = taken.get(&port).cloned() {
                    self.error(Code::PortTwice, format!("port {port} is published by both {other} and {shown}"), place)
                        .with_label("the second time")
                        .with_place(before, "the first time")
                        .with_help("each port of the host leads to one node only");
                } else {
                    taken.insert(port, (shown, place));
                }
            }
        }
    }

    /// Images end up in a Dockerfile and a compose file: nothing else than an image's name may stand there.
    fn images(&mut self, topology: &Topology) {
        let defaults = &topology.defaults;
        let mut images = vec![
            (vec!["topology", "defaults", "zookeeper", "image"], &defaults.zookeeper.image),
            (vec!["topology", "defaults", "postgres", "image"], &defaults.postgres.image),
            (vec!["topology", "defaults", "haproxy", "image"], &defaults.haproxy.image),
        ];
        for (name, node) in &topology.nodes {
            let image = match node {
                Node::Zookeeper(node) => &node.image,
                Node::Postgres(node) => &node.image,
                Node::Haproxy(node) => &node.image,
            };
            images.push((vec!["topology", "nodes", name, "image"], image));
        }
        for (path, image) in images {
            let Some(image) = image else { continue };
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
            if !image.starts_with(|c: char| c.is_ascii_alphanumeric()) || !image.chars().all(fits) {
                let place = self.value(&path);
                self.error(Code::BadName, format!("`{image}` is not the name of an image"), place)
                    .with_help("an image is named like `postgres:15`");
            }
        }
    }

    fn haproxy(&mut self, topology: &Topology, name: &str, node: &HaproxyNode) {
        let kind = &topology.defaults.haproxy.settings;
        let own = &node.settings;
        let times = [
            ("timeout_client", &own.timeout_client, &kind.timeout_client),
            ("timeout_connect", &own.timeout_connect, &kind.timeout_connect),
            ("timeout_server", &own.timeout_server, &kind.timeout_server),
            ("timeout_check", &own.timeout_check, &kind.timeout_check),
            ("inter", &own.inter, &kind.inter),
        ];
        for (key, own, kind) in times {
            let text = own.as_ref().or(kind.as_ref());
            if let Some(text) = text.filter(|text| settings::haproxy_ms(text).unwrap_or(0) == 0) {
                let place = self.setting(name, key, own.is_some());
                self.error(Code::UnknownValue, format!("`{text}` is no time of HAProxy's"), place)
                    .with_help("write a whole number and `ms`, `s`, `m`, `h` or `d`: `500ms`, `3s`, `30m`");
            }
        }
        let path = own.check_path.as_ref().or(kind.check_path.as_ref());
        if let Some(path) = path {
            let place = self.setting(name, "check_path", own.check_path.is_some());
            let sound = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic() && !"#\"'\\".contains(c));
            if !sound {
                self.error(Code::UnknownValue, format!("`{path}` is no path"), place)
                    .with_help("a path begins with `/` and has neither spaces nor quotes");
            } else if !LEADER_PATHS.contains(&path.split('?').next().unwrap_or(path)) {
                self.warning(Code::ProxyCheck, format!("`{path}` answers 200 not only on the leader"), place)
                    .with_help(format!(
                        "HAProxy would send writes to a read-only replica; on the leader alone 200 is answered by {}",
                        listed(LEADER_PATHS)
                    ));
            }
        }
    }

    /// Where a setting of HAProxy stands: at the node, or among the kind's defaults.
    fn setting(&self, node: &str, key: &str, own: bool) -> std::ops::Range<usize> {
        match own {
            true => self.value(&["topology", "nodes", node, "settings", key]),
            false => self.value(&["topology", "defaults", "haproxy", "settings", key]),
        }
    }
}
