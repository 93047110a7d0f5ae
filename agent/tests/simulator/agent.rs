//! An agent: the real `decide` and `guard`, and around them the real event loop's rules (`agent::state`,
//! `agent::refresh`, `agent::startup`) in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use labrun_agent::clock::Moment;
use labrun_agent::config::{Config, Settings};
use labrun_agent::decide::{self, Action, Dcs, Decision, Facts, Me, Peer, Pg, Process, Role, View, Write};

use crate::event::{Event, Target};
use crate::link::{Client, brief};
use crate::world::World;
use crate::zookeeper::Request;

pub struct Agent {
    pub view: View,
    pub client: Client,
    pub config: Config,
    /// Connected with a session (the loop's `store`).
    pub has_store: bool,
    /// The postmaster that the agent knows of.
    pub epoch: Option<u64>,
    pub busy: Busy,
    pub need: Need,
    pub recheck: u64,
    /// The version of the dynamic configuration that is in force.
    pub applied: Option<i32>,
    pub exit: Option<u8>,
    /// What each request to ZooKeeper is for.
    pub pending: BTreeMap<u64, Purpose>,
    pub requests: u64,
    /// The round of questions to peers.
    pub round: u64,
    pub answers: BTreeMap<usize, Option<Peer>>,
    pub waiting: BTreeSet<usize>,
    pub round_asked: Moment,
    /// The number of the timer that counts.
    alarm: u64,
    said: String,
    /// How often it decided in this millisecond.
    decisions: (u64, u32),
}

/// What is under way.
#[derive(Default)]
pub struct Busy {
    pub snapshot: bool,
    pub writing: bool,
    pub observing: bool,
    pub inspecting: bool,
    pub asking_peers: bool,
    pub asking_leader: bool,
    pub chores: BTreeSet<&'static str>,
}

/// What must be looked at before the next decision.
pub struct Need {
    pub snapshot: bool,
    pub observation: bool,
    pub inspection: bool,
    pub snapshot_at: u64,
}

/// What a request to ZooKeeper is for.
pub enum Purpose {
    Snapshot { sent: u64 },
    Writes(Box<Writes>),
}

/// A list of writes, one after the other, and what follows them.
pub struct Writes {
    pub now: Write,
    pub rest: VecDeque<Write>,
    pub done: Vec<(Write, i64)>,
    pub then: Vec<Action>,
}

/// The agent's deadline of an SQL statement (agent: `sql::QUICK`).
const SQL: u64 = 3000;
/// The longest sleep (agent: `LONGEST`).
const LONGEST: Duration = Duration::from_secs(60);
/// How long PostgreSQL may take to stop after that.
const STOPS_WITHIN: u64 = 3000;
/// An agent that decides more often than this in one millisecond runs in circles.
const CIRCLES: u32 = 40;

impl Agent {
    pub fn ttl(&self) -> u64 {
        self.view.settings.ttl.as_millis() as u64
    }

    /// How often the DCS is read even if nothing changes.
    pub fn heartbeat(&self) -> u64 {
        let tenth = (self.view.dcs.session_timeout / 10).max(1000);
        tenth.min(self.view.settings.loop_wait.as_millis() as u64)
    }

    pub fn is_up(&self) -> bool {
        self.view.pg.process == Process::Up
    }

    fn is_settled(&self) -> bool {
        let waiting_for_dcs = self.busy.snapshot && self.need.snapshot;
        !waiting_for_dcs && !self.busy.writing && !self.need.observation && !self.need.inspection
    }

    pub fn look_at_dcs_now(&mut self, now: u64) {
        self.need.snapshot = true;
        self.need.snapshot_at = now;
    }
}

impl World {
    /// A supervisor starts the agent: it looks at the data directory and at what runs.
    pub fn start_agent(&mut self, node: usize) {
        if self.nodes[node].off || self.nodes[node].agent.is_some() {
            return;
        }
        let config = config(node);
        let at = &self.nodes[node];
        let running = at.server.as_ref().map(|server| server.epoch);
        let now = self.now;
        let settings = Settings::new(&config, &self.plan.dynamic);
        let data = at.data.seen();
        let role = match (data.system_identifier(), at.data.standby_signal) {
            (None, _) => Role::Uninitialized,
            (Some(_), true) => Role::Replica,
            (Some(_), false) if running.is_some() => Role::Primary,
            (Some(_), false) => Role::Demoted,
        };
        let pg = Pg {
            process: if running.is_some() { Process::Up } else { Process::Down },
            role,
            standby_signal: at.data.standby_signal,
            can_rewind: true,
            control: at.data.control(&self.wal),
            data,
            ..Pg::default()
        };
        let view = View {
            me: self.me(node),
            dcs: Dcs {
                session_until: Moment(now) + settings.retry_timeout + decide::margin(settings.ttl),
                session_timeout: settings.ttl.as_millis() as u64,
                ..Dcs::default()
            },
            settings,
            pg,
            job: None,
            facts: Facts::default(),
            asked: decide::Asked::default(),
            watchdog: decide::Watchdog::default(),
            peers: None,
            stopping: false,
            wall: 1_795_401_465,
            made: Moment(now),
        };
        self.nodes[node].incarnation += 1;
        self.nodes[node].agent = Some(Agent {
            view,
            client: Client::default(),
            config,
            has_store: false,
            epoch: running,
            busy: Busy::default(),
            need: Need { snapshot: true, observation: running.is_some(), inspection: false, snapshot_at: now },
            recheck: now,
            applied: None,
            exit: None,
            pending: BTreeMap::new(),
            requests: 0,
            round: 0,
            answers: BTreeMap::new(),
            waiting: BTreeSet::new(),
            round_asked: Moment(0),
            alarm: 0,
            said: String::new(),
            decisions: (0, 0),
        });
        self.tell(node, || {
            format!("the agent starts; PostgreSQL {}", if running.is_some() { "runs" } else { "is down" })
        });
        // It gives ZooKeeper `retry_timeout` to tell who leads before it stops a primary that it has found.
        let patience = self.nodes[node].agent.as_ref().map_or(0, |agent| agent.view.settings.retry_timeout.as_millis());
        self.grace_for(node, patience as u64 + STOPS_WITHIN);
        let target = self.agent_target(node);
        self.after(1, target, Event::LinkTimer);
        self.after(1, target, Event::Wake(0));
    }

    fn me(&self, node: usize) -> Me {
        let address = World::address(node);
        Me {
            name: self.names[node].clone(),
            conn_url: format!("postgres://{}:{}/postgres", address.host, address.port),
            api_url: format!("http://{}:8008/patroni", address.host),
            may_bootstrap: true,
            initial_config: serde_json::Value::Object(self.plan.dynamic.clone()).to_string(),
            ..Me::default()
        }
    }

    /// SIGKILL, and a new start after a while.
    pub fn kill_agent(&mut self, node: usize, restart_after: u64) {
        if self.nodes[node].agent.take().is_none() {
            return;
        }
        // Its programs die with it.
        self.nodes[node].job = None;
        self.nodes[node].unguarded_until = u64::MAX;
        if restart_after < u64::MAX {
            self.after(restart_after, Target::World, Event::StartAgent { node });
        }
    }

    /// SIGTERM.
    pub fn stop_agent(&mut self, node: usize) {
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.view.stopping = true;
            agent.view.facts.leaving_since.get_or_insert(Moment(self.now));
            let target = self.agent_target(node);
            self.after(1, target, Event::Wake(u64::MAX));
        }
    }

    pub fn on_agent(&mut self, node: usize, event: Event) {
        if let Event::Wake(number) = event {
            let current = self.nodes[node].agent.as_ref().map_or(0, |agent| agent.alarm);
            if number < current {
                return;
            }
        } else if !self.handle(node, event) {
            return;
        }
        self.look(node);
    }

    /// The loop's `step`: looks, decides, acts; then sleeps.
    fn look(&mut self, node: usize) {
        let now = self.now;
        self.refresh(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.view.made = Moment(now);
        if agent.is_settled() {
            agent.decisions = if agent.decisions.0 == now { (now, agent.decisions.1 + 1) } else { (now, 1) };
            let (circles, mutation) = (agent.decisions.1 > CIRCLES, self.plan.mutation);
            let decision = decided(mutation, &agent.view, Moment(now));
            let pause = decision.recheck.min(LONGEST).min(agent.view.settings.loop_wait);
            agent.recheck = now + pause.as_millis() as u64;
            if circles {
                self.violate(format!("{} runs in circles: {}", self.names[node], decision.status));
                return;
            }
            self.act_on(node, decision);
        } else if let Some(decision) = guarded(self.plan.mutation, &agent.view, Moment(now)) {
            self.act_on(node, decision);
        }
        match self.nodes[node].agent.as_ref().and_then(|agent| agent.exit) {
            Some(_) => self.leave(node),
            None => self.sleep(node),
        }
    }

    /// For the end of a trace.
    pub fn agent_state(&self, node: usize) -> String {
        let Some(agent) = &self.nodes[node].agent else { return "no agent".into() };
        let (busy, need, view) = (&agent.busy, &agent.need, &agent.view);
        format!(
            "snapshot {}/{} writing {} observation {}/{} inspection {}/{} job {:?} process {:?} reachable {} said {}",
            need.snapshot,
            busy.snapshot,
            busy.writing,
            need.observation,
            busy.observing,
            need.inspection,
            busy.inspecting,
            view.job,
            view.pg.process,
            view.dcs.reachable,
            agent.said
        )
    }

    fn act_on(&mut self, node: usize, decision: Decision) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        if agent.said != decision.status || !decision.actions.is_empty() {
            agent.said.clone_from(&decision.status);
            let actions = &decision.actions;
            self.trace.say(self.now, &self.names[node], || explain(&decision.status, actions));
        }
        self.execute(node, decision.actions);
    }

    /// Ends the session, then the agent; it is started again.
    fn leave(&mut self, node: usize) {
        self.request(node, 0, Request::Close);
        self.tell(node, || "the agent ends".into());
        self.nodes[node].agent = None;
        self.nodes[node].job = None;
        let pause = self.random.between(200, 5000);
        self.after(pause, Target::World, Event::StartAgent { node });
    }

    fn sleep(&mut self, node: usize) {
        let (now, target) = (self.now, self.agent_target(node));
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let guard = decide::guard_within(&agent.view, Moment(now)).min(LONGEST);
        let mut until = agent.recheck.min(now + guard.as_millis() as u64);
        if agent.has_store && !agent.busy.snapshot {
            until = until.min(agent.need.snapshot_at);
        }
        agent.alarm += 1;
        let alarm = Event::Wake(agent.alarm);
        self.after(until.saturating_sub(now).max(1), target, alarm);
    }

    /// Starts the looks that are due.
    fn refresh(&mut self, node: usize) {
        let now = self.now;
        let Some(agent) = &mut self.nodes[node].agent else { return };
        if now >= agent.need.snapshot_at && !agent.busy.snapshot && agent.has_store {
            agent.need.snapshot_at = now + agent.heartbeat();
            agent.busy.snapshot = true;
            self.ask_zookeeper(node, Purpose::Snapshot { sent: now }, Request::Read);
        }
        let target = self.agent_target(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        if now >= agent.recheck {
            agent.need.observation = true;
            // The next decision, which waits for this look, says when to look again.
            agent.recheck = now + LONGEST.as_millis() as u64;
        }
        if !agent.is_up() {
            agent.need.observation = false;
        }
        let inspect = agent.need.inspection && !std::mem::replace(&mut agent.busy.inspecting, agent.need.inspection);
        if agent.need.observation && !agent.busy.observing {
            agent.busy.observing = true;
            self.take_observation(node);
        }
        if inspect {
            let delay = self.random.delay(1, 20);
            self.after(delay, target, Event::Inspected);
        }
    }

    /// SQL: an answer soon, a refusal at once, or nothing until the deadline.
    fn take_observation(&mut self, node: usize) {
        let (asked, target) = (self.now, self.agent_target(node));
        let still = self.nodes[node].server_frozen;
        let epoch = self.nodes[node].server.as_ref().map_or(0, |server| server.epoch);
        let server = self.observe(node).filter(|_| !still).map(Box::new);
        let delay = if still { SQL } else { self.random.delay(1, 10) };
        self.after(delay, target, Event::Observed { asked, epoch, server });
    }
}

fn config(node: usize) -> Config {
    use std::cell::RefCell;
    thread_local!(static CONFIGS: RefCell<BTreeMap<usize, Config>> = const { RefCell::new(BTreeMap::new()) });
    let read = || {
        let text = include_str!("../data/postgres0.yml").replace("name: postgresql0", &format!("name: pg{}", node + 1));
        labrun_agent::config::read("postgres0.yml", &text, []).expect("the reference file is valid").0
    };
    CONFIGS.with_borrow_mut(|configs| configs.entry(node).or_insert_with(read).clone())
}

fn explain(status: &str, actions: &[Action]) -> String {
    let short = |action: &Action| match action {
        Action::Write(write) => format!("write {}", brief(write)),
        other => format!("{other:?}"),
    };
    let list: Vec<_> = actions.iter().map(short).collect();
    if list.is_empty() { status.to_owned() } else { format!("{status} => {}", list.join("; ")) }
}

/// `decide`, unless this run weakens it.
fn decided(mutation: Option<crate::mutations::Mutation>, view: &View, now: Moment) -> Decision {
    match mutation {
        Some(mutation) => mutation.decide(view, now),
        None => decide::decide(view, now),
    }
}

fn guarded(mutation: Option<crate::mutations::Mutation>, view: &View, now: Moment) -> Option<Decision> {
    match mutation {
        Some(mutation) => mutation.guard(view, now),
        None => decide::guard(view, now),
    }
}
