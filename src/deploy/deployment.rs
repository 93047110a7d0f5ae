//! The state file: all that any later command needs to know of a deployment.
//!
//! On disk, below the output folder (`./output` unless told):
//! ```text
//! output/<deployment>/
//!   deployment.json     this file; mode 0600, since it holds the database's passwords
//!   lock                held (flock) by every command that changes the deployment
//!   project/            the rendered compose project, free of this machine's paths
//!   nodes/<node>/       the local backend's node folders (or in a run folder, see [`LocalPlace::run_dir`])
//!   runs/<time>/        verifications: run.json, events.jsonl, history.jsonl, report.*.md
//!   runs/latest         a link to the newest one
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attached, Backend, DeployError, Docker, Local};
use crate::engine::Address;
use crate::observe::haproxy::Page;
use crate::topology::{Credentials, Plan, Service, Timing};

/// The format of the state file.
pub const STATE_FORMAT: &str = "labrun-deployment/v1";
/// The folder of the nodes' folders, below [`LocalPlace::run_dir`].
pub const NODES: &str = "nodes";
/// A node's log, in its folder.
pub const LOG_FILE: &str = "service.log";

/// A port of a node, as this machine reaches it.
pub type Endpoint = SocketAddr;

/// A topology that a backend brought up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployment {
    /// The state file's format: `labrun-deployment/v1`.
    pub format: String,
    /// The deployment's name.
    pub name: String,
    /// The folder of this deployment.
    pub dir: PathBuf,
    /// The lab file that it was made from, as found then (`builtin:NAME` for a compiled-in one).
    pub lab_source: String,
    /// SHA-256 of that file, in hex.
    pub lab_sha256: String,
    /// How far it got.
    pub phase: Phase,
    /// When it was deployed (RFC 3339).
    pub created: String,
    /// How long it took from the start of `deploy` to the ready predicate, in ms; none while it is not ready.
    pub ready_after_ms: Option<u64>,
    /// The plan that was carried out.
    pub plan: Plan,
    /// The nodes.
    pub nodes: Vec<DeployedNode>,
    /// What was asked for when it was deployed.
    pub options: Options,
    /// Which backend runs it, and where that put it.
    pub place: Place,
}

/// What is asked for beside the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Added to every published port.
    pub port_offset: u16,
    /// Whether ports are published at all.
    pub publish: bool,
    /// The user that nodes run as, where root asked for one.
    pub user: Option<String>,
    /// The address of the engine's machine on which ports are published; its loopback unless told.
    #[serde(default)]
    pub publish_on: Option<IpAddr>,
    /// Who is to run the nodes.
    pub backend: BackendKind,
}

impl Default for Options {
    fn default() -> Self {
        Options { port_offset: 0, publish: true, user: None, publish_on: None, backend: BackendKind::Local }
    }
}

/// Which backend runs a deployment, and where that put it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "backend", rename_all = "lowercase")]
pub enum Place {
    /// Processes of this machine.
    Local(LocalPlace),
    /// Containers that labrun made.
    Docker(DockerPlace),
    /// Containers that somebody else made.
    Attached(AttachedPlace),
}

/// Where the local backend put a deployment, and how it runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPlace {
    /// The folder that holds `nodes/`: the deployment's own, or, where the nodes' user cannot enter that, a run
    /// folder below `/var/tmp` or `/tmp` that is removed with the deployment.
    pub run_dir: PathBuf,
    /// The user that nodes run as; none where it is the one who runs labrun.
    pub user: Option<String>,
    /// The block of loopback addresses: `127.x.y`.
    pub block: [u8; 3],
    /// Whether nodes have a network of their own, in namespaces, plugged into one switch.
    #[serde(default)]
    pub own_network: bool,
    /// The programs that nodes run.
    pub programs: Programs,
}

impl LocalPlace {
    /// The folder with the nodes' folders.
    pub fn nodes_dir(&self) -> PathBuf {
        self.run_dir.join(NODES)
    }
}

/// Where the docker backend put a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerPlace {
    /// The engine.
    pub engine: Address,
    /// The project's name: that of the deployment.
    pub project: String,
    /// What all of it in the engine is labelled with: the machine and the folder of the deployment.
    pub owner: String,
    /// The first three bytes of the nodes' addresses in the deployment's own network.
    pub block: [u8; 3],
    /// The address of the engine's machine on which ports are published; its loopback unless told.
    #[serde(default)]
    pub publish_on: Option<IpAddr>,
}

/// Where somebody else's cluster runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedPlace {
    /// What acts on its nodes.
    pub over: Over,
    /// How HAProxy's statistics are asked, and how its servers are meant.
    pub page: Page,
    /// The project's folder, where it is known and on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

/// What acts on the nodes of a cluster that somebody else made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// The engine that runs their containers.
    Engine(Address),
    /// Commands, by node; a node without one cannot be acted on.
    Commands(BTreeMap<String, NodeCommands>),
}

/// The commands that act on a node, each as words; none where it cannot be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeCommands {
    /// Starts it again.
    #[serde(default)]
    pub start: Vec<String>,
    /// Stops it cleanly.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Kills everything on it.
    #[serde(default)]
    pub kill: Vec<String>,
    /// Freezes it.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// Lets it go on.
    #[serde(default)]
    pub thaw: Vec<String>,
    /// Prints its log. Without it, the log is no evidence.
    #[serde(default)]
    pub log: Vec<String>,
}

/// The programs that nodes run, where they were found. A program that no node needs may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    /// labrun's node agent.
    pub agent: PathBuf,
    /// The folder with `postgres`, `initdb`, `pg_basebackup` and `pg_rewind`.
    pub postgres_bin: Option<PathBuf>,
    /// `java`.
    pub java: Option<PathBuf>,
    /// ZooKeeper's jars, in the order of the class path.
    pub zookeeper: Vec<PathBuf>,
    /// `haproxy`.
    pub haproxy: Option<PathBuf>,
    /// `patroni`.
    pub patroni: Option<PathBuf>,
}

/// Who runs the nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// Processes of this machine.
    #[default]
    Local,
    /// Containers that labrun makes.
    Docker,
    /// Somebody else's containers.
    #[value(skip)]
    Attached,
}

impl BackendKind {
    /// Its name, as on the command line and in runs.
    pub fn name(self) -> &'static str {
        match self {
            BackendKind::Local => "local",
            BackendKind::Docker => "docker",
            BackendKind::Attached => "attached",
        }
    }
}

/// How far a deployment got. It is written before it is acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being brought up; or labrun was killed while it was.
    Deploying,
    /// The ready predicate held.
    Ready,
    /// It did not become ready; its nodes are left for a look.
    Failed,
    /// Being taken down; or labrun was killed while it was.
    Destroying,
}

/// A node as it was brought up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployedNode {
    /// Its name.
    pub name: String,
    /// What runs on it.
    pub service: Service,
    /// Where its main port answers: SQL for postgres and haproxy, the client port for zookeeper.
    pub main: Endpoint,
    /// Where its second port answers: REST for postgres, statistics for haproxy.
    pub side: Option<Endpoint>,
    /// Published ports of the host: (host port, node port).
    pub published: Vec<(u16, u16)>,
    /// Where its service runs.
    #[serde(flatten)]
    pub home: Home,
}

/// Where a node's service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Home {
    /// In a folder of this machine, in which its log lies too.
    Dir(PathBuf),
    /// In the container of that name.
    Container(String),
    /// Somewhere that only its own administrator knows.
    Elsewhere,
}

impl DeployedNode {
    /// Where its log is read, as one would say it to a colleague.
    pub fn log(&self) -> String {
        match &self.home {
            Home::Dir(dir) => dir.join(LOG_FILE).display().to_string(),
            Home::Container(name) => format!("docker logs {name}"),
            Home::Elsewhere => "where its administrator keeps it".to_owned(),
        }
    }
}

impl Deployment {
    /// Which backend runs it.
    pub fn kind(&self) -> BackendKind {
        match self.place {
            Place::Local(_) => BackendKind::Local,
            Place::Docker(_) => BackendKind::Docker,
            Place::Attached(_) => BackendKind::Attached,
        }
    }

    /// The backend that runs it.
    pub fn backend(&self) -> Box<dyn Backend> {
        match &self.place {
            Place::Local(_) => Box::new(Local),
            Place::Docker(place) => Box::new(Docker::at(&place.engine)),
            Place::Attached(place) => Box::new(Attached::over(&place.over)),
        }
    }

    /// The node of that name, or an error that names all there are.
    pub fn known(&self, name: &str) -> Result<&DeployedNode, DeployError> {
        self.node(name).ok_or_else(|| DeployError::UnknownNode {
            node: name.to_owned(),
            deployment: self.name.clone(),
            known: self.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&DeployedNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The node's address, as the other nodes have it.
    pub fn address_of(&self, name: &str) -> Option<IpAddr> {
        self.plan.nodes.iter().find(|node| node.name == name).map(|node| node.address.into())
    }

    /// The postgres nodes.
    pub fn postgres_nodes(&self) -> impl Iterator<Item = &DeployedNode> {
        self.nodes.iter().filter(|node| matches!(node.service, Service::Postgres { .. }))
    }

    /// The node whose member name in the cluster is `member` (the DCS speaks of members).
    pub fn node_of_member(&self, member: &str) -> Option<&DeployedNode> {
        self.nodes.iter().find(|node| matches!(&node.service, Service::Postgres { member: m, .. } if m == member))
    }

    /// The first haproxy node.
    pub fn proxy(&self) -> Option<&DeployedNode> {
        self.nodes.iter().find(|node| matches!(node.service, Service::Haproxy { .. }))
    }

    /// The zookeeper nodes.
    pub fn zookeeper_nodes(&self) -> impl Iterator<Item = &DeployedNode> {
        self.nodes.iter().filter(|node| matches!(node.service, Service::Zookeeper { .. }))
    }

    /// The path in ZooKeeper below which the cluster's keys lie: `/<namespace>/<scope>`.
    pub fn dcs_base(&self) -> String {
        format!("/{}/{}", self.plan.namespace, self.plan.scope)
    }

    /// How HAProxy's statistics are asked.
    pub fn statistics_page(&self) -> Page {
        match &self.place {
            Place::Attached(place) => place.page.clone(),
            Place::Local(_) | Place::Docker(_) => Page::default(),
        }
    }

    /// Users and passwords.
    pub fn credentials(&self) -> &Credentials {
        &self.plan.credentials
    }

    /// The constants that deadlines are derived from.
    pub fn timing(&self) -> &Timing {
        &self.plan.timing
    }
}
