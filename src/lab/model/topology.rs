//! The topology: nodes by kind, with defaults for each kind.
//!
//! PostgreSQL's HA settings are written as a fragment of Patroni's own YAML, so that what a lab teaches is
//! what one meets outside of it. What depends on the backend (addresses, directories) is filled in by labrun.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The nodes of a lab.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Settings that every node of a kind starts from.
    #[serde(default)]
    pub defaults: NodeDefaults,
    /// Whether nodes share the machine's network or have one of their own (which faults of the network need, and get).
    #[serde(default)]
    pub network: NetworkKind,
    /// The nodes by name (their host names), in the order in which the report lists them.
    pub nodes: IndexMap<String, Node>,
}

/// The network of the nodes, on the local backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// The machine's own, unless a fault of the lab is done to the network.
    #[default]
    Shared,
    /// A network namespace for each node, all plugged into one switch.
    Separate,
}

/// Defaults by kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeDefaults {
    /// For every `zookeeper` node.
    #[serde(default)]
    pub zookeeper: ZookeeperDefaults,
    /// For every `postgres` node.
    #[serde(default)]
    pub postgres: PostgresDefaults,
    /// For every `haproxy` node.
    #[serde(default)]
    pub haproxy: HaproxyDefaults,
}

/// One node of the topology.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Node {
    /// A ZooKeeper server, the DCS.
    Zookeeper(ZookeeperNode),
    /// A PostgreSQL server with its HA agent.
    Postgres(PostgresNode),
    /// The single entry point.
    Haproxy(HaproxyNode),
}

impl Node {
    /// The nodes that must be up before this one starts.
    pub fn needs(&self) -> &[String] {
        match self {
            Node::Zookeeper(node) => &node.needs,
            Node::Postgres(node) => &node.needs,
            Node::Haproxy(node) => &node.needs,
        }
    }
}

/// A ZooKeeper node.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZookeeperNode {
    /// Nodes that must be up first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The container image of the generated compose project; the kind's default otherwise.
    #[serde(default)]
    pub image: Option<String>,
    /// Ports of the host.
    #[serde(default)]
    pub publish: ZookeeperPublish,
    /// Settings of this node over the kind's defaults.
    #[serde(default)]
    pub settings: ZookeeperSettings,
}

/// Published ports of a ZooKeeper node.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZookeeperPublish {
    /// The host port of the client port 2181.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub client: Option<u16>,
}

/// Defaults of ZooKeeper nodes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZookeeperDefaults {
    /// The container image; `confluentinc/cp-zookeeper:7.7.1` unless told.
    #[serde(default)]
    pub image: Option<String>,
    /// Settings.
    #[serde(default)]
    pub settings: ZookeeperSettings,
}

/// Settings of a ZooKeeper server, by the names of `zoo.cfg`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ZookeeperSettings {
    /// The basic time unit, in ms (2000 unless told); sessions last 2 to 20 ticks.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub tick_time: Option<u32>,
    /// The shortest session that a client may ask for, in ms.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub min_session_timeout: Option<u32>,
    /// The longest session that a client may ask for, in ms.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_session_timeout: Option<u32>,
    /// Ticks that a follower may take to connect to its leader.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub init_limit: Option<u32>,
    /// Ticks that a follower may lag behind its leader.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub sync_limit: Option<u32>,
}

/// Which program is a postgres node's HA agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// `labrun-agent`.
    #[default]
    Labrun,
    /// Patroni, as PyPI installs it.
    Patroni,
}

/// A PostgreSQL node.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresNode {
    /// Nodes that must be up first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The base image of the generated Dockerfile; the kind's default otherwise.
    #[serde(default)]
    pub image: Option<String>,
    /// The member's name in the cluster (Patroni's `name`); the node's name unless told.
    #[serde(default)]
    pub member: Option<String>,
    /// The HA agent of this node; the kind's default otherwise.
    #[serde(default)]
    pub agent: Option<AgentKind>,
    /// Ports of the host.
    #[serde(default)]
    pub publish: PostgresPublish,
    /// A fragment of Patroni's YAML, merged over the kind's defaults.
    #[serde(default)]
    pub patroni: Map<String, Value>,
}

/// Published ports of a PostgreSQL node.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresPublish {
    /// The host port of PostgreSQL's 5432.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub sql: Option<u16>,
    /// The host port of the agent's REST API, 8008.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub rest: Option<u16>,
}

/// Defaults of PostgreSQL nodes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresDefaults {
    /// The base image; `postgres:15` unless told.
    #[serde(default)]
    pub image: Option<String>,
    /// The HA agent.
    #[serde(default)]
    pub agent: AgentKind,
    /// A fragment of Patroni's YAML. labrun adds `name`, `restapi`, `zookeeper` and, under `postgresql`,
    /// `listen`, `connect_address`, `data_dir`, `bin_dir` and `pgpass`.
    #[serde(default)]
    pub patroni: Map<String, Value>,
}

/// An HAProxy node.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HaproxyNode {
    /// Nodes that must be up first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The container image; the kind's default otherwise.
    #[serde(default)]
    pub image: Option<String>,
    /// Ports of the host.
    #[serde(default)]
    pub publish: HaproxyPublish,
    /// Settings of this node over the kind's defaults.
    #[serde(default)]
    pub settings: HaproxySettings,
}

/// Published ports of an HAProxy node.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HaproxyPublish {
    /// The host port of the entry point, 5432.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub sql: Option<u16>,
    /// The host port of the statistics page, 7000.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub stats: Option<u16>,
}

/// Defaults of HAProxy nodes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HaproxyDefaults {
    /// The container image; `haproxy:2.4` unless told.
    #[serde(default)]
    pub image: Option<String>,
    /// Settings.
    #[serde(default)]
    pub settings: HaproxySettings,
}

/// Settings of HAProxy. Times are HAProxy's own (`3s`, `30m`). What is left out has the value of the kind's default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HaproxySettings {
    /// `maxconn` of the process (100).
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub maxconn: Option<u32>,
    /// `maxconn` of each server (100).
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub server_maxconn: Option<u32>,
    /// `retries` (2).
    #[serde(default)]
    pub retries: Option<u32>,
    /// `timeout client` (30m).
    #[serde(default)]
    pub timeout_client: Option<String>,
    /// `timeout connect` (4s).
    #[serde(default)]
    pub timeout_connect: Option<String>,
    /// `timeout server` (30m).
    #[serde(default)]
    pub timeout_server: Option<String>,
    /// `timeout check` (5s).
    #[serde(default)]
    pub timeout_check: Option<String>,
    /// The path of the health check, `option httpchk OPTIONS PATH` (`/`: HAProxy's own default, 200 on the leader alone).
    #[serde(default)]
    pub check_path: Option<String>,
    /// `inter`: the time between two checks (3s).
    #[serde(default)]
    pub inter: Option<String>,
    /// `fall`: failed checks after which a server is down (3).
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub fall: Option<u32>,
    /// `rise`: passed checks after which a server is up (2).
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub rise: Option<u32>,
    /// Whether a dead server's sessions are cut: `on-marked-down shutdown-sessions` (true).
    #[serde(default)]
    pub shutdown_sessions: Option<bool>,
}
