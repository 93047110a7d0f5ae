//! 10. **A leader whose PostgreSQL hangs** loses it, and with it the lease, within the time of a lease.

use crate::server::Phase;
use crate::world::World;

/// A leader's PostgreSQL that does nothing.
pub struct Hang {
    /// Since when its agent could have noticed.
    since: u64,
    /// The leader key under which it hangs.
    lease: Option<i64>,
}

/// What a session's timeout is in ticks at the most.
const TICKS: u64 = 20;
/// What the agent may take beyond a lease.
const SLACK: u64 = 1000;

impl World {
    pub fn hang(&mut self, node: usize) {
        let some = self.nodes[node].server.is_some();
        self.nodes[node].server_frozen = some;
        let primary = self.server(node).is_some_and(|server| server.phase == Phase::Primary);
        let leads = self.zookeeper.keys.leader_name() == Some(&self.names[node]);
        if primary && leads && self.nodes[node].hang.is_none() {
            self.nodes[node].hang = Some(Hang { since: self.now, lease: self.lease.created });
        }
    }

    /// The agent was not there, or stood still: it begins to wait anew.
    pub fn notices_hang_from_now(&mut self, node: usize) {
        let now = self.now;
        if let Some(hang) = &mut self.nodes[node].hang {
            hang.since = now;
        }
    }

    /// PostgreSQL goes on, or was ended.
    pub fn end_hang(&mut self, node: usize) {
        self.nodes[node].server_frozen = false;
        let Some(hang) = self.nodes[node].hang.take() else { return };
        let still = |node: &crate::node::Node| node.agent.is_none() || node.agent_frozen || node.paused || node.at_ease;
        let leads = self.zookeeper.keys.leader_name() == Some(&self.names[node]) && hang.lease == self.lease.created;
        let hung = self.now - hang.since;
        if leads && !still(&self.nodes[node]) && hung > self.ttl().min(TICKS * self.plan.tick) + SLACK {
            let name = &self.names[node];
            self.violate(format!("PostgreSQL of {name} has hung for {} s and kept the lease", hung / 1000));
        }
    }
}
