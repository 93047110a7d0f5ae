//! PostgreSQL is down: as what to start it, and what must happen before.

use std::time::Duration;

use super::rewind::{Need, needed};
use super::{
    Action, ControlState, DataDir, Decision, Job, JobKind, JobView, LeaderTimeline, Process, Role, StartAs, StopMode,
    Upstream, View, Write, failover, final_status, follow, health, standby,
};
use crate::clock::Moment;
use crate::cluster::Cluster;

/// How often to look for a leader that does not answer yet.
const SOON: Duration = Duration::from_millis(300);

/// After so many crashes, each soon after the one before, another node shall lead if it can.
const CRASHES_OF_A_LEADER: u32 = 3;
/// How often a remote primary is asked for its timeline before a standby cluster starts without its answer.
const PATIENCE_WITH_A_REMOTE: u32 = 2;
/// How long killed processes are waited for.
const UNDEAD: Duration = Duration::from_secs(1);

pub(super) fn down(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    match &cluster.leader {
        Some(leader) if view.is_mine(leader) => with_lease(view, cluster, now),
        Some(_) => rejoin(view, cluster, now),
        None => handed_over(view, cluster, now).unwrap_or_else(|| alone(view, now)),
    }
}

/// The DCS is away, and we have stopped a primary for that: it can still be read from, as a standby of nobody.
pub(super) fn without_dcs(view: &View, now: Moment) -> Option<Decision> {
    let demoted = view.pg.process == Process::Down && view.pg.role == Role::Demoted && view.facts.stop_mode.is_some();
    let whole = matches!(view.pg.data, DataDir::Present { .. });
    let idle = view.job.is_none() && !view.settings.pause && !view.watchdog.failed;
    (demoted && whole && idle).then(|| alone(view, now))
}

/// While a job runs: only a start that takes too long is ended, so that another node can lead; not in a pause, in which
/// none would.
pub(super) fn while_busy(view: &View, cluster: &Cluster, job: &JobView, now: Moment) -> Decision {
    let asked = view.asked.restart.as_ref().and_then(|restart| restart.timeout);
    let limit = asked.unwrap_or(view.settings.primary_start_timeout);
    let mine = cluster.leader.as_ref().is_some_and(|leader| view.is_mine(leader));
    let starts = job.kind == JobKind::StartPrimary || (job.kind == JobKind::Restart && view.pg.is_primary());
    let too_long = starts && mine && now.since(job.since) > limit && !view.settings.pause;
    if too_long && others_can_lead(view, cluster) {
        let status = format!("the start takes longer than {} s: letting another node lead", limit.as_secs());
        return Decision::act(status, Job::Stop { mode: StopMode::Immediate });
    }
    // Whoever was sent SIGKILL runs no more code of its own, even if a disk keeps it from ending.
    let killed = job.kind == JobKind::Stop && view.facts.stop_mode == Some(StopMode::Kill);
    if killed && mine && now.since(job.since) >= UNDEAD && others_can_lead(view, cluster) {
        return Decision::act("PostgreSQL was killed and does not end: giving the lease back", Write::ReleaseLeader);
    }
    Decision::wait(format!("{} in progress", describe(job.kind))).recheck(Duration::from_secs(1))
}

/// What a job is called where people wait for it.
pub fn describe(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Bootstrap => "bootstrap of a new cluster",
        JobKind::Clone => "copy of the leader",
        JobKind::StartPrimary => "start as a primary",
        JobKind::StartStandby => "start as a standby",
        JobKind::Stop => "stop",
        JobKind::Promote => "promote",
        JobKind::CrashRecover => "crash recovery",
        JobKind::Rewind => "pg_rewind",
        JobKind::SetAside => "setting the old data aside",
        JobKind::CopySlots => "copy of logical slots",
        JobKind::Restart => "restart",
        JobKind::Discard => "reinitialize",
    }
}

/// In quorum mode a node that could take over needs the votes of others, too.
fn others_can_lead(view: &View, cluster: &Cluster) -> bool {
    failover::candidates(view, cluster, None, false).count() > cluster.sync().quorum as usize
}

/// It ended under us, or an earlier life of this node left the lease behind: start again, or let others lead.
fn with_lease(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    let release = |status: &str| {
        let mut decision = Decision::wait(status);
        decision.actions.extend(final_status(view, cluster).map(Action::Write));
        decision.then(Write::ReleaseLeader)
    };
    if failover::hands_over(view, cluster) {
        return release("stopped for a switchover: giving the lease back");
    }
    if view.failed(JobKind::StartPrimary) || view.failed(JobKind::StartStandby) {
        return release("PostgreSQL does not start: giving the lease back");
    }
    if view.watchdog.failed {
        return release("Watchdog could not be activated: giving the lease back");
    }
    if health::was_killed(view) && others_can_lead(view, cluster) {
        return release("PostgreSQL hung and was killed: giving the lease back");
    }
    if view.settings.primary_start_timeout.is_zero() && others_can_lead(view, cluster) {
        return release("PostgreSQL crashed and primary_start_timeout is 0: giving the lease back");
    }
    if view.facts.crashes.count >= CRASHES_OF_A_LEADER && others_can_lead(view, cluster) {
        return release("PostgreSQL crashes again and again: giving the lease back");
    }
    if view.settings.standby_cluster.is_some() {
        return as_standby(view, cluster, standby::remote(&view.settings), now);
    }
    if view.pg.standby_signal {
        return start(view, StartAs::Standby(None), "starting as a standby, to be promoted", now);
    }
    start(view, StartAs::Primary, "PostgreSQL is down and the lease is ours: starting as a primary", now)
}

/// For this long after it has handed over, a node waits for its successor.
const SUCCESSOR: Duration = Duration::from_secs(2);

/// A standby of nobody would only have to be pointed at the successor a moment later, and its start would take the
/// machine's time just when the successor is promoted.
fn handed_over(view: &View, cluster: &Cluster, now: Moment) -> Option<Decision> {
    let left = view.facts.leaderless_since.map_or(SUCCESSOR, |since| SUCCESSOR.saturating_sub(now.since(since)));
    let waits = !left.is_zero() && failover::hands_over(view, cluster);
    waits.then(|| Decision::wait("handed over: waiting for the new leader").recheck(left))
}

/// Nobody leads: come up as a standby, so that the race can tell who is ahead.
fn alone(view: &View, now: Moment) -> Decision {
    if crashed_primary(view) && !view.facts.crash_recovered {
        return run(view, Job::CrashRecover, "was not stopped cleanly: finishing crash recovery first", now);
    }
    // None unless this is a standby cluster.
    start(view, StartAs::Standby(standby::remote(&view.settings)), "no leader: starting as a standby", now)
}

/// Another node leads: follow it, after a rewind where the data has gone another way.
fn rejoin(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    let Some(leader) = view.leader_upstream(cluster) else {
        return Decision::wait("waiting for the leader's member key").recheck(SOON);
    };
    as_standby(view, cluster, follow::source(view, cluster, leader), now)
}

/// As a standby of `source`, if the data is on the way of whoever has the say.
fn as_standby(view: &View, cluster: &Cluster, source: Option<Upstream>, now: Moment) -> Decision {
    let follow = |why: &str, now| start(view, StartAs::Standby(source.clone()), why, now);
    let Some(control) = &view.pg.control else {
        return follow("the control file cannot be read: starting as a standby", now);
    };
    let Some(leader) = standby::judge(view, cluster) else {
        return follow("starting as a standby that gets its WAL from an archive", now);
    };
    let Some(timeline) = known_timeline(view, cluster, &leader) else {
        // A standby cluster is there for the day on which the remote primary is gone.
        if view.settings.standby_cluster.is_some() && view.facts.leader_unanswered >= PATIENCE_WITH_A_REMOTE {
            return follow("the remote primary does not answer: starting as a standby all the same", now);
        }
        return ask_leader(view, leader, now);
    };
    if !timeline.shared {
        return diverged(view, cluster, timeline, leader, now);
    }
    if control.backup_label {
        return follow("a new copy: starting as a standby of the leader", now);
    }
    if view.facts.rewound_to == Some(timeline.timeline) {
        return follow("rewound: starting as a standby", now);
    }
    match needed(control, timeline) {
        Need::No => follow("starting as a standby of the leader", now),
        Need::Unknown if may_rewind(view) && !view.facts.crash_recovered => {
            run(view, Job::CrashRecover, "was not stopped cleanly: finishing crash recovery first", now)
        }
        Need::Unknown | Need::Yes => diverged(view, cluster, timeline, leader, now),
    }
}

fn may_rewind(view: &View) -> bool {
    view.settings.use_pg_rewind && view.pg.can_rewind
}

/// pg_rewind was interrupted: its documentation asks for a new copy then. To run it again is no way out: it may
/// find that nothing is to be done (its control file and that of a leader that was promoted just now name the
/// same timeline), or that the leader is away, and neither makes the directory whole.
pub(super) fn half_rewound(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    let leads = cluster.leader.as_ref().is_some_and(|leader| view.is_mine(leader));
    if leads && view.settings.standby_cluster.is_none() {
        return Decision::act("the data is half rewound: giving the lease back", Write::ReleaseLeader);
    }
    if standby::judge(view, cluster).is_none() {
        return Decision::wait("the data is half rewound: waiting for a leader").recheck(SOON);
    }
    run(view, Job::SetAside, "pg_rewind has not ended: making a new copy", now)
}

/// This node has WAL that the leader does not have.
///
/// pg_rewind would overwrite it, so where pg_rewind is allowed, a new copy is, too, when pg_rewind cannot work
/// or has failed (its documentation then asks for a new copy). Patroni would start the directory all the same.
fn diverged(view: &View, cluster: &Cluster, timeline: &LeaderTimeline, leader: Upstream, now: Moment) -> Decision {
    let name = cluster.leader_name().unwrap_or_default().to_owned();
    let rewind = may_rewind(view) && timeline.can_be_source && timeline.shared && !view.facts.rewind_failed;
    if rewind {
        let unready = cluster.leader_member().is_some_and(|m| m.data.checkpoint_after_promote == Some(false));
        if unready {
            return Decision::wait(format!("waiting for {name}'s checkpoint after its promotion, to rewind from it"));
        }
        let status = format!("has gone another way than the leader: running pg_rewind from {name}");
        return run(view, Job::Rewind { name, from: leader }, &status, now);
    }
    if may_rewind(view) || view.settings.replace_if_diverged || view.settings.replace_if_rewind_fails {
        let why = match (view.facts.rewind_failed, timeline.can_be_source) {
            _ if !timeline.shared => "the leader has another timeline of the same number, which pg_rewind cannot see",
            (true, _) => "pg_rewind has failed",
            (false, false) => "the leader has a Unix socket in its data directory, on which pg_rewind fails",
            (false, true) => "pg_rewind cannot be used",
        };
        let status = format!("has gone another way than the leader, and {why}: making a new copy");
        return run(view, Job::SetAside, &status, now);
    }
    let reason = "has gone another way than the leader and may not be rewound: starting all the same. To replace the \
                  data, empty the data directory, or set use_pg_rewind or remove_data_directory_on_diverged_timelines";
    start(view, StartAs::Standby(follow::source(view, cluster, leader)), reason, now)
}

/// What the leader said about its timeline under its present lease.
pub(super) fn known_timeline<'a>(
    view: &'a View,
    cluster: &Cluster,
    leader: &Upstream,
) -> Option<&'a super::LeaderTimeline> {
    let created = cluster.leader.as_ref()?.created;
    view.facts.leader_timeline.as_ref().filter(|known| known.created == created && known.upstream == *leader)
}

pub(super) fn ask_leader(view: &View, leader: Upstream, now: Moment) -> Decision {
    // News of the leader, such as that it is promoted by now, are worth another question at once.
    let asked = view.facts.leader_asked.filter(|asked| *asked >= view.facts.leader_changed);
    if asked.is_some_and(|asked| now.since(asked) < SOON) {
        return Decision::wait("waiting for the leader to tell its timeline").recheck(SOON);
    }
    Decision::act("asking the leader for its timeline", Action::ReadLeaderTimeline(leader)).recheck(SOON)
}

fn crashed_primary(view: &View) -> bool {
    let unclean = |c: &super::Control| c.state == ControlState::Unclean && !c.backup_label;
    !view.pg.standby_signal && view.pg.control.as_ref().is_some_and(unclean)
}

fn start(view: &View, how: StartAs, status: &str, now: Moment) -> Decision {
    let job = Job::Start(how);
    run(view, job, status, now)
}

/// A job, unless one of its kind has failed just now, or what it starts only crashes.
fn run(view: &View, job: Job, status: &str, now: Moment) -> Decision {
    let crashes = view.cooling_after_crashes(now).filter(|_| matches!(job, Job::Start(_)));
    match view.cooling(job.kind(), now).max(crashes) {
        Some(left) => Decision::wait(format!("waiting before the next try: {status}")).recheck(left),
        None => Decision::act(status, job),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use crate::cluster::{Failover, History, Lsn, Sync, Versioned};
    use std::time::Duration;

    fn down(mut view: View, state: ControlState) -> View {
        view.pg.process = Process::Down;
        view.pg.server = None;
        view.pg.control = Some(Control { state, timeline: 1, checkpoint: Lsn(500), ..Default::default() });
        view.pg.can_rewind = true;
        view
    }

    /// pg1, a former primary; pg2 leads timeline 2 which branched off at 1000.
    fn former(state: ControlState, checkpoint: u64) -> View {
        let mut view = down(primary(), state);
        view.pg.control.as_mut().unwrap().checkpoint = Lsn(checkpoint);
        lead_by(&mut view, "pg2");
        view.facts.leader_timeline = Some(LeaderTimeline {
            upstream: pg2(),
            created: 1,
            timeline: 2,
            history: History::parse(br#"[[1,1000,"x"]]"#),
            can_be_source: true,
            shared: true,
        });
        view
    }

    fn pg2() -> Upstream {
        Upstream { host: "127.0.1.2".into(), port: 5432 }
    }

    #[test]
    fn a_postgresql_that_crashes_again_and_again_is_started_ever_more_slowly_and_then_another_node_leads() {
        let mut view = down(primary(), ControlState::Unclean);
        view.dcs.cluster.as_mut().unwrap().members.shift_remove("pg2");
        let start = Action::from(Job::Start(StartAs::Primary));
        view.facts.crashes.note(NOW);
        assert_eq!(first(&view), start, "the first crash costs no time");
        view.facts.crashes.note(NOW);
        assert_eq!(wanted(&view), []);
        view.facts.crashes.last = Moment(NOW.0 - 500);
        assert_eq!(first(&view), start);
        view.facts.crashes.note(NOW);
        view.facts.crashes.last = Moment(NOW.0 - 999);
        assert_eq!(wanted(&view), [], "nobody else could lead");
        add_member(&mut view, "pg2", "127.0.1.2");
        assert_eq!(wanted(&view).last(), Some(&Write::ReleaseLeader.into()));
        // Crashes that lie far apart do not add up.
        view.facts.crashes.last = Moment(NOW.0 - 60_000);
        view.facts.crashes.note(NOW);
        assert_eq!(first(&view), start);
    }

    #[test]
    fn a_crashed_leader_starts_again_while_it_has_the_lease() {
        let view = down(primary(), ControlState::Unclean);
        assert_eq!(first(&view), Job::Start(StartAs::Primary).into());
        let mut failed = view.clone();
        fail(&mut failed, JobKind::StartPrimary);
        assert_eq!(first(&failed), Write::ReleaseLeader.into());
        let mut at_once = view.clone();
        at_once.settings.primary_start_timeout = Duration::ZERO;
        assert_eq!(first(&at_once), Write::ReleaseLeader.into());
        // With nobody to take over, or no votes for it in quorum mode, it starts all the same.
        let mut quorum = at_once.clone();
        set_sync(&mut quorum, Sync { quorum: 1, ..Sync::new("pg1", ["pg2".into(), "pg3".into()]) });
        assert_eq!(first(&quorum), Job::Start(StartAs::Primary).into());
        at_once.dcs.cluster.as_mut().unwrap().members.shift_remove("pg2");
        assert_eq!(first(&at_once), Job::Start(StartAs::Primary).into());
    }

    #[test]
    fn a_primary_that_was_demoted_since_the_dcs_is_away_can_be_read_from() {
        let mut view = down(primary(), ControlState::ShutDown);
        (view.dcs.reachable, view.pg.role) = (false, Role::Demoted);
        assert_eq!(wanted(&view), []);
        view.facts.stop_mode = Some(StopMode::Fast { checkpoint: false });
        assert_eq!(first(&view), Job::Start(StartAs::Standby(None)).into());
        view.settings.pause = true;
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_start_that_takes_too_long_is_ended_when_another_node_can_lead() {
        let mut view = down(primary(), ControlState::Unclean);
        view.job = Some(JobView { kind: JobKind::StartPrimary, since: crate::clock::Moment(NOW.0 - 300_001) });
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Immediate }.into());
        let mut paused = view.clone();
        paused.settings.pause = true;
        assert!(!wanted(&paused).iter().any(|action| matches!(action, Action::Run(_))));
        view.job.as_mut().unwrap().since = crate::clock::Moment(NOW.0 - 299_000);
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_clean_former_primary_follows_or_is_rewound() {
        assert_eq!(first(&former(ControlState::ShutDown, 880)), Job::Start(StartAs::Standby(Some(pg2()))).into());
        let rewind = Job::Rewind { name: "pg2".into(), from: pg2() };
        let ahead = former(ControlState::ShutDown, 1000);
        assert_eq!(first(&ahead), rewind.clone().into());
        let mut waiting = ahead.clone();
        waiting.dcs.cluster.as_mut().unwrap().members["pg2"].data.checkpoint_after_promote = Some(false);
        assert_eq!(wanted(&waiting), []);
        let mut done = ahead.clone();
        done.facts.rewound_to = Some(2);
        assert_eq!(first(&done), Job::Start(StartAs::Standby(Some(pg2()))).into());
    }

    #[test]
    fn a_crashed_former_primary_recovers_first_and_asks_the_leader_before_that() {
        let mut view = former(ControlState::Unclean, 1000);
        assert_eq!(first(&view), Job::CrashRecover.into());
        view.facts.leader_timeline.as_mut().unwrap().created = 99;
        assert_eq!(first(&view), Action::ReadLeaderTimeline(pg2()));
    }

    #[test]
    fn the_leader_is_asked_again_after_a_while_or_when_there_is_news_of_it() {
        let mut view = former(ControlState::Unclean, 1000);
        view.facts.leader_timeline = None;
        view.facts.leader_asked = Some(Moment(NOW.0 - 299));
        assert_eq!(wanted(&view), []);
        view.facts.leader_asked = Some(Moment(NOW.0 - 300));
        assert_eq!(first(&view), Action::ReadLeaderTimeline(pg2()));
        view.facts.leader_asked = Some(Moment(NOW.0 - 2));
        view.facts.leader_changed = Moment(NOW.0 - 1);
        assert_eq!(first(&view), Action::ReadLeaderTimeline(pg2()));
    }

    #[test]
    fn data_that_cannot_be_rewound_is_copied_anew_only_where_rewinding_was_allowed() {
        let diverged = || former(ControlState::ShutDown, 1000);
        let mut view = diverged();
        view.facts.rewind_failed = true;
        assert_eq!(first(&view), Job::SetAside.into());
        let mut view = diverged();
        view.facts.leader_timeline.as_mut().unwrap().can_be_source = false;
        assert_eq!(first(&view), Job::SetAside.into());
        // Of the same number, and yet another timeline: pg_rewind would see nothing to do.
        let mut view = former(ControlState::ShutDown, 10);
        view.facts.leader_timeline.as_mut().unwrap().shared = false;
        assert_eq!(first(&view), Job::SetAside.into());
        let mut view = diverged();
        view.settings.use_pg_rewind = false;
        assert_eq!(first(&view), Job::Start(StartAs::Standby(Some(pg2()))).into());
        view.settings.replace_if_diverged = true;
        assert_eq!(first(&view), Job::SetAside.into());
    }

    #[test]
    fn half_rewound_data_is_never_started() {
        let mut view = former(ControlState::ShutDown, 880);
        view.pg.data = DataDir::Rewinding { system_identifier: SYSID };
        assert_eq!(first(&view), Job::SetAside.into());
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(wanted(&view), []);
        lead_by(&mut view, "pg1");
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn without_a_leader_it_comes_up_as_a_standby() {
        let mut view = down(primary(), ControlState::Unclean);
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(first(&view), Job::CrashRecover.into());
        view.facts.crash_recovered = true;
        assert_eq!(first(&view), Job::Start(StartAs::Standby(None)).into());
        fail(&mut view, JobKind::StartStandby);
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_leader_that_has_handed_over_waits_for_its_successor_but_not_for_long() {
        let mut view = down(primary(), ControlState::ShutDown);
        let cluster = view.dcs.cluster.as_mut().unwrap();
        cluster.leader = None;
        let failover = Failover { leader: Some("pg1".into()), ..Default::default() };
        cluster.failover = Some(Versioned { value: failover, version: 0 });
        view.facts.leaderless_since = Some(Moment(NOW.0 - 1_999));
        assert_eq!(wanted(&view), []);
        assert!(decide(&view, NOW).recheck <= Duration::from_millis(1));
        view.facts.leaderless_since = Some(Moment(NOW.0 - 2_000));
        assert_eq!(first(&view), Job::Start(StartAs::Standby(None)).into());
    }

    #[test]
    fn a_leader_stopped_for_a_switchover_gives_the_lease_back_with_its_last_position() {
        let mut view = down(primary(), ControlState::ShutDown);
        let failover = Failover { leader: Some("pg1".into()), ..Default::default() };
        view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 0 });
        let wanted = wanted(&view);
        let Action::Write(Write::Status { status, .. }) = &wanted[0] else { panic!("{wanted:?}") };
        assert_eq!(status.optime, Lsn(500));
        assert_eq!(wanted[1], Write::ReleaseLeader.into());
    }

    #[test]
    fn asked_to_stop_it_stops_then_gives_the_lease_back_then_goes() {
        let mut view = primary();
        view.stopping = true;
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Fast { checkpoint: true } }.into());
        let mut view = down(view, ControlState::ShutDown);
        assert_eq!(wanted(&view).last(), Some(&Write::ReleaseLeader.into()));
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert!(matches!(first(&view), Action::Exit { code: 0, .. }));
    }

    #[test]
    fn asked_to_stop_in_a_pause_it_leaves_postgresql_as_it_is_but_ends_what_was_asked_for() {
        let mut view = primary();
        (view.stopping, view.settings.pause) = (true, true);
        assert!(matches!(first(&view), Action::Exit { code: 0, .. }));
        let mut busy = |kind| {
            view.job = Some(JobView { kind, since: NOW });
            wanted(&view)
        };
        for kind in [JobKind::StartPrimary, JobKind::Promote, JobKind::Clone] {
            assert!(matches!(busy(kind)[..], [Action::Exit { code: 0, .. }]), "{kind:?}");
        }
        for kind in [JobKind::Stop, JobKind::Restart] {
            assert_eq!(busy(kind), [], "{kind:?}");
        }
    }
}
