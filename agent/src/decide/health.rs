//! Whether PostgreSQL is alive: a lease is for a database that serves, not for an agent that runs.
//!
//! Two signs, both for longer than any load or checkpoint explains, and short enough that the whole is over within
//! ttl: a question by SQL has had no answer at all (an error is an answer), or somebody has been waiting for WAL to
//! reach the disk while none has reached it.

use std::time::Duration;

use super::{JobKind, Process, View};
use crate::clock::Moment;

/// How long silence is taken for slowness: three quarters of a lease. Questions are asked every fifteenth of it, so
/// that PostgreSQL is ended and the lease given up long before ttl is over.
pub(super) fn patience(view: &View) -> Duration {
    let lease = match view.dcs.session_timeout {
        0 => view.settings.ttl,
        negotiated => Duration::from_millis(negotiated),
    };
    lease * 3 / 4
}

/// Why PostgreSQL must be taken to hang.
pub(super) fn hung(view: &View, now: Moment) -> Option<&'static str> {
    let for_long = |since: Option<Moment>| since.is_some_and(|since| now.since(since) >= patience(view));
    if view.pg.process == Process::Down {
        return None;
    }
    if for_long(view.pg.silent_since) {
        return Some("PostgreSQL hangs: it has not answered for too long. Killing it");
    }
    // A stop writes much and is given its time.
    let stops = view.job.as_ref().is_some_and(|job| job.kind == JobKind::Stop);
    if !stops && for_long(view.pg.wal_stuck_since) {
        return Some("PostgreSQL hangs: its WAL has not reached the disk for too long. Killing it");
    }
    None
}

/// When [`hung`] must be asked again at the latest.
pub(super) fn deadline(view: &View, now: Moment) -> Duration {
    let since = view.pg.silent_since.into_iter().chain(view.pg.wal_stuck_since);
    since.map(|since| patience(view).saturating_sub(now.since(since))).min().unwrap_or(Duration::MAX)
}

/// It was killed because it hung, and has not run since.
pub(super) fn was_killed(view: &View) -> bool {
    view.facts.stop_mode == Some(super::StopMode::Kill) && view.pg.crashed
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use std::time::Duration;

    fn ago(seconds: u64) -> Option<Moment> {
        Some(Moment(NOW.0 - seconds * 1000))
    }

    #[test]
    fn a_primary_that_does_not_answer_is_killed_and_a_slow_one_is_not() {
        // Timeout 30 s: 22.5 s.
        let mut view = primary();
        view.pg.silent_since = ago(22);
        assert_eq!(guard(&view, NOW), None);
        view.pg.silent_since = ago(23);
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Kill }.into());
        view.settings.pause = true;
        assert_eq!(guard(&view, NOW), None);
    }

    #[test]
    fn a_primary_whose_wal_does_not_reach_the_disk_is_killed_but_not_while_it_stops() {
        let mut view = primary();
        view.pg.wal_stuck_since = ago(23);
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Kill }.into());
        view.job = Some(JobView { kind: JobKind::Stop, since: NOW });
        assert_eq!(guard(&view, NOW), None);
        view.pg.silent_since = ago(23);
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Kill }.into());
    }

    #[test]
    fn a_replica_that_hangs_is_left_alone() {
        let mut view = replica();
        view.pg.silent_since = ago(60);
        assert_eq!(guard(&view, NOW), None);
    }

    #[test]
    fn after_a_kill_the_lease_goes_to_a_node_that_can_lead_and_else_it_starts_again() {
        let mut view = primary();
        (view.pg.process, view.pg.server, view.pg.crashed) = (Process::Down, None, true);
        view.facts.stop_mode = Some(StopMode::Kill);
        view.pg.control = Some(Control { state: ControlState::Unclean, timeline: 1, ..Default::default() });
        assert_eq!(first(&view), Write::ReleaseLeader.into());
        view.dcs.cluster.as_mut().unwrap().members.shift_remove("pg2");
        assert_eq!(first(&view), Job::Start(StartAs::Primary).into());
    }

    #[test]
    fn processes_that_not_even_sigkill_ends_do_not_keep_the_lease() {
        let mut view = primary();
        view.facts.stop_mode = Some(StopMode::Kill);
        view.job = Some(JobView { kind: JobKind::Stop, since: Moment(NOW.0 - 999) });
        assert_eq!(wanted(&view), []);
        view.job = Some(JobView { kind: JobKind::Stop, since: Moment(NOW.0 - 1000) });
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn the_patience_follows_the_negotiated_timeout() {
        let mut view = primary();
        view.dcs.session_timeout = 4000;
        assert_eq!(super::patience(&view), Duration::from_secs(3));
    }
}
