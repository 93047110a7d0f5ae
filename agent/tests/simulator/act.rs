//! What the loop does with actions (agent: `agent::execute`, `agent::state::execute`).

use std::collections::VecDeque;

use labrun_agent::clock::Moment;
use labrun_agent::cluster::Lsn;
use labrun_agent::decide::{Action, Chore, Job, JobKind, Upstream, Write};

use crate::agent::{Purpose, Writes};
use crate::event::{Event, Target};
use crate::world::World;
use crate::zookeeper::Request;

/// The agent's deadlines: of a request to ZooKeeper (`dcs::REQUEST`), of an SQL statement on another node
/// (`sql::QUICK`).
const REQUEST: u64 = 3000;
const SQL: u64 = 3000;

impl World {
    /// In order: what stands before the first write is begun at once, what stands behind writes when they
    /// are done.
    pub fn execute(&mut self, node: usize, actions: Vec<Action>) {
        let mut writes = VecDeque::new();
        let mut actions = actions.into_iter();
        let mut then = Vec::new();
        for action in actions.by_ref() {
            match action {
                Action::Write(write) => writes.push_back(write),
                other if writes.is_empty() => self.begin(node, other),
                other => {
                    then.push(other);
                    break;
                }
            }
        }
        then.extend(actions);
        self.write(node, writes, then);
    }

    /// Begins one action.
    pub fn begin(&mut self, node: usize, action: Action) {
        match action {
            Action::Write(write) => self.write(node, VecDeque::from([write]), Vec::new()),
            Action::Run(job) => self.run(node, job),
            Action::Chore(chore) => self.chore(node, chore),
            Action::AskPeers(list) => self.ask_peers(node, &list),
            Action::ReadLeaderTimeline(from) => self.ask_leader(node, from),
            Action::AskFailsafe { members, call } => self.ask_failsafe(node, &members, call),
            Action::Forget(_) | Action::BeginScheduledRestart => unreachable!("nobody asks for it here"),
            Action::Exit { code, reason } => {
                self.tell(node, || format!("exits ({code}): {reason}"));
                if let Some(agent) = &mut self.nodes[node].agent {
                    agent.exit = Some(code);
                }
            }
        }
    }

    pub fn write(&mut self, node: usize, mut writes: VecDeque<Write>, then: Vec<Action>) {
        let Some(agent) = self.nodes[node].agent.as_mut().filter(|agent| agent.has_store) else { return };
        let Some(first) = writes.pop_front() else { return };
        let acquires = |write: &Write| matches!(write, Write::AcquireLeader { .. } | Write::ReclaimLeader { .. });
        (agent.busy.writing, agent.busy.acquiring) = (true, acquires(&first) || writes.iter().any(acquires));
        self.next_write(node, Box::new(Writes { now: first, rest: writes, done: Vec::new(), then }));
    }

    /// Sends the write that is next in the list.
    pub fn next_write(&mut self, node: usize, writes: Box<Writes>) {
        let request = Request::Write { name: self.names[node].clone(), write: writes.now.clone() };
        self.ask_zookeeper(node, Purpose::Writes(writes), request);
    }

    /// A request with a deadline.
    pub fn ask_zookeeper(&mut self, node: usize, purpose: Purpose, request: Request) {
        let target = self.agent_target(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.requests += 1;
        let id = agent.requests;
        agent.pending.insert(id, purpose);
        self.request(node, id, request);
        self.after(REQUEST, target, Event::RequestTimeout { id });
    }

    fn run(&mut self, node: usize, job: Job) {
        let (kind, now) = (job.kind(), Moment(self.clock(node)));
        let running = self.nodes[node].agent.as_ref().and_then(|agent| agent.view.job);
        if running.is_some() {
            if kind != JobKind::Stop {
                return;
            }
            self.cancel_job(node);
        }
        self.stops_in_pause(node, &job);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.view.learn_job_begins(&job, now);
        let known = agent.epoch;
        self.tend_guard(node);
        self.start_job(node, job, known);
    }

    /// In a pause PostgreSQL is stopped for a switchover only.
    fn stops_in_pause(&mut self, node: usize, job: &Job) {
        let asked = |agent: &crate::agent::Agent| {
            let cluster = agent.view.dcs.cluster.as_ref();
            cluster.and_then(|cluster| cluster.failover.as_ref()).is_some_and(|failover| !failover.value.is_empty())
        };
        let at_ease = self.nodes[node].agent.as_ref().is_some_and(|agent| agent.view.settings.pause && !asked(agent));
        if at_ease && matches!(job, Job::Stop { .. }) {
            self.violate(format!("{} stops PostgreSQL in a pause", self.names[node]));
        }
    }

    fn chore(&mut self, node: usize, chore: Chore) {
        let target = self.agent_target(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let Some(epoch) = agent.epoch.filter(|_| agent.busy.chores.insert(name(&chore))) else { return };
        agent.view.learn_chore_begins(&chore);
        let delay = self.random.delay(1, 10);
        self.after(delay, target, Event::ChoreStep { chore, epoch });
    }

    /// The chore's statement has reached PostgreSQL; when it will be through.
    pub fn chore_step(&mut self, node: usize, chore: Chore, epoch: u64) {
        let target = self.agent_target(node);
        if self.server(node).is_none_or(|server| server.epoch != epoch || !server.answers()) {
            return self.after(1, target, Event::ChoreEnded { chore, epoch: 0 });
        }
        // It begins with a connection, which one that hangs does not accept.
        if self.nodes[node].server_frozen {
            return self.after(SQL, target, Event::ChoreEnded { chore, epoch: 0 });
        }
        let mut delay = self.random.delay(5, 30);
        match &chore {
            Chore::SyncNames(names) => {
                let (shown, idle) = self.set_names(node, names);
                delay = shown + idle;
            }
            Chore::Slots { create, drop, advance } => self.slots(node, create, drop, advance),
            // No scenario has logical slots.
            Chore::LogicalSlots { .. } => {}
            Chore::Checkpoint => {
                delay = self.random.delay(20, 500);
                self.after(delay, Target::Server(node, epoch), Event::Checkpointed);
            }
            // The model's standbys ask for WAL without a pause between two tries.
            // The model's standbys have room enough, and nobody pauses them.
            Chore::RetryStreaming { .. } | Chore::ResumeReplay => {}
            Chore::Follow(upstream) => self.follow(node, epoch, upstream.as_ref()),
        }
        self.after(delay + 1, target, Event::ChoreEnded { chore, epoch });
    }

    fn slots(&mut self, node: usize, create: &[String], drop: &[String], advance: &[(String, u64)]) {
        let unused: Vec<_> = drop.iter().filter(|name| !self.is_sending_to(node, name)).collect();
        let data = &mut self.nodes[node].data;
        let here = self.wal.end(data.checkpoint);
        for name in create {
            data.slots.entry(name.clone()).or_insert(here);
        }
        data.slots.retain(|name, _| !unused.contains(&name));
        for (name, position) in advance {
            if let Some(restart) = data.slots.get_mut(name) {
                *restart = Lsn(*position).max(*restart);
            }
        }
    }

    fn follow(&mut self, node: usize, epoch: u64, upstream: Option<&Upstream>) {
        let upstream = upstream.and_then(|upstream| self.node_at(upstream));
        self.nodes[node].data.upstream = upstream;
        self.nodes[node].data.sync_names = String::new();
        self.hang_up(node);
        let delay = self.random.delay(5, 50);
        self.after(delay, Target::Server(node, epoch), Event::Connect);
    }

    fn ask_leader(&mut self, node: usize, from: Upstream) {
        let (now, target) = (self.clock(node), self.agent_target(node));
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let leader = agent.view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader.as_ref());
        let Some(created) = leader.map(|leader| leader.created) else { return };
        if std::mem::replace(&mut agent.busy.asking_leader, true) {
            return;
        }
        agent.view.facts.leader_asked = Some(Moment(now));
        let source = self.node_at(&from);
        let answers = source.filter(|source| self.serves(node, *source));
        let told = answers.and_then(|source| self.server(source).filter(|server| server.is_primary())).map(|server| {
            let shared = self.wal.shares_timeline(server.inserted, self.nodes[node].data.tip);
            (self.wal.timeline(server.inserted), self.wal.history(server.inserted), shared)
        });
        let delay = if answers.is_some() { self.random.delay(5, 30) } else { self.random.between(5, SQL) };
        self.after(delay, target, Event::LeaderTimeline { upstream: from, created, told });
    }
}

/// Chores of one kind are done one at a time.
pub fn name(chore: &Chore) -> &'static str {
    match chore {
        Chore::SyncNames(_) => "synchronous_standby_names",
        Chore::Slots { .. } => "slots",
        Chore::LogicalSlots { .. } => "logical slots",
        Chore::Checkpoint => "checkpoint",
        Chore::RetryStreaming { .. } => "wal receiver",
        Chore::ResumeReplay => "replay",
        Chore::Follow(_) => "primary_conninfo",
    }
}
