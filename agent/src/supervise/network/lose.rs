//! `labrun-agent lose [ADDRESS…]`: whatever this network sends to these addresses is lost, and what it sends to others
//! is not.
//!
//! For nodes whose network is not ours: containers, of which we hold no switch. A route to such an address leads to the
//! loopback, where the kernel drops what is for somebody else without a word, as a line does that is cut. The routes
//! carry a mark of ours, by which they are found again; they go with the network.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::route::RouteType;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::sys::socket::{
    AddressFamily as Family, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, socket,
};

use crate::supervise::Error;

/// The mark of our routes: a routing protocol that nobody has (rtnetlink(7); the kernel gives a meaning to none above
/// RTPROT_STATIC).
const MARK: u8 = 211;
/// The loopback is the first interface of every network.
const LOOPBACK: u32 = 1;
/// The kernel sends no larger piece of a dump.
const LARGEST: usize = 64 << 10;

/// Let what is sent to `addresses` be lost, and to no other; the addresses for which that is so now, in order.
pub fn lose(addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
    let kernel = Kernel::reach()?;
    let (wanted, now) = (BTreeSet::from_iter(addresses.iter().copied()), kernel.lost()?);
    for address in now.difference(&wanted) {
        kernel.ask(RouteNetlinkMessage::DelRoute(route(*address)), NLM_F_ACK, |_| ())?;
    }
    for address in wanted.difference(&now) {
        kernel.ask(RouteNetlinkMessage::NewRoute(route(*address)), NLM_F_ACK | NLM_F_CREATE, |_| ())?;
    }
    lost()
}

/// The addresses to which everything is lost, in order.
pub fn lost() -> Result<Vec<IpAddr>, Error> {
    Ok(Kernel::reach()?.lost()?.into_iter().collect())
}

/// The route by which everything to `address` is lost.
fn route(address: IpAddr) -> RouteMessage {
    let mut route = RouteMessage::default();
    let (family, bits, to) = match address {
        IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
    };
    route.header = RouteHeader {
        address_family: family,
        destination_prefix_length: bits,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::from(MARK),
        scope: RouteScope::Link,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    route.attributes = vec![RouteAttribute::Destination(to), RouteAttribute::Oif(LOOPBACK)];
    route
}

/// Where a route of ours leads nowhere from; none for a route that is not ours.
fn lost_by(route: &RouteMessage) -> Option<IpAddr> {
    if route.header.protocol != RouteProtocol::from(MARK) {
        return None;
    }
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })
}

/// The kernel's routes, by rtnetlink(7).
struct Kernel(OwnedFd);

impl Kernel {
    fn reach() -> Result<Kernel, Error> {
        let open = || -> nix::Result<OwnedFd> {
            let socket = socket(Family::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
            connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(socket)
        };
        open().map(Kernel).map_err(Error::system("ask the kernel for routes"))
    }

    fn lost(&self) -> Result<BTreeSet<IpAddr>, Error> {
        let mut found = BTreeSet::new();
        self.ask(RouteNetlinkMessage::GetRoute(RouteMessage::default()), NLM_F_DUMP, |message| {
            if let RouteNetlinkMessage::NewRoute(route) = message {
                found.extend(lost_by(&route));
            }
        })?;
        Ok(found)
    }

    /// Send a request, and hand what comes back to `each`, until the kernel says that it is done.
    fn ask(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), Error> {
        let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        send(self.0.as_raw_fd(), &bytes, MsgFlags::empty()).map_err(Error::system("ask the kernel for routes"))?;
        let mut buffer = vec![0; LARGEST];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty());
            let mut rest = &buffer[..length.map_err(Error::system("read the kernel's routes"))?];
            while !rest.is_empty() {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(not_understood)?;
                rest = rest.get(aligned(answer.header.length)..).unwrap_or_default();
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(said) if said.code.is_none() => return Ok(()),
                    NetlinkPayload::Error(said) => return Err(refused(said.to_io())),
                    NetlinkPayload::InnerMessage(message) => each(message),
                    _ => {}
                }
            }
        }
    }
}

/// Messages begin at multiples of four bytes. One without a length would be read for ever.
fn aligned(length: u32) -> usize {
    (length as usize).max(1).next_multiple_of(4)
}

fn refused(source: std::io::Error) -> Error {
    Error::System { what: "change a route", source }
}

fn not_understood(error: netlink_packet_core::DecodeError) -> Error {
    Error::System { what: "read the kernel's routes", source: std::io::Error::other(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_of_ours_is_known_by_its_mark() {
        for address in ["10.1.2.3", "fd00::3"] {
            let address: IpAddr = address.parse().unwrap();
            let mut made = route(address);
            assert_eq!(lost_by(&made), Some(address));
            made.header.protocol = RouteProtocol::Static;
            assert_eq!(lost_by(&made), None, "somebody else's");
        }
    }

    #[test]
    fn messages_without_a_length_do_not_stop_the_reading() {
        assert_eq!((aligned(0), aligned(4), aligned(37)), (4, 4, 40));
    }
}
