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
    if view.settings.pause || !writable(view) {
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
    let (mode, why) = match standing(view, now) {
        Standing::Held | Standing::Free => return None,
        Standing::Ending => {
            (StopMode::Fast { checkpoint: false }, "ZooKeeper is away and the lease will end: demoting")
        }
        _ if hangs(view, now) => (StopMode::Kill, "PostgreSQL does not stop, and the lease may be over: killing it"),
        Standing::Over => (StopMode::Immediate, "the lease may be over: demoting at once"),
        Standing::Others => (StopMode::Immediate, "another node holds the lease: demoting at once"),
    };
    (severity(mode) > running_stop(view).map_or(0, severity)).then(|| Decision::act(why, Job::Stop { mode }))
}

/// An immediate stop that has been under way for longer than any should take: its processes hang, and would
/// go on to take writes when they come to.
fn hangs(view: &View, now: Moment) -> bool {
    let patience = (margin(view) / 6).min(Duration::from_millis(500));
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
    fn a_stop_that_takes_too_long_becomes_an_immediate_one_and_then_a_kill() {
        let mut view = primary();
        view.dcs.reachable = false;
        view.dcs.session_until = Moment(100_000);
        view.job = Some(JobView { kind: JobKind::Stop, since: Moment(95_000) });
        assert_eq!(guard(&view, Moment(96_000)), None);
        let decision = guard(&view, Moment(99_000)).unwrap();
        assert_eq!(decision.actions, [Job::Stop { mode: StopMode::Immediate }.into()]);
        view.facts.stop_mode = Some(StopMode::Immediate);
        view.job = Some(JobView { kind: JobKind::Stop, since: Moment(99_000) });
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
