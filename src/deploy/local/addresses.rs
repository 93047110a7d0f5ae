//! The deployment's block of loopback addresses, `127.x.y`: derived from who deploys and where, so that it stays the same
//! from one deployment to the next, and proved free by binding every port that the nodes will listen on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use labrun_agent::supervise::ports;
use sha2::{Digest, Sha256};

use crate::deploy::DeployError;
use crate::topology::{NodePlan, Plan, Service};

/// Where blocks are taken from unless `LABRUN_LOOPBACK` says otherwise: 127.64.0.0 to 127.127.255.255, far from
/// the addresses that systems use themselves (127.0.0.1, 127.0.1.1, 127.0.0.53).
const USUAL: Range = Range { first: [127, 64, 0], size: 64 * 256 };
const MOST_TRIES: u32 = 64;

/// Blocks `127.x.y` in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: [u8; 3],
    size: u32,
}

impl Range {
    /// The range that `LABRUN_LOOPBACK` names, as `127.X` (256 blocks), or the usual one.
    pub fn from_env() -> Result<Range, DeployError> {
        let Ok(text) = std::env::var("LABRUN_LOOPBACK") else { return Ok(USUAL) };
        let wrong = || DeployError::process("LABRUN_LOOPBACK", format!("`{text}` is not like 127.100"));
        Range::parse(&text).ok_or_else(wrong)
    }

    fn parse(text: &str) -> Option<Range> {
        let x = text.strip_prefix("127.")?.parse().ok()?;
        Some(Range { first: [127, x, 0], size: 256 })
    }

    fn block(&self, place: u32) -> [u8; 3] {
        let [a, x, y] = self.first;
        let at = u32::from(x) * 256 + u32::from(y) + place % self.size;
        [a, (at / 256) as u8, (at % 256) as u8]
    }
}

/// The blocks to try for the deployment in `dir`, in this order.
pub fn candidates(range: Range, dir: &Path, uid: u32) -> impl Iterator<Item = [u8; 3]> {
    let digest =
        Sha256::new().chain_update(dir.as_os_str().as_encoded_bytes()).chain_update(uid.to_le_bytes()).finalize();
    let start = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]) % range.size;
    (0..MOST_TRIES.min(range.size)).map(move |n| range.block(start.wrapping_add(n)))
}

/// The main and the second port of a node's service as this machine reaches them: those that [`DeployedNode`] names.
/// They lie in the deployment's block, also where the node itself is in another network.
///
/// [`DeployedNode`]: crate::deploy::DeployedNode
pub fn endpoints(plan: &NodePlan, [a, b, c]: [u8; 3]) -> (SocketAddr, Option<SocketAddr>) {
    let address = Ipv4Addr::new(a, b, c, plan.address.octets()[3]);
    let at = |port: u16| SocketAddr::from((address, port));
    match plan.service {
        Service::Zookeeper { client_port } => (at(client_port), None),
        Service::Postgres { sql_port, rest_port, .. } => (at(sql_port), Some(at(rest_port))),
        Service::Haproxy { sql_port, stats_port } => (at(sql_port), Some(at(stats_port))),
    }
}

/// The first of the plan's addresses that cannot be listened on.
pub fn taken(plan: &Plan, block: [u8; 3]) -> Option<SocketAddr> {
    plan.nodes
        .iter()
        .flat_map(|node| std::iter::once(endpoints(node, block)).flat_map(|(main, side)| [Some(main), side]).flatten())
        .find(|address| TcpListener::bind(address).is_err())
}

/// The published ports, before anything starts: each must be free.
pub fn check_published(plan: &Plan) -> Result<(), DeployError> {
    for node in &plan.nodes {
        for publish in &node.publish {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, publish.host_port));
            if let Err(error) = TcpListener::bind(address) {
                let holder = match error.kind() {
                    std::io::ErrorKind::PermissionDenied => ": ports below 1024 are root's".to_owned(),
                    _ => held_by(address),
                };
                return Err(DeployError::PortTaken { port: publish.host_port, node: node.name.clone(), holder });
            }
        }
    }
    Ok(())
}

/// ` by NAME (pid N)`, as far as it can be found.
pub fn held_by(address: SocketAddr) -> String {
    match ports::holder(address) {
        Some(holder) => format!(" by {} (pid {})", short(&holder.command), holder.pid),
        None => " by a process of another user".to_owned(),
    }
}

/// The beginning of a command line: enough to know the program.
fn short(command: &str) -> String {
    let first: String = command.chars().take(60).collect();
    if first.len() < command.len() { format!("`{first}…`") } else { format!("`{first}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_stay_in_their_range_and_begin_where_the_folder_says() {
        let range = Range::parse("127.40").unwrap();
        let blocks: Vec<_> = candidates(range, Path::new("/a/output/lab"), 1000).collect();
        assert_eq!(blocks.len(), MOST_TRIES as usize);
        assert!(blocks.iter().all(|block| block[..2] == [127, 40]));
        assert_eq!(blocks, candidates(range, Path::new("/a/output/lab"), 1000).collect::<Vec<_>>());
        assert_ne!(blocks[0], candidates(range, Path::new("/a/output/other"), 1000).next().unwrap());
        assert_ne!(blocks[0], candidates(range, Path::new("/a/output/lab"), 1001).next().unwrap());
        let usual: Vec<_> = (0..USUAL.size).map(|n| USUAL.block(n)).collect();
        assert!(usual.iter().all(|[a, x, _]| *a == 127 && (64..128).contains(x)));
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let busy = TcpListener::bind("127.40.255.9:0").unwrap();
        let text = held_by(busy.local_addr().unwrap());
        assert!(text.contains(&format!("(pid {})", std::process::id())), "{text}");
    }
}
