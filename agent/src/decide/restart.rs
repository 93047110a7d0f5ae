//! What this node was asked for by people: a restart, a restart at a time, a new copy of its data.

use std::time::Duration;

use super::asked::{Reinitialize, Request};
use super::{Action, DataDir, Decision, Job, StartAs, View, follow, sync};
use crate::clock::Moment;
use crate::cluster::Cluster;

/// A request whose time passed longer ago than this many loop_waits is stale.
const STALE_AFTER: f64 = 1.5;

/// The step that an open request wants; `None` if there is none, or nothing to do for it now.
pub(super) fn asked(view: &View, cluster: &Cluster, now: Moment) -> Option<Decision> {
    if let Some(request) = view.asked.reinitialize {
        return reinitialize(view, cluster, request);
    }
    if view.asked.restart.is_some() {
        return Some(restart_now(view, cluster, now));
    }
    scheduled(view)
}

/// How long until a request's time comes.
pub(super) fn due_within(view: &View) -> Option<Duration> {
    let plan = view.asked.scheduled_restart.as_ref().filter(|_| !view.settings.pause)?;
    Some(Duration::from_secs(u64::try_from(plan.at - view.wall).unwrap_or(0)))
}

/// The old data goes as soon as there is somebody to copy from; the rest is what any empty node does.
fn reinitialize(view: &View, cluster: &Cluster, request: Reinitialize) -> Option<Decision> {
    let leader = cluster.leader.as_ref().filter(|leader| !view.is_mine(leader) && leader.name != view.me.name);
    if leader.is_none() {
        let status = "not reinitialising: there is no other node that leads";
        return Some(Decision::act(status, Action::Forget(Request::Reinitialize)));
    }
    match view.pg.data {
        DataDir::Empty | DataDir::Unfinished => None,
        DataDir::Foreign { .. } => {
            let status = "not reinitialising: the data directory is not ours";
            Some(Decision::act(status, Action::Forget(Request::Reinitialize)))
        }
        _ if request.discarded => None,
        _ if cluster.leader_member().is_none() => Some(Decision::wait("waiting for the leader's member key")),
        _ => Some(Decision::act("reinitialising: giving up the data", Job::Discard)),
    }
}

fn restart_now(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    if let Some(decision) = sync::waits_to_leave(view, now) {
        return decision;
    }
    Decision::act("restarting PostgreSQL", Job::Restart(start_as(view, cluster)))
}

/// As what it runs, or ran last; a standby keeps its upstream.
fn start_as(view: &View, cluster: &Cluster) -> StartAs {
    let leads = cluster.leader.as_ref().is_some_and(|leader| view.is_mine(leader));
    if view.pg.is_primary() && (leads || view.settings.pause) {
        return StartAs::Primary;
    }
    let current = view.pg.server.as_ref().and_then(|server| server.upstream.clone());
    StartAs::Standby(current.or_else(|| follow::source(view, cluster, view.leader_upstream(cluster)?)))
}

fn scheduled(view: &View) -> Option<Decision> {
    let plan = view.asked.scheduled_restart.as_ref().filter(|_| !view.settings.pause)?;
    let forget = |why: &str| Some(Decision::act(why, Action::Forget(Request::ScheduledRestart)));
    let server = view.pg.server.as_ref()?;
    if plan.start_time.as_ref().is_some_and(|start| *start != server.start_time) {
        return forget("Cancelling scheduled restart: postgres restart has already happened");
    }
    let late = view.wall - plan.at;
    if late < 0 {
        return None;
    }
    if late as f64 > STALE_AFTER * view.settings.loop_wait.as_secs_f64() {
        return forget("Found a stale restart value, cleaning up");
    }
    if let Some(why) = plan.filter.excludes(view) {
        return forget(&format!("not proceeding with the restart: {why}"));
    }
    Some(Decision::act("the time of the scheduled restart has come", Action::BeginScheduledRestart))
}

#[cfg(test)]
mod tests {
    use super::super::asked::{Filter, Restart, ScheduledRestart};
    use super::super::testing::*;
    use super::super::*;
    use super::*;
    use crate::cluster::Sync;
    use serde_json::Map;

    fn asked_to_restart(mut view: View) -> View {
        view.asked.restart = Some(Restart { timeout: None });
        view.facts.leaving_since = Some(NOW);
        view
    }

    #[test]
    fn a_leader_restarts_as_a_primary_and_a_replica_with_the_upstream_that_it_has() {
        assert_eq!(first(&asked_to_restart(primary())), Job::Restart(StartAs::Primary).into());
        let mut view = asked_to_restart(replica());
        set_sync(&mut view, Sync::new("pg2", []));
        let upstream = Upstream { host: "127.0.1.2".into(), port: 5432 };
        assert_eq!(first(&view), Job::Restart(StartAs::Standby(Some(upstream))).into());
        view.pg.server.as_mut().unwrap().upstream = None;
        view.me.tags.insert("nostream".into(), true.into());
        assert_eq!(first(&view), Job::Restart(StartAs::Standby(None)).into());
    }

    #[test]
    fn a_synchronous_standby_asks_to_be_released_first_but_not_for_ever() {
        let mut view = asked_to_restart(replica());
        assert_eq!(wanted(&view), []);
        assert_eq!(member(&view).tags["nosync"], true);
        view.facts.leaving_since = Some(Moment(NOW.0 - 20_000));
        assert!(matches!(first(&view), Action::Run(Job::Restart(_))));
        // A leader is not asked to leave, and nothing is said of it where nothing is wanted.
        assert!(!member(&asked_to_restart(primary())).tags.contains_key("nosync"));
        assert!(!member(&replica()).tags.contains_key("nosync"));
    }

    fn planned(mut view: View, seconds: i64) -> View {
        view.asked.scheduled_restart = Some(ScheduledRestart {
            published: Map::new(),
            at: view.wall + seconds,
            start_time: Some(view.pg.server.as_ref().unwrap().start_time.clone()),
            filter: Filter::default(),
        });
        view
    }

    #[test]
    fn a_scheduled_restart_waits_begins_and_goes_stale() {
        let view = planned(primary(), 7);
        assert_eq!(wanted(&view), []);
        assert_eq!(decide(&view, NOW).recheck, Duration::from_secs(7));
        assert_eq!(first(&planned(primary(), 0)), Action::BeginScheduledRestart);
        assert_eq!(first(&planned(primary(), -16)), Action::Forget(Request::ScheduledRestart));
        let mut paused = planned(primary(), 0);
        paused.settings.pause = true;
        assert_eq!(wanted(&paused), []);
    }

    #[test]
    fn a_scheduled_restart_is_void_after_another_one_and_where_its_filter_excludes() {
        let mut view = planned(primary(), 0);
        view.pg.server.as_mut().unwrap().start_time = "later".into();
        assert_eq!(first(&view), Action::Forget(Request::ScheduledRestart));
        let mut view = planned(primary(), 0);
        view.asked.scheduled_restart.as_mut().unwrap().filter.role = Some("replica".into());
        assert_eq!(first(&view), Action::Forget(Request::ScheduledRestart));
        let filter = |filter: Filter| filter.excludes(&primary()).is_some();
        assert!(filter(Filter { pending_only: true, ..Filter::default() }));
        assert!(!filter(Filter { below_version: Some(150_002), ..Filter::default() }));
        assert!(filter(Filter { below_version: Some(0), ..Filter::default() }));
    }

    #[test]
    fn a_replica_gives_its_data_up_only_where_another_node_leads() {
        let ask = |mut view: View| {
            view.asked.reinitialize = Some(Reinitialize { from_leader: false, discarded: false });
            view
        };
        assert_eq!(first(&ask(replica())), Job::Discard.into());
        assert_eq!(first(&ask(primary())), Action::Forget(Request::Reinitialize));
        let mut orphan = ask(replica());
        orphan.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(first(&orphan), Action::Forget(Request::Reinitialize));
        // Also in a pause, where nothing else is begun.
        let mut paused = ask(replica());
        paused.settings.pause = true;
        assert_eq!(first(&paused), Job::Discard.into());
        (paused.pg.data, paused.pg.process, paused.pg.server) = (DataDir::Unfinished, Process::Down, None);
        assert!(matches!(first(&paused), Action::Run(Job::Clone { .. })));
        let _ = Write::ReleaseLeader;
    }
}
