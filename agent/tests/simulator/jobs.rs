//! The agent's slow jobs, as its `postgres` module does them: what they do to the data directory and to
//! PostgreSQL, how long they take, how they fail, and what is left when they are cancelled half way.

use labrun_agent::decide::{ControlState, Job, JobKind, Phase as Bootstrap, StartAs, StopMode, Upstream};

use crate::data::{Content, Data};
use crate::event::{Event, Target};
use crate::lifecycle::RECORD;
use crate::server::Phase;
use crate::world::World;

/// The job that runs, and the program that it has started last.
#[derive(Debug, Clone)]
pub struct Running {
    pub number: u64,
    pub job: Job,
    since: u64,
    /// The PostgreSQL that is started, stopped or promoted.
    epoch: u64,
    step: u32,
}

/// How often a job looks at what it waits for.
const LOOK: u64 = 25;
/// A standby that is not consistent yet counts as started after this time (agent: `STANDBY_MAY_WAIT`).
const STANDBY_MAY_WAIT: u64 = 2000;
/// How much may be set aside (agent: `datadir::asides`).
const ASIDES: usize = 3;
/// An immediate stop that takes longer becomes a kill (agent: `stop::IMMEDIATE`).
const IMMEDIATE: u64 = 8000;

impl World {
    /// `known` is the postmaster that the agent knows of.
    pub fn start_job(&mut self, node: usize, job: Job, known: Option<u64>) {
        let at = &mut self.nodes[node];
        at.jobs += 1;
        at.job = Some(Running { number: at.jobs, job, since: self.now, epoch: known.unwrap_or(0), step: 0 });
        self.job_step(node, 0);
    }

    /// The agent gives the job up; its program is killed.
    pub fn cancel_job(&mut self, node: usize) {
        let Some(running) = self.nodes[node].job.take() else { return };
        self.tell(node, || format!("cancels {:?}", running.job));
        self.changed = true;
    }

    /// Goes on after `delay`; only while the agent runs, unless a program of its own does the work.
    fn job_step(&mut self, node: usize, delay: u64) {
        let Some(running) = &self.nodes[node].job else { return };
        let number = running.number;
        let target = match running.job.kind() {
            JobKind::Clone | JobKind::Rewind | JobKind::CrashRecover => Target::Job(node, number),
            _ => self.agent_target(node),
        };
        self.after(delay, target, Event::JobStep { number });
    }

    fn next_step(&mut self, node: usize, delay: u64) {
        if let Some(running) = &mut self.nodes[node].job {
            running.step += 1;
        }
        self.job_step(node, delay);
    }

    pub fn on_job(&mut self, node: usize, event: Event) {
        let Event::JobStep { number } = event else { unreachable!("{event:?} does not happen to a job") };
        let Some(running) = self.nodes[node].job.clone().filter(|running| running.number == number) else { return };
        match &running.job {
            Job::Bootstrap { created } => self.bootstrap(node, &running, *created),
            Job::Clone { from: Some(from), .. } => self.clone_from(node, &running, from),
            Job::Clone { from: None, .. } => {}
            Job::Start(how) => self.start(node, &running, how),
            Job::Stop { mode } => self.stop(node, &running, *mode),
            Job::Promote => self.wait_for_promotion(node, &running),
            Job::CrashRecover => self.crash_recover(node, &running),
            Job::Rewind { from, .. } => self.rewind(node, &running, from),
            Job::SetAside => self.set_aside(node),
            Job::CopySlots { .. } => {}
            Job::Restart(_) | Job::Discard => unreachable!("nobody asks for it here"),
        }
    }

    fn end_job(&mut self, node: usize, result: Result<(), &str>) {
        let Some(running) = self.nodes[node].job.take() else { return };
        self.changed = true;
        let result = result.map_err(str::to_owned);
        self.tell(node, || format!("{:?}: {result:?}", running.job.kind()));
        let target = self.agent_target(node);
        self.after(1, target, Event::JobEnded { number: running.number, job: running.job, result });
    }

    fn bootstrap(&mut self, node: usize, running: &Running, created: i64) {
        let duration = self.random.delay(300, 1500);
        match running.step {
            0 if matches!(self.nodes[node].data.content, Content::Initialising(_)) => self.next_step(node, 0),
            0 => {
                self.nodes[node].data.content = Content::Unfinished { created: Some(created) };
                self.next_step(node, duration);
            }
            1 => {
                let phase = Bootstrap { created, complete: false };
                if !self.nodes[node].data.is_usable() {
                    let identifier = 7_700_000_000_000_000_000 + self.random.below(1 << 40);
                    self.nodes[node].data = Data::initdb(&mut self.wal, identifier, phase);
                }
                self.nodes[node].data.standby_signal = false;
                if self.nodes[node].server.is_none() {
                    self.start_server(node);
                }
                self.next_step(node, LOOK);
            }
            _ => match self.server(node) {
                None => self.end_job(node, Err("PostgreSQL ended while it was starting")),
                Some(server) if server.answers() => {
                    self.nodes[node].data.content = Content::Initialising(Bootstrap { created, complete: true });
                    self.end_job(node, Ok(()));
                }
                Some(_) => self.job_step(node, LOOK),
            },
        }
    }

    fn clone_from(&mut self, node: usize, running: &Running, from: &Upstream) {
        let Some(source) = self.node_at(from).filter(|source| self.serves(node, *source)) else {
            return self.give_up_clone(node, "the server does not answer");
        };
        match running.step {
            0 => {
                self.nodes[node].data =
                    Data { content: Content::Unfinished { created: None }, ..Data::empty(&self.wal) };
                self.nodes[node].job.as_mut().expect("it runs").epoch = self.nodes[source].epochs;
                let duration = self.random.delay(500, 3000) + self.plan.slow_job(&mut self.random);
                self.next_step(node, duration);
            }
            _ if running.epoch != self.nodes[source].epochs || self.random.one_in(30) => {
                self.give_up_clone(node, "pg_basebackup: the connection was closed");
            }
            _ => {
                let theirs = &self.nodes[source].data;
                let tip = theirs.tip;
                self.nodes[node].data = Data {
                    content: Content::Complete,
                    system_identifier: theirs.system_identifier,
                    tip,
                    state: ControlState::InArchiveRecovery,
                    checkpoint: theirs.checkpoint,
                    min_recovery: tip,
                    backup_label: true,
                    newest_timeline: self.wal.timeline(tip).max(theirs.newest_timeline),
                    sync_names: theirs.sync_names.clone(),
                    ..Data::empty(&self.wal)
                };
                self.end_job(node, Ok(()));
            }
        }
    }

    fn give_up_clone(&mut self, node: usize, why: &str) {
        self.empty(node);
        self.end_job(node, Err(why));
    }

    /// `source` takes connections from `node`.
    pub fn serves(&self, node: usize, source: usize) -> bool {
        let up = self.server(source).is_some_and(|server| server.answers());
        up && self.network.connects(node, source) && !self.nodes[source].server_frozen && !self.nodes[source].paused
    }

    fn start(&mut self, node: usize, running: &Running, how: &StartAs) {
        if running.step == 0 {
            if self.nodes[node].server.is_some() {
                return self.end_job(node, Err("another postmaster runs"));
            }
            if !self.nodes[node].data.is_usable() {
                return self.end_job(node, Err("there is no data directory"));
            }
            let upstream = match how {
                StartAs::Primary => None,
                StartAs::Standby(upstream) => upstream.as_ref().and_then(|upstream| self.node_at(upstream)),
            };
            let standby = *how != StartAs::Primary;
            let data = &mut self.nodes[node].data;
            (data.standby_signal, data.upstream) = (standby, upstream);
            if standby {
                data.sync_names.clear();
            }
            self.start_server(node);
            let epoch = self.nodes[node].epochs;
            self.nodes[node].job.as_mut().expect("it runs").epoch = epoch;
            return self.next_step(node, LOOK);
        }
        match self.server(node).filter(|server| server.epoch == running.epoch) {
            None => self.end_job(node, Err("PostgreSQL ended while it was starting")),
            Some(server) if server.answers() && !self.nodes[node].server_frozen => self.end_job(node, Ok(())),
            Some(server)
                if server.phase == (Phase::Starting { primary: false })
                    && self.now - running.since > STANDBY_MAY_WAIT =>
            {
                self.end_job(node, Ok(()));
            }
            Some(_) => self.job_step(node, LOOK),
        }
    }

    fn stop(&mut self, node: usize, running: &Running, mode: StopMode) {
        let Some(target) = self.server_target(node).filter(|target| *target == Target::Server(node, running.epoch))
        else {
            return self.end_job(node, Ok(()));
        };
        let fast = matches!(mode, StopMode::Fast { .. });
        let limit = if fast { self.plan.stop_timeout } else { Some(0) };
        let waited = self.now - running.since;
        match running.step {
            0 if mode == StopMode::Kill => {
                self.kill_server(node, false);
                self.next_step(node, LOOK);
            }
            0 if mode == (StopMode::Fast { checkpoint: true }) => {
                let checkpoint = self.random.delay(20, 300) + self.plan.slow_job(&mut self.random);
                self.next_step(node, checkpoint);
            }
            0 | 1 if fast => {
                self.after(1, target, Event::Stop(mode));
                self.nodes[node].job.as_mut().expect("it runs").step = 1;
                self.next_step(node, LOOK);
            }
            0..=2 if limit.is_some_and(|limit| waited >= limit) => {
                self.after(1, target, Event::Stop(StopMode::Immediate));
                let running = self.nodes[node].job.as_mut().expect("it runs");
                (running.step, running.since) = (2, self.now);
                self.next_step(node, LOOK);
            }
            3 if waited > IMMEDIATE => {
                self.tell(node, || "PostgreSQL does not react; killing it".into());
                self.kill_server(node, false);
                self.job_step(node, LOOK);
            }
            _ => self.job_step(node, LOOK),
        }
    }

    fn set_aside(&mut self, node: usize) {
        if self.nodes[node].aside.len() >= ASIDES {
            return self.end_job(node, Err("what was set aside before is in the way"));
        }
        let data = self.nodes[node].data.clone();
        self.nodes[node].aside.push(data);
        self.empty(node);
        self.end_job(node, Ok(()));
    }

    fn wait_for_promotion(&mut self, node: usize, running: &Running) {
        match self.server(node).filter(|server| server.epoch == running.epoch) {
            None => self.end_job(node, Err("PostgreSQL ended while it was promoted")),
            Some(_) if running.step == 0 => {
                if !self.faults_ended && self.random.percent(self.plan.failed_promotions) {
                    return self.end_job(node, Err("the pre_promote script has ended with 1"));
                }
                self.promote(node);
                self.next_step(node, LOOK);
            }
            Some(server) if server.is_primary() && !self.nodes[node].server_frozen => self.end_job(node, Ok(())),
            Some(_) => self.job_step(node, LOOK),
        }
    }

    fn crash_recover(&mut self, node: usize, running: &Running) {
        if running.step == 0 {
            let duration = self.random.delay(100, 1000) + self.plan.slow_job(&mut self.random);
            return self.next_step(node, duration);
        }
        let data = &mut self.nodes[node].data;
        if !data.is_usable() || !data.can_become_consistent(&self.wal) {
            return self.end_job(node, Err("WAL ends before consistent recovery point"));
        }
        if data.state != ControlState::ShutDown {
            data.tip = self.wal.append(data.tip, RECORD);
        }
        (data.checkpoint, data.state, data.standby_signal) = (data.tip, ControlState::ShutDown, false);
        self.end_job(node, Ok(()));
    }

    /// pg_rewind: it compares the control files' timelines, and the histories. What it leaves behind needs
    /// the WAL up to where the source was when it ended.
    fn rewind(&mut self, node: usize, running: &Running, from: &Upstream) {
        let Some(source) = self.node_at(from).filter(|source| self.serves(node, *source)) else {
            self.nodes[node].data.rewinding &= running.step > 0;
            return self.end_job(node, Err("pg_rewind: could not connect"));
        };
        let (mine, theirs) = (self.nodes[node].data.clone(), self.nodes[source].data.clone());
        let same_timeline = self.wal.timeline(mine.checkpoint) == self.wal.timeline(theirs.checkpoint);
        match running.step {
            _ if !mine.is_usable() => self.end_job(node, Err("pg_rewind: there is no data directory")),
            0 if !self.nodes[node].data.rewinding => {
                // There is one marker, which says nothing of a bootstrap any more.
                (self.nodes[node].data.rewinding, self.nodes[node].data.content) = (true, Content::Complete);
                self.job_step(node, 1);
            }
            // It reads the target's WAL up to there (PostgreSQL 14 and later).
            0 if !mine.can_become_consistent(&self.wal) => {
                self.end_job(node, Err("pg_rewind: could not find WAL of the target"));
            }
            0 if same_timeline || self.wal.contains(theirs.tip, mine.tip) => {
                let pause = self.random.delay(50, 200);
                self.nodes[node].job.as_mut().expect("it runs").step = 1;
                self.next_step(node, pause);
            }
            0 => {
                self.nodes[node].data.torn = true;
                self.nodes[node].job.as_mut().expect("it runs").epoch = self.nodes[source].epochs;
                let duration = self.random.delay(300, 2000) + self.plan.slow_job(&mut self.random);
                self.next_step(node, duration);
            }
            1 if running.epoch != self.nodes[source].epochs || self.random.one_in(30) => {
                self.end_job(node, Err("pg_rewind: the connection was closed"));
            }
            1 => {
                let common = self.wal.common(mine.tip, theirs.tip);
                // It copies the source's WAL, too, but not what is written meanwhile.
                let began = self.wal.switchpoints(theirs.tip).last().map_or(0, |(_, at)| at + RECORD);
                let copied = self.wal.end(common).0.max(began);
                let reach = self.random.between(copied, self.wal.end(theirs.tip).0);
                let data = &mut self.nodes[node].data;
                data.tip = self.wal.at(theirs.tip, labrun_agent::cluster::Lsn(reach));
                (data.min_recovery, data.checkpoint) = (theirs.tip, common);
                (data.state, data.backup_label, data.torn) = (ControlState::InArchiveRecovery, true, false);
                data.newest_timeline = theirs.newest_timeline;
                data.rewinding = false;
                self.end_job(node, Ok(()));
            }
            // "no rewind required"
            _ => {
                self.nodes[node].data.rewinding = false;
                self.end_job(node, Ok(()));
            }
        }
    }

    /// The node that listens there.
    pub fn node_at(&self, upstream: &Upstream) -> Option<usize> {
        let number: usize = upstream.host.rsplit('.').next()?.parse().ok()?;
        number.checked_sub(1).filter(|node| *node < self.nodes.len())
    }
}
