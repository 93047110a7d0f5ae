//! What each event changes in what we know.

use super::Event;
use super::execute::name;
use super::state::Agent;
use crate::api::Request;
use crate::clock::Moment;
use crate::cluster::{Cluster, json};
use crate::config::{self, Settings};
use crate::dcs::{self, Written};
use crate::decide::{Chore, DataDir, Job, JobKind, Process, Role, StopMode, SyncSetting, Write, slot_name};
use crate::exit;
use crate::postgres::{self, ControlRead, conf, datadir, observe::Observed};

/// After a failed read of the DCS.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

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
            }
            Event::LeaderTimeline(result) => self.leader_timeline(result),
            Event::Request(request) => self.request(request),
            Event::Terminate => {
                tracing::info!("asked to stop");
                self.view.stopping = true;
            }
            Event::Reload => self.reload(),
            Event::Duplicate(url) => {
                tracing::error!("Can't start; there is already a node named '{}' running ({url})", self.view.me.name);
                self.exit = Some(exit::ALREADY_RUNNING);
            }
        }
    }

    fn session(&mut self, event: dcs::Event) {
        match event {
            dcs::Event::Connected(store) => {
                let timeout = store.timeout();
                tracing::info!(
                    "connected to ZooKeeper, session {:#x}, timeout {} s",
                    store.session(),
                    timeout.as_secs_f64()
                );
                self.view.dcs.session = Some(store.session());
                self.view.dcs.session_timeout = timeout.as_millis() as u64;
                self.store = Some(store);
                self.look_at_dcs_now();
            }
            dcs::Event::Changed => self.look_at_dcs_now(),
            dcs::Event::Disconnected => {
                tracing::warn!("the connection to ZooKeeper is gone");
                self.view.dcs.reachable = false;
                self.look_at_dcs_now();
            }
            dcs::Event::Expired => {
                tracing::warn!("the ZooKeeper session is over");
                self.view.dcs.reachable = false;
                self.view.dcs.session = None;
                self.store = None;
            }
            dcs::Event::Unreachable(reason) => {
                self.view.dcs.reachable = false;
                self.say(&format!("ZooKeeper is not accessible: {reason}"));
            }
        }
    }

    fn look_at_dcs_now(&mut self) {
        self.need.snapshot = true;
        self.need.snapshot_at = Moment::now();
    }

    fn snapshot(&mut self, snapshot: dcs::Snapshot) {
        self.busy.snapshot = false;
        // A change that came while we were reading may not be in it: the need was set anew by then.
        self.need.snapshot = self.need.snapshot && self.need.snapshot_at <= Moment::now();
        self.view.dcs.session_until = self.view.dcs.session_until.max(snapshot.session_until);
        let cluster = snapshot.cluster;
        self.members = cluster.members.keys().cloned().collect();
        let first = self.view.dcs.cluster.is_none();
        if first {
            self.look_for_a_double(&cluster);
        }
        self.take_up_settings(&cluster);
        self.remember(&cluster);
        self.view.dcs.cluster = Some(cluster);
        self.view.dcs.reachable = self.store.is_some();
    }

    /// Facts that only time shows.
    fn remember(&mut self, cluster: &Cluster) {
        let now = Moment::now();
        let seen = &mut self.view.facts.members_seen;
        for name in cluster.members.keys() {
            seen.insert(slot_name(name), now);
        }
        let retained = cluster.status.iter().flat_map(|status| status.value.retain_slots.iter().flatten());
        for slot in retained {
            seen.entry(slot.clone()).or_insert(now);
        }
        let before = self.view.dcs.cluster.as_ref();
        if cluster.leader.is_some() {
            self.view.facts.leaderless_since = None;
        } else if self.view.facts.leaderless_since.is_none() {
            self.view.facts.leaderless_since = Some(now);
            self.need.observation = true;
        }
        // A standby that started to stream, a new leader: PostgreSQL has changed, too.
        let states = |cluster: &Cluster| {
            cluster
                .members
                .values()
                .map(|m| (m.name.clone(), m.data.state.clone(), m.data.replication_state.clone()))
                .collect::<Vec<_>>()
        };
        if before.is_some_and(|before| states(before) != states(cluster) || before.leader != cluster.leader) {
            self.need.observation = true;
        }
    }

    fn snapshot_failed(&mut self, reason: &str) {
        self.busy.snapshot = false;
        self.view.dcs.reachable = false;
        self.need.snapshot = false;
        self.need.snapshot_at = Moment::now() + AGAIN;
        tracing::warn!("{reason}");
    }

    /// Another live node of our name must not be pushed aside.
    fn look_for_a_double(&self, cluster: &Cluster) {
        let Some(member) = cluster.members.get(&self.view.me.name) else { return };
        let url = member.data.api_url.clone();
        if Some(member.session) == self.view.dcs.session || url == self.view.me.api_url || url.is_empty() {
            return;
        }
        let events = self.events.clone();
        tokio::spawn(async move {
            let liveness = url.trim_end_matches("/patroni").to_owned() + "/liveness";
            if crate::api::peers::is_alive(&liveness).await {
                let _ = events.send(Event::Duplicate(url)).await;
            }
        });
    }

    fn written(&mut self, results: Vec<(Write, Written)>, failure: Option<String>, then: Vec<crate::decide::Action>) {
        self.busy.writing = false;
        let now = Moment::now();
        for (write, written) in results {
            match (&write, written) {
                (Write::Member(_), _) => self.view.facts.member_written = now,
                (Write::Status { .. }, _) => self.view.facts.status_written = now,
                (_, Written::Initialize { created }) => self.view.facts.initialize_created = Some(created),
                _ => {}
            }
        }
        self.look_at_dcs_now();
        match failure {
            None => then.into_iter().for_each(|action| self.begin(action)),
            Some(reason) => tracing::info!("not written: {reason}"),
        }
    }

    fn observed(&mut self, result: Result<Box<Observed>, postgres::Error>, asked: Moment) {
        self.busy.observing = false;
        self.need.observation = false;
        if !self.is_up() {
            return;
        }
        match result {
            Ok(observed) => {
                let pg = &mut self.view.pg;
                pg.role = if observed.server.in_recovery { Role::Replica } else { Role::Primary };
                pg.can_rewind = observed.can_rewind;
                pg.observed = asked;
                pg.server = Some(observed.server);
            }
            Err(error) => tracing::debug!("PostgreSQL does not answer: {error}"),
        }
    }

    fn inspected(&mut self, data: DataDir, read: Option<ControlRead>) {
        self.busy.inspecting = false;
        self.need.inspection = false;
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
    fn announced(&self, data: DataDir) -> DataDir {
        let initialize = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.initialize.as_ref());
        match data {
            DataDir::Initialising { system_identifier, .. }
                if initialize.and_then(|i| i.system_identifier()) == Some(system_identifier) =>
            {
                match datadir::unmark(&self.config.data_dir) {
                    Ok(()) => DataDir::Present { system_identifier },
                    Err(error) => {
                        tracing::error!("{error}");
                        data
                    }
                }
            }
            data => data,
        }
    }

    fn postmaster_started(&mut self, pid: i32) {
        tracing::info!("postmaster pid={pid}");
        self.pid = Some(pid);
        self.view.pg.process = Process::Up;
        self.view.pg.server = None;
        self.view.pg.control = None;
    }

    fn postmaster_ended(&mut self, pid: i32) {
        if self.pid != Some(pid) {
            return;
        }
        self.pid = None;
        let asked = self.job.as_ref().is_some_and(|job| job.kind == JobKind::Stop);
        if !asked {
            tracing::warn!("PostgreSQL (process {pid}) has ended without having been asked to");
            self.view.pg.crashed = true;
        }
        self.went_down();
    }

    fn went_down(&mut self) {
        self.view.pg.process = Process::Down;
        self.view.pg.server = None;
        self.view.facts.sync_setting = None;
        self.busy.chores.clear();
        self.need.inspection = true;
    }

    fn job_done(&mut self, id: u64, job: Job, result: Result<(), postgres::Error>) {
        if self.job.as_ref().is_none_or(|running| running.id != id) {
            return;
        }
        self.job = None;
        self.view.job = None;
        self.need.inspection = true;
        self.need.observation = true;
        match result {
            Ok(()) => {
                self.view.facts.failure = None;
                self.job_succeeded(job);
            }
            Err(error) => self.job_failed(job, &error),
        }
    }

    fn job_succeeded(&mut self, job: Job) {
        let facts = &mut self.view.facts;
        match job {
            Job::Stop { mode } => {
                if self.pid.is_some_and(|pid| !postgres::postmaster::is_alive(pid)) {
                    self.pid = None;
                    self.went_down();
                }
                if self.view.pg.role == Role::Primary {
                    self.view.pg.role = Role::Demoted;
                }
                self.view.pg.crashed = mode == StopMode::Immediate;
            }
            Job::Start(_) => {
                (facts.crash_recovered, facts.rewound_to, facts.rewind_failed) = (false, None, false);
            }
            Job::CrashRecover => facts.crash_recovered = true,
            Job::Rewind { name, .. } => {
                tracing::info!("rewound to the way of {name}");
                facts.rewound_to = facts.leader_timeline.as_ref().map(|leader| leader.timeline);
            }
            Job::Clone { name, .. } => tracing::info!("replica has been created from '{name}'"),
            Job::Discard => (facts.rewind_failed, facts.crash_recovered) = (false, false),
            Job::Bootstrap { .. } | Job::Promote => {}
        }
    }

    fn job_failed(&mut self, job: Job, error: &postgres::Error) {
        let text = error.to_string();
        tracing::error!("{}: {text}", label(job.kind()));
        self.note_failure(job.kind(), text.clone());
        match job {
            Job::Bootstrap { created } => self.give_up_bootstrap(created),
            // That the leader could not be reached says nothing about our data.
            Job::Rewind { .. } if !text.contains("connect") => self.view.facts.rewind_failed = true,
            _ => {}
        }
    }

    /// Lets another node try, and ends: whoever looks after us will start us again.
    fn give_up_bootstrap(&mut self, created: i64) {
        let initialize = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.initialize.clone());
        let reason = "the bootstrap has failed; its reason stands above".to_owned();
        let stop = crate::decide::Action::Exit { code: exit::BOOTSTRAP, reason };
        self.view.facts.initialize_created = None;
        if let Some(pid) = self.pid {
            postgres::postmaster::signal(pid, nix::sys::signal::Signal::SIGQUIT);
        }
        match initialize.filter(|initialize| initialize.created == created && initialize.value.is_empty()) {
            Some(initialize) => self.write(vec![Write::DropInitialize { version: initialize.version }], vec![stop]),
            None => self.begin(stop),
        }
    }

    fn chore_done(&mut self, chore: Chore, result: Result<Option<crate::cluster::Lsn>, postgres::Error>) {
        self.busy.chores.remove(name(&chore));
        self.need.observation = true;
        match (chore, result) {
            (Chore::SyncNames(names), Ok(Some(since))) => {
                tracing::info!("synchronous_standby_names = '{names}' from {since} on");
                self.view.facts.sync_setting = Some(SyncSetting { names, since });
            }
            (Chore::Follow(Some(upstream)), Ok(_)) => {
                tracing::info!("streaming is asked of {}:{}", upstream.host, upstream.port);
            }
            (_, Ok(_)) => {}
            (chore, Err(error)) => tracing::warn!("{}: {error}", name(&chore)),
        }
    }

    fn leader_timeline(&mut self, result: Result<crate::decide::LeaderTimeline, postgres::Error>) {
        self.busy.asking_leader = false;
        match result {
            Ok(timeline) => {
                tracing::info!("the leader is on timeline {}", timeline.timeline);
                self.view.facts.leader_timeline = Some(timeline);
                self.view.facts.rewind_failed = false;
            }
            Err(error) => self.say(&format!("the leader does not tell its timeline yet: {error}")),
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Look => self.need.observation = self.is_up(),
            Request::Reload => self.reload(),
            Request::PatchConfig(patch, answer) => {
                let config = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.config.clone());
                let (Some(mut config), Some(store)) = (config, self.store.clone()) else { return };
                config.value.patch(&patch);
                let write = Write::Config { json: config.value.to_json(), version: Some(config.version) };
                tokio::spawn(async move {
                    let written = store.write(&write).await.is_ok();
                    let _ = answer.send(written.then(|| json::spaced(&config.value.0)));
                });
            }
            Request::Failover(failover, answer) => {
                let version = self.view.dcs.cluster.as_ref().and_then(|c| c.failover.as_ref()).map(|f| f.version);
                let Some(store) = self.store.clone() else { return };
                tokio::spawn(async move {
                    let _ = answer.send(store.write(&Write::Failover { failover, version }).await.is_ok());
                });
            }
        }
    }

    /// Reads the node's file again.
    fn reload(&mut self) {
        match config::load(&self.config_path, std::env::vars()) {
            Ok((config, warnings)) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                self.config = std::sync::Arc::new(config);
                self.applied.clear();
                let cluster = self.view.dcs.cluster.clone().unwrap_or_default();
                self.take_up_settings(&cluster);
                self.view.me = super::startup::me(&self.config);
                tracing::info!("the configuration was read again");
            }
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
    }

    /// Applies the dynamic configuration when it has changed.
    fn take_up_settings(&mut self, cluster: &Cluster) {
        let Some(dynamic) = cluster.config.as_ref().map(|config| &config.value) else { return };
        let text = dynamic.to_json();
        if text == self.applied {
            return;
        }
        let settings = Settings::new(&self.config, &dynamic.0);
        let postgres_changed = settings.parameters != self.view.settings.parameters
            || settings.pg_hba != self.view.settings.pg_hba
            || settings.pg_ident != self.view.settings.pg_ident;
        let first = self.applied.is_empty();
        self.applied = text;
        self.ttl.send_replace(settings.ttl);
        self.view.settings = settings;
        if self.view.pg.data.system_identifier().is_none() {
            return;
        }
        if let Err(error) = conf::cache_dynamic(&self.config.data_dir, &json::spaced(&dynamic.0)) {
            tracing::warn!("{error}");
        }
        if let Some(pid) = self.pid.filter(|_| postgres_changed || first) {
            match postgres::chores::rewrite(&self.config, &self.view.settings) {
                Ok(true) => postgres::postmaster::signal(pid, nix::sys::signal::Signal::SIGHUP),
                Ok(false) => {}
                Err(error) => tracing::error!("{error}"),
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
        JobKind::Discard => "removal of the old data",
    }
}
