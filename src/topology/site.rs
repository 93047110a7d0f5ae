//! The nodes of a topology by kind, with their addresses and standard ports.

use std::net::Ipv4Addr;

use crate::lab::model::{Node, NodeDefaults, Topology};

/// PostgreSQL's port, and that of the entry point.
pub const SQL_PORT: u16 = 5432;
/// The port of the agents' REST API.
pub const REST_PORT: u16 = 8008;
/// The port of HAProxy's statistics page.
pub const STATS_PORT: u16 = 7000;
/// ZooKeeper's client port.
pub const ZOOKEEPER_PORT: u16 = 2181;
/// The port by which ZooKeeper servers follow their leader.
pub const PEER_PORT: u16 = 2888;
/// The port by which ZooKeeper servers elect their leader.
pub const ELECTION_PORT: u16 = 3888;
/// The last byte of the first node's address.
const FIRST: u8 = 10;
/// The most nodes that a topology may have: their addresses fit a block.
pub const MAX_NODES: usize = 200;

/// The address of a deployment's node: the block's `.10` is the first of the lab, `.11` the second, and so on.
pub fn node_address(block: Ipv4Addr, index: usize) -> Ipv4Addr {
    let [a, b, c, _] = block.octets();
    let offset = u8::try_from(index).unwrap_or(u8::MAX);
    Ipv4Addr::new(a, b, c, FIRST.saturating_add(offset))
}

/// The ports that a node listens on at its own address.
pub fn node_ports(topology: &Topology, name: &str) -> Vec<u16> {
    let ensemble = topology.nodes.values().filter(|node| matches!(node, Node::Zookeeper(_))).count() > 1;
    match topology.nodes.get(name) {
        Some(Node::Zookeeper(_)) if ensemble => vec![ZOOKEEPER_PORT, PEER_PORT, ELECTION_PORT],
        Some(Node::Zookeeper(_)) => vec![ZOOKEEPER_PORT],
        Some(Node::Postgres(_)) => vec![SQL_PORT, REST_PORT],
        Some(Node::Haproxy(_)) => vec![SQL_PORT, STATS_PORT],
        None => Vec::new(),
    }
}

/// A topology at an address block.
pub struct Site<'a> {
    topology: &'a Topology,
    block: Ipv4Addr,
}

impl<'a> Site<'a> {
    /// The nodes of `topology` at `block`.
    pub fn new(topology: &'a Topology, block: Ipv4Addr) -> Self {
        Self { topology, block }
    }

    /// The kinds' defaults.
    pub fn defaults(&self) -> &'a NodeDefaults {
        &self.topology.defaults
    }

    /// Every node with its name, in the order of the lab.
    pub fn nodes(&self) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        self.topology.nodes.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// The names of the ZooKeeper nodes.
    pub fn zookeeper_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.nodes().filter(|(_, node)| matches!(node, Node::Zookeeper(_))).map(|(name, _)| name)
    }

    /// The names of the postgres nodes.
    pub fn postgres_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.nodes().filter(|(_, node)| matches!(node, Node::Postgres(_))).map(|(name, _)| name)
    }

    /// The node's address.
    pub fn ip(&self, name: &str) -> Ipv4Addr {
        node_address(self.block, self.topology.nodes.get_index_of(name).unwrap_or(0))
    }

    /// The node's address, as text.
    pub fn address(&self, name: &str) -> String {
        self.ip(name).to_string()
    }

    /// The name of a postgres node as a member of the cluster.
    pub fn member(&self, name: &'a str) -> &'a str {
        match self.topology.nodes.get(name) {
            Some(Node::Postgres(node)) => node.member.as_deref().unwrap_or(name),
            _ => name,
        }
    }

    /// The name of a postgres node's configuration file: `postgres0.yml` for the first of them.
    pub fn postgres_file(&self, name: &str) -> String {
        format!("postgres{}.yml", self.postgres_names().position(|other| other == name).unwrap_or(0))
    }
}
