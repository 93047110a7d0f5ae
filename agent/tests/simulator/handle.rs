//! What each event changes in what the agent knows (agent: `agent::handle`).

use labrun_agent::clock::Moment;
use labrun_agent::cluster::{Cluster, History, MemberRole};
use labrun_agent::config::Settings;
use labrun_agent::decide::{
    self, Action, Chore, Job, JobKind, LeaderTimeline, Peer, Peers, Process, Role, Server as Seen, StopMode,
    SyncSetting, Upstream, Write, slot_name,
};

use crate::act::name;
use crate::agent::{Purpose, Writes};
use crate::data::Content;
use crate::event::{Event, Target};
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
            Event::Started { epoch } => self.postmaster_started(node, epoch),
            Event::Exited { epoch } => self.postmaster_ended(node, epoch),
            Event::Observed { asked, epoch, server } => self.observed(node, asked, epoch, server),
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
            Event::Asked { by, incarnation, round } => {
                self.tell_peer(node, by, incarnation, round);
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
        let now = self.now;
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
        let now = self.now;
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.snapshot = false;
        agent.need.snapshot = agent.need.snapshot && agent.need.snapshot_at <= now;
        let until = Moment(sent + agent.view.dcs.session_timeout);
        agent.view.dcs.session_until = agent.view.dcs.session_until.max(until);
        let version = cluster.config.as_ref().map(|config| config.version);
        if let Some(dynamic) = cluster.config.as_ref().filter(|_| version != agent.applied) {
            agent.view.settings = Settings::new(&agent.config, &dynamic.value.0);
            agent.applied = version;
        }
        let facts = &mut agent.view.facts;
        for name in cluster.members.keys() {
            facts.members_seen.insert(slot_name(name), Moment(now));
        }
        let retained = cluster.status.iter().flat_map(|status| status.value.retain_slots.iter().flatten());
        for slot in retained {
            facts.members_seen.entry(slot.clone()).or_insert(Moment(now));
        }
        if let Some(leader) = &cluster.leader {
            facts.last_leader = Some(leader.name.clone());
            facts.leaderless_since = None;
        } else if facts.leaderless_since.is_none() {
            facts.leaderless_since = Some(Moment(now));
            agent.need.observation = true;
        }
        if agent.view.dcs.cluster.as_ref().is_some_and(|before| differs(before, &cluster)) {
            agent.need.observation = true;
        }
        agent.view.dcs.cluster = Some(cluster);
        agent.view.dcs.reachable = agent.has_store;
    }

    fn snapshot_failed(&mut self, node: usize) {
        let now = self.now;
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.snapshot = false;
        agent.view.dcs.reachable = false;
        agent.need.snapshot = false;
        agent.need.snapshot_at = now + AGAIN;
    }

    fn written(&mut self, node: usize, writes: Writes, all: bool) {
        let now = self.now;
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.writing = false;
        for (write, zxid) in writes.done {
            match write {
                Write::Member(_) => agent.view.facts.member_written = Moment(now),
                Write::Status { .. } => agent.view.facts.status_written = Moment(now),
                Write::CreateInitialize => agent.view.facts.initialize_created = Some(zxid),
                _ => {}
            }
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
        (agent.busy.observing, agent.need.observation) = (false, false);
        if let Some(server) = server.filter(|_| agent.is_up() && current) {
            let pg = &mut agent.view.pg;
            pg.role = if server.in_recovery { Role::Replica } else { Role::Primary };
            let streams = server.is_streaming();
            (pg.observed, pg.server) = (Moment(asked), Some(*server));
            if streams {
                self.nodes[node].aside = None;
                self.changed = true;
            }
        }
    }

    fn inspected(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        let Some(agent) = &mut at.agent else { return };
        (agent.busy.inspecting, agent.need.inspection) = (false, false);
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

    fn postmaster_started(&mut self, node: usize, epoch: u64) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.epoch = Some(epoch);
        let pg = &mut agent.view.pg;
        (pg.process, pg.server, pg.control) = (Process::Up, None, None);
    }

    fn postmaster_ended(&mut self, node: usize, epoch: u64) {
        let Some(agent) = self.nodes[node].agent.as_mut().filter(|agent| agent.epoch == Some(epoch)) else { return };
        agent.epoch = None;
        if agent.view.job.is_none_or(|job| job.kind != JobKind::Stop) {
            agent.view.pg.crashed = true;
        }
        self.went_down(node);
    }

    fn went_down(&mut self, node: usize) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        (agent.view.pg.process, agent.view.pg.server) = (Process::Down, None);
        agent.view.facts.sync_setting = None;
        agent.busy.chores.clear();
        agent.need.inspection = true;
    }

    fn job_done(&mut self, node: usize, number: u64, job: Job, result: Result<(), String>) {
        if self.nodes[node].jobs != number {
            return;
        }
        let alive = self.server(node).map(|server| server.epoch);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.view.job = None;
        (agent.need.inspection, agent.need.observation) = (true, true);
        let kind = job.kind();
        if let Err(reason) = result {
            if kind == JobKind::Rewind && !reason.contains("connect") {
                agent.view.facts.rewind_failed = true;
            }
            self.note_failure(node, kind, reason);
            if let Job::Bootstrap { created } = job {
                self.give_up_bootstrap(node, created);
            }
            return;
        }
        let facts = &mut agent.view.facts;
        facts.failure = None;
        match job {
            Job::Stop { mode } => {
                if agent.view.pg.role == Role::Primary {
                    agent.view.pg.role = Role::Demoted;
                }
                agent.view.pg.crashed = !matches!(mode, StopMode::Fast { .. });
                if agent.epoch.is_some() && agent.epoch != alive {
                    agent.epoch = None;
                    self.went_down(node);
                }
            }
            Job::Start(_) => (facts.crash_recovered, facts.rewound_to, facts.rewind_failed) = (false, None, false),
            Job::CrashRecover => facts.crash_recovered = true,
            Job::Rewind { .. } => facts.rewound_to = facts.leader_timeline.as_ref().map(|leader| leader.timeline),
            Job::SetAside => (facts.rewind_failed, facts.crash_recovered) = (false, false),
            Job::CopySlots { .. } | Job::Restart(_) | Job::Discard => {}
            Job::Clone { .. } | Job::Bootstrap { .. } | Job::Promote => {}
        }
    }

    fn give_up_bootstrap(&mut self, node: usize, created: i64) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.view.facts.initialize_created = None;
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
        let end = self
            .server(node)
            .filter(|server| server.epoch == epoch && server.answers())
            .filter(|server| server.is_primary())
            .map(|_| self.wal.end(self.nodes[node].data.tip));
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.chores.remove(name(&chore));
        agent.need.observation = true;
        if let (Chore::SyncNames(names), Some(since)) = (chore, end) {
            agent.view.facts.sync_setting = Some(SyncSetting { names, since });
        }
    }

    /// GET <api_url>: what the last view says, without asking anybody.
    fn tell_peer(&mut self, node: usize, by: usize, incarnation: u64, round: u64) {
        if !self.network.is_open(node, by) {
            return;
        }
        let Some(agent) = &self.nodes[node].agent else { return };
        let data = decide::member(&agent.view);
        let server = agent.view.pg.server.as_ref().filter(|_| data.is_running());
        let peer = Peer {
            is_primary: server.is_some_and(|server| !server.in_recovery) || data.role == MemberRole::Primary.as_str(),
            position: server.map(Seen::position),
            timeline: server.map(|server| server.timeline),
            may_lead: data.may_lead(),
            priority: data.failover_priority(),
        };
        let delay = self.network.delay(&mut self.random, node, by);
        let target = Target::Agent(by, incarnation);
        self.after(delay, target, Event::Told { round, from: node, peer: Some(Box::new(peer)) });
    }

    fn told(&mut self, node: usize, round: u64, from: usize, peer: Option<Peer>) -> bool {
        let Some(agent) = &mut self.nodes[node].agent else { return false };
        if agent.round != round || !agent.busy.asking_peers {
            return false;
        }
        agent.waiting.remove(&from);
        agent.answers.insert(from, peer);
        agent.waiting.is_empty() && self.peers_timeout(node, round)
    }

    fn peers_timeout(&mut self, node: usize, round: u64) -> bool {
        let names = self.names.clone();
        let Some(agent) = &mut self.nodes[node].agent else { return false };
        if agent.round != round || !std::mem::take(&mut agent.busy.asking_peers) {
            return false;
        }
        let answers = std::mem::take(&mut agent.answers);
        let answers = answers.into_iter().map(|(peer, answer)| (names[peer].clone(), answer)).collect();
        agent.view.peers = Some(Peers { asked: agent.round_asked, answers });
        true
    }

    fn leader_timeline(&mut self, node: usize, upstream: Upstream, created: i64, told: Option<(u32, History)>) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.busy.asking_leader = false;
        if let Some((timeline, history)) = told {
            let can_be_source = self.plan.can_be_source;
            let known = LeaderTimeline { upstream, created, timeline, history, can_be_source };
            agent.view.facts.leader_timeline = Some(known);
            agent.view.facts.rewind_failed = false;
        }
    }
}

/// The loop looks at PostgreSQL when members or the leader have changed.
fn differs(before: &Cluster, after: &Cluster) -> bool {
    let states = |cluster: &Cluster| {
        let state = |m: &labrun_agent::cluster::Member| {
            (m.name.clone(), m.data.state.clone(), m.data.replication_state.clone())
        };
        cluster.members.values().map(state).collect::<Vec<_>>()
    };
    before.leader != after.leader || states(before) != states(after)
}
