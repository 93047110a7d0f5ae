//! A cluster understood, whoever described it: its nodes with their ways in, its names, users and constants.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::deploy::{DeployedNode, Home, Over};
use crate::lab::model::{Text, Topology};
use crate::observe::haproxy::Page;
use crate::topology::{ConfigFile, Credentials, NodePlan, Publish, Service};

/// A cluster that somebody else made.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name, as a deployment's.
    pub name: String,
    /// Patroni's scope.
    pub scope: String,
    /// Patroni's namespace, without slashes around it.
    pub namespace: String,
    /// The database's users.
    pub credentials: Credentials,
    /// The nodes, in the order of their description.
    pub nodes: Vec<Member>,
    /// The nodes and their settings as a lab writes them.
    pub topology: Topology,
    /// Its files, as their author has them.
    pub project: Vec<ConfigFile>,
    /// The folder that they lie in, where it is known.
    pub folder: Option<PathBuf>,
    /// What acts on its nodes.
    pub over: Over,
    /// How HAProxy's statistics are asked.
    pub page: Page,
    /// What there is to say about it.
    pub notes: Vec<Text>,
}

/// A node of it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What runs on it.
    pub service: Service,
    /// Its main port, as this machine reaches it.
    pub main: SocketAddr,
    /// Its second port.
    pub side: Option<SocketAddr>,
    /// Its own address, where it is known.
    pub address: Option<Ipv4Addr>,
    /// Published ports: (host's, node's).
    pub published: Vec<(u16, u16)>,
    /// The container, where it is one.
    pub container: Option<String>,
}

impl Member {
    /// As part of a plan. An attached node has no files of labrun's.
    pub fn planned(&self) -> NodePlan {
        let publish = self
            .published
            .iter()
            .map(|(host_port, node_port)| Publish { host_port: *host_port, node_port: *node_port });
        let of_main = match self.main {
            SocketAddr::V4(address) => *address.ip(),
            SocketAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        NodePlan {
            name: self.name.clone(),
            address: self.address.unwrap_or(of_main),
            service: self.service.clone(),
            publish: publish.collect(),
            needs: Vec::new(),
            files: Vec::new(),
            container: None,
        }
    }

    /// As part of a deployment.
    pub fn deployed(&self) -> DeployedNode {
        DeployedNode {
            name: self.name.clone(),
            service: self.service.clone(),
            main: self.main,
            side: self.side,
            published: self.published.clone(),
            home: self.container.clone().map_or(Home::Elsewhere, Home::Container),
        }
    }
}

/// The kind of a node, as a lab calls it.
pub fn kind(service: &Service) -> &'static str {
    match service {
        Service::Zookeeper { .. } => "zookeeper",
        Service::Postgres { .. } => "postgres",
        Service::Haproxy { .. } => "haproxy",
    }
}

/// How many nodes of each kind.
pub fn count<'a>(kinds: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    kinds.for_each(|kind| *counts.entry(kind.to_owned()).or_default() += 1);
    counts
}
