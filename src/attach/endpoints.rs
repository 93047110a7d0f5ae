//! A file of endpoints: a cluster anywhere, described node by node. Passwords never stand in it: it names the variable
//! of the environment, or the file, that holds one.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AttachError;
use super::cluster::{Cluster, Member};
use crate::deploy::{NodeCommands, Over};
use crate::lab::model::{AgentKind, Topology};
use crate::lab::schema;
use crate::observe::haproxy::Page;
use crate::topology::{Credentials, Service};

/// The format's name and version.
const FORMAT: &str = "endpoints/v1";

/// A cluster, by its endpoints.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointsFile {
    /// The format version: `endpoints/v1`.
    pub labrun: String,
    /// The name of the deployment; the file's own name unless told.
    #[serde(default)]
    pub name: Option<String>,
    /// Patroni's `scope`.
    pub scope: String,
    /// Patroni's `namespace`.
    #[serde(default = "service")]
    pub namespace: String,
    /// Who labrun is in the database.
    pub superuser: User,
    /// The nodes by name, in the order in which reports list them.
    pub nodes: IndexMap<String, Endpoint>,
}

fn service() -> String {
    "service".to_owned()
}

/// A user of the database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name.
    #[serde(default = "postgres")]
    pub username: String,
    /// The variable of the environment that holds the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// The file that holds the password, alone; relative to this file.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

fn postgres() -> String {
    "postgres".to_owned()
}

/// One node, and how this machine reaches it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Endpoint {
    /// A ZooKeeper server.
    Zookeeper {
        /// `HOST:PORT` for clients.
        client: String,
        /// Commands that act on it; a fault without its command is refused.
        #[serde(default)]
        commands: NodeCommands,
    },
    /// PostgreSQL with Patroni (or labrun-agent).
    Postgres {
        /// The member's name in the cluster; the node's name unless told.
        #[serde(default)]
        member: Option<String>,
        /// `HOST:PORT` of PostgreSQL.
        sql: String,
        /// `HOST:PORT` of the REST API.
        rest: String,
        /// Commands that act on it.
        #[serde(default)]
        commands: NodeCommands,
    },
    /// HAProxy.
    Haproxy {
        /// `HOST:PORT` of the entry point.
        sql: String,
        /// `HOST:PORT` of the statistics page.
        #[serde(default)]
        stats: Option<String>,
        /// The page's path (`stats uri`).
        #[serde(default = "root")]
        stats_path: String,
        /// The section whose servers count, where there are several.
        #[serde(default)]
        section: Option<String>,
        /// Nodes by the names of HAProxy's servers, where those differ.
        #[serde(default)]
        servers: BTreeMap<String, String>,
        /// Commands that act on it.
        #[serde(default)]
        commands: NodeCommands,
    },
}

fn root() -> String {
    "/".to_owned()
}

/// The schema of a file of endpoints. Committed as `schema/endpoints.schema.json`.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| schema::of::<EndpointsFile>("endpoints", "A cluster anywhere, for labrun (endpoints/v1)"));
    &SCHEMA
}

/// Reads a file of endpoints.
pub fn read(path: &Path) -> Result<Cluster, AttachError> {
    let bad = |why: String| AttachError::BadEndpoints { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let file: EndpointsFile = serde_saphyr::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if file.labrun != FORMAT {
        return Err(bad(format!("its format is `{}`, this labrun knows `{FORMAT}`", file.labrun)));
    }
    let password = password(&file.superuser, path).map_err(bad)?;
    let mut commands = BTreeMap::new();
    let mut page = Page::default();
    let mut nodes = Vec::new();
    for (name, endpoint) in &file.nodes {
        let (member, own) = node(name, endpoint, &mut page).map_err(|why| bad(format!("{name}: {why}")))?;
        nodes.push(member);
        commands.insert(name.clone(), own);
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Cluster {
        name: file.name.clone().unwrap_or(stem),
        scope: file.scope.clone(),
        namespace: file.namespace.trim_matches('/').to_owned(),
        credentials: Credentials {
            superuser: file.superuser.username.clone(),
            superuser_password: password,
            replication: String::new(),
            replication_password: String::new(),
            rest: None,
        },
        topology: topology(&file),
        nodes,
        project: Vec::new(),
        folder: None,
        over: Over::Commands(commands),
        page,
        notes: Vec::new(),
    })
}

fn password(user: &User, path: &Path) -> Result<String, String> {
    match (&user.password_env, &user.password_file) {
        (Some(name), None) => {
            std::env::var(name).map_err(|_| format!("the variable {name} of the environment is not set"))
        }
        (None, Some(file)) => {
            let file = path.parent().unwrap_or(Path::new(".")).join(file);
            let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (None, None) => Ok(String::new()),
        (Some(_), Some(_)) => Err("superuser has both password_env and password_file".to_owned()),
    }
}

fn node(name: &str, endpoint: &Endpoint, page: &mut Page) -> Result<(Member, NodeCommands), String> {
    let member = |service: Service, main: SocketAddr, side: Option<SocketAddr>| Member {
        name: name.to_owned(),
        service,
        main,
        side,
        address: None,
        published: Vec::new(),
        container: None,
    };
    match endpoint {
        Endpoint::Zookeeper { client, commands } => {
            let main = resolved(client)?;
            Ok((member(Service::Zookeeper { client_port: main.port() }, main, None), commands.clone()))
        }
        Endpoint::Postgres { member: called, sql, rest, commands } => {
            let (main, side) = (resolved(sql)?, resolved(rest)?);
            let called = called.clone().unwrap_or_else(|| name.to_owned());
            let agent = AgentKind::Patroni;
            let service = Service::Postgres { member: called, agent, sql_port: main.port(), rest_port: side.port() };
            Ok((member(service, main, Some(side)), commands.clone()))
        }
        Endpoint::Haproxy { sql, stats, stats_path, section, servers, commands } => {
            let main = resolved(sql)?;
            let side = stats.as_deref().map(resolved).transpose()?;
            *page = Page { path: stats_path.clone(), login: None, section: section.clone(), servers: servers.clone() };
            let service = Service::Haproxy { sql_port: main.port(), stats_port: side.map_or(0, |side| side.port()) };
            Ok((member(service, main, side), commands.clone()))
        }
    }
}

/// The first address that a host has; an IPv4 one before others.
fn resolved(text: &str) -> Result<SocketAddr, String> {
    let found =
        text.to_socket_addrs().map_err(|error| format!("`{text}` is no HOST:PORT that can be found: {error}"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(|address| !address.is_ipv4());
    found.first().copied().ok_or_else(|| format!("`{text}` has no address"))
}

/// The nodes as a lab writes them.
fn topology(file: &EndpointsFile) -> Topology {
    let nodes: serde_json::Map<String, serde_json::Value> = file
        .nodes
        .iter()
        .map(|(name, endpoint)| {
            let node = match endpoint {
                Endpoint::Zookeeper { .. } => serde_json::json!({"kind": "zookeeper"}),
                Endpoint::Postgres { member, .. } => serde_json::json!({"kind": "postgres", "member": member}),
                Endpoint::Haproxy { .. } => serde_json::json!({"kind": "haproxy"}),
            };
            (name.clone(), node)
        })
        .collect();
    let empty = || Topology { defaults: Default::default(), network: Default::default(), nodes: Default::default() };
    serde_json::from_value(serde_json::json!({ "nodes": nodes })).unwrap_or_else(|_| empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
labrun: endpoints/v1
scope: prod
superuser: {username: admin, password_file: secret}
nodes:
  zk: {kind: zookeeper, client: '127.0.0.1:2181'}
  db1:
    kind: postgres
    member: alpha
    sql: 127.0.0.1:5432
    rest: 127.0.0.1:8008
    commands: {stop: [ssh, db1, systemctl, stop, patroni], start: [ssh, db1, systemctl, start, patroni]}
  lb: {kind: haproxy, sql: '127.0.0.1:5000', stats: '127.0.0.1:7000', stats_path: /stats, servers: {one: db1}}
";

    fn of(text: &str) -> Result<Cluster, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "word\n").unwrap();
        let path = dir.path().join("site.yaml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_cluster_anywhere_is_described_node_by_node() {
        let cluster = of(FILE).unwrap();
        assert_eq!((cluster.name.as_str(), cluster.credentials.superuser_password.as_str()), ("site", "word"));
        let member = "alpha".to_owned();
        let postgres = Service::Postgres { member, agent: AgentKind::Patroni, sql_port: 5432, rest_port: 8008 };
        assert_eq!(cluster.nodes[1].service, postgres);
        assert_eq!(cluster.page.csv(), "/stats;csv");
        assert_eq!(cluster.topology.nodes.keys().collect::<Vec<_>>(), ["zk", "db1", "lb"]);
        let Over::Commands(commands) = cluster.over else { panic!("an engine") };
        assert_eq!(commands["db1"].stop.join(" "), "ssh db1 systemctl stop patroni");
        assert!(commands["zk"].stop.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (from, to, why) in [
            ("endpoints/v1", "endpoints/v9", "endpoints/v9"),
            ("password_file: secret", "password: word", "password"),
            ("password_file: secret", "password_env: LABRUN_NO_SUCH_VARIABLE", "LABRUN_NO_SUCH_VARIABLE"),
            ("password_file: secret", "password_file: none", "none"),
            ("'127.0.0.1:5000'", "nowhere", "lb: `nowhere`"),
        ] {
            let error = of(&FILE.replace(from, to)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
