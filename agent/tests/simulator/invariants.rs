//! What must always hold, and what must hold in the end.
//!
//! 1. **One writer.** A PostgreSQL that takes writes belongs to the node that the leader key names; hence there
//!    is at most one, also while its agent is killed or frozen. Only when a whole machine has stood still, its guard
//!    needs a moment ([`crate::faults`]' grace) to see what has happened meanwhile. In failsafe mode it may be nobody's,
//!    while all other members have given their word to that node, and in a pause it goes on without.
//! 2. **Nothing acknowledged is lost** (synchronous mode). A commit that is acknowledged continues a history
//!    that has every earlier acknowledged one (checked at each acknowledgement, `ledger`), and whoever begins
//!    to take writes has all of them (`lifecycle`).
//! 3. **The sync key tells the truth.** Whoever it names (leader and standbys) may take over at any moment; in quorum
//!    mode whoever gets the votes that it asks for, of those that are not ahead. So every data directory of such a
//!    node that could be promoted holds all acknowledged commits. This is why a standby must enter
//!    `synchronous_standby_names` before the key, and leave it after the key: in the other order there is a moment in
//!    which a named standby is not waited for. That moment need not coincide with a commit in a given schedule, so
//!    the order is demanded, too: while the key is the primary's own, so many of the standbys in it are waited for
//!    that every winner has one of them, or is one.
//! 4. **The last copy stays.** Some data directory that can be used holds all acknowledged commits.
//! 5. **WAL of two histories is never mixed** (`replication`), and a directory that pg_rewind has left half
//!    done is never started (`lifecycle`).
//! 6. **One cluster**: all complete data directories have one system identifier.
//! 7. **In the end**, once faults have stopped: a leader that takes writes, every other node streaming from
//!    it on its timeline, the sync key and `synchronous_standby_names` filled, within [`HEALTHY_WITHIN`].

use labrun_agent::cluster::Sync;

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
        self.watch_lease();
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
                && !self.is_granted(*node)
                && !at.at_ease
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
        if let Some(name) = (0..self.nodes.len()).find(|node| self.could_win(sync, *node) && self.lacks(*node, newest))
        {
            let name = &self.names[name];
            return Some(format!("by the sync key {name} may lead, which lacks the commit acknowledged at {end}"));
        }
        let leader = self.names.iter().position(|name| sync.is_leader(name))?;
        let server = self.server(leader).filter(|server| server.phase == Phase::Primary)?;
        let (count, of) = server.promise();
        let all = of.len() + sync.standbys.iter().filter(|name| !of.contains(name)).count();
        let (key, names) = (sync.to_json(), &server.names_obeyed);
        (sync.standbys.len().min(all - count) > sync.quorum as usize)
            .then(|| format!("the sync key is {key}, but synchronous_standby_names is '{names}'"))
    }

    fn lacks(&self, node: usize, newest: Spot) -> bool {
        let data = &self.nodes[node].data;
        data.can_become_consistent(&self.wal) && !data.holds(&self.wal, newest)
    }

    /// Whether this node could take over, if all who would vote for it could be reached and nobody else.
    fn could_win(&self, sync: &Sync, node: usize) -> bool {
        let name = &self.names[node];
        if sync.quorum == 0 || sync.is_leader(name) {
            return sync.names(name);
        }
        let mine = self.nodes[node].data.tip;
        let votes = (0..self.nodes.len()).filter(|other| {
            let (name, data) = (&self.names[*other], &self.nodes[*other].data);
            let ahead =
                self.wal.end(data.tip) > self.wal.end(mine) || self.wal.timeline(data.tip) > self.wal.timeline(mine);
            sync.names(name) && (*other == node || (data.can_become_consistent(&self.wal) && !ahead))
        });
        votes.count() > sync.quorum as usize
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
        let (others, wanted) = (self.nodes.len() - 1, self.sync_nodes_wanted().min(self.nodes.len() - 1));
        let (voters, quorum) = if self.is_quorum_mode() { (others, others - wanted) } else { (wanted, 0) };
        if !sync.is_leader(name) || sync.standbys.len() != voters || sync.quorum as usize != quorum {
            return Some(format!("the sync key is {}", sync.to_json()));
        }
        let (count, mut of) = primary.promise();
        of.sort();
        ((count, &of) != (wanted, &sync.standbys)).then(|| format!("commits wait for {count} of {of:?}"))
    }

    fn configured(&self, key: &str) -> Option<&serde_json::Value> {
        self.zookeeper.keys.config.as_ref()?.value.get(key)
    }

    fn is_quorum_mode(&self) -> bool {
        self.configured("synchronous_mode").is_some_and(|mode| mode == "quorum")
    }

    fn sync_nodes_wanted(&self) -> usize {
        self.configured("synchronous_node_count").and_then(|count| count.as_u64()).unwrap_or(1) as usize
    }
}
