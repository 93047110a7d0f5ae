//! Maintenance (`pause`): nothing is started, stopped or promoted by itself. A running primary keeps or takes
//! the lease, a standby goes on following; what people ask for explicitly is done.

use super::{Action, race, standby};
use super::{
    DataDir, Decision, Process, Server, View, Write, bootstrap, failover, final_status, follow, lead, recover,
};
use crate::clock::Moment;
use crate::cluster::{Cluster, Failover, LeaderKey};

pub(super) fn paused(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    let mine = cluster.leader.as_ref().filter(|leader| view.is_mine(leader));
    if let Some(decision) = foreign_data(view, cluster, mine) {
        return decision;
    }
    match (view.pg.process, &view.pg.server) {
        (Process::Down, _) => down(view, cluster, mine, now),
        (Process::Up, None) => Decision::wait("paused"),
        (Process::Up, Some(server)) => match &cluster.leader {
            None => without_leader(view, cluster, server, now),
            Some(leader) if view.is_mine(leader) => with_lease(view, cluster, server, now),
            Some(leader) if leader.name == view.me.name && !server.in_recovery => {
                Decision::act("paused: the leader key is mine from before; taking it over", Write::reclaim(cluster))
            }
            Some(_) if !server.in_recovery => Decision::wait("paused: continue to run as primary without lock"),
            Some(_) => follow::other_leader_in_pause(view, cluster, server, now),
        },
    }
}

/// The data directory was replaced by another cluster's: nothing of it may be published as ours.
fn foreign_data(view: &View, cluster: &Cluster, mine: Option<&LeaderKey>) -> Option<Decision> {
    let theirs = cluster.initialize.as_ref().and_then(|initialize| initialize.system_identifier())?;
    let ours = view.pg.data.system_identifier()?;
    let status = format!(
        "system ID has changed while in paused mode. The agent will exit when resuming unless system ID is reset: \
         {theirs} != {ours}"
    );
    (ours != theirs).then(|| match mine {
        Some(_) => Decision::act(status, Write::ReleaseLeader),
        None => Decision::wait(status),
    })
}

/// Nothing is started, unless we have stopped it ourselves: for a handover, or to make a new copy.
fn down(view: &View, cluster: &Cluster, mine: Option<&LeaderKey>, now: Moment) -> Decision {
    if mine.is_some() {
        let mut decision = Decision::wait("paused: removed leader lock because postgres is not running");
        decision.actions.extend(final_status(view, cluster).map(Action::Write));
        return decision.then(Write::ReleaseLeader);
    }
    let led_by_another = cluster.leader.as_ref().is_some_and(|leader| leader.name != view.me.name);
    if view.asked.reinitialize.is_some() && led_by_another {
        return match &view.pg.data {
            DataDir::Present { .. } => recover::down(view, cluster, now),
            _ => bootstrap::data_directory(view, cluster, now).unwrap_or_else(|| Decision::wait("paused")),
        };
    }
    match view.facts.handed_over {
        true if led_by_another => match &view.pg.data {
            DataDir::Rewinding { .. } => recover::half_rewound(view, cluster, now),
            _ => recover::down(view, cluster, now),
        },
        // The candidate has not taken over (yet).
        true => Decision::wait("paused: postgres is not running").recheck(view.settings.loop_wait),
        false => Decision::wait("paused: postgres is not running"),
    }
}

/// Only a primary, or who was named, takes a free lease; who was named like anybody in a race, since it may lack what
/// others have. A primary without which the cluster has gone on does not, even if it is named: it lacks what was
/// acknowledged since. (Patroni lets it.)
fn without_leader(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Decision {
    let candidate = cluster.failover().and_then(|failover| failover.candidate.as_deref());
    if !server.in_recovery && race::is_overtaken(cluster, server) {
        return match candidate {
            Some(name) if name == view.me.name => failover::clear(cluster, "the cluster has gone on without this node"),
            _ => Decision::wait("paused: continue to run as primary without lock: the cluster has gone on without it"),
        };
    }
    match candidate {
        Some(name) if name == view.me.name && server.in_recovery => race::without_leader(view, cluster, server, now),
        Some(name) if name == view.me.name => {
            Decision::act("paused: taking the lease as the candidate of a switchover", Write::acquire(cluster))
        }
        Some(name) if !server.in_recovery && !cluster.members.contains_key(name) => {
            failover::clear(cluster, "the candidate is not running")
        }
        None if !server.in_recovery && cluster.failover().is_none() && initialised(cluster) => {
            Decision::act("paused: a running primary takes the free lease", Write::acquire(cluster))
        }
        _ => Decision::wait("paused: no leader"),
    }
}

fn initialised(cluster: &Cluster) -> bool {
    cluster.initialize.as_ref().is_some_and(|initialize| initialize.system_identifier().is_some())
}

fn with_lease(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Decision {
    let named = |failover: &Failover| failover.candidate.as_ref() == Some(&view.me.name);
    if server.in_recovery && view.settings.standby_cluster.is_some() {
        return failover::requested(view, cluster, server, now)
            .unwrap_or_else(|| standby::upkeep(view, cluster, server));
    }
    if server.in_recovery {
        if cluster.failover().is_some_and(named) && race::may_lead_by_sync_key(view, cluster) {
            return lead::promote(view, cluster, server);
        }
        return Decision::act(
            "paused: removed leader lock because postgres is not running as primary",
            Write::ReleaseLeader,
        );
    }
    if let Some(decision) = failover::requested(view, cluster, server, now) {
        return decision;
    }
    lead::upkeep(view, cluster, server, "paused: primary with the lease")
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use crate::cluster::{Failover, Lsn, Sync, Versioned};

    fn paused(mut view: View) -> View {
        view.settings.pause = true;
        view
    }

    fn ask(view: &mut View, leader: &str, candidate: Option<&str>) {
        let failover =
            Failover { leader: Some(leader.into()), candidate: candidate.map(Into::into), ..Default::default() };
        view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 4 });
    }

    fn down(mut view: View) -> View {
        (view.pg.process, view.pg.server, view.pg.role) = (Process::Down, None, Role::Demoted);
        view.pg.control = Some(Control { state: ControlState::ShutDown, timeline: 1, ..Default::default() });
        view
    }

    #[test]
    fn nothing_is_started_or_promoted_by_itself() {
        let mut view = paused(down(replica()));
        assert_eq!(wanted(&view), []);
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(wanted(&view), []);
        let mut view = paused(replica());
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_primary_takes_a_free_lease_and_one_without_it_goes_on() {
        let mut view = paused(primary());
        lead_by(&mut view, "pg2");
        assert_eq!(wanted(&view), []);
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert!(matches!(first(&view), Action::Write(Write::AcquireLeader { .. })));
    }

    #[test]
    fn a_leader_that_is_down_or_no_primary_gives_the_lease_back() {
        assert_eq!(wanted(&paused(down(primary()))).last(), Some(&Write::ReleaseLeader.into()));
        let mut view = paused(replica());
        lead_by(&mut view, "pg1");
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn a_switchover_needs_a_candidate_and_the_candidate_promotes() {
        let mut view = paused(primary());
        ask(&mut view, "pg1", None);
        assert_eq!(first(&view), Write::Failover { failover: Failover::default(), version: Some(4) }.into());
        ask(&mut view, "pg1", Some("pg2"));
        assert!(matches!(first(&view), Action::AskPeers(_)));

        let mut view = paused(replica());
        ask(&mut view, "pg2", Some("pg1"));
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert!(matches!(first(&view), Action::Write(Write::AcquireLeader { .. })));
        lead_by(&mut view, "pg1");
        set_sync(&mut view, Sync::new("pg1", []));
        // The request stays until we are a primary: it is what tells this from a lease that we should not have.
        assert_eq!(wanted(&view), [Job::Promote.into()]);
    }

    #[test]
    fn a_candidate_needs_the_sync_key_or_its_votes_as_in_any_race() {
        let mut view = paused(replica());
        ask(&mut view, "pg2", Some("pg1"));
        view.dcs.cluster.as_mut().unwrap().leader = None;
        set_sync(&mut view, Sync::new("pg2", []));
        assert_eq!(wanted(&view), []);
        view.settings.sync_mode = crate::config::SyncMode::Quorum { strict: false };
        add_member(&mut view, "pg3", "127.0.1.3");
        let sync = Sync { quorum: 1, ..Sync::new("pg2", ["pg1".into(), "pg3".into()]) };
        set_sync(&mut view, sync);
        let answer = |position| Some(Peer { position: Some(Lsn(position)), may_lead: true, ..Peer::default() });
        let answers = |peer| Peers { asked: NOW, answers: [("pg3".to_string(), peer)].into_iter().collect() };
        view.peers = Some(answers(None));
        assert_eq!(wanted(&view), []);
        view.peers = Some(answers(answer(1)));
        assert!(matches!(first(&view), Action::Write(Write::AcquireLeader { .. })));
    }

    #[test]
    fn a_former_leader_that_has_handed_over_is_started_again() {
        let mut view = paused(down(primary()));
        lead_by(&mut view, "pg2");
        assert_eq!(wanted(&view), []);
        view.facts.handed_over = true;
        assert!(matches!(first(&view), Action::ReadLeaderTimeline(_)));
    }

    #[test]
    fn data_of_another_cluster_gives_the_lease_back() {
        let mut view = paused(primary());
        view.pg.data = DataDir::Present { system_identifier: 1 };
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn a_primary_that_the_cluster_has_gone_on_without_takes_no_free_lease_even_if_it_is_named() {
        let mut view = primary();
        view.settings.pause = true;
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert!(matches!(first(&view), Action::Write(Write::AcquireLeader { .. })));
        let history = crate::cluster::History::parse(br#"[[1,100,"x"]]"#);
        view.dcs.cluster.as_mut().unwrap().history = Some(Versioned { value: history, version: 0 });
        assert_eq!(wanted(&view), []);
        let failover = Failover { leader: Some("pg2".into()), candidate: Some("pg1".into()), scheduled_at: None };
        view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 3 });
        assert!(matches!(wanted(&view)[..], [Action::Write(Write::Failover { version: Some(3), .. })]));
    }
}
