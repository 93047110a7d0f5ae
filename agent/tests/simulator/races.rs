//! What must hold at the moment in which a free lease is taken.
//!
//! 8. **The lag limit.** A standby that takes it is not further behind what the last leader has published, or has told
//!    when it stopped cleanly, than `maximum_lag_on_failover`; unless it has written the sync key, as a leader: then it
//!    has all that was acknowledged.
//! 9. **Who is ahead comes first** (asynchronous mode). If nothing else went wrong since the lease became free, no
//!    standby of the same timeline that could have been asked was ahead of the winner.
//!
//!
//! Both only without a request of people: whoever is named takes over as it is.
//!
//! 11. **A living primary stays.** If nothing is wrong between the nodes, nobody takes the lease from another one that
//!     goes on as a primary without it; and in a pause no standby takes it unasked.

use labrun_agent::cluster::Lsn;
use labrun_agent::decide::{ControlState, Server as Seen};

use crate::server::Phase;
use crate::world::World;

/// What is remembered of the lease.
#[derive(Default)]
pub struct Lease {
    /// The transaction that has made the key that is there.
    pub created: Option<i64>,
    /// The standbys that could be asked when the key went, and how far they were; none once something else goes wrong.
    rivals: Vec<Rival>,
    /// Nothing else has gone wrong since the key went.
    calm: bool,
    /// Where the last leader has stopped cleanly, if it gave the lease back for that.
    stopped_at: Option<Lsn>,
    /// Who has given it back just now.
    pub released_by: Option<usize>,
}

struct Rival {
    node: usize,
    epoch: u64,
    incarnation: u64,
    position: Lsn,
}

impl World {
    /// After each step: whether the lease has become free, or was taken.
    pub fn watch_lease(&mut self) {
        let created = self.zookeeper.keys.leader.as_ref().map(|leader| leader.created);
        let before = std::mem::replace(&mut self.lease.created, created);
        if before == created {
            return;
        }
        let released_by = self.lease.released_by.take();
        if created.is_none() {
            self.lease.stopped_at = released_by.filter(|_| !self.plan.synchronous).and_then(|node| self.stopped(node));
            self.lease.calm = self.is_calm();
            self.lease.rivals = if self.lease.calm { self.rivals() } else { Vec::new() };
        } else if before.is_none() {
            let winner = self.zookeeper.keys.leader_name().and_then(|name| self.names.iter().position(|n| n == name));
            let wrong = winner.and_then(|winner| {
                self.too_far_behind(winner).or_else(|| self.is_ahead_of(winner)).or_else(|| self.is_not_needed(winner))
            });
            if let Some(what) = wrong {
                self.violate(what);
            }
        }
    }

    /// Something went wrong: who can be asked is open again.
    pub fn forget_rivals(&mut self) {
        self.lease.rivals.clear();
        self.lease.calm = false;
    }

    fn stopped(&self, node: usize) -> Option<Lsn> {
        let at = &self.nodes[node];
        let clean = at.server.is_none() && at.data.state == ControlState::ShutDown;
        clean.then(|| self.wal.start(at.data.checkpoint))
    }

    fn is_calm(&self) -> bool {
        let still = |node: &crate::node::Node| node.agent_frozen || node.server_frozen || node.paused || node.off;
        self.network.is_whole() && !self.zookeeper_frozen && !self.nodes.iter().any(still)
    }

    fn rivals(&self) -> Vec<Rival> {
        let rival = |node: usize| {
            let at = &self.nodes[node];
            let known = self.zookeeper.keys.members.get(&self.names[node])?;
            at.agent.as_ref().filter(|_| known.data.is_running())?;
            let position = self.observe(node).filter(|seen| seen.in_recovery).as_ref().map(Seen::position)?;
            Some(Rival { node, epoch: at.epochs, incarnation: at.incarnation, position })
        };
        (0..self.nodes.len()).filter_map(rival).collect()
    }

    /// Nobody has asked for it, and it is a standby.
    fn wins_by_itself(&self, winner: usize) -> bool {
        let asked = self.zookeeper.keys.failover.as_ref().is_some_and(|failover| !failover.value.is_empty());
        !asked && self.server(winner).is_some_and(|server| server.phase == Phase::Standby)
    }

    fn is_not_needed(&self, winner: usize) -> Option<String> {
        let name = &self.names[winner];
        if self.wins_by_itself(winner) && self.nodes[winner].at_ease {
            return Some(format!("{name} takes the lease in a pause, unasked"));
        }
        let standby = self.server(winner).is_some_and(|server| server.phase == Phase::Standby);
        let primary = |node: usize| node != winner && self.is_member(node) && self.nodes[node].is_writable();
        let other = (0..self.nodes.len()).find(|node| primary(*node)).filter(|_| standby && self.lease.calm)?;
        Some(format!("{name} takes the lease though {} could be asked and is a primary", self.names[other]))
    }

    /// Its agent can be asked, and others know where.
    fn is_member(&self, node: usize) -> bool {
        self.nodes[node].agent.is_some() && self.zookeeper.keys.members.contains_key(&self.names[node])
    }

    fn too_far_behind(&self, winner: usize) -> Option<String> {
        let published = self.zookeeper.keys.status.as_ref().map(|status| status.value.optime);
        let last = published.max(self.lease.stopped_at)?;
        let behind = last.since(self.wal.end(self.nodes[winner].data.tip));
        let limit = self.plan.dynamic.get("maximum_lag_on_failover").and_then(|limit| limit.as_u64())?;
        let sync = self.zookeeper.keys.sync.as_ref().map(|sync| &sync.value).filter(|_| self.plan.synchronous);
        if sync.is_some_and(|sync| sync.is_leader(&self.names[winner])) {
            return None;
        }
        (behind > limit && self.wins_by_itself(winner))
            .then(|| format!("{} takes the lease {behind} bytes behind the last leader", self.names[winner]))
    }

    fn is_ahead_of(&self, winner: usize) -> Option<String> {
        let tip = self.nodes[winner].data.tip;
        let comparable = |rival: &&Rival| {
            let at = &self.nodes[rival.node];
            let same = (at.epochs, at.incarnation) == (rival.epoch, rival.incarnation);
            let standby = at.server.as_ref().is_some_and(|server| server.phase == Phase::Standby);
            same && standby && self.wal.timeline(at.data.tip) == self.wal.timeline(tip)
        };
        let ahead = self.lease.rivals.iter().filter(comparable).find(|rival| rival.position > self.wal.end(tip))?;
        let (name, other) = (&self.names[winner], &self.names[ahead.node]);
        (!self.plan.synchronous && self.wins_by_itself(winner))
            .then(|| format!("{name} takes the lease though {other} could be asked and is ahead"))
    }
}
