//! What each event changes in what the agent knows (agent: `agent::handle`).

use labrun_agent::clock::Moment;
use labrun_agent::cluster::{Cluster, History};
use labrun_agent::config::Settings;
use labrun_agent::decide::{Action, Chore, Job, JobKind, LeaderTimeline, Role, Server as Seen, Upstream, Write};

use crate::act::name;
use crate::agent::{Purpose, Writes};
use crate::data::Content;
use crate::event::Event;
use crate::link::Heard;
use crate::world::World;
use crate::zookeeper::{Outcome, Reply};

/// After a failed read of the DCS (agent: `handle::AGAIN`).
const AGAIN: u64 = 500;

impl World {
    /// False if the loop does not wake for it.
    pub fn handle(&mut self, node: usize, event: Event) -> bool {
        match event {
            Event::Answer { link } => return self.hear(node, link).is_some_and(|heard| self.heard(node, heard)),
            Event::LinkTimer => return self.link_timer(node).is_some_and(|heard| self.heard(node, heard)),
            Event::LinkReset { links } => {
                return self.link_reset(node, links).is_some_and(|heard| self.heard(node, heard));
            }
            Event::RequestTimeout { id } => return self.request_failed(node, id),
            Event::Exited { epoch } => self.postmaster_ended(node, epoch),
            Event::Observed { asked, epoch, server } => self.observed(node, asked, epoch, server),
            Event::Silent { asked } => return self.silent(node, asked),
            Event::Inspected => self.inspected(node),
            Event::JobStep { .. } => {
                self.on_job(node, event);
                return false;
            }
            Event::JobEnded { number, job, result } => self.job_done(node, number, job, result),
            Event::ChoreStep { chore, epoch } => {
                self.chore_step(node, chore, epoch);
                return false;
            }
            Event::ChoreEnded { chore, epoch } => self.chore_done(node, chore, epoch),
            Event::Asked { by, incarnation, round } => self.asked_by_peer(node, by, incarnation, round),
            Event::FailsafeAsked { by, incarnation, number, call } => {
                self.failsafe_asked(node, by, incarnation, number, *call);
            }
            Event::FailsafeSaid { number, from, said } => return self.failsafe_said(node, number, from, said),
            Event::FailsafeTimeout { number, from, tried } => return self.failsafe_timeout(node, number, from, tried),
            Event::LookTimeout { by, round } => {
                self.look_timeout(node, by, round);
                return false;
            }
            Event::Told { round, from, peer } => return self.told(node, round, from, peer.map(|peer| *peer)),
            Event::PeersTimeout { round } => return self.peers_timeout(node, round),
            Event::LeaderTimeline { upstream, created, told } => self.leader_timeline(node, upstream, created, told),
            other => unreachable!("{other:?} does not happen to an agent"),
        }
        true
    }

    fn heard(&mut self, node: usize, heard: Heard) -> bool {
        let now = self.clock(node);
        let lost = match heard {
            Heard::Answer { id, reply } => return self.answered(node, id, reply),
            Heard::Connected { session, timeout } => {
                let Some(agent) = &mut self.nodes[node].agent else { return false };
                let dcs = &mut agent.view.dcs;
                (dcs.session, dcs.session_timeout) = (Some(session), timeout);
                agent.has_store = true;
                agent.look_at_dcs_now(now);
                return true;
            }
            Heard::Changed => Vec::new(),
            Heard::Disconnected(lost) => {
                self.tell(node, || "the connection to ZooKeeper is gone".into());
                if let Some(agent) = &mut self.nodes[node].agent {
                    agent.view.dcs.reachable = false;
                }
                lost
            }
            Heard::Expired(lost) => {
                self.tell(node, || "the ZooKeeper session is over".into());
                let Some(agent) = &mut self.nodes[node].agent else { return false };
                let dcs = &mut agent.view.dcs;
                (dcs.reachable, dcs.session, agent.has_store) = (false, None, false);
                for id in lost {
                    self.request_failed(node, id);
                }
                return true;
            }
        };
        for id in lost {
            self.request_failed(node, id);
        }
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.look_at_dcs_now(now);
        }
        true
    }

    fn answered(&mut self, node: usize, id: u64, reply: Reply) -> bool {
        let Some(purpose) = self.nodes[node].agent.as_mut().and_then(|agent| agent.pending.remove(&id)) else {
            return false;
        };
        match (purpose, reply) {
            (Purpose::Snapshot { sent }, Reply::Read(cluster)) => self.snapshot(node, sent, *cluster),
            (Purpose::Writes(mut writes), Reply::Written(Outcome::Done(zxid))) => {
                let next = writes.rest.pop_front();
                let done = match next {
                    Some(next) => std::mem::replace(&mut writes.now, next),
                    None => {
                        let last = writes.now.clone();
                        writes.done.push((last, zxid));
                        self.written(node, *writes, true);
                        return true;
                    }
                };
                writes.done.push((done, zxid));
                self.next_write(node, writes);
                return false;
            }
            (Purpose::Writes(writes), _) => self.written(node, *writes, false),
            (Purpose::Snapshot { .. }, _) => self.snapshot_failed(node),
        }
        true
    }

    /// No answer in time, or the connection is gone: it may have been done or not.
    fn request_failed(&mut self, node: usize, id: u64) -> bool {
        match self.nodes[node].agent.as_mut().and_then(|agent| agent.pending.remove(&id)) {
            Some(Purpose::Snapshot { .. }) => self.snapshot_failed(node),
            Some(Purpose::Writes(writes)) => self.written(node, *writes, false),
            None => return false,
        }
        true
    }

    fn snapshot(&mut self, node: usize, sent: u64, cluster: Cluster) {
        let now = self.clock(node);
        let at = &mut self.nodes[node];
        let Some(agent) = &mut at.agent else { return };
        agent.busy.snapshot = false;
        agent.need.snapshot = agent.need.snapshot && agent.need.snapshot_at <= now;
        agent.view.dcs.session_until = Moment(sent + agent.view.dcs.session_timeout);
        let version = cluster.config.as_ref().map(|config| config.version);
        if let Some(dynamic) = cluster.config.as_ref().filter(|_| version != agent.applied) {
            agent.view.settings = Settings::new(&agent.config, &dynamic.value.0);
            agent.applied = version;
            at.dynamic = Some(dynamic.value.0.clone());
        }
        agent.need.observation |= agent.view.learn_cluster(cluster, Moment(now));
        agent.view.dcs.reachable = agent.has_store;
        if agent.view.dcs.reachable && agent.view.leads() {
            // What the members have granted is needed no more.
            agent.view.dcs.failsafe_until = Moment::default();
            agent.view.facts.failsafe_refusals = 0;
        }
    }

    fn snapshot_failed(&mut self, node: usize) {
        let now = self.clock(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.snapshot = false;
        agent.view.dcs.reachable = false;
        agent.need.snapshot = false;
        agent.need.snapshot_at = now + AGAIN;
    }

    fn written(&mut self, node: usize, writes: Writes, all: bool) {
        let now = self.clock(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        (agent.busy.writing, agent.busy.acquiring) = (false, false);
        for (write, zxid) in writes.done {
            agent.view.learn_written(&write, Some(zxid), Moment(now));
        }
        agent.look_at_dcs_now(now);
        if all {
            writes.then.into_iter().for_each(|action| self.begin(node, action));
        }
    }

    fn observed(&mut self, node: usize, asked: u64, epoch: u64, server: Option<Box<Seen>>) {
        // A connection that broke meanwhile brings no answer.
        let current = self.server(node).is_some_and(|server| server.epoch == epoch);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        if !agent.busy.observing {
            return;
        }
        (agent.busy.observing, agent.need.observation) = (false, false);
        if server.is_none() && agent.is_up() {
            agent.view.pg.silent_since = None;
        }
        if let Some(server) = server.filter(|_| agent.is_up() && current) {
            let streams = server.is_streaming();
            agent.view.learn_server(*server, Moment(asked));
            if streams {
                self.nodes[node].aside.clear();
                self.changed = true;
            }
        }
    }

    fn silent(&mut self, node: usize, asked: u64) -> bool {
        let Some(agent) = &mut self.nodes[node].agent else { return false };
        if !agent.busy.observing || agent.observing != asked {
            return false;
        }
        (agent.busy.observing, agent.need.observation) = (false, false);
        if agent.is_up() {
            agent.view.learn_silence(Moment(asked));
        }
        true
    }

    fn inspected(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        let Some(agent) = &mut at.agent else { return };
        agent.busy.inspecting = false;
        let initialize = agent.view.dcs.cluster.as_ref().and_then(|cluster| cluster.initialize.as_ref());
        let known = initialize.and_then(|initialize| initialize.system_identifier());
        let data = &mut at.data;
        if matches!(data.content, Content::Initialising(_)) && known == Some(data.system_identifier) {
            data.content = Content::Complete;
            self.changed = true;
        }
        let pg = &mut agent.view.pg;
        (pg.data, pg.control) = (data.seen(), data.control(&self.wal));
        pg.standby_signal = data.standby_signal;
        if pg.role == Role::Uninitialized && pg.data.system_identifier().is_some() {
            pg.role = if pg.standby_signal { Role::Replica } else { Role::Demoted };
        }
    }

    pub fn postmaster_started(&mut self, node: usize, epoch: u64) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.epoch = Some(epoch);
        agent.view.learn_postmaster_started();
    }

    fn postmaster_ended(&mut self, node: usize, epoch: u64) {
        let now = Moment(self.clock(node));
        let Some(agent) = self.nodes[node].agent.as_mut().filter(|agent| agent.epoch == Some(epoch)) else { return };
        agent.epoch = None;
        agent.view.learn_postmaster_ended(now);
        self.is_down(node);
    }

    fn is_down(&mut self, node: usize) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.chores.clear();
        agent.need.inspection = true;
    }

    fn job_done(&mut self, node: usize, number: u64, job: Job, result: Result<(), String>) {
        let now = Moment(self.clock(node));
        if self.nodes[node].jobs != number {
            return;
        }
        let alive = self.server(node).map(|server| server.epoch);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let runs = matches!(job.kind(), JobKind::StartPrimary | JobKind::StartStandby | JobKind::Promote);
        agent.need.inspection |= !(runs && result.is_ok());
        agent.need.observation = true;
        match (&job, result) {
            (_, Err(reason)) => {
                let unreachable = reason.contains("connect");
                agent.view.learn_job_failed(&job, reason, unreachable, now);
                if let Job::Bootstrap { created } = job {
                    self.give_up_bootstrap(node, created);
                }
            }
            (_, Ok(())) => {
                agent.view.learn_job_succeeded(&job, now);
                if matches!(job, Job::Stop { .. }) && agent.epoch.is_some() && agent.epoch != alive {
                    agent.epoch = None;
                    agent.view.learn_down();
                    self.is_down(node);
                }
            }
        }
    }

    fn give_up_bootstrap(&mut self, node: usize, created: i64) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let initialize = agent.view.dcs.cluster.as_ref().and_then(|cluster| cluster.initialize.clone());
        let exit = Action::Exit { code: 1, reason: "the bootstrap has failed".into() };
        if agent.epoch.is_some() {
            self.end_server(node);
        }
        match initialize.filter(|initialize| initialize.created == created && initialize.value.is_empty()) {
            Some(initialize) => {
                let drop = Write::DropInitialize { version: initialize.version };
                self.write(node, [drop].into(), vec![exit]);
            }
            None => self.begin(node, exit),
        }
    }

    fn chore_done(&mut self, node: usize, chore: Chore, epoch: u64) {
        let hangs = self.nodes[node].server_frozen;
        let end = self
            .server(node)
            .filter(|server| server.epoch == epoch && server.answers() && !hangs)
            .filter(|server| server.is_primary())
            .map(|_| self.wal.end(self.nodes[node].data.tip));
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.chores.remove(name(&chore));
        agent.need.observation = true;
        agent.view.learn_chore_done(&chore, end);
    }

    fn leader_timeline(&mut self, node: usize, upstream: Upstream, created: i64, told: Option<(u32, History, bool)>) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.asking_leader = false;
        if let Some((timeline, history, shared)) = told {
            let can_be_source = self.plan.can_be_source;
            let known = LeaderTimeline { upstream, created, timeline, history, can_be_source, shared };
            agent.view.facts.leader_timeline = Some(known);
            agent.view.facts.rewind_failed = false;
        }
    }
}
