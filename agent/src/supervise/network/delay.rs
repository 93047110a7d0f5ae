//! `labrun-agent delay JSON`: a slow way from one node to another.
//!
//! The rules of the switch drop what the one sends to the other; this process takes those packets at the port of the
//! one before that happens, keeps them for the time, and hands them out at the port of the other, but for those that
//! are to be lost. So it works wherever there are namespaces, without a module of the kernel. Packets come as the
//! nodes' kernels send them, larger than a frame and without checksums; PACKET_VNET_HDR carries what it takes to hand
//! them on as they are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket, sockopt,
};
use nix::{libc, setsockopt_impl, sockopt_impl};
use serde::{Deserialize, Serialize};

use super::port;
use crate::supervise::Error;

/// What is slow, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// The node that sends.
    pub from: Ipv4Addr,
    /// The node that receives.
    pub to: Ipv4Addr,
    /// How much longer each packet takes, in ms.
    pub ms: u64,
    /// How many of 100 packets are lost.
    pub loss: u8,
}

/// The largest that a socket hands over: a packet of the kernel's segmentation, and what is before it.
const LARGEST: usize = 80 << 10;
/// More packets than this are lost, as on a real line whose buffer is full.
const MOST_WAITING: usize = 20_000;
/// `struct virtio_net_hdr`, then the Ethernet header, then IPv4's.
const ETHERNET: usize = 10;
const IP: usize = ETHERNET + 14;

sockopt_impl!(
    /// Packets come with their `virtio_net_hdr`.
    VnetHeader, SetOnly, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool
);
sockopt_impl!(
    /// What the host sends to the port is not ours.
    IgnoreOutgoing, SetOnly, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, bool
);

/// Carry packets until killed.
pub fn delay(what: &str) -> Result<(), Error> {
    let delay: Delay = serde_json::from_str(what)
        .map_err(|error| Error::Network { what: "delay packets".to_owned(), why: error.to_string() })?;
    let _ = nix::unistd::setsid();
    let input = at_port(&port(delay.from), SockProtocol::EthAll)?;
    setsockopt(&input, IgnoreOutgoing, &true).map_err(Error::system("listen at a port of the switch"))?;
    // Nothing is heard there: a socket without a protocol only sends.
    let output = at_port(&port(delay.to), SockProtocol::EthAll)?;
    setsockopt(&output, sockopt::RcvBuf, &1).map_err(Error::system("send at a port of the switch"))?;
    carry(&delay, &input, &output)
}

fn at_port(name: &str, protocol: SockProtocol) -> Result<OwnedFd, Error> {
    let failed = Error::system("open a port of the switch");
    let open = || -> nix::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, protocol)?;
        setsockopt(&socket, VnetHeader, &true)?;
        let mut found = getifaddrs()?.filter(|interface| interface.interface_name == name);
        let link = found.find_map(|interface| interface.address?.as_link_addr().copied()).ok_or(Errno::ENODEV)?;
        bind(socket.as_raw_fd(), &link)?;
        Ok(socket)
    };
    open().map_err(failed)
}

/// A packet that waits: when it goes out, its number (the order of equals), and what it is.
type Waiting = Reverse<(Instant, u64, Vec<u8>)>;

fn carry(delay: &Delay, input: &OwnedFd, output: &OwnedFd) -> Result<(), Error> {
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    let (mut buffer, mut number, mut dice) = (vec![0; LARGEST], 0, Dice(0x9e37_79b9_7f4a_7c15));
    loop {
        let now = Instant::now();
        while let Some(Reverse((due, ..))) = waiting.peek()
            && *due <= now
        {
            let Some(Reverse((_, _, packet))) = waiting.pop() else { break };
            // A port that is gone, or has no room, loses it, as any line does.
            let _ = send(output.as_raw_fd(), &packet, MsgFlags::empty());
        }
        let next = waiting.peek().map(|Reverse((due, ..))| due.saturating_duration_since(Instant::now()));
        // A packet may go out a millisecond late, never early.
        let next = next.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        match poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], next) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::system("wait for packets")(errno)),
        }
        while let Ok(length) = recv(input.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            let packet = &buffer[..length];
            if goes_to(packet) == Some((delay.from, delay.to)) && waiting.len() < MOST_WAITING {
                number += 1;
                if !dice.loses(delay.loss) {
                    let due = Instant::now() + Duration::from_millis(delay.ms);
                    waiting.push(Reverse((due, number, packet.to_vec())));
                }
            }
        }
    }
}

/// Where an IPv4 packet comes from and where it goes.
fn goes_to(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let kind = packet.get(ETHERNET + 12..ETHERNET + 14)?;
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    (kind == [0x08, 0x00]).then_some(())?;
    Some((address(IP + 12)?, address(IP + 16)?))
}

/// Which packets are lost: xorshift, since it need not be hard to foresee.
struct Dice(u64);

impl Dice {
    fn loses(&mut self, of_100: u8) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 100 < u64::from(of_100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ipv4_has_a_way() {
        let mut packet = vec![0; IP + 20];
        packet[ETHERNET + 12..ETHERNET + 14].copy_from_slice(&[0x08, 0x00]);
        packet[IP + 12..IP + 20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        assert_eq!(goes_to(&packet), Some((Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2))));
        packet[ETHERNET + 13] = 0x06;
        assert_eq!(goes_to(&packet), None, "ARP");
        assert_eq!(goes_to(&packet[..IP]), None, "cut off");
    }

    #[test]
    fn as_many_are_lost_as_were_asked_for() {
        let mut dice = Dice(7);
        let lost = (0..10_000).filter(|_| dice.loses(25)).count();
        assert!((2_300..2_700).contains(&lost), "{lost}");
        assert!(!(0..1_000).any(|_| dice.loses(0)));
    }
}
