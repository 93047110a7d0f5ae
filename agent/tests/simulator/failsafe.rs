//! Failsafe mode: a leader without ZooKeeper asks all members, and members answer (agent: `agent::failsafe`).

use std::collections::BTreeMap;

use indexmap::IndexMap;
use labrun_agent::clock::Moment;
use labrun_agent::cluster::Lsn;
use labrun_agent::decide::failsafe::{self, Agreed, Answers, Call};

use crate::event::{Event, Target};
use crate::mutations::Mutation;
use crate::world::World;

/// One round of questions.
pub struct Inquiry {
    number: u64,
    asked: Moment,
    call: Call,
    /// Who has not answered yet, and how often each was asked.
    waiting: BTreeMap<usize, u32>,
    said: Result<IndexMap<String, Lsn>, String>,
}

/// The agent's deadline (`api::peers::LIMIT`), and how often a member is asked.
const LIMIT: u64 = 2000;
const TRIES: u32 = 2;

impl World {
    pub fn ask_failsafe(&mut self, node: usize, members: &[(String, String)], call: Call) {
        let (asked, names) = (Moment(self.clock(node)), &self.names);
        let asked_of = |name: &String| names.iter().position(|other| other == name);
        let members: Vec<_> = members.iter().filter_map(|(name, _)| asked_of(name)).collect();
        let target = self.agent_target(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.view.facts.failsafe_asked = Some(asked);
        agent.rounds += 1;
        let (number, waiting) = (agent.rounds, members.iter().map(|peer| (*peer, 0)).collect());
        agent.inquiries.push(Inquiry { number, asked, call, waiting, said: Ok(IndexMap::new()) });
        for peer in members {
            self.ask_member(node, number, peer);
        }
        self.after(1, target, Event::FailsafeTimeout { number, from: usize::MAX, tried: 0 });
    }

    fn ask_member(&mut self, node: usize, number: u64, peer: usize) {
        let (target, there, incarnation) =
            (self.agent_target(node), self.agent_target(peer), self.nodes[node].incarnation);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let Some(inquiry) = agent.inquiries.iter_mut().find(|inquiry| inquiry.number == number) else { return };
        let Some(tried) = inquiry.waiting.get_mut(&peer) else { return };
        *tried += 1;
        let (tried, call) = (*tried, inquiry.call.clone());
        let delay = self.network.delay(&mut self.random, node, peer);
        if self.refuses(node, peer) {
            return self.after(delay, target, Event::FailsafeTimeout { number, from: peer, tried });
        }
        if self.network.is_open(node, peer) {
            self.after(delay, there, Event::FailsafeAsked { by: node, incarnation, number, call: Box::new(call) });
        }
        self.after(LIMIT, target, Event::FailsafeTimeout { number, from: peer, tried });
    }

    /// POST /failsafe.
    pub fn failsafe_asked(&mut self, node: usize, by: usize, incarnation: u64, number: u64, leader: Call) {
        let (at, world) = (Moment(self.clock(node)), self.now);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        // The lease may be ours already, without our knowing.
        let said = if agent.busy.acquiring { Err("Running as a leader") } else { failsafe::answer(&agent.view) };
        if said.is_ok() {
            let agreed = Agreed { at, leader };
            agent.view.facts.failsafe = Some(agreed.clone());
            (self.nodes[node].agreed, self.nodes[node].word) = (Some((by, world)), Some(agreed));
        }
        self.tell(node, || format!("in failsafe mode, to node {}: {said:?}", by + 1));
        if self.network.is_open(node, by) {
            let delay = self.network.delay(&mut self.random, node, by);
            let said = said.map_err(str::to_owned);
            self.after(delay, Target::Agent(by, incarnation), Event::FailsafeSaid { number, from: node, said });
        }
    }

    pub fn failsafe_said(&mut self, node: usize, number: u64, from: usize, said: Result<Option<Lsn>, String>) -> bool {
        let name = self.names[from].clone();
        let Some(agent) = &mut self.nodes[node].agent else { return false };
        let Some(inquiry) = agent.inquiries.iter_mut().find(|inquiry| inquiry.number == number) else { return false };
        if inquiry.waiting.remove(&from).is_none() {
            return false;
        }
        match (said, &mut inquiry.said) {
            (Ok(Some(position)), Ok(positions)) => drop(positions.insert(name, position)),
            (Ok(_), _) | (Err(_), Err(_)) => {}
            (Err(why), Ok(_)) => inquiry.said = Err(format!("{name}: {why}")),
        }
        self.end_inquiry(node, number)
    }

    /// There was no answer, or nobody to ask.
    pub fn failsafe_timeout(&mut self, node: usize, number: u64, from: usize, tried: u32) -> bool {
        let Some(agent) = &self.nodes[node].agent else { return false };
        let Some(inquiry) = agent.inquiries.iter().find(|inquiry| inquiry.number == number) else { return false };
        if inquiry.waiting.is_empty() {
            return self.end_inquiry(node, number);
        }
        if inquiry.waiting.get(&from) != Some(&tried) {
            return false;
        }
        if tried < TRIES {
            self.ask_member(node, number, from);
            return false;
        }
        let consents = self.plan.mutation == Some(Mutation::TakesSilenceForConsent);
        self.failsafe_said(node, number, from, if consents { Ok(None) } else { Err("does not answer".into()) })
    }

    fn end_inquiry(&mut self, node: usize, number: u64) -> bool {
        let now = Moment(self.clock(node));
        let Some(agent) = &mut self.nodes[node].agent else { return false };
        let over = |inquiry: &Inquiry| inquiry.number == number && inquiry.waiting.is_empty();
        let Some(at) = agent.inquiries.iter().position(over) else { return false };
        let Inquiry { asked, said, .. } = agent.inquiries.remove(at);
        let text = format!("{said:?}");
        agent.view.learn_failsafe(Answers { asked, said }, now);
        self.tell(node, || format!("failsafe mode: {text}"));
        true
    }

    /// Every other member of the failsafe key has given its word not to lead meanwhile, and nobody does.
    pub fn is_granted(&self, node: usize) -> bool {
        let keys = &self.zookeeper.keys;
        let Some(members) = keys.failsafe.as_ref().filter(|_| keys.leader.is_none()) else { return false };
        let agrees = |other: usize| {
            let until = |at: u64| at + self.nodes[other].clock.lasts(self.ttl());
            self.nodes[other].agreed.is_some_and(|(leader, at)| leader == node && self.now < until(at))
        };
        let others =
            (0..self.nodes.len()).filter(|other| *other != node && members.value.contains_key(&self.names[*other]));
        members.value.contains_key(&self.names[node]) && { others }.all(agrees)
    }

    /// In milliseconds.
    pub fn ttl(&self) -> u64 {
        self.plan.dynamic.get("ttl").and_then(|ttl| ttl.as_u64()).unwrap_or(30) * 1000
    }
}
