//! What must always hold, and what must hold in the end.
//!
//! 1. **One writer.** A PostgreSQL that takes writes belongs to the node that the leader key names; hence there
//!    is at most one, also while its agent is killed or frozen. Only when a whole machine has stood still, its guard
//!    needs a moment ([`crate::faults`]' grace) to see what has happened meanwhile.
//! 2. **Nothing acknowledged is lost** (synchronous mode). A commit that is acknowledged continues a history
//!    that has every earlier acknowledged one (checked at each acknowledgement, `ledger`), and whoever begins
//!    to take writes has all of them (`lifecycle`).
//! 3. **The sync key tells the truth.** Whoever it names (leader and standbys) may take over at any moment. So
//!    every data directory of a named node that could be promoted holds all acknowledged commits. This is why
//!    a standby must enter `synchronous_standby_names` before the key, and leave it after the key: in the
//!    other order there is a moment in which a named standby is not waited for. That moment need not
//!    coincide with a commit in a given schedule, so the order is demanded, too: while the key is the
//!    primary's own, each standby in it is one that every commit waits for.
//! 4. **The last copy stays.** Some data directory that can be used holds all acknowledged commits.
//! 5. **WAL of two histories is never mixed** (`replication`), and a directory that pg_rewind has left half
//!    done is never started (`lifecycle`).
//! 6. **One cluster**: all complete data directories have one system identifier.
//! 7. **In the end**, once faults have stopped: a leader that takes writes, every other node streaming from
//!    it on its timeline, the sync key and `synchronous_standby_names` filled, within [`HEALTHY_WITHIN`].

use crate::data::Content;
use crate::server::Phase;
use crate::wal::Spot;
use crate::world::World;

/// Virtual milliseconds from the end of all faults.
pub const HEALTHY_WITHIN: u64 = 180_000;
/// A client's commit is due this often.
const ACKNOWLEDGED_WITHIN: u64 = 5000;

impl World {
    /// After each step.
    pub fn check(&mut self) {
        if !std::mem::take(&mut self.changed) || self.violation.is_some() {
            return;
        }
        let broken = self.one_writer().or_else(|| self.promises()).or_else(|| self.one_cluster());
        if let Some(what) = broken {
            self.violate(what);
        }
    }

    fn one_writer(&self) -> Option<String> {
        let leader = self.zookeeper.keys.leader_name();
        let rogue = (0..self.nodes.len()).find(|node| {
            let at = &self.nodes[*node];
            at.is_writable()
                && leader != Some(&self.names[*node])
                && at.data.content == Content::Complete
                && at.is_guarded(self.now)
        })?;
        Some(format!("{} takes writes while {} holds the lease", self.names[rogue], leader.unwrap_or("nobody")))
    }

    /// Invariants 3 and 4.
    fn promises(&self) -> Option<String> {
        if !self.ledger.kept {
            return None;
        }
        let newest = self.ledger.newest();
        let end = self.wal.end(newest);
        if newest != self.wal.root() && !self.some_copy_of(newest) {
            return Some(format!("no data directory holds the commit acknowledged at {end} any more"));
        }
        let sync = self.zookeeper.keys.sync.as_ref().map(|sync| &sync.value).filter(|sync| sync.is_active())?;
        for (node, name) in self.names.iter().enumerate() {
            let data = &self.nodes[node].data;
            if sync.names(name) && data.can_become_consistent(&self.wal) && !data.holds(&self.wal, newest) {
                return Some(format!("the sync key names {name}, which lacks the commit acknowledged at {end}"));
            }
        }
        let leader = self.names.iter().position(|name| sync.is_leader(name))?;
        let server = self.server(leader).filter(|server| server.phase == Phase::Primary)?;
        let required = server.required();
        let missing = sync.standbys.iter().find(|name| !required.contains(name))?;
        let names = &server.names_obeyed;
        Some(format!("the sync key names {missing}, but synchronous_standby_names is '{names}'"))
    }

    fn some_copy_of(&self, spot: Spot) -> bool {
        let copies = self.nodes.iter().flat_map(|node| node.aside.iter().chain([&node.data]));
        copies.into_iter().any(|data| data.holds(&self.wal, spot))
    }

    fn one_cluster(&self) -> Option<String> {
        let mut complete = self.nodes.iter().filter(|node| node.data.content == Content::Complete);
        let first = complete.next()?.data.system_identifier;
        complete.any(|node| node.data.system_identifier != first).then(|| "there are two clusters".into())
    }

    /// Why the cluster is not healthy; `None` if it is.
    pub fn ailment(&self) -> Option<String> {
        let keys = &self.zookeeper.keys;
        let Some(leader) = keys.leader_name().and_then(|name| self.names.iter().position(|n| n == name)) else {
            return Some("there is no leader".into());
        };
        let name = &self.names[leader];
        let Some(primary) = self.server(leader).filter(|_| self.nodes[leader].is_writable()) else {
            return Some(format!("the leader {name} takes no writes"));
        };
        let tip = self.nodes[leader].data.tip;
        for (node, other) in self.names.iter().enumerate().filter(|(node, _)| *node != leader) {
            let streams = primary.senders.iter().any(|sender| sender.to == node && sender.streaming);
            let data = &self.nodes[node].data;
            if !streams || self.wal.timeline(data.tip) != self.wal.timeline(tip) {
                return Some(format!("{other} does not stream from the leader {name}"));
            }
        }
        if self.now > self.ledger.last + ACKNOWLEDGED_WITHIN {
            return Some("no commit is acknowledged".into());
        }
        if !self.plan.synchronous {
            return None;
        }
        let sync = keys.sync.as_ref().map(|sync| sync.value.clone()).unwrap_or_default();
        let wanted = self.sync_nodes_wanted().min(self.nodes.len() - 1);
        if !sync.is_leader(name) || sync.standbys.len() != wanted {
            return Some(format!("the sync key is {}", sync.to_json()));
        }
        let mut required = primary.required();
        required.sort();
        (required != sync.standbys).then(|| format!("commits wait for {required:?}"))
    }

    fn sync_nodes_wanted(&self) -> usize {
        let config = self.zookeeper.keys.config.as_ref();
        let count = config.and_then(|config| config.value.get("synchronous_node_count")?.as_u64());
        count.unwrap_or(1) as usize
    }
}
