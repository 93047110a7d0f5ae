//! The lease: nobody is writable without one.
//!
//! Patroni demotes as soon as it cannot reach ZooKeeper for `retry_timeout`. We keep serving as long as our
//! session, and with it the leader key, cannot have ended, and stop a margin before it could have. The agent does
//! so itself; what it is late with, the guard's process does ([`crate::guard`]).

use std::time::Duration;

use super::{Decision, Job, JobKind, Process, StopMode, View, health};
use crate::clock::Moment;

/// How the lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The leader key is ours and cannot have gone.
    Held,
    /// It is ours as far as we know, but a clean stop must begin now to end in time.
    Ending,
    /// It is ours as far as we know, but there is no time left for a clean stop.
    Over,
    /// The leader key is missing, and we can still see the DCS.
    Free,
    /// Somebody else holds it.
    Others,
}

/// When PostgreSQL must be gone, for whoever enforces it: the guard's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// An immediate stop begins now at the latest.
    pub quit: Moment,
    /// Whatever is left of it is killed.
    pub kill: Moment,
}

/// What the guard's process is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Nothing is writable here, or nobody may touch it.
    Aside,
    /// PostgreSQL may be writable, now or soon, and not beyond this.
    Until(Term),
}

/// Stopping begins this long before the lease could end: a tenth of it, 1 to 3 s. The steps within it:
///
/// | before the end | |
/// | --- | --- |
/// | the margin | a clean stop: clients are cut off at once; what it still writes may take longer |
/// | its half | an immediate stop |
/// | its third | the same by the guard's process, if the agent has not come to it |
/// | its sixth | SIGKILL to every process |
pub fn margin_of(lease: Duration) -> Duration {
    (lease / 10).clamp(Duration::from_secs(1), Duration::from_secs(3))
}

fn margin(view: &View) -> Duration {
    margin_of(Duration::from_millis(view.dcs.session_timeout))
}

/// Until when the lease is certain, if it is ours: our session's, or what all members have granted in failsafe mode.
fn until(view: &View) -> Moment {
    view.dcs.session_until.max(view.dcs.failsafe_until)
}

pub(super) fn standing(view: &View, now: Moment) -> Standing {
    let leader = view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader.as_ref());
    let granted = now < view.dcs.failsafe_until;
    match leader {
        Some(leader) if view.is_mine(leader) || (granted && leader.name == view.me.name && !view.dcs.reachable) => {
            let left = now.until(until(view));
            if left > margin(view) {
                Standing::Held
            } else if left > margin(view) / 2 {
                Standing::Ending
            } else {
                Standing::Over
            }
        }
        // Our own name and another session: we were restarted and are about to take it over.
        Some(leader) if leader.name == view.me.name && view.dcs.reachable => Standing::Free,
        Some(leader) if leader.name != view.me.name => Standing::Others,
        _ if view.dcs.reachable => Standing::Free,
        // A primary that we found running, and a DCS that could not be read yet: until the time that
        // a start may take is over.
        _ if now.until(view.dcs.session_until) > margin(view) => Standing::Free,
        _ => Standing::Ending,
    }
}

/// When the guard must look again at the latest.
pub(super) fn deadline(view: &View, now: Moment) -> Duration {
    if view.settings.pause || !writable(view) {
        return Duration::MAX;
    }
    let left = now.until(until(view));
    let steps = [margin(view), margin(view) / 2, margin(view) / 6];
    let next = steps.iter().map(|step| left.saturating_sub(*step)).find(|wait| !wait.is_zero());
    next.unwrap_or_default().min(health::deadline(view, now)).max(Duration::from_millis(100))
}

/// Whether PostgreSQL takes writes, or is about to.
pub(super) fn writable(view: &View) -> bool {
    let promoting = view.job.as_ref().is_some_and(|job| match job.kind {
        JobKind::Promote | JobKind::StartPrimary => true,
        JobKind::Restart => view.pg.is_primary(),
        _ => false,
    });
    (view.pg.process == Process::Up && (view.pg.is_primary() || view.facts.may_be_promoting)) || promoting
}

pub(super) fn permit(view: &View) -> Permit {
    if view.settings.pause || !writable(view) {
        return Permit::Aside;
    }
    let leader = view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader.as_ref());
    let end = match leader {
        Some(leader) if leader.name != view.me.name => Moment::default(),
        _ => until(view),
    };
    let before = |step: Duration| Moment(end.0.saturating_sub(step.as_millis() as u64));
    Permit::Until(Term { quit: before(margin(view) / 3), kill: before(margin(view) / 6) })
}

/// Whether we know as well as the former agent of this node until when PostgreSQL may be writable: the guard that it
/// has left behind may go.
pub(super) fn knows_the_term(view: &View) -> bool {
    let cluster = view.dcs.cluster.as_ref();
    let key_names_me = || cluster.and_then(|cluster| cluster.leader.as_ref()).is_some_and(|l| l.name == view.me.name);
    match permit(view) {
        Permit::Aside if view.settings.pause => cluster.is_some(),
        Permit::Aside if view.pg.process == Process::Down => true,
        // In recovery. A promotion that the former agent has begun goes on without it; only whoever had the lease can
        // have begun one, and once the key is gone or another node's, the guard has done what it is there for.
        Permit::Aside => view.pg.server.is_some() && cluster.is_some() && !key_names_me(),
        Permit::Until(_) => view.leads(),
    }
}

/// Stops a PostgreSQL that is or may become writable without a lease, or that hangs while it has one.
pub(super) fn guard(view: &View, now: Moment) -> Option<Decision> {
    if view.settings.pause || !writable(view) {
        return None;
    }
    let (mode, why) = match (standing(view, now), health::hung(view, now)) {
        (Standing::Held | Standing::Free, None) => return None,
        // It cannot be asked to stop. Its processes must be gone before another node leads, or they would go on to
        // acknowledge what they have begun when they come to.
        (Standing::Held | Standing::Free, Some(hung)) => (StopMode::Kill, hung),
        (Standing::Ending, _) => {
            (StopMode::Fast { checkpoint: false }, "ZooKeeper is away and the lease will end: demoting")
        }
        _ if hangs(view, now) => (StopMode::Kill, "PostgreSQL does not stop, and the lease may be over: killing it"),
        (Standing::Over, _) => (StopMode::Immediate, "the lease may be over: demoting at once"),
        (Standing::Others, _) => (StopMode::Immediate, "another node holds the lease: demoting at once"),
    };
    (severity(mode) > running_stop(view).map_or(0, severity)).then(|| Decision::act(why, Job::Stop { mode }))
}

/// An immediate stop that has been under way for longer than any should take: its processes hang, and would
/// go on to take writes when they come to.
fn hangs(view: &View, now: Moment) -> bool {
    let patience = margin(view) / 3;
    let immediate = running_stop(view).is_some_and(|mode| severity(mode) >= severity(StopMode::Immediate));
    immediate && view.job.as_ref().is_some_and(|job| now.since(job.since) >= patience)
}

fn running_stop(view: &View) -> Option<StopMode> {
    view.job.as_ref().filter(|job| job.kind == JobKind::Stop)?;
    Some(view.facts.stop_mode.unwrap_or(StopMode::Fast { checkpoint: false }))
}

/// A stop is only ever replaced by a more severe one.
fn severity(mode: StopMode) -> u8 {
    match mode {
        StopMode::Fast { .. } => 1,
        StopMode::Immediate => 2,
        StopMode::Kill => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::{deadline, guard, knows_the_term, permit};
    use std::time::Duration;

    #[test]
    fn a_primary_serves_while_its_lease_is_certain_and_stops_before_it_is_not() {
        // Timeout 30 s: the margin is 3 s.
        let mut view = primary();
        view.dcs.reachable = false;
        view.dcs.session_until = Moment(100_000);
        assert_eq!(guard(&view, Moment(96_999)), None);
        let decision = guard(&view, Moment(97_000)).unwrap();
        assert_eq!(decision.actions, [Job::Stop { mode: StopMode::Fast { checkpoint: false } }.into()]);
        let decision = guard(&view, Moment(98_500)).unwrap();
        assert_eq!(decision.actions, [Job::Stop { mode: StopMode::Immediate }.into()]);
        // The loop wakes in time for each step.
        assert_eq!(deadline(&view, Moment(90_000)), Duration::from_secs(7));
        assert_eq!(deadline(&view, Moment(97_000)), Duration::from_millis(1500));
        assert_eq!(deadline(&view, Moment(98_500)), Duration::from_millis(1000));
    }

    #[test]
    fn a_primary_stops_at_once_when_another_node_leads() {
        let mut view = primary();
        lead_by(&mut view, "pg2");
        let decision = decide(&view, NOW);
        assert_eq!(decision.actions[0], Job::Stop { mode: StopMode::Immediate }.into());
    }

    #[test]
    fn a_promotion_under_way_is_cancelled_when_the_lease_goes() {
        let mut view = replica();
        lead_by(&mut view, "pg1");
        view.job = Some(JobView { kind: JobKind::Promote, since: NOW });
        assert_eq!(guard(&view, NOW), None);
        lead_by(&mut view, "pg2");
        assert!(guard(&view, NOW).is_some());
    }

    #[test]
    fn a_stop_that_takes_too_long_becomes_an_immediate_one_and_then_a_kill() {
        let mut view = primary();
        view.dcs.reachable = false;
        view.dcs.session_until = Moment(100_000);
        view.job = Some(JobView { kind: JobKind::Stop, since: Moment(97_000) });
        assert_eq!(guard(&view, Moment(98_000)), None);
        let decision = guard(&view, Moment(98_500)).unwrap();
        assert_eq!(decision.actions, [Job::Stop { mode: StopMode::Immediate }.into()]);
        view.facts.stop_mode = Some(StopMode::Immediate);
        view.job = Some(JobView { kind: JobKind::Stop, since: Moment(98_500) });
        assert_eq!(guard(&view, Moment(99_499)), None);
        let decision = guard(&view, Moment(99_500)).unwrap();
        assert_eq!(decision.actions, [Job::Stop { mode: StopMode::Kill }.into()]);
        view.facts.stop_mode = Some(StopMode::Kill);
        assert_eq!(guard(&view, Moment(99_900)), None);
    }

    #[test]
    fn a_stop_that_was_asked_for_does_not_wait_beyond_the_lease() {
        // Its checkpoint takes long, and meanwhile clients still write.
        let mut view = primary();
        view.stopping = true;
        view.dcs.reachable = false;
        view.dcs.session_until = Moment(NOW.0 + 1000);
        view.job = Some(JobView { kind: JobKind::Stop, since: Moment(NOW.0 - 10_000) });
        assert_eq!(decide(&view, NOW).actions, [Job::Stop { mode: StopMode::Immediate }.into()]);
    }

    #[test]
    fn the_guards_process_knows_the_end_of_a_lease_and_acts_after_the_agent_and_before_that_end() {
        let mut view = primary();
        view.dcs.session_until = Moment(100_000);
        let term = Term { quit: Moment(99_000), kill: Moment(99_500) };
        assert_eq!(permit(&view), Permit::Until(term));
        // A short session has short steps.
        view.dcs.session_timeout = 4000;
        assert_eq!(permit(&view), Permit::Until(Term { quit: Moment(99_667), kill: Moment(99_834) }));
        // With another leader the time is over.
        lead_by(&mut view, "pg2");
        assert!(matches!(permit(&view), Permit::Until(term) if term.kill < NOW));
    }

    #[test]
    fn the_guards_process_stands_aside_for_what_is_not_writable_and_in_a_pause() {
        assert_eq!(permit(&replica()), Permit::Aside);
        let mut view = primary();
        view.settings.pause = true;
        assert_eq!(permit(&view), Permit::Aside);
        let mut view = primary();
        (view.pg.process, view.pg.server) = (Process::Down, None);
        assert_eq!(permit(&view), Permit::Aside);
        // A promotion that a former life of the agent has begun may go on.
        let mut view = replica();
        lead_by(&mut view, "pg1");
        view.facts.may_be_promoting = true;
        assert!(matches!(permit(&view), Permit::Until(_)));
        // It is told before a start or a promotion begins.
        view.job = Some(JobView { kind: JobKind::StartPrimary, since: NOW });
        assert!(matches!(permit(&view), Permit::Until(_)));
        let mut view = replica();
        lead_by(&mut view, "pg1");
        view.job = Some(JobView { kind: JobKind::Promote, since: NOW });
        assert!(matches!(permit(&view), Permit::Until(_)));
    }

    #[test]
    fn the_guard_of_a_former_agent_stays_while_a_promotion_of_that_agent_could_be_under_way() {
        let mut view = replica();
        assert!(knows_the_term(&view), "pg2 leads");
        lead_by(&mut view, "pg1");
        assert!(!knows_the_term(&view), "in recovery, and the key is ours");
        view.job = Some(JobView { kind: JobKind::Promote, since: NOW });
        assert!(knows_the_term(&view), "we have told our own guard");
        let mut view = replica();
        let cluster = view.dcs.cluster.take();
        assert!(!knows_the_term(&view), "who leads is not known yet");
        (view.pg.process, view.dcs.cluster) = (Process::Down, cluster);
        assert!(knows_the_term(&view));
        let mut view = primary();
        assert!(knows_the_term(&view));
        view.dcs.cluster.as_mut().unwrap().leader.as_mut().unwrap().session = 99;
        assert!(!knows_the_term(&view), "the lease is of a former session");
    }

    #[test]
    fn what_all_members_grant_extends_the_lease_while_the_dcs_is_away_also_without_a_session() {
        let mut view = primary();
        (view.dcs.reachable, view.dcs.session_until) = (false, NOW);
        assert!(guard(&view, NOW).is_some());
        view.dcs.failsafe_until = NOW + Duration::from_secs(20);
        assert_eq!(guard(&view, NOW), None);
        assert_eq!(permit(&view), Permit::Until(Term { quit: Moment(NOW.0 + 19_000), kill: Moment(NOW.0 + 19_500) }));
        view.dcs.session = None;
        assert_eq!(guard(&view, NOW), None);
        assert!(guard(&view, NOW + Duration::from_secs(17)).is_some());
    }

    #[test]
    fn a_replica_and_a_paused_primary_are_left_alone() {
        let mut view = replica();
        view.dcs.reachable = false;
        view.dcs.session_until = Moment(0);
        assert_eq!(guard(&view, NOW), None);
        let mut view = primary();
        view.dcs.session_until = Moment(0);
        view.settings.pause = true;
        assert_eq!(guard(&view, NOW), None);
    }
}
