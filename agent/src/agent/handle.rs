//! What each event changes in what we know; here those of PostgreSQL.

use super::Event;
use super::callbacks::Happened;
use super::execute::name;
use super::state::Agent;
use crate::clock::Moment;
use crate::cluster::MemberRole;
use crate::decide::{self, Chore, DataDir, Job, JobKind, Role, StartAs, StopMode, Write};
use crate::exit;
use crate::logging::CRITICAL;
use crate::postgres::{self, ControlRead, datadir, observe::Observed};

impl Agent {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Dcs(event) => self.session(event),
            Event::Snapshot(Ok(snapshot)) => self.snapshot(*snapshot),
            Event::Snapshot(Err(error)) => self.snapshot_failed(&error.to_string()),
            Event::Written { results, failure, then } => self.written(results, failure, then),
            Event::Observed(result, asked) => self.observed(result, asked),
            Event::Inspected(data, control) => self.inspected(data, control),
            Event::PostmasterStarted(pid) => self.postmaster_started(pid),
            Event::PostmasterEnded(pid) => self.postmaster_ended(pid),
            Event::JobDone { id, job, result } => self.job_done(id, job, result),
            Event::ChoreDone { chore, result } => self.chore_done(chore, result),
            Event::Peers(peers) => {
                self.busy.asking_peers = false;
                self.view.peers = Some(peers);
                self.busy.answers_are_new = true;
            }
            Event::LeaderTimeline(result) => self.leader_timeline(result),
            Event::Pending(found) => self.pending(found),
            Event::Failsafe(answers) => self.failsafe_answered(answers),
            Event::Request(request) => self.request(request),
            Event::Terminate => {
                tracing::info!("asked to stop");
                self.view.stopping = true;
                self.view.facts.leaving_since.get_or_insert(Moment::now());
            }
            Event::Reload => self.reload(),
            Event::Reloaded => self.tell(Happened::Reload, decide::role(&self.view)),
            Event::Double(None) => self.busy.looking_for_a_double = false,
            Event::Double(Some(url)) => {
                let name = &self.view.me.name;
                tracing::error!(target: CRITICAL, "Can't start; there is already a node named '{name}' running ({url})");
                self.exit = Some(exit::ALREADY_RUNNING);
            }
        }
    }

    pub(super) fn observed(&mut self, result: Result<Box<Observed>, postgres::Error>, asked: Moment) {
        self.busy.observing = false;
        self.need.observation = false;
        if !self.is_up() {
            return;
        }
        match result {
            Ok(observed) => {
                let streams = observed.server.is_streaming();
                self.view.pg.can_rewind = observed.can_rewind;
                self.tell_lost_slots(&observed.server);
                self.view.learn_server(observed.server, asked);
                if streams && datadir::is_set_aside(&self.config.data_dir) {
                    self.forget_aside();
                }
            }
            Err(error @ postgres::Error::Silent { .. }) => {
                tracing::warn!("PostgreSQL does not answer: {error}");
                self.view.learn_silence(asked);
            }
            Err(error) => {
                tracing::debug!("PostgreSQL does not answer: {error}");
                self.view.pg.silent_since = None;
            }
        }
    }

    fn tell_lost_slots(&self, server: &decide::Server) {
        for (slot, member) in decide::newly_lost(&self.view, server) {
            let name = &slot.name;
            match member {
                Some(member) => tracing::warn!(
                    "the WAL that {member} needs is gone (slot {name}): unless it restores from an archive it must be \
                     copied anew, by `patronictl reinit`"
                ),
                None => tracing::warn!("the WAL that the user of the slot {name} needs is gone"),
            }
        }
    }

    pub(super) fn forget_aside(&mut self) {
        if std::mem::replace(&mut self.busy.forgetting, true) {
            return;
        }
        let dir = self.config.data_dir.clone();
        tokio::spawn(async move {
            match datadir::forget_aside(&dir).await {
                Ok(()) => tracing::info!("the new copy streams: what it replaces is removed"),
                Err(error) => tracing::warn!("{error}"),
            }
        });
    }

    pub(super) fn inspected(&mut self, data: DataDir, read: Option<ControlRead>) {
        self.busy.inspecting = false;
        let dir = &self.config.data_dir;
        self.view.pg.standby_signal = datadir::standby_signal(dir);
        self.view.pg.data = self.announced(data);
        self.view.pg.control = read.as_ref().map(|read| read.control.clone());
        if let Some(read) = read {
            self.view.pg.can_rewind = read.can_rewind;
        }
        if self.view.pg.role == Role::Uninitialized && self.view.pg.data.system_identifier().is_some() {
            self.view.pg.role = if self.view.pg.standby_signal { Role::Replica } else { Role::Demoted };
        }
    }

    /// A new cluster that the DCS knows of is new no longer.
    pub(super) fn announced(&self, data: DataDir) -> DataDir {
        let initialize = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.initialize.as_ref());
        match data {
            DataDir::Initialising { system_identifier, .. }
                if initialize.and_then(|i| i.system_identifier()) == Some(system_identifier) =>
            {
                // A marker that stays for now is found, and removed, by the next inspection.
                let dir = self.config.data_dir.clone();
                tokio::spawn(async move {
                    if let Err(error) = datadir::unmark(&dir).await {
                        tracing::error!("{error}");
                    }
                });
                DataDir::Present { system_identifier }
            }
            data => data,
        }
    }

    pub(super) fn postmaster_started(&mut self, pid: i32) {
        tracing::info!("postmaster pid={pid}");
        self.pid = Some(pid);
        self.view.learn_postmaster_started();
    }

    pub(super) fn postmaster_ended(&mut self, pid: i32) {
        if self.pid != Some(pid) {
            return;
        }
        self.pid = None;
        // A bootstrap may end in a restart, or fail and stop what it has started; slots are copied in between.
        let ends = |kind| {
            use JobKind::{Bootstrap, CopySlots, Discard, Restart, Stop};
            matches!(kind, Stop | Restart | Discard | Bootstrap | CopySlots)
        };
        if self.job.as_ref().is_none_or(|job| !ends(job.kind)) {
            tracing::warn!("PostgreSQL (process {pid}) has ended without having been asked to");
        }
        self.view.learn_postmaster_ended(Moment::now());
        self.is_down();
    }

    fn is_down(&mut self) {
        self.busy.chores.clear();
        self.need.inspection = true;
    }

    pub(super) fn job_done(&mut self, id: u64, job: Job, result: Result<(), postgres::Error>) {
        if self.job.as_ref().is_none_or(|running| running.id != id) {
            return;
        }
        self.job = None;
        // A PostgreSQL that has started or was promoted tells all there is to know itself.
        let runs = matches!(job.kind(), JobKind::StartPrimary | JobKind::StartStandby | JobKind::Promote);
        self.need.inspection |= !(runs && result.is_ok());
        self.need.observation = true;
        match result {
            Ok(()) => self.job_succeeded(&job),
            Err(error) => self.job_failed(&job, &error),
        }
    }

    fn job_succeeded(&mut self, job: &Job) {
        if let Job::Stop { mode } = job {
            self.stopped(*mode);
        }
        self.view.learn_job_succeeded(job, Moment::now());
        match job {
            Job::Start(how) => {
                self.look_for_pending();
                self.tell_started(how);
            }
            Job::Restart(_) => {
                self.look_for_pending();
                self.tell(Happened::Restart, decide::role(&self.view));
                self.restarted(Ok(()));
            }
            Job::Discard => {
                tracing::info!("the data is given up for a new copy");
                if self.pid.take().is_some() {
                    self.view.learn_down();
                    self.is_down();
                }
            }
            Job::Promote => self.tell(Happened::RoleChange, MemberRole::Primary),
            Job::Rewind { name, .. } => tracing::info!("rewound to the way of {name}"),
            Job::Clone { name, .. } => tracing::info!("bootstrapped from '{name}'"),
            Job::SetAside => self.busy.forgetting = false,
            Job::CopySlots { names, .. } => tracing::info!("copied logical slots {names:?} from the primary"),
            _ => {}
        }
    }

    fn stopped(&mut self, mode: StopMode) {
        if self.pid.is_some_and(|pid| !postgres::postmaster::is_alive(pid)) {
            self.pid = None;
            self.view.learn_down();
            self.is_down();
        }
        self.tell_stopped(mode);
    }

    fn job_failed(&mut self, job: &Job, error: &postgres::Error) {
        let text = error.to_string();
        tracing::error!("{}: {text}", label(job.kind()));
        self.view.learn_job_failed(job, text, error.is_about_connecting(), Moment::now());
        match job {
            Job::Restart(_) => self.restarted(Err("restart failed".into())),
            Job::Bootstrap { created } | Job::Clone { created: Some(created), .. } => self.give_up_bootstrap(*created),
            Job::Start(StartAs::Primary) if self.view.pg.role == Role::Demoted => {
                self.tell(Happened::RoleChange, MemberRole::Demoted);
            }
            _ => {}
        }
    }

    /// Lets another node try, and ends: whoever looks after us will start us again.
    pub(super) fn give_up_bootstrap(&mut self, created: i64) {
        let initialize = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.initialize.clone());
        let reason = "the bootstrap has failed; its reason stands above".to_owned();
        let stop = crate::decide::Action::Exit { code: exit::BOOTSTRAP, reason };
        if let Some(pid) = self.pid {
            postgres::postmaster::signal(pid, nix::sys::signal::Signal::SIGQUIT);
        }
        match initialize.filter(|initialize| initialize.created == created && initialize.value.is_empty()) {
            Some(initialize) => self.write(vec![Write::DropInitialize { version: initialize.version }], vec![stop]),
            None => self.begin(stop),
        }
    }

    pub(super) fn chore_done(&mut self, chore: Chore, result: Result<Option<crate::cluster::Lsn>, postgres::Error>) {
        self.busy.chores.remove(name(&chore));
        self.need.observation = true;
        match (chore, result) {
            (Chore::SyncNames(names), Ok(Some(since))) => {
                self.tell(Happened::Reload, decide::role(&self.view));
                tracing::info!("synchronous_standby_names = '{names}' from {since} on");
                self.view.learn_chore_done(&Chore::SyncNames(names), Some(since));
            }
            (Chore::Follow(Some(upstream)), Ok(_)) => {
                self.tell(Happened::Reload, decide::role(&self.view));
                tracing::info!("streaming is asked of {}:{}", upstream.host, upstream.port);
                self.view.learn_chore_done(&Chore::Follow(Some(upstream)), None);
            }
            (_, Ok(_)) => {}
            (chore, Err(error)) => {
                tracing::warn!("{}: {error}", name(&chore));
                if matches!(chore, Chore::Slots { .. } | Chore::LogicalSlots { .. }) {
                    self.busy.resting.insert(name(&chore), Moment::now() + self.view.settings.loop_wait);
                }
            }
        }
    }

    pub(super) fn leader_timeline(&mut self, result: Result<crate::decide::LeaderTimeline, postgres::Error>) {
        self.busy.asking_leader = false;
        match result {
            Ok(timeline) => {
                let known = self.view.facts.leader_timeline.as_ref().map(|known| (known.created, known.timeline));
                if known != Some((timeline.created, timeline.timeline)) {
                    tracing::info!("the leader is on timeline {}", timeline.timeline);
                }
                self.view.facts.leader_unanswered = 0;
                self.view.facts.leader_timeline = Some(timeline);
                self.view.facts.rewind_failed = false;
            }
            Err(error) => {
                self.view.facts.leader_unanswered += 1;
                self.say(&format!("the leader does not tell its timeline yet: {error}"));
            }
        }
    }
}

fn label(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Bootstrap => "bootstrap",
        JobKind::Clone => "copy of the leader",
        JobKind::StartPrimary | JobKind::StartStandby => "start",
        JobKind::Stop => "stop",
        JobKind::Promote => "promote",
        JobKind::CrashRecover => "crash recovery",
        JobKind::Rewind => "pg_rewind",
        JobKind::SetAside => "setting the old data aside",
        JobKind::CopySlots => "copy of logical slots",
        JobKind::Restart => "restart",
        JobKind::Discard => "giving the old data up",
    }
}
