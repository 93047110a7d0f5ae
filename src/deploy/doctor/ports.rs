//! Published ports and the nodes' own addresses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use nix::unistd::Uid;

use super::{Finding, Level};
use crate::deploy::local::addresses;
use crate::deploy::{Deployment, state};
use crate::topology::Plan;

pub fn published(plan: &Plan, output: &Path) -> Vec<Finding> {
    let names = state::names(output);
    let deployments: Vec<Deployment> =
        names.iter().filter_map(|name| state::read(&state::dir_of(output, name).ok()?).ok().flatten()).collect();
    let published = plan.nodes.iter().flat_map(|node| node.publish.iter().map(move |port| (node.name.as_str(), port)));
    published.map(|(node, port)| of_port(node, port.host_port, &deployments)).collect()
}

fn of_port(node: &str, port: u16, deployments: &[Deployment]) -> Finding {
    let subject = format!("port {port}");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if TcpListener::bind(address).is_ok() {
        return Finding::ok(subject, format!("free, for {node}"));
    }
    let publishes = |deployment: &&Deployment| {
        deployment.nodes.iter().flat_map(|node| &node.published).any(|(host, _)| *host == port)
    };
    match deployments.iter().find(publishes) {
        Some(deployment) => Finding::ok(subject, format!("published by the deployment {}", deployment.name)),
        None => {
            let found = format!("taken{}", addresses::held_by(address));
            Finding::of(Level::Error, subject, found, "free it, or deploy with --port-offset 10000")
        }
    }
}

/// The nodes' standard ports on an address of their own: a server that listens on all addresses takes them.
pub fn of_addresses(output: &Path) -> Finding {
    let subject = "loopback addresses";
    let range = match addresses::Range::from_env() {
        Ok(range) => range,
        Err(error) => return Finding::of(Level::Error, subject, error.to_string(), "unset LABRUN_LOOPBACK"),
    };
    let Some([a, b, c]) = addresses::candidates(range, output, Uid::effective().as_raw()).next() else {
        return Finding::of(Level::Error, subject, "none", "unset LABRUN_LOOPBACK");
    };
    let node = Ipv4Addr::new(a, b, c, 250);
    for port in [2181, 5432, 7000, 8008] {
        let address = SocketAddr::from((node, port));
        if TcpListener::bind(address).is_err() {
            let found = format!("{address} is taken{}", addresses::held_by(address));
            let remedy = "stop the server that listens on all addresses while labs run";
            return Finding::of(Level::Error, subject, found, remedy);
        }
    }
    Finding::ok(subject, format!("{a}.{b}.{c}.x is free"))
}
