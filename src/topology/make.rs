//! Making the plan: a pure function of a sound lab and of what this machine offers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::Value;

use super::render::Renderer;
use super::site::{REST_PORT, SQL_PORT, STATS_PORT, Site, ZOOKEEPER_PORT};
use super::{Credentials, NodePlan, Plan, Publish, Service, Timing, docker, local, patroni, project};
use crate::lab::model::{LabFile, Node};
use crate::lab::order::waves;
use crate::lab::{Loaded, settings};

/// What a plan depends on beside the lab.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// The deployment's name.
    pub deployment: String,
    /// The address block, `a.b.c.0`: see [`super::node_address`].
    pub block: Ipv4Addr,
    /// Where nodes run.
    pub place: PlanPlace,
    /// Added to every published port.
    pub port_offset: u16,
    /// Whether ports are published at all.
    pub publish: bool,
}

/// Where nodes run, as far as a plan depends on it.
#[derive(Debug, Clone)]
pub enum PlanPlace {
    /// On this machine, in folders.
    Local {
        /// The folder in which every node has one of its own name; absolute, and without spaces or control characters.
        nodes_dir: PathBuf,
        /// Where PostgreSQL's programs lie.
        postgres_bin: PathBuf,
    },
    /// In containers.
    Docker,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum PlanError {
    /// A published port would lie behind the last one.
    #[error("{node} would publish port {port}: there is no port above 65535")]
    #[diagnostic(code(LR0201), help("use a smaller --port-offset"))]
    NoSuchPort {
        /// The node.
        node: String,
        /// The port.
        port: u32,
    },
    /// A template does not render.
    #[error("{template}: {why}")]
    #[diagnostic(code(LR0202), help("correct the template beside the lab, or remove it to use the built-in one"))]
    Template {
        /// The template.
        template: String,
        /// Why not.
        why: String,
    },
    /// Nodes need one another in a circle.
    #[error("nodes need one another in a circle: {circle}")]
    #[diagnostic(code(LR0203))]
    Circle {
        /// `a -> b -> a`.
        circle: String,
    },
    /// A folder whose name the configurations cannot hold.
    #[error("the folder {} has a name that PostgreSQL's and ZooKeeper's configurations cannot hold", dir.display())]
    #[diagnostic(code(LR0204), help("use an output folder without line breaks, quotes and backslashes in its path"))]
    Folder {
        /// The folder.
        dir: PathBuf,
    },
}

/// The plan of a lab, with its compose project.
pub fn plan(loaded: &Loaded, options: &PlanOptions) -> Result<Plan, PlanError> {
    let lab = &loaded.lab.file;
    let fits = |c: char| !c.is_control() && !matches!(c, '"' | '\'' | '\\');
    if let PlanPlace::Local { nodes_dir, .. } = &options.place
        && !nodes_dir.to_str().is_some_and(|dir| dir.chars().all(fits))
    {
        return Err(PlanError::Folder { dir: nodes_dir.clone() });
    }
    let site = Site::new(&lab.topology, options.block);
    let renderer = Renderer::new(&loaded.library);
    let nodes = site.nodes().map(|(name, node)| node_plan(&site, name, node, options, &renderer));
    let nodes = nodes.collect::<Result<Vec<_>, PlanError>>()?;
    let needs: Vec<_> = site.nodes().map(|(name, node)| (name, node.needs())).collect();
    let waves = waves(&needs).map_err(|circle| PlanError::Circle { circle: circle.join(" -> ") })?;
    let (scope, namespace) = cluster_names(lab);
    let images = match options.place {
        PlanPlace::Docker => docker::images(&site, &renderer)?,
        PlanPlace::Local { .. } => Vec::new(),
    };
    Ok(Plan {
        deployment: options.deployment.clone(),
        lab: lab.name.clone(),
        scope,
        namespace,
        credentials: credentials(lab),
        timing: timing(lab),
        nodes,
        waves: waves.into_iter().map(|wave| wave.into_iter().map(str::to_owned).collect()).collect(),
        project: project::files(&site, &renderer)?,
        images,
    })
}

fn node_plan(
    site: &Site<'_>,
    name: &str,
    node: &Node,
    options: &PlanOptions,
    renderer: &Renderer<'_>,
) -> Result<NodePlan, PlanError> {
    let service = match node {
        Node::Zookeeper(_) => Service::Zookeeper { client_port: ZOOKEEPER_PORT },
        Node::Postgres(node) => Service::Postgres {
            member: site
                .nodes()
                .find(|(other, _)| *other == name)
                .map_or(name, |(name, _)| site.member(name))
                .to_owned(),
            agent: settings::agent(site.defaults(), node),
            sql_port: SQL_PORT,
            rest_port: REST_PORT,
        },
        Node::Haproxy(_) => Service::Haproxy { sql_port: SQL_PORT, stats_port: STATS_PORT },
    };
    let publish = if options.publish { shifted(name, node, options.port_offset)? } else { Vec::new() };
    let (files, container) = match &options.place {
        PlanPlace::Local { nodes_dir, postgres_bin } => {
            (local::files(site, name, node, (nodes_dir, postgres_bin), renderer)?, None)
        }
        PlanPlace::Docker => {
            let (files, container) = docker::node(site, name, node, renderer)?;
            (files, Some(container))
        }
    };
    Ok(NodePlan {
        name: name.to_owned(),
        address: site.ip(name),
        service,
        publish,
        needs: node.needs().to_vec(),
        files,
        container,
    })
}

fn shifted(name: &str, node: &Node, offset: u16) -> Result<Vec<Publish>, PlanError> {
    let shift = |port: Publish| {
        let host_port = port.host_port.checked_add(offset).ok_or_else(|| PlanError::NoSuchPort {
            node: name.to_owned(),
            port: u32::from(port.host_port) + u32::from(offset),
        })?;
        Ok(Publish { host_port, ..port })
    };
    project::publish(node).into_iter().map(shift).collect()
}

/// The first postgres node's fragment of Patroni's YAML: what is one for the whole cluster is read from it.
fn cluster_fragment(lab: &LabFile) -> serde_json::Map<String, Value> {
    let first = lab.topology.nodes.values().find_map(|node| match node {
        Node::Postgres(node) => Some(settings::patroni(&lab.topology.defaults, node)),
        _ => None,
    });
    first.unwrap_or_default()
}

/// Patroni's scope, and its namespace without slashes around it (`service` by default, as Patroni has it).
fn cluster_names(lab: &LabFile) -> (String, String) {
    let fragment = cluster_fragment(lab);
    let text = |key: &str| fragment.get(key).and_then(Value::as_str).map(str::to_owned);
    let namespace = text("namespace").map(|namespace| namespace.trim_matches('/').to_owned());
    (
        text("scope").unwrap_or_else(|| lab.name.clone()),
        namespace.filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "service".to_owned()),
    )
}

fn credentials(lab: &LabFile) -> Credentials {
    patroni::credentials(&cluster_fragment(lab))
}

/// The constants that deadlines are derived from.
pub fn timing(lab: &LabFile) -> Timing {
    let defaults = &lab.topology.defaults;
    let mut timing = Timing {
        ttl_ms: 0,
        loop_wait_ms: 0,
        retry_timeout_ms: 0,
        inter_ms: 0,
        fall: 0,
        rise: 0,
        other: BTreeMap::new(),
    };
    patroni::timing(&cluster_fragment(lab), &mut timing);
    for node in lab.topology.nodes.values() {
        match node {
            Node::Haproxy(node) => {
                let settings = settings::haproxy(defaults, node);
                let ms = |text: &Option<String>| text.as_deref().and_then(settings::haproxy_ms).unwrap_or(0);
                timing.inter_ms = ms(&settings.inter);
                timing.fall = settings.fall.unwrap_or(0);
                timing.rise = settings.rise.unwrap_or(0);
                timing.other.insert("timeout_check_ms".to_owned(), ms(&settings.timeout_check).to_string());
                timing.other.insert("check_path".to_owned(), settings.check_path.unwrap_or_default());
            }
            Node::Zookeeper(node) => {
                let tick = settings::zookeeper(defaults, node).tick_time.unwrap_or_default();
                timing.other.insert("tick_time_ms".to_owned(), tick.to_string());
            }
            Node::Postgres(_) => {}
        }
    }
    timing
}
