//! Streaming replication and commits. A standby asks for what it lacks and refuses, as PostgreSQL does, by
//! timelines and positions only; the model knows which WAL it really is, and a standby that mixes the WAL
//! of two servers is a violation.

use labrun_agent::cluster::Lsn;

use crate::event::{Event, Target};
use crate::server::{Phase, Receiver, Sender, Server};
use crate::wal::Spot;
use crate::world::World;

/// `wal_retrieve_retry_interval`.
const RETRY: u64 = 5000;
/// `wal_receiver_timeout` and `wal_sender_timeout`.
pub const TIMEOUT: u64 = 20_000;
/// How often both ends look whether the other is there.
pub const KEEPALIVE: u64 = 5000;
/// A message that meets a cut is tried again after this time.
const RESEND: u64 = 300;

impl World {
    pub fn server(&self, node: usize) -> Option<&Server> {
        self.nodes[node].server.as_ref()
    }

    /// A client's write.
    pub fn insert(&mut self, node: usize, size: u64) {
        let Some(target) = self.server_target(node) else { return };
        let Some(server) = &mut self.nodes[node].server else { return };
        let spot = self.wal.append(server.inserted, size);
        server.inserted = spot;
        server.commits.push_back(spot);
        let delay = self.random.delay(1, 10);
        self.after(delay, target, Event::Flushed(spot));
    }

    pub fn flushed(&mut self, node: usize, spot: Spot) {
        if self.wal.end(spot) > self.wal.end(self.nodes[node].data.tip) {
            self.nodes[node].data.tip = spot;
            self.send_wal(node);
            self.acknowledge(node);
            self.changed = true;
        }
    }

    /// Sends what is on disk to every standby that is connected.
    pub fn send_wal(&mut self, node: usize) {
        let tip = self.nodes[node].data.tip;
        let epoch = self.nodes[node].epochs;
        let count = self.server(node).map_or(0, |server| server.senders.len());
        for i in 0..count {
            let Some(sender) = self.server(node).map(|server| server.senders[i]) else { return };
            let at = (self.now + self.network.delay(&mut self.random, node, sender.to)).max(sender.busy_until);
            if let Some(server) = &mut self.nodes[node].server {
                server.senders[i].busy_until = at;
            }
            let target = Target::Server(sender.to, sender.epoch);
            self.after(at - self.now, target, Event::Received { from: node, epoch, spot: tip });
        }
    }

    pub fn received(&mut self, node: usize, from: usize, epoch: u64, spot: Spot) {
        if !self.network.is_open(from, node) {
            let target = Target::Server(node, self.nodes[node].epochs);
            return self.after(RESEND, target, Event::Received { from, epoch, spot });
        }
        let (now, tip) = (self.now, self.nodes[node].data.tip);
        let Some(server) = &mut self.nodes[node].server else { return };
        let Some(receiver) = server.receiver.as_mut().filter(|r| (r.from, r.epoch) == (from, epoch)) else { return };
        receiver.heard = now;
        if !self.wal.contains(spot, tip) {
            if self.wal.end(spot) > self.wal.end(tip) {
                self.violate(format!("{} has received WAL that does not continue its own", self.names[node]));
            }
            return;
        }
        server.received = Some(spot);
        let data = &mut self.nodes[node].data;
        (data.tip, data.newest_timeline) = (spot, data.newest_timeline.max(self.wal.timeline(spot)));
        self.changed = true;
        let (replay, back) = (self.random.delay(1, 30), self.network.delay(&mut self.random, node, from));
        self.after(replay, Target::Server(node, self.nodes[node].epochs), Event::Replayed(spot));
        let confirmed = Event::Confirmed { from: node, epoch: self.nodes[node].epochs, flushed: self.wal.end(spot) };
        self.after(back, Target::Server(from, epoch), confirmed);
        self.send_wal(node);
    }

    pub fn replayed(&mut self, node: usize, spot: Spot) {
        let at = &mut self.nodes[node];
        let (data, Some(server)) = (&mut at.data, &mut at.server) else { return };
        if self.wal.end(spot) <= self.wal.end(server.replayed) {
            return;
        }
        server.replayed = spot;
        // PostgreSQL goes by the position alone.
        let consistent = self.wal.end(spot) >= self.wal.end(data.min_recovery);
        if consistent && !self.wal.contains(spot, data.min_recovery) {
            self.violate(format!("{} has pages of another history than it has replayed", self.names[node]));
            return;
        }
        if consistent && server.phase == (Phase::Starting { primary: false }) {
            server.phase = Phase::Standby;
        }
        if consistent && self.random.one_in(4) {
            data.min_recovery = spot;
        }
    }

    pub fn confirmed(&mut self, node: usize, from: usize, epoch: u64, flushed: Lsn) {
        if !self.network.is_open(from, node) {
            let target = Target::Server(node, self.nodes[node].epochs);
            return self.after(RESEND, target, Event::Confirmed { from, epoch, flushed });
        }
        let (now, mine) = (self.now, self.wal.end(self.nodes[node].data.tip));
        let Some(server) = &mut self.nodes[node].server else { return };
        let Some(sender) = server.senders.iter_mut().find(|s| (s.to, s.epoch) == (from, epoch)) else { return };
        (sender.flushed, sender.heard) = (flushed.max(sender.flushed), now);
        sender.streaming |= flushed >= mine;
        if let Some(restart) = self.nodes[node].data.slots.get_mut(&self.names[from]) {
            *restart = flushed.max(*restart);
        }
        self.acknowledge(node);
        self.end_shutdown(node);
    }

    /// Answers the clients whose commits are safe as far as the primary's settings ask for.
    pub fn acknowledge(&mut self, node: usize) {
        let flushed = self.wal.end(self.nodes[node].data.tip);
        let Some(server) = &mut self.nodes[node].server else { return };
        if !server.is_primary() {
            return;
        }
        let safe = server.acknowledged(&self.names, flushed);
        while let Some(spot) = server.commits.front().copied().filter(|spot| self.wal.end(*spot) <= safe) {
            server.commits.pop_front();
            if let Err(why) = self.ledger.acknowledge(&self.wal, spot, self.now) {
                return self.violate(format!("{} acknowledges a commit, but {why}", self.names[node]));
            }
        }
        self.changed = true;
    }

    /// The WAL receiver asks its upstream for what comes next.
    pub fn connect(&mut self, node: usize) {
        let Some(target) = self.server_target(node) else { return };
        let Some(server) = self.server(node) else { return };
        let ready = matches!(server.phase, Phase::Standby | Phase::Starting { primary: false });
        if !ready || server.receiver.is_some() {
            return;
        }
        let Some(from) = self.nodes[node].data.upstream else { return };
        match self.refusal(node, from) {
            Some(why) => {
                self.tell(node, || format!("postgres: cannot stream: {why}"));
                let pause = self.random.between(RETRY / 5, RETRY);
                self.after(pause, target, Event::Connect);
            }
            None => self.stream(node, from),
        }
    }

    /// Why `from` does not send WAL to `node`.
    fn refusal(&self, node: usize, from: usize) -> Option<String> {
        let name = &self.names[from];
        let Some(upstream) = self.server(from).filter(|_| self.network.connects(node, from)) else {
            return Some(format!("{name} does not answer"));
        };
        if !upstream.answers() || self.nodes[from].server_frozen || self.nodes[from].paused || from == node {
            return Some(format!("{name} does not answer"));
        }
        if self.plan.use_slots && !self.nodes[from].data.slots.contains_key(&self.names[node]) {
            return Some(format!("{name} has no slot for it"));
        }
        let (mine, theirs) = (self.nodes[node].data.tip, self.nodes[from].data.tip);
        let (timeline, end) = (self.wal.timeline(mine), self.wal.end(mine));
        if timeline > self.wal.timeline(theirs) {
            return Some(format!("timeline {timeline} is newer than that of {name}"));
        }
        if timeline == self.wal.timeline(theirs) {
            return (end > self.wal.end(theirs)).then(|| format!("{end} is ahead of {name}"));
        }
        match self.wal.switchpoints(theirs).iter().find(|(number, _)| *number == timeline) {
            None => Some(format!("timeline {timeline} is not in the history of {name}")),
            Some((_, at)) if end.0 > *at => Some(format!("{end} is behind the end of timeline {timeline} on {name}")),
            Some(_) => None,
        }
    }

    fn stream(&mut self, node: usize, from: usize) {
        let (now, epoch) = (self.now, self.nodes[node].epochs);
        let upstream_epoch = self.nodes[from].epochs;
        let flushed = self.wal.end(self.nodes[node].data.tip);
        let checkpoint = self.nodes[node].data.checkpoint;
        self.with_server(node, |server| {
            server.receiver = Some(Receiver { from, epoch: upstream_epoch, heard: now });
            // pg_last_wal_receive_lsn() begins at the start of the segment that is asked for.
            server.received.get_or_insert(checkpoint);
        });
        if let Some(upstream) = &mut self.nodes[from].server {
            upstream.senders.retain(|sender| sender.to != node);
            let sender = Sender { to: node, epoch, streaming: false, flushed, heard: now, busy_until: now };
            upstream.senders.push(sender);
        }
        self.tell(node, || format!("postgres: streams from node {}", from + 1));
        self.send_wal(from);
    }

    /// Ends the WAL receiver, on both sides if they can hear each other.
    pub fn hang_up(&mut self, node: usize) {
        let Some(server) = &mut self.nodes[node].server else { return };
        let epoch = server.epoch;
        let Some(receiver) = server.receiver.take() else { return };
        if !self.network.is_open(node, receiver.from) {
            return;
        }
        if let Some(upstream) = &mut self.nodes[receiver.from].server {
            upstream.senders.retain(|sender| (sender.to, sender.epoch) != (node, epoch));
        }
        self.end_shutdown(receiver.from);
    }

    /// Both ends of every connection of this server: who has not been heard for long is gone.
    pub fn keepalive(&mut self, node: usize) {
        let Some(target) = self.server_target(node) else { return };
        self.after(KEEPALIVE, target, Event::Keepalive);
        let (now, epoch) = (self.now, self.nodes[node].epochs);
        if let Some(receiver) = self.server(node).and_then(|server| server.receiver) {
            let peer = self.server(receiver.from).filter(|peer| peer.epoch == receiver.epoch);
            let linked = peer.is_some_and(|peer| peer.senders.iter().any(|s| (s.to, s.epoch) == (node, epoch)));
            let open = self.network.connects(node, receiver.from) && !self.is_still(receiver.from);
            match &mut self.nodes[node].server {
                Some(server) if open && linked => server.receiver = Some(Receiver { heard: now, ..receiver }),
                Some(server) if open || now - receiver.heard > TIMEOUT => {
                    server.receiver = None;
                    self.after(1, target, Event::Connect);
                }
                _ => {}
            }
        }
        for sender in self.server(node).map_or(Vec::new(), |server| server.senders.clone()) {
            let peer = self.server(sender.to).filter(|peer| peer.epoch == sender.epoch);
            let linked = peer.is_some_and(|peer| peer.receiver.is_some_and(|r| (r.from, r.epoch) == (node, epoch)));
            let open = self.network.connects(node, sender.to) && !self.is_still(sender.to);
            let Some(server) = &mut self.nodes[node].server else { return };
            match open && linked {
                true => server.senders.iter_mut().filter(|s| s.to == sender.to).for_each(|s| s.heard = now),
                false if open || now - sender.heard > TIMEOUT => server.senders.retain(|s| s.to != sender.to),
                false => {}
            }
        }
        self.end_shutdown(node);
    }

    /// PostgreSQL there does nothing, though it exists.
    fn is_still(&self, node: usize) -> bool {
        self.nodes[node].server_frozen || self.nodes[node].paused
    }
}
