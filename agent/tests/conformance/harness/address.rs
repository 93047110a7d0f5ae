//! Loopback addresses that nobody else uses: a block of fifteen for each scenario, derived from the process and the
//! scenario's name, and claimed by a listener that is held as long as the scenario lives.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, TcpListener};

/// The second byte of all our addresses.
const RANGE: u8 = 90;
/// Addresses a block; the first only carries the claim.
const BLOCK: u32 = 16;
/// Beyond the ports that the kernel hands out for outgoing connections.
const CLAIM_PORT: u16 = 61_900;
/// The ports that a scenario's servers will want.
const PORTS: [u16; 6] = [2181, 2281, 5000, 5432, 7000, 8008];

/// A claimed block of addresses.
pub struct Block {
    first: u32,
    _claim: TcpListener,
}

impl Block {
    /// Claim a free block for the scenario `name` of this process.
    pub fn claim(name: &str) -> Block {
        let mut hasher = DefaultHasher::new();
        (std::process::id(), name).hash(&mut hasher);
        let blocks = (1 << 16) / BLOCK;
        let start = (hasher.finish() % u64::from(blocks)) as u32;
        let range = u32::from(Ipv4Addr::new(127, RANGE, 0, 0));
        (0..blocks)
            .map(|step| range + (start + step) % blocks * BLOCK)
            .find_map(Block::try_claim)
            .unwrap_or_else(|| panic!("every block of 127.{RANGE}.0.0/16 is in use"))
    }

    fn try_claim(first: u32) -> Option<Block> {
        let claim = TcpListener::bind((Ipv4Addr::from(first), CLAIM_PORT)).ok()?;
        let free = (1..BLOCK).map(|n| Ipv4Addr::from(first + n)).all(is_free);
        free.then_some(Block { first, _claim: claim })
    }

    /// The block's `n`th address, from 1 to 15.
    pub fn address(&self, n: u32) -> Ipv4Addr {
        assert!((1..BLOCK).contains(&n), "a scenario has fifteen addresses, not {n}");
        Ipv4Addr::from(self.first + n)
    }
}

fn is_free(address: Ipv4Addr) -> bool {
    PORTS.iter().all(|port| TcpListener::bind((address, *port)).is_ok())
}
