//! Acting: writes, jobs, chores and questions, each as a task that reports its end as an event.

use tokio::task::AbortHandle;

use super::state::{Agent, RunningJob};
use super::{Event, jobs};
use crate::api::peers;
use crate::clock::Moment;
use crate::decide::asked::{Request, Restart};
use crate::decide::{Action, Chore, Job, JobKind, StartAs, Upstream, Write};
use crate::postgres::rewind;

impl Agent {
    /// Begins anything but a write.
    pub(super) fn begin(&mut self, action: Action) {
        match action {
            Action::Write(write) => self.write(vec![write], Vec::new()),
            Action::Run(job) => self.run(job),
            Action::Chore(chore) => self.chore(chore),
            Action::AskPeers(list) => self.ask_peers(list),
            Action::AskFailsafe { members, call } => self.ask_failsafe(members, call),
            Action::ReadLeaderTimeline(from) => self.ask_leader(from),
            Action::Forget(request) => {
                match request {
                    Request::ScheduledRestart => self.view.asked.scheduled_restart = None,
                    Request::Reinitialize => self.view.asked.reinitialize = None,
                }
                self.recheck = Moment::now();
            }
            Action::BeginScheduledRestart => {
                if let Some(plan) = self.view.asked.scheduled_restart.take() {
                    let timeout = plan.filter.timeout;
                    self.view.asked.restart = Some(Restart { timeout });
                    self.view.facts.leaving_since.get_or_insert(Moment::now());
                }
                self.recheck = Moment::now();
            }
            Action::Exit { code, reason } => {
                if code != crate::exit::OK {
                    tracing::error!("{reason}");
                }
                self.exit = Some(code);
            }
        }
    }

    pub(super) fn write(&mut self, writes: Vec<Write>, then: Vec<Action>) {
        let Some(store) = self.store.clone() else { return };
        if writes.contains(&Write::ReleaseLeader) && !self.is_up() {
            self.end_orphans();
        }
        self.busy.acquiring =
            writes.iter().any(|w| matches!(w, Write::AcquireLeader { .. } | Write::ReclaimLeader { .. }));
        self.busy.writing = true;
        let events = self.events.clone();
        tokio::spawn(async move {
            let mut results = Vec::new();
            let mut failure = None;
            for write in writes {
                match store.write(&write).await {
                    Ok(written) => results.push((write, written)),
                    Err(error) => {
                        failure = Some(error.to_string());
                        break;
                    }
                }
            }
            let _ = events.send(Event::Written { results, failure, then }).await;
        });
    }

    fn run(&mut self, job: Job) {
        if let Some(running) = &self.job {
            if job.kind() != JobKind::Stop {
                return;
            }
            tracing::info!("cancelling: {:?}", running.kind);
            running.handle.abort();
            if running.kind == JobKind::Restart {
                self.restarted(Err("restart failed".into()));
            }
        }
        if matches!(job, Job::Promote | Job::Start(StartAs::Primary)) && !self.arm_watchdog() {
            self.recheck = Moment::now();
            return;
        }
        self.jobs_started += 1;
        let (id, kind) = (self.jobs_started, job.kind());
        if let Job::Start(_) = &job {
            self.note_role_before_start();
        }
        self.view.learn_job_begins(&job, Moment::now());
        self.tend_guard();
        let handle = self.spawn_job(id, job);
        self.job = Some(RunningJob { id, kind, handle });
    }

    fn spawn_job(&self, id: u64, job: Job) -> AbortHandle {
        let context = jobs::Context {
            config: self.config.clone(),
            settings: self.view.settings.clone(),
            events: self.events.clone(),
            pid: self.pid,
            guarded: self.guard.last(),
            synchronous: self.view.settings.sync_mode != crate::config::SyncMode::Off,
        };
        let events = self.events.clone();
        let task = async move {
            let result = jobs::run(&context, &job).await;
            let _ = events.send(Event::JobDone { id, job, result }).await;
        };
        tokio::spawn(task).abort_handle()
    }

    fn chore(&mut self, chore: Chore) {
        let resting = self.busy.resting.get(name(&chore)).is_some_and(|until| Moment::now() < *until);
        let Some(pid) = self.pid.filter(|_| !resting && self.busy.chores.insert(name(&chore))) else { return };
        self.view.learn_chore_begins(&chore);
        let (config, settings, events) = (self.config.clone(), self.view.settings.clone(), self.events.clone());
        tokio::spawn(async move {
            let result = jobs::chore(&config, &settings, &chore, pid).await;
            let _ = events.send(Event::ChoreDone { chore, result }).await;
        });
    }

    fn ask_peers(&mut self, list: Vec<(String, String)>) {
        if std::mem::replace(&mut self.busy.asking_peers, true) {
            return;
        }
        let (events, access) = (self.events.clone(), self.peers.borrow().clone());
        tokio::spawn(async move {
            let answers = peers::ask(&access, list).await;
            let _ = events.send(Event::Peers(answers)).await;
        });
    }

    fn ask_leader(&mut self, from: Upstream) {
        let created = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader.as_ref()).map(|l| l.created);
        let Some(created) = created.filter(|_| !std::mem::replace(&mut self.busy.asking_leader, true)) else { return };
        self.view.facts.leader_asked = Some(Moment::now());
        let (config, events) = (self.config.clone(), self.events.clone());
        tokio::spawn(async move {
            let answer = rewind::leader_timeline(&config, &from, created).await;
            let _ = events.send(Event::LeaderTimeline(answer)).await;
        });
    }
}

/// Chores of one kind are done one at a time.
pub(super) fn name(chore: &Chore) -> &'static str {
    match chore {
        Chore::SyncNames(_) => "synchronous_standby_names",
        Chore::Slots { .. } => "slots",
        Chore::LogicalSlots { .. } => "logical slots",
        Chore::Checkpoint => "checkpoint",
        Chore::RetryStreaming { .. } => "asking for WAL again",
        Chore::ResumeReplay => "resuming WAL replay",
        Chore::Follow(_) => "primary_conninfo",
    }
}
