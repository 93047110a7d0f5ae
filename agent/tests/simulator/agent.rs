//! An agent: the real `decide` and `guard`, and around them the real event loop's rules (`agent::state`,
//! `agent::refresh`, `agent::startup`) in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use labrun_agent::clock::Moment;
use labrun_agent::config::{Config, Settings};
use labrun_agent::dcs;
use labrun_agent::decide::{self, Action, Dcs, Decision, Facts, Me, Peer, Pg, Process, Role, View, Write};

use crate::event::{Event, Target};
use crate::failsafe::Inquiry;
use crate::guarding::Guard;
use crate::link::{Client, brief};
use crate::mutations::{Mutation, decided, guarded};
use crate::peers::Asker;
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
    /// When the question was asked that PostgreSQL has not answered yet.
    pub observing: u64,
    /// The same, or when the agent itself has woken since.
    observing_since: u64,
    /// When the loop meant to wake at the latest.
    awake_until: u64,
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
    /// Peers that wait for an answer.
    pub askers: Vec<Asker>,
    /// Questions in failsafe mode.
    pub inquiries: Vec<Inquiry>,
    pub rounds: u64,
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
    /// Among what is being written is a request for the lease.
    pub acquiring: bool,
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

/// How long decisions wait for what PostgreSQL says (agent: `refresh::LATE`).
const LATE: u64 = 2000;
/// The longest sleep (agent: `LONGEST`).
const LONGEST: Duration = Duration::from_secs(60);
/// An agent that decides more often than this in one millisecond runs in circles.
const CIRCLES: u32 = 40;

impl Agent {
    /// The timeout that it asks ZooKeeper for.
    pub fn session_timeout(&self) -> u64 {
        dcs::session_timeout(self.view.settings.ttl).as_millis() as u64
    }

    /// How often the DCS is read even if nothing changes.
    pub fn heartbeat(&self) -> u64 {
        let part = (self.view.dcs.session_timeout / 15).max(1000);
        part.min(self.view.settings.loop_wait.as_millis() as u64)
    }

    pub fn is_up(&self) -> bool {
        self.view.pg.process == Process::Up
    }

    fn is_settled(&self, now: u64) -> bool {
        let waiting_for_dcs = self.busy.snapshot && self.need.snapshot;
        let waiting_for_postgres = self.need.observation && !self.is_late(now);
        let waiting_for_files = self.need.inspection || self.busy.inspecting;
        !waiting_for_dcs && !self.busy.writing && !waiting_for_postgres && !waiting_for_files
    }

    /// A question that has been waiting for so long that decisions wait for it no longer.
    fn is_late(&self, now: u64) -> bool {
        self.busy.observing && now.saturating_sub(self.observing_since) >= LATE
    }

    fn notice_silence(&mut self, now: u64) {
        // What it has slept through itself says nothing about PostgreSQL.
        if now > self.awake_until + LATE {
            self.observing_since = now;
            let pg = &mut self.view.pg;
            pg.silent_since = pg.silent_since.map(|_| Moment(now));
            pg.wal_stuck_since = pg.wal_stuck_since.map(|_| Moment(now));
        }
        if self.is_late(now) && self.is_up() {
            self.view.pg.silent_since.get_or_insert(Moment(self.observing_since));
        }
    }

    /// A leader's PostgreSQL is looked at as often as the lease is extended.
    fn look_within(&self) -> u64 {
        let loop_wait = self.view.settings.loop_wait.as_millis() as u64;
        if self.view.pg.is_primary() { self.heartbeat() } else { loop_wait }
    }

    /// When PostgreSQL is to be looked at at the latest.
    fn look_at(&self) -> u64 {
        if !self.is_up() || self.busy.observing {
            return u64::MAX;
        }
        self.observing_since + self.look_within()
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
        let now = self.clock(node);
        let settings = Settings::new(&config, at.dynamic.as_ref().unwrap_or(&self.plan.dynamic));
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
            facts: Facts {
                initialize_created: at.data.bootstrap_of(),
                standby_of: at.data.standby_signal.then(|| at.data.upstream.map(World::address)),
                failsafe: at.word.clone().filter(|_| self.plan.mutation != Some(Mutation::ForgetsItsWord)),
                ..Facts::default()
            },
            asked: decide::Asked::default(),
            watchdog: decide::Watchdog::default(),
            peers: None,
            stopping: false,
            wall: 1_795_401_465,
            made: Moment(now),
        };
        self.nodes[node].incarnation += 1;
        let guard = Guard::new(self.nodes[node].incarnation);
        self.nodes[node].guards.push(guard);
        self.nodes[node].agent = Some(Agent {
            view,
            client: Client::default(),
            config,
            has_store: false,
            epoch: running,
            busy: Busy::default(),
            need: Need { snapshot: true, observation: running.is_some(), inspection: false, snapshot_at: now },
            recheck: now,
            observing: now,
            observing_since: now,
            awake_until: now,
            applied: None,
            exit: None,
            pending: BTreeMap::new(),
            requests: 0,
            round: 0,
            answers: BTreeMap::new(),
            waiting: BTreeSet::new(),
            round_asked: Moment(0),
            askers: Vec::new(),
            inquiries: Vec::new(),
            rounds: 0,
            alarm: 0,
            said: String::new(),
            decisions: (0, 0),
        });
        self.tell(node, || {
            format!("the agent starts; PostgreSQL {}", if running.is_some() { "runs" } else { "is down" })
        });
        self.notices_hang_from_now(node);
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
        // Its programs die with it, but not its guard.
        self.nodes[node].job = None;
        self.guard_is_alone(node);
        if restart_after < u64::MAX {
            self.after(restart_after, Target::World, Event::StartAgent { node });
        }
    }

    /// SIGTERM.
    pub fn stop_agent(&mut self, node: usize) {
        let now = Moment(self.clock(node));
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.view.stopping = true;
            agent.view.facts.leaving_since.get_or_insert(now);
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
        let now = self.clock(node);
        self.refresh(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.view.made = Moment(now);
        let paused = agent.view.settings.pause;
        if std::mem::replace(&mut self.nodes[node].at_ease, paused) && !paused {
            self.ends_pause(node);
        }
        self.tend_guard(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        if agent.is_settled(now) {
            agent.decisions = if agent.decisions.0 == now { (now, agent.decisions.1 + 1) } else { (now, 1) };
            let (circles, mutation) = (agent.decisions.1 > CIRCLES, self.plan.mutation);
            let decision = decided(mutation, &agent.view, Moment(now));
            let pause = decision.recheck.min(LONGEST).as_millis() as u64;
            agent.recheck = now + pause.min(agent.look_within());
            if circles {
                self.violate(format!("{} runs in circles: {}", self.names[node], decision.status));
                return;
            }
            self.act_on(node, decision);
        } else if let Some(decision) = guarded(self.plan.mutation, &agent.view, Moment(now)) {
            self.act_on(node, decision);
        }
        self.answer_askers(node);
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
        self.tend_guard(node);
        self.nodes[node].agent = None;
        self.nodes[node].job = None;
        self.guard_is_alone(node);
        let pause = self.random.between(200, 5000);
        self.after(pause, Target::World, Event::StartAgent { node });
    }

    fn sleep(&mut self, node: usize) {
        let (now, target) = (self.clock(node), self.agent_target(node));
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let guard = decide::guard_within(&agent.view, Moment(now)).min(LONGEST);
        let mut until = agent.recheck.min(now + guard.as_millis() as u64).min(agent.look_at());
        if agent.busy.observing && !agent.is_late(now) {
            until = until.min(agent.observing_since + LATE);
        }
        if agent.has_store && !agent.busy.snapshot {
            until = until.min(agent.need.snapshot_at);
        }
        agent.awake_until = until.max(now + 1).min(now + LONGEST.as_millis() as u64);
        agent.alarm += 1;
        let alarm = Event::Wake(agent.alarm);
        self.after_ticks(node, until.saturating_sub(now).max(1), target, alarm);
    }

    /// Starts the looks that are due.
    fn refresh(&mut self, node: usize) {
        let now = self.clock(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.notice_silence(now);
        if now >= agent.need.snapshot_at && !agent.busy.snapshot && agent.has_store {
            agent.need.snapshot_at = now + agent.heartbeat();
            agent.busy.snapshot = true;
            self.ask_zookeeper(node, Purpose::Snapshot { sent: now }, Request::Read);
        }
        let target = self.agent_target(node);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        // The time to look again is put off by every decision; PostgreSQL is looked at all the same.
        if now >= agent.recheck || now >= agent.look_at() {
            agent.need.observation = true;
            // The next decision, which waits for this look, says when to look again.
            agent.recheck = now + LONGEST.as_millis() as u64;
        }
        if !agent.is_up() {
            agent.need.observation = false;
        }
        let inspect = agent.need.inspection && !agent.busy.inspecting;
        if inspect {
            // Whatever asks for another look from now on gets one: what this one sees may be older than that.
            (agent.need.inspection, agent.busy.inspecting) = (false, true);
        }
        if agent.need.observation && !agent.busy.observing {
            agent.busy.observing = true;
            self.take_observation(node);
        }
        if inspect {
            let delay = self.random.delay(1, 20);
            self.after(delay, target, Event::Inspected);
        }
    }

    /// SQL: an answer soon, a refusal at once; of a PostgreSQL that hangs, nothing until it goes on.
    fn take_observation(&mut self, node: usize) {
        let (asked, target) = (self.clock(node), self.agent_target(node));
        let Some(agent) = &mut self.nodes[node].agent else { return };
        (agent.observing, agent.observing_since) = (asked, asked);
        let limit = decide::patience(&agent.view).as_millis() as u64;
        self.after(limit, target, Event::Silent { asked });
        match self.server_target(node) {
            Some(server) => self.after(1, server, Event::Query { asked }),
            None => self.after(1, target, Event::Observed { asked, epoch: 0, server: None }),
        }
    }

    /// The answer.
    pub fn answer_query(&mut self, node: usize, asked: u64) {
        let epoch = self.nodes[node].epochs;
        let server = self.observe(node).map(Box::new);
        let (delay, target) = (self.random.delay(1, 10), self.agent_target(node));
        self.after(delay, target, Event::Observed { asked, epoch, server });
    }

    /// Connections to a PostgreSQL that has ended break.
    pub fn break_observation(&mut self, node: usize) {
        let target = self.agent_target(node);
        if let Some(agent) = self.nodes[node].agent.as_ref().filter(|agent| agent.busy.observing) {
            let asked = agent.observing;
            self.after(1, target, Event::Observed { asked, epoch: 0, server: None });
        }
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
