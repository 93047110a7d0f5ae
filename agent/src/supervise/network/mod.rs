//! A network of the nodes' own: every node in a network namespace, all of them plugged into one switch.
//!
//! The switch is a bridge in a namespace that a small process holds (`labrun-agent switch DIR`). A node's supervisor
//! makes a namespace for itself, and with it for all of the node, and plugs it in. Nothing is pinned: with the last
//! process of a namespace the kernel removes it, whatever ended them. Faults of the network are rules at the switch,
//! through which everything between two nodes passes.
//!
//! Root makes the namespaces as they are. Anybody else makes them inside a user namespace, where the kernel allows
//! that; there only his own user exists, under its own number.
//!
//! On disk, in the switch's folder: `supervisor.pid`, locked while the switch is there.

mod caps;
mod delay;
mod join;
mod lose;
mod switch;

use std::ffi::OsStr;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::Error;
pub use delay::{Delay, delay};
pub use join::{enter, join};
pub use lose::{lose, lost};
pub use switch::hold;

/// The bridge, in its own namespace.
pub const BRIDGE: &str = "br0";
/// A node's end of its cable.
const PLUG: &str = "eth0";

/// Where a node is plugged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The switch's folder.
    pub switch: PathBuf,
    /// The node's address, in a network of 256.
    pub address: Ipv4Addr,
}

/// The switch's end of the cable of the node with that address.
pub fn port(address: Ipv4Addr) -> String {
    format!("port{}", address.octets()[3])
}

/// The hardware address: always the same for an address, so that neighbours that remember it reach a node that came back.
fn hardware(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Run `ip`; what it says is the error.
fn ip(args: &[&str]) -> Result<(), Error> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::Program { program: "ip".into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Network { what: format!("ip {}", args.join(" ")), why: said })
}

/// A namespace of a process.
fn namespace(pid: i32, kind: &str) -> Result<File, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/{kind}"));
    File::open(&path).map_err(Error::file("open", &path))
}

/// The program and its arguments, as one text.
fn words(argv: &[impl AsRef<OsStr>]) -> String {
    argv.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_hardware_address_and_port() {
        let address = Ipv4Addr::new(10, 64, 7, 11);
        assert_eq!((hardware(address).as_str(), port(address).as_str()), ("02:00:0a:40:07:0b", "port11"));
        assert!(port(Ipv4Addr::new(10, 0, 0, 255)).len() < 16, "the longest name of an interface");
    }
}
