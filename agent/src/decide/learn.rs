//! What events change in the view. Pure, so that the simulator's agents learn by the very same rules.

use super::{
    Chore, Job, JobFailure, JobKind, JobView, Process, Role, Server, StartAs, StopMode, SyncSetting, View, Write,
    slot_name,
};
use crate::clock::Moment;
use crate::cluster::{Cluster, Lsn, MemberRole};

impl View {
    /// A new picture of the cluster. True if PostgreSQL must be looked at, too: it has changed as well when there is
    /// a new leader or none, or when a member has begun to run or to stream.
    pub fn learn_cluster(&mut self, cluster: Cluster, now: Moment) -> bool {
        let facts = &mut self.facts;
        let before = self.dcs.cluster.as_ref();
        for member in cluster.members.values().filter(|member| !member.data.tag("nostream")) {
            facts.members_seen.insert(slot_name(&member.name), now);
        }
        let retained = cluster.status.iter().flat_map(|status| status.value.retain_slots.iter().flatten());
        for slot in retained {
            facts.members_seen.entry(slot.clone()).or_insert(now);
        }
        let empty = cluster.leader.is_none() && cluster.initialize.as_ref().is_some_and(|i| i.value.is_empty());
        let idle = empty && !super::somebody_bootstraps(&cluster, &self.me.name);
        facts.bootstrap_idle_since = idle.then(|| facts.bootstrap_idle_since.unwrap_or(now));
        if before.is_none_or(|before| lead(before) != lead(&cluster)) {
            facts.leader_changed = now;
        }
        let newly_leaderless = cluster.leader.is_none() && facts.leaderless_since.is_none();
        if let Some(leader) = &cluster.leader {
            facts.last_leader = Some(leader.name.clone());
        }
        facts.leaderless_since = cluster.leader.is_none().then(|| facts.leaderless_since.unwrap_or(now));
        let changed = before.is_some_and(|b| states(b) != states(&cluster) || b.leader != cluster.leader);
        self.dcs.cluster = Some(cluster);
        newly_leaderless || changed
    }

    /// A write is done; where it has created the initialize key, by which transaction.
    pub fn learn_written(&mut self, write: &Write, created: Option<i64>, now: Moment) {
        let facts = &mut self.facts;
        match write {
            Write::Member(_) => facts.member_written = now,
            Write::Status { .. } => facts.status_written = now,
            Write::CreateInitialize => facts.initialize_created = created,
            // A promotion may be tried again, and members that are away are waited for anew.
            Write::AcquireLeader { .. } => {
                facts.failure.take_if(|failure| failure.kind == JobKind::Promote);
                let status = self.dcs.cluster.as_ref().and_then(|cluster| cluster.status.as_ref());
                for slot in status.iter().flat_map(|status| status.value.retain_slots.iter().flatten()) {
                    facts.members_seen.insert(slot.clone(), now);
                }
            }
            Write::ReclaimLeader { .. } => {
                facts.may_be_promoting = self.pg.process == Process::Up && !self.pg.is_primary();
            }
            _ => {}
        }
    }

    /// PostgreSQL has answered a question of the time `asked`.
    pub fn learn_server(&mut self, mut server: Server, asked: Moment) {
        let pg = &mut self.pg;
        if let Some(before) = pg.server.as_ref().filter(|before| before.in_recovery && server.in_recovery) {
            // While nothing streams, PostgreSQL may only know of the timeline that it last flushed blocks of.
            server.timeline = server.timeline.max(before.timeline);
            // What comes afterwards is received, or replayed as it comes.
            server.has_read_all |= before.has_read_all;
        }
        pg.silent_since = None;
        let flushed = pg.server.as_ref().filter(|server| !server.in_recovery).map(|server| server.written);
        let stuck = server.wal_awaited && flushed == Some(server.written);
        pg.wal_stuck_since = stuck.then(|| pg.wal_stuck_since.unwrap_or(pg.observed));
        pg.role = if server.in_recovery { Role::Replica } else { Role::Primary };
        self.facts.may_be_promoting &= server.in_recovery;
        (pg.observed, pg.server) = (asked, Some(server));
    }

    /// PostgreSQL has not answered a question of the time `asked` for so long that it is given up.
    pub fn learn_silence(&mut self, asked: Moment) {
        self.pg.silent_since.get_or_insert(asked);
    }

    pub fn learn_postmaster_started(&mut self) {
        (self.pg.process, self.pg.server, self.pg.control) = (Process::Up, None, None);
        (self.pg.silent_since, self.pg.wal_stuck_since) = (None, None);
        self.facts.may_be_promoting = false;
    }

    /// The postmaster has ended; without having been asked to, unless a job is under way that may stop it.
    pub fn learn_postmaster_ended(&mut self, now: Moment) {
        use JobKind::{Bootstrap, CopySlots, Discard, Restart, Stop};
        if self.job.is_none_or(|job| !matches!(job.kind, Stop | Restart | Discard | Bootstrap | CopySlots)) {
            self.pg.crashed = true;
            self.facts.crashes.note(now);
        }
        self.learn_down();
    }

    pub fn learn_down(&mut self) {
        (self.pg.process, self.pg.server) = (Process::Down, None);
        (self.pg.silent_since, self.pg.wal_stuck_since) = (None, None);
        (self.facts.sync_setting, self.facts.may_be_promoting) = (None, false);
    }

    /// A job begins, in the place of one that may be under way.
    pub fn learn_job_begins(&mut self, job: &Job, now: Moment) {
        // A start that was ended because it took too long counts as failed.
        let started = |kind| kind == JobKind::StartPrimary || (kind == JobKind::Restart && self.pg.is_primary());
        if self.job.is_some_and(|job| started(job.kind)) {
            self.learn_failure(JobKind::StartPrimary, "it was ended".into(), now);
        }
        // PostgreSQL goes on with it, until it comes to the stop that replaces it.
        self.facts.may_be_promoting |= self.job.is_some_and(|job| job.kind == JobKind::Promote);
        match job {
            Job::Stop { mode } => self.facts.stop_mode = Some(*mode),
            Job::Start(_) | Job::Restart(_) | Job::Bootstrap { .. } => self.pg.crashed = false,
            _ => {}
        }
        if let Job::Start(StartAs::Standby(upstream)) | Job::CopySlots { follow: upstream, .. } = job {
            self.facts.standby_of = Some(upstream.clone());
        }
        match job.kind() {
            JobKind::StartPrimary => self.pg.role = Role::Primary,
            JobKind::StartStandby => self.pg.role = Role::Replica,
            _ => {}
        }
        self.job = Some(JobView { kind: job.kind(), since: now });
    }

    pub fn learn_job_succeeded(&mut self, job: &Job, now: Moment) {
        self.job = None;
        self.facts.failure = None;
        let facts = &mut self.facts;
        match job {
            Job::Stop { mode } => {
                if matches!(super::role(self), MemberRole::Primary | MemberRole::StandbyLeader) {
                    self.pg.role = Role::Demoted;
                    self.facts.handed_over = true;
                }
                self.pg.crashed = !matches!(mode, StopMode::Fast { .. });
            }
            Job::Start(_) | Job::Restart(_) => {
                (facts.crash_recovered, facts.rewound_to, facts.rewind_failed) = (false, None, false);
                (facts.handed_over, facts.stop_mode) = (false, None);
                if let Job::Start(_) = job {
                    self.asked.reinitialize = None;
                }
            }
            Job::Discard => {
                (facts.crash_recovered, facts.rewound_to, facts.rewind_failed) = (false, None, false);
                facts.leader_timeline = None;
                self.pg.role = Role::Uninitialized;
                if let Some(request) = &mut self.asked.reinitialize {
                    request.discarded = true;
                }
            }
            Job::CrashRecover => facts.crash_recovered = true,
            Job::Rewind { .. } => facts.rewound_to = facts.leader_timeline.as_ref().map(|leader| leader.timeline),
            Job::SetAside => {
                (facts.rewind_failed, facts.crash_recovered) = (false, false);
                // It was compared with data that is gone.
                facts.leader_timeline = None;
            }
            Job::Promote => self.pg.role = Role::Primary,
            Job::CopySlots { .. } => facts.slots_copied = Some(now),
            Job::Clone { .. } | Job::Bootstrap { .. } => {}
        }
    }

    /// `unreachable`: because the leader could not be connected to, which says nothing about our data.
    pub fn learn_job_failed(&mut self, job: &Job, reason: String, unreachable: bool, now: Moment) {
        self.job = None;
        let kind = match job {
            Job::Restart(StartAs::Primary) => JobKind::StartPrimary,
            Job::Restart(_) => JobKind::StartStandby,
            other => other.kind(),
        };
        self.learn_failure(kind, reason, now);
        match job {
            Job::Discard => self.asked.reinitialize = None,
            Job::Bootstrap { .. } | Job::Clone { created: Some(_), .. } => self.facts.initialize_created = None,
            Job::Start(StartAs::Primary) if self.leads() => self.pg.role = Role::Demoted,
            Job::Rewind { .. } if !unreachable => self.facts.rewind_failed = true,
            _ => {}
        }
    }

    fn learn_failure(&mut self, kind: JobKind, reason: String, at: Moment) {
        let before = self.facts.failure.as_ref().filter(|failure| failure.kind == kind).map_or(0, |f| f.count);
        self.facts.failure = Some(JobFailure { kind, at, count: before + 1, reason });
    }

    /// A chore begins. Until it is done nobody knows which standbys commits wait for.
    pub fn learn_chore_begins(&mut self, chore: &Chore) {
        if let Chore::SyncNames(_) = chore {
            self.facts.sync_setting = None;
        }
    }

    /// A chore is done; with the WAL position that it tells.
    pub fn learn_chore_done(&mut self, chore: &Chore, position: Option<Lsn>) {
        match (chore, position) {
            (Chore::SyncNames(names), Some(since)) => {
                self.facts.sync_setting = Some(SyncSetting { names: names.clone(), since });
            }
            (Chore::Follow(upstream), _) => self.facts.standby_of = Some(upstream.clone()),
            _ => {}
        }
    }
}

/// What makes a leader another one for a standby that wants to stream from it.
fn lead(cluster: &Cluster) -> impl PartialEq + use<> {
    let data = cluster.leader_member().map(|m| (m.data.state.clone(), m.data.role.clone(), m.data.timeline));
    (cluster.leader.clone(), data)
}

fn states(cluster: &Cluster) -> impl PartialEq + use<> {
    let state = |m: &crate::cluster::Member| (m.name.clone(), m.data.state.clone(), m.data.replication_state.clone());
    cluster.members.values().map(state).collect::<Vec<_>>()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use crate::clock::Moment;
    use crate::cluster::Initialize;

    fn cluster(view: &View) -> crate::cluster::Cluster {
        view.dcs.cluster.clone().unwrap()
    }

    #[test]
    fn postgres_is_looked_at_when_the_leader_or_the_members_have_changed() {
        let mut view = replica();
        let mut next = cluster(&view);
        assert!(!view.learn_cluster(next.clone(), Moment(NOW.0 + 1)));
        next.members["pg2"].data.replication_state = Some("streaming".into());
        assert!(view.learn_cluster(next.clone(), Moment(NOW.0 + 2)));
        assert_eq!(view.facts.leaderless_since, None);
        next.leader = None;
        assert!(view.learn_cluster(next.clone(), Moment(NOW.0 + 3)));
        assert!(!view.learn_cluster(next.clone(), Moment(NOW.0 + 4)));
        assert_eq!(view.facts.leaderless_since, Some(Moment(NOW.0 + 3)));
        assert_eq!(view.facts.leader_changed, Moment(NOW.0 + 3));
    }

    #[test]
    fn a_bootstrap_is_idle_from_the_first_look_at_which_nobody_does_it() {
        let mut view = replica();
        let mut next = cluster(&view);
        (next.leader, next.initialize) = (None, Some(Initialize { value: String::new(), created: 1, version: 0 }));
        view.learn_cluster(next.clone(), NOW);
        assert_eq!(view.facts.bootstrap_idle_since, None);
        next.members.retain(|name, _| name == "pg1");
        view.learn_cluster(next.clone(), Moment(NOW.0 + 1));
        view.learn_cluster(next.clone(), Moment(NOW.0 + 2));
        assert_eq!(view.facts.bootstrap_idle_since, Some(Moment(NOW.0 + 1)));
    }

    #[test]
    fn failures_in_a_row_are_counted_until_a_job_succeeds() {
        let mut view = replica();
        let start = Job::Start(StartAs::Standby(None));
        for count in 1..3 {
            view.learn_job_begins(&start, NOW);
            view.learn_job_failed(&start, "no".into(), false, NOW);
            assert_eq!(view.facts.failure.as_ref().map(|failure| failure.count), Some(count));
        }
        view.learn_job_begins(&start, NOW);
        view.learn_job_succeeded(&start, NOW);
        assert_eq!((view.job, view.facts.failure), (None, None));
    }

    #[test]
    fn what_was_said_of_the_old_data_does_not_hold_for_a_copy() {
        let mut view = replica();
        let upstream = Upstream { host: "127.0.1.2".into(), port: 5432 };
        let known = LeaderTimeline {
            upstream,
            created: 1,
            timeline: 2,
            history: Default::default(),
            can_be_source: true,
            shared: false,
        };
        view.facts.leader_timeline = Some(known);
        view.learn_job_succeeded(&Job::SetAside, NOW);
        assert_eq!(view.facts.leader_timeline, None);
    }

    #[test]
    fn the_synchronous_setting_is_unknown_while_it_is_changed() {
        let mut view = primary();
        let change = Chore::SyncNames("pg2".into());
        view.learn_chore_done(&change, Some(crate::cluster::Lsn(7)));
        assert!(view.facts.sync_setting.is_some());
        view.learn_chore_begins(&change);
        assert_eq!(view.facts.sync_setting, None);
    }

    #[test]
    fn a_start_as_a_primary_that_is_ended_has_failed() {
        let mut view = replica();
        view.learn_job_begins(&Job::Start(StartAs::Primary), NOW);
        assert!(view.pg.is_primary());
        view.learn_job_begins(&Job::Stop { mode: StopMode::Immediate }, NOW);
        assert!(view.failed(JobKind::StartPrimary));
        view.learn_job_succeeded(&Job::Stop { mode: StopMode::Immediate }, NOW);
        assert_eq!((view.pg.role, view.pg.crashed), (Role::Demoted, true));
    }

    #[test]
    fn a_promotion_that_is_cut_off_may_go_on_and_the_guard_knows() {
        let mut view = replica();
        lead_by(&mut view, "pg1");
        let stop = Job::Stop { mode: StopMode::Fast { checkpoint: false } };
        view.learn_job_begins(&stop, NOW);
        assert_eq!(permit(&view), Permit::Aside);
        view.job = None;
        view.learn_job_begins(&Job::Promote, NOW);
        view.learn_job_begins(&stop, NOW);
        assert!(matches!(permit(&view), Permit::Until(_)), "a PostgreSQL that hangs reads the stop later");
        view.learn_postmaster_ended(NOW);
        assert_eq!(permit(&view), Permit::Aside);
    }
}
