//! What nodes ask each other by REST: `GET <api_url>` in a race (agent: `api::peers`, `api::server`). The answer is
//! the last view's, but its positions come from a look at PostgreSQL that began after the question, or are left out.

use labrun_agent::clock::Moment;
use labrun_agent::cluster::MemberRole;
use labrun_agent::decide::{self, Peer, Peers, Process, Server as Seen};

use crate::event::{Event, Target};
use crate::mutations::Mutation;
use crate::world::World;

/// Who waits for an answer until PostgreSQL has been looked at.
pub struct Asker {
    by: usize,
    incarnation: u64,
    round: u64,
    asked: u64,
    /// When the last look began that was too early for this question.
    seen: u64,
}

/// The agent's deadlines: of a peer's answer (`api::peers::LIMIT`), of the look that it waits for
/// (`api::server::LOOK`).
const LIMIT: u64 = 2000;
const LOOK: u64 = 500;

impl World {
    pub fn ask_peers(&mut self, node: usize, list: &[(String, String)]) {
        let (now, target, incarnation) = (self.clock(node), self.agent_target(node), self.nodes[node].incarnation);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        if std::mem::replace(&mut agent.busy.asking_peers, true) {
            return;
        }
        agent.round += 1;
        (agent.round_asked, agent.answers) = (Moment(now), Default::default());
        agent.waiting.clear();
        let round = agent.round;
        for (name, _) in list {
            let Some(peer) = self.names.iter().position(|other| other == name) else { continue };
            if let Some(agent) = &mut self.nodes[node].agent {
                agent.answers.insert(peer, None);
                agent.waiting.insert(peer);
            }
            let delay = self.network.delay(&mut self.random, node, peer);
            if self.refuses(node, peer) {
                self.after(delay, target, Event::Told { round, from: peer, peer: None });
            } else if self.network.is_open(node, peer) {
                let there = self.agent_target(peer);
                self.after(delay, there, Event::Asked { by: node, incarnation, round });
            }
        }
        self.after(LIMIT, target, Event::PeersTimeout { round });
    }

    /// Nobody listens there, and the machine says so.
    pub fn refuses(&self, node: usize, peer: usize) -> bool {
        let there = &self.nodes[peer];
        there.agent.is_none() && !there.off && !there.paused && self.network.connects(node, peer)
    }

    /// A peer's question has arrived: it waits for a look that begins from now on.
    pub fn asked_by_peer(&mut self, node: usize, by: usize, incarnation: u64, round: u64) {
        let (asked, target) = (self.clock(node), self.agent_target(node));
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let seen = agent.view.pg.observed.0;
        agent.askers.push(Asker { by, incarnation, round, asked, seen });
        agent.need.observation |= agent.is_up();
        self.after(LOOK, target, Event::LookTimeout { by, round });
    }

    /// The view is published: who waits for it is answered, or has PostgreSQL looked at once more.
    pub fn answer_askers(&mut self, node: usize) {
        let (target, mutation) = (self.agent_target(node), self.plan.mutation);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let (down, observed) = (agent.view.pg.process == Process::Down, agent.view.pg.observed.0);
        let mut answered = Vec::new();
        let mut again = false;
        for mut asker in std::mem::take(&mut agent.askers) {
            if down || observed > asker.asked || mutation == Some(Mutation::VotesByAnOldLook) {
                answered.push(asker);
                continue;
            }
            // A look that was under way answers no question that came after its start.
            again |= observed > asker.seen;
            asker.seen = observed;
            agent.askers.push(asker);
        }
        if again {
            agent.need.observation = true;
            self.after(1, target, Event::Wake(u64::MAX));
        }
        for asker in answered {
            self.tell_peer(node, &asker, true);
        }
    }

    /// No look was had in time: the answer has no positions.
    pub fn look_timeout(&mut self, node: usize, by: usize, round: u64) {
        self.look_over(node, by, round, false);
    }

    fn look_over(&mut self, node: usize, by: usize, round: u64, fresh: bool) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let waiting = agent.askers.iter().position(|asker| (asker.by, asker.round) == (by, round));
        let Some(asker) = waiting.map(|at| agent.askers.remove(at)) else { return };
        self.tell_peer(node, &asker, fresh);
    }

    fn tell_peer(&mut self, node: usize, asker: &Asker, fresh: bool) {
        let by = asker.by;
        if !self.network.is_open(node, by) {
            return;
        }
        let Some(agent) = &self.nodes[node].agent else { return };
        let data = decide::member(&agent.view);
        let server = agent.view.pg.server.as_ref().filter(|_| data.is_running());
        let unread = self.plan.mutation == Some(Mutation::VotesUnread);
        let position = |server: &Seen| if unread { Some(server.position()) } else { server.known_position() };
        let told = server.filter(|_| fresh);
        let peer = Peer {
            is_primary: told.is_some_and(|server| !server.in_recovery) || data.role == MemberRole::Primary.as_str(),
            position: told.and_then(position),
            timeline: server.map(|server| server.timeline),
            may_lead: data.may_lead(),
            priority: data.failover_priority(),
        };
        let delay = self.network.delay(&mut self.random, node, by);
        let target = Target::Agent(by, asker.incarnation);
        self.after(delay, target, Event::Told { round: asker.round, from: node, peer: Some(Box::new(peer)) });
    }

    pub fn told(&mut self, node: usize, round: u64, from: usize, peer: Option<Peer>) -> bool {
        let Some(agent) = &mut self.nodes[node].agent else { return false };
        if agent.round != round || !agent.busy.asking_peers {
            return false;
        }
        agent.waiting.remove(&from);
        agent.answers.insert(from, peer);
        agent.waiting.is_empty() && self.peers_timeout(node, round)
    }

    pub fn peers_timeout(&mut self, node: usize, round: u64) -> bool {
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
}
