//! What clients were promised. In synchronous mode every acknowledged commit must be in the history of every
//! later one: then the newest one stands for all of them.

use crate::wal::{Spot, Wal};

pub struct Ledger {
    /// The newest acknowledged commit.
    newest: Spot,
    /// How many were acknowledged, and when the last one was.
    pub count: u64,
    pub last: u64,
    /// Whether commits are promised to survive (synchronous mode).
    pub kept: bool,
}

impl Ledger {
    pub fn new(wal: &Wal, kept: bool) -> Ledger {
        Ledger { newest: wal.root(), count: 0, last: 0, kept }
    }

    pub fn newest(&self) -> Spot {
        self.newest
    }

    /// A client is told that its commit is done.
    pub fn acknowledge(&mut self, wal: &Wal, spot: Spot, now: u64) -> Result<(), String> {
        self.count += 1;
        self.last = now;
        if wal.contains(spot, self.newest) {
            self.newest = spot;
        } else if self.kept && !wal.contains(self.newest, spot) {
            return Err(format!("its history lacks the acknowledged commit that ends at {}", wal.end(self.newest)));
        } else if !self.kept {
            self.newest = spot;
        }
        Ok(())
    }
}
