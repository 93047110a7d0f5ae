//! What is to be brought up, in full: nothing in a plan is decided later.
//!
//! A plan is made by pure functions from a lab and an address block; a backend carries it out.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lab::model::AgentKind;

/// A lab made concrete for one deployment on one backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The deployment's name: the lab's, unless told.
    pub deployment: String,
    /// The lab's name.
    pub lab: String,
    /// Patroni's `scope`.
    pub scope: String,
    /// Patroni's `namespace`, with slashes at neither end (`service` by default).
    pub namespace: String,
    /// The database users, with their passwords.
    pub credentials: Credentials,
    /// The constants from which deadlines are derived.
    pub timing: Timing,
    /// The nodes, in the order of the lab.
    pub nodes: Vec<NodePlan>,
    /// Names of nodes, wave by wave: those of one wave start in parallel once the wave before is up.
    pub waves: Vec<Vec<String>>,
    /// The compose project with the lab's own names and ports and real Patroni, file by file: for the report, and
    /// to be taken away and run by itself.
    pub project: Vec<ConfigFile>,
    /// The images that the docker backend builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImagePlan>,
}

/// An image that the docker backend builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlan {
    /// Its name, without the deployment's.
    pub name: String,
    /// The image that it is built from.
    pub base: String,
    /// The agent in it.
    pub agent: AgentKind,
    /// What it is built from; the Dockerfile comes first.
    pub files: Vec<ConfigFile>,
}

/// A container of the docker backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// Its image; where the deployment builds it, the name of an [`ImagePlan`].
    pub image: String,
    /// Its environment, `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Its volumes: a name, without the deployment's, and where it is mounted.
    pub volumes: Vec<(String, String)>,
    /// Where each of the node's files lies in it; those that the image holds are not named.
    pub files: Vec<(String, String)>,
    /// What it runs; what its image says where this is empty.
    pub command: Vec<String>,
    /// The engine's own health check, for people.
    pub health: Vec<String>,
}

/// One node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodePlan {
    /// Its name (host name).
    pub name: String,
    /// Its address on this backend.
    pub address: Ipv4Addr,
    /// What runs on it.
    pub service: Service,
    /// Ports of the host that lead to it.
    pub publish: Vec<Publish>,
    /// Nodes that must be up before it starts.
    pub needs: Vec<String>,
    /// Its configuration files, as this backend needs them.
    pub files: Vec<ConfigFile>,
    /// Its container, on the docker backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerPlan>,
}

/// What runs on a node, and at which ports of the node's own address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Service {
    /// ZooKeeper.
    Zookeeper {
        /// The client port.
        client_port: u16,
    },
    /// PostgreSQL and its HA agent.
    Postgres {
        /// The member's name in the cluster.
        member: String,
        /// The HA agent.
        agent: AgentKind,
        /// PostgreSQL's port.
        sql_port: u16,
        /// The agent's REST port.
        rest_port: u16,
    },
    /// HAProxy.
    Haproxy {
        /// The entry point's port.
        sql_port: u16,
        /// The port of the statistics page.
        stats_port: u16,
    },
}

/// A port of the host that leads to a port of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The port on 127.0.0.1.
    pub host_port: u16,
    /// The node's port.
    pub node_port: u16,
}

/// A file that labrun renders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigFile {
    /// Its path below the node's (or the project's) folder; never absolute, never with `..`.
    pub path: String,
    /// Its content.
    pub content: String,
    /// Whether it holds a secret: then only its owner may read it.
    pub secret: bool,
}

/// Users and passwords of the database, from the lab's Patroni settings.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The superuser's name.
    pub superuser: String,
    /// Its password.
    pub superuser_password: String,
    /// The replication user's name.
    pub replication: String,
    /// Its password.
    pub replication_password: String,
    /// Name and password that the agents' REST API asks for where it is told to change something, if it does.
    #[serde(default)]
    pub rest: Option<(String, String)>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, {}, passwords hidden)", self.superuser, self.replication)
    }
}

/// The constants of the topology that bound how long things may take, in ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Patroni's `ttl`.
    pub ttl_ms: u64,
    /// Patroni's `loop_wait`.
    pub loop_wait_ms: u64,
    /// Patroni's `retry_timeout`.
    pub retry_timeout_ms: u64,
    /// HAProxy's `inter`.
    pub inter_ms: u64,
    /// HAProxy's `fall`.
    pub fall: u32,
    /// HAProxy's `rise`.
    pub rise: u32,
    /// Other constants by name, for reports.
    pub other: BTreeMap<String, String>,
}
