//! What goes wrong. A fault that lasts is undone after a while; at the end all of them are.

use labrun_agent::clock::Moment;
use labrun_agent::cluster::{DynamicConfig, Failover, Versioned};
use serde_json::{Value, json};

use crate::data::Content;
use crate::event::{Event, Target};
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillPostmaster(usize),
    /// SIGKILL; the supervisor starts it again.
    KillAgent(usize),
    /// SIGTERM; started again after a while.
    StopAgent(usize),
    /// SIGSTOP.
    FreezeAgent(usize),
    HangPostgres(usize),
    /// The machine stands still, as a suspended virtual one does.
    PauseNode(usize),
    /// The data directory is lost with all that runs on it.
    Wipe(usize),
    /// The power fails.
    KillNode(usize),
    /// Nothing from the first station arrives at the second.
    Cut(usize, usize),
    CutBoth(usize, usize),
    Isolate(usize),
    Slow(usize, usize, u64),
    FreezeZooKeeper,
    RestartZooKeeper,
    /// Somebody asks for a switchover, to that node or to any.
    Switchover(Option<usize>),
    /// Somebody edits the dynamic configuration.
    SyncNodes(u64),
    Strict(bool),
    Quorum(bool),
    Pause(bool),
}

/// What ends by itself after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    Agent(usize),
    Postgres(usize),
    Node(usize),
    Power(usize),
    Network,
    ZooKeeper,
}

impl World {
    pub fn on_world(&mut self, event: Event) {
        match event {
            Event::Fault(fault) => {
                if !self.faults_ended {
                    self.inject(fault);
                    self.next_fault();
                }
            }
            Event::Mend(mend) => self.mend(mend),
            Event::FirstFault => self.next_fault(),
            Event::FaultsEnd => self.end_faults(),
            Event::Write => self.write_somewhere(),
            Event::StartAgent { node } => self.start_agent(node),
            other => unreachable!("{other:?} does not happen to the world"),
        }
    }

    /// Draws the next fault, and when.
    pub fn next_fault(&mut self) {
        let pause = self.random.between(1, 2 * self.plan.fault_pause);
        let fault = self.draw();
        self.after(pause, Target::World, Event::Fault(fault));
    }

    fn draw(&mut self) -> Fault {
        let nodes = self.nodes.len() as u64;
        let zookeeper = self.network.zookeeper();
        let leader = self.zookeeper.keys.leader_name().and_then(|name| self.names.iter().position(|n| n == name));
        // Most faults are worst where the leader is.
        let node = match leader {
            Some(leader) if self.random.percent(60) => leader,
            _ => self.random.below(nodes) as usize,
        };
        let other = (node + 1 + self.random.below(nodes - 1) as usize) % nodes as usize;
        match self.random.below(if self.plan.pauses { 28 } else { 25 }) {
            0..=2 => Fault::KillPostmaster(node),
            3 | 4 => Fault::KillAgent(node),
            5 | 6 => Fault::StopAgent(node),
            7 => Fault::FreezeAgent(node),
            8 => Fault::HangPostgres(node),
            9 => Fault::PauseNode(node),
            10 | 11 => Fault::KillNode(node),
            12 => Fault::CutBoth(node, zookeeper),
            13 => Fault::Cut(node, zookeeper),
            14 => Fault::Cut(zookeeper, node),
            15 => Fault::CutBoth(node, other),
            16 => Fault::Cut(node, other),
            17 => Fault::Isolate(node),
            18 => Fault::Slow(node, zookeeper, self.random.between(100, 3000)),
            19 => Fault::Slow(node, other, self.random.between(100, 3000)),
            20 => Fault::FreezeZooKeeper,
            21 => Fault::RestartZooKeeper,
            22 => Fault::Switchover(Some(other).filter(|_| self.random.one_in(2))),
            23 => Fault::Wipe(node),
            _ => self.draw_change(),
        }
    }

    /// Of the dynamic configuration.
    fn draw_change(&mut self) -> Fault {
        match self.random.below(if self.plan.pauses { 8 } else { 4 }) {
            0 | 1 => Fault::SyncNodes(self.random.between(1, 2)),
            2 => Fault::Strict(self.random.one_in(2)),
            3 => Fault::Quorum(self.random.one_in(2)),
            _ => Fault::Pause(self.random.percent(70)),
        }
    }

    fn inject(&mut self, fault: Fault) {
        self.say("fault", || format!("{fault:?}"));
        self.changed = true;
        self.forget_rivals();
        let lasts = self.random.delay(200, 15_000).min(60_000);
        let mend = |world: &mut World, mend| world.after(lasts, Target::World, Event::Mend(mend));
        match fault {
            Fault::KillPostmaster(node) => self.kill_server(node, false),
            Fault::KillAgent(node) => self.kill_agent(node, lasts.min(5000)),
            Fault::StopAgent(node) => self.stop_agent(node),
            Fault::FreezeAgent(node) => {
                self.nodes[node].agent_frozen = true;
                mend(self, Mend::Agent(node));
            }
            Fault::HangPostgres(node) => {
                self.hang(node);
                mend(self, Mend::Postgres(node));
            }
            Fault::PauseNode(node) => {
                self.nodes[node].paused = true;
                mend(self, Mend::Node(node));
            }
            Fault::KillNode(node) => {
                self.nodes[node].guards.clear();
                self.kill_agent(node, u64::MAX);
                self.kill_server(node, true);
                self.nodes[node].off = true;
                mend(self, Mend::Power(node));
            }
            Fault::Wipe(node) => self.wipe(node),
            Fault::Cut(from, to) => {
                self.network.cut(from, to);
                mend(self, Mend::Network);
            }
            Fault::CutBoth(one, other) => {
                self.network.cut(one, other);
                self.network.cut(other, one);
                mend(self, Mend::Network);
            }
            Fault::Isolate(node) => {
                for other in (0..=self.nodes.len()).filter(|other| *other != node) {
                    self.network.cut(node, other);
                    self.network.cut(other, node);
                }
                mend(self, Mend::Network);
            }
            Fault::Slow(one, other, most) => {
                self.network.slow_down(one, other, most);
                self.network.slow_down(other, one, most);
                mend(self, Mend::Network);
            }
            Fault::FreezeZooKeeper => {
                self.zookeeper_frozen = true;
                mend(self, Mend::ZooKeeper);
            }
            Fault::RestartZooKeeper => {
                self.zookeeper.restart(self.now);
                self.drop_links();
            }
            Fault::Switchover(candidate) => self.ask_for_switchover(candidate),
            Fault::SyncNodes(count) => self.edit_config("synchronous_node_count", json!(count)),
            Fault::Strict(strict) => self.edit_config("synchronous_mode_strict", json!(strict)),
            Fault::Pause(pause) => self.edit_config("pause", json!(pause)),
            Fault::Quorum(_) if !self.plan.synchronous => {}
            Fault::Quorum(quorum) => {
                let mode = if quorum { json!("quorum") } else { json!(true) };
                self.edit_config("synchronous_mode", mode);
            }
        }
    }

    /// Only where another node that may lead has all that this one has promised: no agent can make up for a lost disk.
    fn wipe(&mut self, node: usize) {
        let data = &self.nodes[node].data;
        let newest = if self.ledger.kept { self.ledger.newest() } else { data.tip };
        let keys = &self.zookeeper.keys;
        let optime = keys.status.as_ref().map(|status| status.value.optime).unwrap_or_default();
        let sync = keys.sync.as_ref().map(|sync| &sync.value).filter(|sync| sync.is_active());
        let checks = self.plan.dynamic.get("check_timeline").is_some_and(|checks| checks == true);
        let ended = keys.history.as_ref().and_then(|history| history.value.last_timeline()).unwrap_or(0);
        // One disk at a time: who has lost his gives no vote, and there is nobody to copy while nobody leads.
        let others = || (0..self.nodes.len()).filter(|other| *other != node);
        let all = others().all(|other| self.nodes[other].data.content == Content::Complete);
        let spare = others().any(|other| {
            let (name, copy) = (&self.names[other], &self.nodes[other].data);
            let whole = copy.content == Content::Complete && !copy.rewinding && copy.can_become_consistent(&self.wal);
            let newest_timeline = self.wal.timeline(copy.tip) == self.wal.timeline(data.tip);
            // With `check_timeline` a standby that has not seen the last timeline waits for its leader: so it is meant.
            let newest_timeline = newest_timeline && (!checks || self.wal.timeline(copy.tip) > ended);
            let near = self.wal.end(copy.tip) >= optime && newest_timeline && copy.holds(&self.wal, newest);
            whole && near && sync.is_none_or(|sync| sync.names(name))
        });
        // Nor for what it has sent before that, and what no longer holds when it arrives.
        if !all || !spare || data.content != Content::Complete || self.nodes[node].job.is_some() || self.has_sent(node)
        {
            return;
        }
        if self.random.one_in(2) {
            self.kill_agent(node, 1000);
        }
        self.kill_server(node, true);
        self.empty(node);
    }

    fn mend(&mut self, mend: Mend) {
        self.say("mend", || format!("{mend:?}"));
        self.changed = true;
        match mend {
            Mend::Agent(node) => {
                self.nodes[node].agent_frozen = false;
                self.notices_hang_from_now(node);
            }
            Mend::Postgres(node) => self.end_hang(node),
            Mend::Node(node) => {
                self.nodes[node].paused = false;
                self.grace(node);
                self.notices_hang_from_now(node);
            }
            Mend::Power(node) => {
                if self.nodes[node].off {
                    self.nodes[node].off = false;
                    // Nobody knows how long it was off: the word counts anew.
                    let now = Moment(self.clock(node));
                    self.nodes[node].word.iter_mut().for_each(|word| word.at = now);
                    self.start_agent(node);
                }
            }
            Mend::Network => self.network.heal(),
            Mend::ZooKeeper => self.zookeeper_frozen = false,
        }
        self.release_deferred();
    }

    /// The data is that of the cluster, and not of one that is still being made.
    pub fn is_announced(&self, node: usize) -> bool {
        let data = &self.nodes[node].data;
        let initialize = self.zookeeper.keys.initialize.as_ref();
        let known = initialize.and_then(|initialize| initialize.system_identifier());
        data.content == Content::Complete || known == Some(data.system_identifier)
    }

    /// A client writes wherever it is let; while a cluster is made, nobody can log in to it.
    fn write_somewhere(&mut self) {
        let pause = self.random.between(1, 2 * self.plan.write_pause);
        self.after(pause, Target::World, Event::Write);
        self.watch_sync_lag();
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_writable() && self.is_announced(node) {
                let size = if self.random.one_in(50) { 1 << 21 } else { self.random.between(4, 40) * 8 };
                self.insert(node, size);
            }
        }
    }

    /// After a pause of the whole machine the guard needs a moment to see what has happened meanwhile.
    fn grace(&mut self, node: usize) {
        self.nodes[node].unguarded_until = self.now + GRACE;
    }

    /// What a pause has let be takes a moment to be set right.
    pub fn ends_pause(&mut self, node: usize) {
        self.nodes[node].unguarded_until = self.now + SETTLES;
        self.notices_hang_from_now(node);
    }

    fn end_faults(&mut self) {
        self.say("world", || "all faults end".into());
        self.faults_ended = true;
        if self.plan.pauses {
            self.edit_config("pause", json!(false));
        }
        self.network.heal();
        self.zookeeper_frozen = false;
        for node in 0..self.nodes.len() {
            if self.nodes[node].paused {
                self.grace(node);
            }
            self.end_hang(node);
            let at = &mut self.nodes[node];
            (at.agent_frozen, at.paused) = (false, false);
            if self.nodes[node].off {
                self.mend(Mend::Power(node));
            }
        }
        self.release_deferred();
    }

    fn ask_for_switchover(&mut self, candidate: Option<usize>) {
        let keys = &self.zookeeper.keys;
        // Without a leader it would be a failover by hand, which may name any node, and lose commits.
        let Some(leader) = keys.leader_name().map(str::to_owned) else { return };
        let failover = Failover {
            leader: Some(leader),
            candidate: candidate.map(|node| self.names[node].clone()),
            scheduled_at: None,
        };
        let version = keys.failover.as_ref().map_or(0, |old| old.version + 1);
        self.edit(|keys| keys.failover = Some(Versioned { value: failover, version }));
    }

    /// Somebody else than an agent writes keys.
    fn edit(&mut self, change: impl FnOnce(&mut labrun_agent::cluster::Cluster)) {
        let told = self.zookeeper.edit(change);
        self.announce(told);
    }

    fn edit_config(&mut self, key: &str, value: Value) {
        self.edit(|keys| {
            if let Some(config) = &mut keys.config {
                let mut patch = serde_json::Map::new();
                patch.insert(key.to_owned(), value);
                let mut changed = DynamicConfig(config.value.0.clone());
                changed.patch(&patch);
                *config = Versioned { value: changed, version: config.version + 1 };
            }
        });
    }
}

/// How long a guard takes for that.
const GRACE: u64 = 5;
/// How long a primary without a lease takes to get one or to stop.
const SETTLES: u64 = 10_000;
