//! Where a deployment goes in an engine: its names, its addresses, and how this machine reaches its nodes.
//! Nothing is made here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptions};
use sha2::{Digest, Sha256};

use super::{DockerError, names};
use crate::deploy::local::addresses::{check_published, endpoints};
use crate::deploy::{DeployError, DeployedNode, DockerPlace, Home};
use crate::engine::{Address, Engine, EngineError};
use crate::topology::{NodePlan, Plan};

/// Networks of deployments are taken from 10.192.0.0 to 10.255.255.255, 256 addresses each.
const FIRST: u32 = 192 * 256;
const COUNT: u32 = 64 * 256;
/// Ways in to ports that a lab does not publish lie below those that the kernel gives to clients.
const WAYS_IN: std::ops::Range<u16> = 20_000..32_000;

/// The place of the deployment `name` in `dir`, with addresses that no network of the engine or of this machine has.
pub async fn choose(
    engine: &Engine,
    name: &str,
    dir: &Path,
    publish_on: Option<IpAddr>,
) -> Result<DockerPlace, DeployError> {
    let mut taken = subnets(engine).await?;
    if engine.address().is_here() {
        taken.extend(routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default()));
    }
    let seed = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let start = u32::from_le_bytes([seed[0], seed[1], seed[2], seed[3]]) % COUNT;
    let blocks = (0..COUNT).map(|n| FIRST + (start + n) % COUNT).map(|at| [10, (at / 256) as u8, (at % 256) as u8]);
    let free = |block: &[u8; 3]| taken.iter().all(|net| !net.overlaps(*block));
    let none = || DockerError::SubnetTaken { subnet: "10.192.0.0/10".into(), why: "none is free".into() };
    let block = { blocks }.find(free).ok_or_else(none)?;
    let (engine, project) = (engine.address().clone(), name.to_owned());
    Ok(DockerPlace { engine, project, owner: names::owner(dir), block, publish_on })
}

/// That the names are free and the ports too, before anything is made.
pub async fn check(engine: &Engine, place: &DockerPlace, plan: &Plan) -> Result<(), DeployError> {
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let all = engine.docker().list_containers(Some(options)).await.map_err(engine.failed("list containers"))?;
    for node in &plan.nodes {
        let name = names::container(place, &plan.lab, &node.name);
        let called = |names: &Vec<String>| names.iter().any(|other| other.trim_start_matches('/') == name);
        let Some(there) = all.iter().find(|there| there.names.as_ref().is_some_and(called)) else { continue };
        let labels = there.labels.clone().unwrap_or_default();
        if labels.get(names::OWNER) != Some(&place.owner) {
            return Err(DockerError::NameTaken { kind: "container", name, whose: whose(&labels) }.into());
        }
    }
    if machine(&place.engine)?.is_loopback() { check_published(plan) } else { Ok(()) }
}

/// Whose an object is, by its labels.
pub fn whose(labels: &names::Labels) -> String {
    match (labels.get(names::OWNER), labels.get("com.docker.compose.project")) {
        (Some(owner), _) => format!("labrun's, of {owner}"),
        (None, Some(project)) => format!("of the compose project {project}"),
        (None, None) => "it has no label that says whose it is".to_owned(),
    }
}

/// The nodes as this machine reaches them: at their own addresses where the engine's networks are this machine's, else by
/// ports that are published.
pub async fn nodes(engine: &Engine, place: &DockerPlace, plan: &Plan) -> Result<Vec<DeployedNode>, DeployError> {
    let direct = networks_are_here(engine).await?;
    let machine = if direct { None } else { Some(reached_at(&place.engine, place.publish_on)?) };
    let here = machine.is_none_or(|machine| machine.is_loopback());
    let mut ways_in = WaysIn { next: WAYS_IN.start + u16::from(place.block[2]) * 40, here };
    let node = |node: &NodePlan| {
        let (main, side) = endpoints(node, place.block);
        let mut reached = |own: SocketAddr| match machine {
            None => own,
            Some(machine) => {
                let published = node.publish.iter().find(|port| port.node_port == own.port());
                (machine, published.map_or_else(|| ways_in.take(), |port| port.host_port)).into()
            }
        };
        DeployedNode {
            name: node.name.clone(),
            service: node.service.clone(),
            main: reached(main),
            side: side.map(&mut reached),
            published: node.publish.iter().map(|port| (port.host_port, port.node_port)).collect(),
            home: Home::Container(names::container(place, &plan.lab, &node.name)),
        }
    };
    Ok(plan.nodes.iter().map(node).collect())
}

/// Whether the bridges of the engine's networks are interfaces of this machine: not so for an engine on another machine,
/// in a virtual one, or in a network namespace of its own (rootless).
async fn networks_are_here(engine: &Engine) -> Result<bool, EngineError> {
    if !matches!(engine.address(), Address::Unix(_)) {
        return Ok(false);
    }
    let all = engine.docker().list_networks(None::<ListNetworksOptions>).await;
    let all = all.map_err(engine.failed("list networks"))?;
    let bridges = all.iter().filter_map(|network| network.options.as_ref()?.get("com.docker.network.bridge.name"));
    Ok({ bridges }.any(|bridge| Path::new("/sys/class/net").join(bridge).exists()))
}

/// The address at which published ports are reached from here. What another machine publishes on its loopback is reached
/// from there alone.
fn reached_at(engine: &Address, publish_on: Option<IpAddr>) -> Result<IpAddr, DeployError> {
    let machine = machine(engine)?;
    let on = publish_on.unwrap_or(Ipv4Addr::LOCALHOST.into());
    match (machine.is_loopback(), on.is_loopback(), on.is_unspecified()) {
        (false, true, _) => Err(DockerError::OnLoopback { engine: engine.to_string(), machine }.into()),
        (_, false, false) => Ok(on),
        _ => Ok(machine),
    }
}

/// The address of the engine's machine, where that is another one.
pub fn other_machine(engine: &Address) -> Option<IpAddr> {
    machine(engine).ok().filter(|machine| !machine.is_loopback())
}

/// The address of the engine's machine.
fn machine(engine: &Address) -> Result<IpAddr, DeployError> {
    if engine.is_here() {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let name = match engine {
        Address::Ssh(_) => ssh_name(engine.machine()).unwrap_or_else(|| engine.machine().to_owned()),
        _ => engine.machine().to_owned(),
    };
    let unknown = |why: String| DeployError::from(EngineError::unreachable(engine, format!("{name}: {why}")));
    let mut found = (name.as_str(), 0).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().map(|address| address.ip()).ok_or_else(|| unknown("it has no address".to_owned()))
}

/// The host that ssh's configuration means by a name.
fn ssh_name(alias: &str) -> Option<String> {
    let said = std::process::Command::new("ssh").args(["-G", "--", alias]).output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("hostname ").map(str::to_owned))
}

/// Ports for what a lab does not publish, on the loopback.
struct WaysIn {
    next: u16,
    here: bool,
}

impl WaysIn {
    fn take(&mut self) -> u16 {
        loop {
            let port = if WAYS_IN.contains(&self.next) { self.next } else { WAYS_IN.start };
            self.next = port + 1;
            if !self.here || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return port;
            }
        }
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Net {
    address: u32,
    mask: u32,
}

impl Net {
    fn parse(text: &str) -> Option<Net> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
        Some(Net { address: address.into(), mask: u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0) })
    }

    /// Whether one of them is in the block; a default route (everything) does not count.
    fn overlaps(&self, [a, b, c]: [u8; 3]) -> bool {
        let mask = self.mask & 0xffff_ff00;
        mask != 0 && self.address & mask == u32::from(Ipv4Addr::new(a, b, c, 0)) & mask
    }
}

async fn subnets(engine: &Engine) -> Result<Vec<Net>, EngineError> {
    let all = engine.docker().list_networks(None::<ListNetworksOptions>).await;
    let all = all.map_err(engine.failed("list networks"))?;
    let configs = all.into_iter().filter_map(|network| network.ipam?.config).flatten();
    Ok(configs.filter_map(|config| Net::parse(&config.subnet?)).collect())
}

/// The destinations of `/proc/net/route`: addresses and masks in hexadecimal, byte by byte from the last.
fn routes(text: &str) -> Vec<Net> {
    let number = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::swap_bytes);
    let route = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        Some(Net { address: number(words.get(1)?)?, mask: number(words.get(7)?)? })
    };
    text.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_free_where_no_network_and_no_route_has_it() {
        let net = |text: &str| Net::parse(text).unwrap();
        assert!(net("10.200.0.0/16").overlaps([10, 200, 7]) && !net("10.200.0.0/16").overlaps([10, 201, 7]));
        assert!(net("10.200.7.128/25").overlaps([10, 200, 7]));
        assert!(net("10.0.0.0/8").overlaps([10, 200, 7]) && !net("0.0.0.0/0").overlaps([10, 200, 7]));
        let text = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                    eth0 00000000 010011AC 0003 0 0 0 00000000 0 0 0\n\
                    eth0 0000C80A 00000000 0001 0 0 0 0000FFFF 0 0 0\n";
        let found = routes(text);
        assert_eq!(found[1], net("10.200.0.0/16"));
        assert!(!found[0].overlaps([10, 200, 7]) && found[1].overlaps([10, 200, 7]));
    }

    #[test]
    fn what_another_machine_publishes_on_its_loopback_is_not_reached_and_that_is_told() {
        let at = |host: &str, on: Option<&str>| {
            let engine = Address::parse(host, false, None).unwrap();
            reached_at(&engine, on.map(|on| on.parse().unwrap())).map(|ip| ip.to_string())
        };
        for here in ["unix:///x.sock", "tcp://127.0.0.1:2375", "tcp://localhost"] {
            assert_eq!(at(here, None).unwrap(), "127.0.0.1", "{here}");
        }
        assert_eq!(at("unix:///x.sock", Some("0.0.0.0")).unwrap(), "127.0.0.1");
        for on in [None, Some("127.0.0.1")] {
            let error = at("tcp://192.0.2.7:2375", on).unwrap_err();
            assert!(error.to_string().contains("tcp://192.0.2.7:2375"), "{error}");
            let help = miette::Diagnostic::help(&error).unwrap().to_string();
            assert!(help.contains("--publish-on 192.0.2.7"), "{help}");
        }
        assert_eq!(at("tcp://192.0.2.7:2375", Some("0.0.0.0")).unwrap(), "192.0.2.7");
        assert_eq!(at("tcp://192.0.2.7:2375", Some("10.0.0.7")).unwrap(), "10.0.0.7");
    }

    #[test]
    fn a_way_in_is_a_free_port_and_each_is_given_once() {
        let mut ways = WaysIn { next: 31_990, here: true };
        let ports: Vec<u16> = (0..20).map(|_| ways.take()).collect();
        assert!(ports.iter().all(|port| WAYS_IN.contains(port)), "{ports:?}");
        assert_eq!(ports.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
    }

    #[test]
    fn whose_a_thing_is_stands_in_its_labels() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        assert!(whose(&labels(&[(names::OWNER, "vm:/out/x")])).contains("vm:/out/x"));
        assert!(whose(&labels(&[("com.docker.compose.project", "lab1")])).contains("lab1"));
        assert!(whose(&labels(&[])).contains("no label"));
    }
}
