//! Who holds a listening TCP address, through Linux' /proc.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A process that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    /// Its command line as one text.
    pub command: String,
}

/// The process that keeps `address` busy by listening on it or on the wildcard address of its port.
/// `None` if nobody does, or if the process belongs to another user and cannot be seen.
pub fn holder(address: SocketAddr) -> Option<Holder> {
    let mut inodes = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        inodes.extend(text.lines().skip(1).filter_map(|line| listening(line, address)));
    }
    if inodes.is_empty() {
        return None;
    }
    let pids = std::fs::read_dir("/proc").ok()?.flatten();
    let pid =
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find(|pid| owns(*pid, &inodes))?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned();
    Some(Holder { pid, command })
}

/// The socket's inode if this line of /proc/net/tcp{,6} is a listener that collides with `address`.
fn listening(line: &str, address: SocketAddr) -> Option<u64> {
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let (ip, port) = local.split_once(':')?;
    let collides = *state == "0A" && u16::from_str_radix(port, 16).ok()? == address.port() && {
        let ip = parse_ip(ip)?;
        ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified()
    };
    collides.then(|| inode.parse().ok())?
}

/// The kernel prints addresses as 32-bit words in the machine's byte order.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |i: usize| u32::from_str_radix(hex.get(i * 8..i * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
        }
        _ => None,
    }
}

fn owns(pid: i32, inodes: &HashSet<u64>) -> bool {
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|link| {
        let inode = link.to_str().and_then(|l| l.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode| inodes.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_holder_of_a_port_is_found_also_through_the_wildcard_address() {
        let exact = TcpListener::bind("127.20.0.9:0").unwrap();
        let held = holder(exact.local_addr().unwrap()).unwrap();
        assert_eq!(held.pid, std::process::id() as i32);
        assert!(!held.command.is_empty());
        let wildcard = TcpListener::bind("[::]:0").unwrap();
        let port = wildcard.local_addr().unwrap().port();
        assert!(holder(SocketAddr::from(([127, 20, 0, 10], port))).is_some());
        let address = exact.local_addr().unwrap();
        drop(exact);
        assert_eq!(holder(address), None);
    }

    #[test]
    fn a_mapped_address_is_its_v4_one() {
        assert_eq!(parse_ip("0100007F"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(parse_ip("0000000000000000FFFF00000100007F"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(parse_ip("01"), None);
    }
}
