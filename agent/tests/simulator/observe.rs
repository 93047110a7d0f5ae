//! What an agent sees of its PostgreSQL: the answer of its SQL statement, and what lies on disk.

use labrun_agent::cluster::Lsn;
use labrun_agent::decide::{Server as Seen, Slot, Upstream, WalReceiver, WalSender};

use crate::server::Phase;
use crate::world::World;

impl World {
    pub fn address(node: usize) -> Upstream {
        Upstream { host: format!("10.0.0.{}", node + 1), port: 5432 }
    }

    /// What the statement of `postgres::observe` says; `None` while PostgreSQL refuses connections.
    pub fn observe(&self, node: usize) -> Option<Seen> {
        let at = &self.nodes[node];
        let server = at.server.as_ref().filter(|server| server.answers())?;
        let in_recovery = server.phase != Phase::Primary;
        let received_timeline = server.receiver.and(server.received).map(|spot| self.wal.timeline(spot));
        let timeline = if in_recovery {
            let control = at.data.control(&self.wal)?;
            received_timeline.unwrap_or(0).max(control.timeline).max(control.min_recovery_timeline)
        } else {
            self.wal.timeline(server.inserted)
        };
        Some(Seen {
            in_recovery,
            timeline,
            written: if in_recovery { Lsn(0) } else { self.wal.end(at.data.tip) },
            received: server.received.filter(|_| in_recovery).map_or(Lsn(0), |spot| self.wal.end(spot)),
            has_read_all: server.received.is_some() || server.replayed == at.data.tip,
            replayed: if in_recovery { self.wal.end(server.replayed) } else { Lsn(0) },
            wal_receiver: server.receiver.map(|_| WalReceiver {
                status: "streaming".into(),
                latest_end: self.wal.end(at.data.tip),
                timeline: received_timeline,
            }),
            wal_senders: self.senders(node),
            slots: at.data.slots.iter().map(|(name, restart)| self.slot(node, name, *restart)).collect(),
            sync_names: server.names_shown.clone(),
            upstream: at.data.upstream.filter(|_| in_recovery).map(World::address),
            upstream_slot: if self.plan.use_slots && in_recovery { self.names[node].clone() } else { String::new() },
            history: (!in_recovery && timeline > 1).then(|| self.wal.history(server.inserted)),
            version: 150_020,
            checkpointed: in_recovery || server.checkpointed,
            ..Seen::default()
        })
    }

    fn senders(&self, node: usize) -> Vec<WalSender> {
        let Some(server) = self.server(node) else { return Vec::new() };
        let row = |sender: &crate::server::Sender| {
            let (sync_priority, sync_state) = server.sync_state(&self.names, sender);
            WalSender {
                application_name: self.names[sender.to].clone(),
                state: if sender.streaming { "streaming" } else { "catchup" }.into(),
                sync_state: sync_state.into(),
                sync_priority,
                written: sender.flushed,
                flushed: sender.flushed,
                replayed: sender.flushed,
                ..WalSender::default()
            }
        };
        server.senders.iter().map(row).collect()
    }

    fn slot(&self, node: usize, name: &str, restart: Lsn) -> Slot {
        Slot { name: name.to_owned(), active: self.is_sending_to(node, name), position: restart, ..Slot::default() }
    }

    /// A WAL sender for this standby runs.
    pub fn is_sending_to(&self, node: usize, name: &str) -> bool {
        self.server(node).is_some_and(|server| server.senders.iter().any(|s| self.names[s.to] == name))
    }
}
