//! PostgreSQL's life: start and recovery, promotion, the ways it ends.

use labrun_agent::decide::{ControlState, StopMode};

use crate::data::Content;
use crate::event::{Event, Target};
use crate::replication::{KEEPALIVE, TIMEOUT};
use crate::server::{Phase, Server};
use crate::world::World;

/// The size of a checkpoint or end-of-recovery record.
pub const RECORD: u64 = 120;

impl World {
    pub fn on_server(&mut self, node: usize, event: Event) {
        match event {
            Event::Flushed(spot) => self.flushed(node, spot),
            Event::Received { from, epoch, spot } => self.received(node, from, epoch, spot),
            Event::Confirmed { from, epoch, flushed } => self.confirmed(node, from, epoch, flushed),
            Event::Replayed(spot) => self.replayed(node, spot),
            Event::Connect => self.connect(node),
            Event::Keepalive => self.keepalive(node),
            Event::Recovered => self.recovered(node),
            Event::Promoted => self.promoted(node),
            Event::Checkpointed => self.checkpointed(node),
            Event::Query { asked } => self.answer_query(node, asked),
            Event::Stop(mode) => self.stop_server(node, mode),
            Event::ShutDown => self.shut_down(node),
            Event::StopWaiting => self.end_server(node),
            // Whoever reads the file reads it as it is by then.
            Event::NamesShown => {
                let names = self.nodes[node].data.sync_names.clone();
                self.with_server(node, |server| server.names_shown = names);
            }
            Event::NamesObeyed => {
                let names = self.nodes[node].data.sync_names.clone();
                self.with_server(node, |server| server.names_obeyed = names);
                self.acknowledge(node);
            }
            other => unreachable!("{other:?} does not happen to PostgreSQL"),
        }
    }

    pub fn with_server(&mut self, node: usize, change: impl FnOnce(&mut Server)) {
        if let Some(server) = &mut self.nodes[node].server {
            change(server);
            self.changed = true;
        }
    }

    /// The postmaster is started; a standby if there is a standby.signal.
    pub fn start_server(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        at.epochs += 1;
        let primary = !at.data.standby_signal;
        at.server = Some(Server::new(at.epochs, primary, &at.data));
        if at.data.torn {
            self.violate(format!("{} starts a data directory that pg_rewind has left half done", self.names[node]));
        }
        let target = Target::Server(node, self.nodes[node].epochs);
        let recovery = self.random.delay(50, 300) + self.plan.slow_job(&mut self.random);
        self.after(recovery, target, Event::Recovered);
        self.after(KEEPALIVE, target, Event::Keepalive);
        let epoch = self.nodes[node].epochs;
        self.postmaster_started(node, epoch);
        self.tend_guard(node);
        let agent = self.agent_target(node);
        self.after(1, agent, Event::Wake(u64::MAX));
        self.tell(node, || format!("postgres: starts as a {}", if primary { "primary" } else { "standby" }));
    }

    fn recovered(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        let (data, Some(server)) = (&mut at.data, &mut at.server) else { return };
        let consistent = data.can_become_consistent(&self.wal);
        if server.phase == (Phase::Starting { primary: true }) {
            if !consistent {
                self.tell(node, || "postgres: FATAL: WAL ends before consistent recovery point".into());
                return self.end_server(node);
            }
            return self.open_primary(node);
        }
        let (target, tip) = (Target::Server(node, server.epoch), data.tip);
        // A former primary is consistent when it has replayed what it had written.
        match data.state {
            ControlState::ShutDown => data.min_recovery = data.checkpoint,
            ControlState::Unclean => data.min_recovery = tip,
            _ => {}
        }
        (data.state, data.backup_label) = (ControlState::InArchiveRecovery, false);
        if consistent {
            (server.phase, server.replayed) = (Phase::Standby, data.min_recovery);
        }
        let replay = self.random.delay(1, 300);
        self.after(replay, target, Event::Replayed(tip));
        self.after(replay + 1, target, Event::Connect);
    }

    /// A start as a primary is through with crash recovery.
    fn open_primary(&mut self, node: usize) {
        let data = &mut self.nodes[node].data;
        let clean = data.state == ControlState::ShutDown;
        let tip = if clean { data.tip } else { self.wal.append(data.tip, RECORD) };
        (data.tip, data.checkpoint, data.state) = (tip, tip, ControlState::Unclean);
        data.backup_label = false;
        self.with_server(node, |server| (server.phase, server.inserted) = (Phase::Primary, tip));
        self.takes_over(node);
    }

    pub fn promote(&mut self, node: usize) {
        let tip = self.nodes[node].data.tip;
        let Some(target) = self.server_target(node) else { return };
        // A promotion that a former agent has asked for is not begun anew.
        if self.server(node).is_none_or(|server| server.phase != Phase::Standby) {
            return;
        }
        self.hang_up(node);
        self.with_server(node, |server| server.phase = Phase::Promoting);
        // All WAL that has been received is replayed first.
        self.after(0, target, Event::Replayed(tip));
        let time = self.random.delay(20, 200) + self.plan.slow_job(&mut self.random);
        self.after(time, target, Event::Promoted);
    }

    fn promoted(&mut self, node: usize) {
        let Some(target) = self.server_target(node) else { return };
        let data = &mut self.nodes[node].data;
        if !data.can_become_consistent(&self.wal) {
            self.tell(node, || "postgres: FATAL: WAL ends before consistent recovery point".into());
            return self.end_server(node);
        }
        let timeline = data.newest_timeline + 1;
        let tip = self.wal.branch(data.tip, timeline, RECORD);
        (data.tip, data.newest_timeline, data.state) = (tip, timeline, ControlState::Unclean);
        (data.standby_signal, data.backup_label) = (false, false);
        self.with_server(node, |server| {
            (server.phase, server.inserted, server.checkpointed) = (Phase::Primary, tip, false);
            server.commits.clear();
        });
        self.tell(node, || format!("postgres: promoted, timeline {timeline}"));
        let checkpoint = self.random.between(1000, 30_000);
        self.after(checkpoint, target, Event::Checkpointed);
        self.takes_over(node);
        self.send_wal(node);
    }

    /// A node that begins to take writes must have all that was promised. (Nobody can write to a cluster in the making.)
    fn takes_over(&mut self, node: usize) {
        let newest = self.ledger.newest();
        if self.ledger.kept && self.is_announced(node) && !self.nodes[node].data.holds(&self.wal, newest) {
            let end = self.wal.end(newest);
            self.violate(format!("{} becomes a primary without the commit acknowledged at {end}", self.names[node]));
        }
    }

    pub fn checkpointed(&mut self, node: usize) {
        let Some(server) = &mut self.nodes[node].server else { return };
        if !server.is_primary() {
            return;
        }
        let record = self.wal.append(server.inserted, RECORD);
        (server.inserted, server.checkpointed) = (record, true);
        self.nodes[node].data.checkpoint = record;
        self.flushed(node, record);
    }

    fn stop_server(&mut self, node: usize, mode: StopMode) {
        let Some(server) = &mut self.nodes[node].server else { return };
        let target = Target::Server(node, server.epoch);
        if mode == StopMode::Immediate || matches!(server.phase, Phase::Starting { .. } | Phase::Promoting) {
            let time = self.random.delay(5, 50);
            server.commits.clear();
            server.phase = Phase::Stopping { primary: false };
            return self.after(time, target, Event::StopWaiting);
        }
        if matches!(server.phase, Phase::Stopping { .. }) {
            return;
        }
        // Clients that wait for a commit are sent away without an answer.
        server.commits.clear();
        server.phase = Phase::Stopping { primary: server.is_primary() };
        let time = self.random.delay(10, 100);
        self.after(time, target, Event::ShutDown);
    }

    /// The shutdown checkpoint is written; a primary waits for its standbys to have it.
    fn shut_down(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        let (data, Some(server)) = (&mut at.data, &mut at.server) else { return };
        let target = Target::Server(node, server.epoch);
        if server.phase != (Phase::Stopping { primary: true }) {
            if data.state == ControlState::InArchiveRecovery {
                (data.state, data.min_recovery) = (ControlState::ShutDownInRecovery, server.replayed);
            }
            return self.end_server(node);
        }
        let record = self.wal.append(server.inserted, RECORD);
        (server.inserted, server.shutdown) = (record, Some(record));
        (data.checkpoint, data.state) = (record, ControlState::ShutDown);
        self.flushed(node, record);
        self.after(TIMEOUT, target, Event::StopWaiting);
        self.end_shutdown(node);
    }

    /// Whether every standby has the shutdown checkpoint.
    pub fn end_shutdown(&mut self, node: usize) {
        let Some(server) = &self.nodes[node].server else { return };
        let Some(end) = server.shutdown.map(|record| self.wal.end(record)) else { return };
        if server.senders.iter().all(|sender| sender.flushed >= end) {
            self.end_server(node);
        }
    }

    /// PostgreSQL is gone, its connections too as far as the network lets others know.
    pub fn end_server(&mut self, node: usize) {
        self.hang_up(node);
        let Some(server) = self.nodes[node].server.take() else { return };
        self.end_hang(node);
        self.changed = true;
        self.tell(node, || "postgres: has ended".into());
        self.break_observation(node);
        self.postmaster_gone(node, server.epoch);
        for other in 0..self.nodes.len() {
            let linked = |s: &Server| s.receiver.is_some_and(|r| (r.from, r.epoch) == (node, server.epoch));
            if self.server(other).is_some_and(linked) && self.network.is_open(node, other) {
                self.with_server(other, |server| server.receiver = None);
                let target = Target::Server(other, self.nodes[other].epochs);
                let delay = self.network.delay(&mut self.random, node, other);
                self.after(delay, target, Event::Connect);
            }
        }
        let target = self.agent_target(node);
        self.after(1, target, Event::Exited { epoch: server.epoch });
    }

    /// The processes are killed. What was written but not flushed outlives them, unless the power fails.
    pub fn kill_server(&mut self, node: usize, power: bool) {
        let Some(server) = &self.nodes[node].server else { return };
        let inserted = server.inserted;
        if !power && matches!(server.phase, Phase::Primary) && self.random.one_in(2) {
            self.nodes[node].data.tip = inserted;
        }
        self.end_server(node);
    }

    /// The file is written and SIGHUP sent: sessions and WAL senders see it each in their time. How long until
    /// sessions do, and how long the agent then waits for the checkpointer (agent: `chores::set_sync_names`).
    pub fn set_names(&mut self, node: usize, names: &str) -> (u64, u64) {
        self.nodes[node].data.sync_names = names.to_owned();
        let (shown, obeyed) = (self.random.delay(1, 30), self.random.delay(1, 20));
        if let Some(target) = self.server_target(node) {
            self.after(shown, target, Event::NamesShown);
            self.after(obeyed, target, Event::NamesObeyed);
        }
        (shown, 200)
    }

    /// Removes a data directory.
    pub fn empty(&mut self, node: usize) {
        self.nodes[node].data = crate::data::Data { content: Content::Empty, ..crate::data::Data::empty(&self.wal) };
        self.changed = true;
    }
}
