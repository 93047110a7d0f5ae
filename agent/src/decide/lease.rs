//! The lease: nobody is writable without one.
//!
//! Patroni demotes as soon as it cannot reach ZooKeeper for `retry_timeout`. We keep serving as long as our
//! session, and with it the leader key, cannot have ended, and stop a margin before it could have.

use std::time::Duration;

use super::{Decision, Job, JobKind, Process, StopMode, View};
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

/// Stopping begins this long before the session could end.
fn margin(view: &View) -> Duration {
    Duration::from_millis(view.dcs.session_timeout / 6).clamp(Duration::from_secs(1), Duration::from_secs(5))
}

pub(super) fn standing(view: &View, now: Moment) -> Standing {
    let leader = view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader.as_ref());
    match leader {
        Some(leader) if view.is_mine(leader) => {
            let left = now.until(view.dcs.session_until);
            if left > margin(view) {
                Standing::Held
            } else if left > margin(view) / 3 {
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
    if !writable(view) || !matches!(standing(view, now), Standing::Held | Standing::Ending) {
        return Duration::MAX;
    }
    let left = now.until(view.dcs.session_until);
    left.saturating_sub(margin(view)).max(Duration::from_millis(100))
}

fn writable(view: &View) -> bool {
    let promoting = view.job.as_ref().is_some_and(|job| matches!(job.kind, JobKind::Promote | JobKind::StartPrimary));
    (view.pg.process == Process::Up && view.pg.is_primary()) || promoting
}

/// Stops a PostgreSQL that is or may become writable without a lease.
pub(super) fn guard(view: &View, now: Moment) -> Option<Decision> {
    if view.settings.pause || !writable(view) {
        return None;
    }
    let stop = |mode, why: &str| Some(Decision::act(why, Job::Stop { mode }));
    let stopping = view.job.as_ref().filter(|job| job.kind == JobKind::Stop);
    match standing(view, now) {
        Standing::Held | Standing::Free => None,
        _ if stopping.is_some() && !escalate(view, now) => None,
        Standing::Ending => {
            stop(StopMode::Fast { checkpoint: false }, "ZooKeeper is away and the lease will end: demoting")
        }
        Standing::Over => stop(StopMode::Immediate, "the lease may be over: demoting at once"),
        Standing::Others => stop(StopMode::Immediate, "another node holds the lease: demoting at once"),
    }
}

/// A clean stop that has not ended by the time the lease is nearly over, is made an immediate one.
fn escalate(view: &View, now: Moment) -> bool {
    let late = view.job.as_ref().is_some_and(|job| now.since(job.since) > Duration::from_millis(500));
    late && standing(view, now) == Standing::Over && !view.facts.immediate_stop
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::{deadline, guard};
    use std::time::Duration;

    #[test]
    fn a_primary_serves_while_its_lease_is_certain_and_stops_before_it_is_not() {
        // Timeout 30 s: the margin is 5 s.
        let mut view = primary();
        view.dcs.reachable = false;
        view.dcs.session_until = Moment(100_000);
        assert_eq!(guard(&view, Moment(94_000)), None);
        let decision = guard(&view, Moment(95_000)).unwrap();
        assert_eq!(decision.actions, [Job::Stop { mode: StopMode::Fast { checkpoint: false } }.into()]);
        let decision = guard(&view, Moment(99_000)).unwrap();
        assert_eq!(decision.actions, [Job::Stop { mode: StopMode::Immediate }.into()]);
        // The loop wakes in time for it.
        assert_eq!(deadline(&view, Moment(90_000)), Duration::from_secs(5));
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
    fn a_clean_stop_that_takes_too_long_becomes_an_immediate_one() {
        let mut view = primary();
        view.dcs.reachable = false;
        view.dcs.session_until = Moment(100_000);
        view.job = Some(JobView { kind: JobKind::Stop, since: Moment(95_000) });
        assert_eq!(guard(&view, Moment(96_000)), None);
        let decision = guard(&view, Moment(99_000)).unwrap();
        assert_eq!(decision.actions, [Job::Stop { mode: StopMode::Immediate }.into()]);
        view.facts.immediate_stop = true;
        assert_eq!(guard(&view, Moment(99_500)), None);
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
