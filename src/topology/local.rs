//! Configurations for the local backend: every node on a loopback address of its own, with the standard ports.
//!
//! In a node's folder they lie as `zoo.cfg`, `data/myid`, `logback.xml` and `log4j.properties`; `postgresN.yml`;
//! or `haproxy.cfg`.

use std::path::Path;

use serde_json::{Value, json};

use super::patroni::{self, Place};
use super::render::Renderer;
use super::site::{ELECTION_PORT, PEER_PORT, REST_PORT, SQL_PORT, STATS_PORT, Site, ZOOKEEPER_PORT};
use super::{ConfigFile, PlanError};
use crate::lab::model::{AgentKind, HaproxyNode, Node, PostgresNode, ZookeeperNode};
use crate::lab::settings;

/// A node's files, for the folder of all nodes and the one of PostgreSQL's programs.
pub fn files(
    site: &Site<'_>,
    name: &str,
    node: &Node,
    (nodes_dir, postgres_bin): (&Path, &Path),
    renderer: &Renderer<'_>,
) -> Result<Vec<ConfigFile>, PlanError> {
    let dir = nodes_dir.join(name);
    match node {
        Node::Zookeeper(node) => zookeeper(site, name, node, renderer),
        Node::Postgres(node) => Ok(vec![postgres(site, name, node, (&dir, postgres_bin), renderer)?]),
        Node::Haproxy(node) => Ok(vec![haproxy(site, name, node, renderer)?]),
    }
}

fn zookeeper(
    site: &Site<'_>,
    name: &str,
    node: &ZookeeperNode,
    renderer: &Renderer<'_>,
) -> Result<Vec<ConfigFile>, PlanError> {
    let servers: Vec<_> = site.zookeeper_names().collect();
    let ensemble: Vec<Value> = servers
        .iter()
        .enumerate()
        .filter(|_| servers.len() > 1)
        .map(|(index, server)| {
            json!({
                "id": index + 1,
                "address": site.address(server),
                "peer_port": PEER_PORT,
                "election_port": ELECTION_PORT,
            })
        })
        .collect();
    let context = json!({
        "settings": without_nulls(json!(settings::zookeeper(site.defaults(), node))),
        // Relative to the folder that ZooKeeper runs in: it reads this file as ISO 8859-1, and a path may hold more.
        "data_dir": "./data",
        "client_port": ZOOKEEPER_PORT,
        "address": site.address(name),
        "ensemble": ensemble,
    });
    let id = servers.iter().position(|server| *server == name).map_or(1, |index| index + 1);
    Ok(vec![
        plain("zoo.cfg", renderer.file("zoo.cfg", &context)?),
        plain("data/myid", format!("{id}\n")),
        plain("logback.xml", renderer.file("logback.xml", &context)?),
        plain("log4j.properties", renderer.file("log4j.properties", &context)?),
    ])
}

fn postgres(
    site: &Site<'_>,
    name: &str,
    node: &PostgresNode,
    (dir, postgres_bin): (&Path, &Path),
    renderer: &Renderer<'_>,
) -> Result<ConfigFile, PlanError> {
    let address = site.address(name);
    let place = Place {
        listen: address.clone(),
        connect: address,
        sql_port: SQL_PORT,
        rest_port: REST_PORT,
        zookeeper: site.zookeeper_names().map(|zoo| format!("{}:{ZOOKEEPER_PORT}", site.address(zoo))).collect(),
        data_dir: dir.join("data").display().to_string(),
        bin_dir: Some(postgres_bin.display().to_string()),
        pgpass: dir.join("pgpass").display().to_string(),
    };
    let fragment = patroni::private_tmp(&settings::patroni(site.defaults(), node));
    let fragment = patroni::passwords_on_loopback(fragment);
    let fragment = match settings::agent(site.defaults(), node) {
        AgentKind::Patroni => patroni::sockets_outside_data(fragment),
        AgentKind::Labrun => fragment,
    };
    let document = patroni::document(&fragment, site.member(name), &place);
    let content = renderer.file("patroni.yml", &json!({"patroni": document}))?;
    Ok(ConfigFile { path: site.postgres_file(name), content, secret: true })
}

fn haproxy(site: &Site<'_>, name: &str, node: &HaproxyNode, renderer: &Renderer<'_>) -> Result<ConfigFile, PlanError> {
    let context = haproxy_context(site, node, &site.address(name), |server| site.address(server));
    Ok(plain("haproxy.cfg", renderer.file("haproxy.cfg", &context)?))
}

/// What `haproxy.cfg.j2` is rendered from.
pub fn haproxy_context(site: &Site<'_>, node: &HaproxyNode, bind: &str, host: impl Fn(&str) -> String) -> Value {
    let servers: Vec<Value> = site
        .postgres_names()
        .map(|name| json!({"name": name, "address": host(name), "sql_port": SQL_PORT, "rest_port": REST_PORT}))
        .collect();
    json!({
        "settings": settings::haproxy(site.defaults(), node),
        "bind": bind,
        "sql_port": SQL_PORT,
        "stats_port": STATS_PORT,
        "servers": servers,
    })
}

fn plain(path: &str, content: String) -> ConfigFile {
    ConfigFile { path: path.to_owned(), content, secret: false }
}

/// A mapping without the keys that hold nothing.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}
