//! The world: all parts of the model, the virtual clock and the queue of what happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Clock;
use crate::event::{Event, Target};
use crate::ledger::Ledger;
use crate::link::Link;
use crate::network::Network;
use crate::node::Node;
use crate::plan::Plan;
use crate::races::Lease;
use crate::random::Random;
use crate::trace::Trace;
use crate::wal::Wal;
use crate::zookeeper::ZooKeeper;

pub struct World {
    /// Milliseconds.
    pub now: u64,
    pub plan: Plan,
    pub random: Random,
    pub wal: Wal,
    pub ledger: Ledger,
    pub lease: Lease,
    pub network: Network,
    pub zookeeper: ZooKeeper,
    pub zookeeper_frozen: bool,
    /// Connections between agents and ZooKeeper, ever.
    pub links: Vec<Link>,
    pub nodes: Vec<Node>,
    pub names: Vec<String>,
    pub trace: Trace,
    /// The first invariant that does not hold.
    pub violation: Option<String>,
    /// Something that the invariants look at has changed in this step.
    pub changed: bool,
    /// Which fault that is under way has which number: a fault's end undoes only itself.
    pub faults_ended: bool,
    queue: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    /// What waits for a frozen target.
    deferred: Vec<(Target, Event)>,
}

struct Scheduled {
    at: u64,
    sequence: u64,
    target: Target,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl World {
    pub fn new(seed: u64, plan: Plan, mut random: Random, trace: bool) -> World {
        let names: Vec<String> = (1..=plan.nodes).map(|i| format!("pg{i}")).collect();
        let wal = Wal::new();
        let mut world = World {
            now: 1000,
            network: Network::new(plan.nodes),
            zookeeper: ZooKeeper::new(plan.tick),
            zookeeper_frozen: false,
            links: Vec::new(),
            nodes: (0..plan.nodes).map(|_| Node::new(&wal, Clock::draw(&mut random, plan.wrong_clocks))).collect(),
            ledger: Ledger::new(&wal, plan.synchronous),
            lease: Lease::default(),
            wal,
            names,
            random,
            plan,
            trace: Trace::new(trace),
            violation: None,
            changed: false,
            faults_ended: false,
            queue: BinaryHeap::new(),
            sequence: 0,
            deferred: Vec::new(),
        };
        let about = world.plan.to_string();
        world.say("world", || format!("seed {seed}: {about}"));
        world
    }

    /// Lets `event` happen to `target` after `delay` milliseconds.
    pub fn after(&mut self, delay: u64, target: Target, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Scheduled { at: self.now + delay, sequence: self.sequence, target, event }));
    }

    /// The next event; `None` at the end of the world.
    pub fn step(&mut self) -> Option<()> {
        let Scheduled { at, target, event, .. } = self.queue.pop()?.0;
        self.now = at;
        if self.is_frozen(target) {
            self.deferred.push((target, event));
        } else if self.exists(target) {
            self.dispatch(target, event);
        }
        Some(())
    }

    /// After something was thawed: what has waited for it happens now, in its order. A guard is first: it runs ahead
    /// of all others, and its alarm has rung.
    pub fn release_deferred(&mut self) {
        let mut delay = 0;
        let mut deferred = std::mem::take(&mut self.deferred);
        deferred.sort_by_key(|(target, _)| !matches!(target, Target::Guard(..)));
        for (target, event) in deferred {
            if self.is_frozen(target) {
                self.deferred.push((target, event));
            } else {
                delay += if matches!(target, Target::Guard(..)) { 0 } else { self.random.below(3) };
                self.after(delay, target, event);
            }
        }
    }

    fn is_frozen(&self, target: Target) -> bool {
        match target {
            Target::World => false,
            Target::ZooKeeper => self.zookeeper_frozen,
            Target::Agent(node, _) => self.nodes[node].agent_frozen || self.nodes[node].paused,
            Target::Server(node, _) => self.nodes[node].server_frozen || self.nodes[node].paused,
            Target::Job(node, _) | Target::Guard(node, _) => self.nodes[node].paused,
        }
    }

    fn exists(&self, target: Target) -> bool {
        match target {
            Target::World | Target::ZooKeeper => true,
            Target::Agent(node, incarnation) => {
                self.nodes[node].agent.is_some() && self.nodes[node].incarnation == incarnation
            }
            Target::Server(node, epoch) => self.nodes[node].server.as_ref().is_some_and(|s| s.epoch == epoch),
            Target::Guard(node, of) => self.nodes[node].guards.iter().any(|guard| guard.of == of),
            Target::Job(node, number) => self.nodes[node].job.as_ref().is_some_and(|job| job.number == number),
        }
    }

    fn dispatch(&mut self, target: Target, event: Event) {
        match target {
            Target::World => self.on_world(event),
            Target::ZooKeeper => self.on_zookeeper(event),
            Target::Agent(node, _) => self.on_agent(node, event),
            Target::Server(node, _) => self.on_server(node, event),
            Target::Job(node, _) => self.on_job(node, event),
            Target::Guard(node, of) => self.on_guard(node, of, event),
        }
    }

    pub fn say(&mut self, who: &str, what: impl FnOnce() -> String) {
        self.trace.say(self.now, who, what);
    }

    /// How everything stands, for the end of a trace.
    pub fn say_state(&mut self) {
        let keys = format!("{:?}", self.zookeeper.keys);
        self.say("zk", || keys);
        for node in 0..self.nodes.len() {
            let at = &self.nodes[node];
            let text = format!("{}\n{:?}\n{:?}", self.agent_state(node), at.data, at.server);
            self.tell(node, || text);
        }
    }

    /// A line about a node.
    pub fn tell(&mut self, node: usize, what: impl FnOnce() -> String) {
        self.trace.say(self.now, &self.names[node], what);
    }

    /// An invariant does not hold. Only the first one counts.
    pub fn violate(&mut self, what: String) {
        self.say("WORLD", || format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    pub fn server_target(&self, node: usize) -> Option<Target> {
        self.nodes[node].server.as_ref().map(|server| Target::Server(node, server.epoch))
    }

    pub fn agent_target(&self, node: usize) -> Target {
        Target::Agent(node, self.nodes[node].incarnation)
    }
}
