//! There is no leader: who takes the lease.

mod ballot;
mod fitness;

use std::time::Duration;

use super::{Action, Decision, Job, Peers, Server, StopMode, View, Write, failsafe};
use crate::clock::Moment;
use crate::cluster::Cluster;
use ballot::Verdict;
pub(super) use fitness::{is_overtaken, may_lead_by_sync_key};

/// Answers of peers count for this long after they were asked for; a silent peer takes 2 s of it.
const ANSWERS_COUNT: Duration = Duration::from_secs(3);
/// Whoever does not take the lease looks again after this time.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) fn without_leader(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Decision {
    if let Some(reason) = fitness::unfit(view, cluster, server, now) {
        if !server.in_recovery {
            let status = format!("no leader, and this primary may not lead ({reason}): demoting");
            return Decision::act(status, Job::Stop { mode: StopMode::Fast { checkpoint: false } });
        }
        return Decision::wait(format!("no leader; not racing: {reason}")).recheck(AGAIN);
    }
    if !server.in_recovery {
        return Decision::act("no leader: a running primary takes the lease", Write::acquire(cluster));
    }
    // What was observed before the leader went may be older than what was received from it.
    if view.facts.leaderless_since.is_some_and(|since| view.pg.observed < since) {
        return Decision::wait("no leader: looking at our own position first").recheck(Duration::ZERO);
    }
    let mut peers: Vec<_> =
        ballot::rivals(view, cluster, now).map(|member| (member.name.clone(), member.data.api_url.clone())).collect();
    peers.extend(failsafe::absent(view, cluster));
    let none = Peers::default();
    let answers = match &view.peers {
        _ if peers.is_empty() => &none,
        Some(answers) if count_still(view, answers, &peers, now) => answers,
        _ => return Decision::act("no leader: asking the peers how far they are", Action::AskPeers(peers)),
    };
    let asked = |name: &&String| peers.iter().any(|(peer, _)| peer == *name);
    let answered = answers.answers.iter().filter(|(name, _)| asked(name));
    let known: Vec<_> = answered.filter_map(|(name, peer)| Some((name.as_str(), peer.as_ref()?))).collect();
    match ballot::count(view, cluster, server, &known, now) {
        Verdict::Lead(why) => {
            let position = server.position();
            Decision::act(format!("no leader; {why} at {position}: taking the lease"), Write::acquire(cluster))
        }
        Verdict::Defer(why) => Decision::wait(format!("no leader; not taking the lease: {why}")).recheck(AGAIN),
    }
}

/// Another took the lease while this node was still asking its peers: why this node would have left it to them.
pub fn outrun(view: &View, now: Moment) -> Option<String> {
    let (cluster, server) = (view.dcs.cluster.as_ref()?, view.pg.server.as_ref()?);
    let taken = cluster.leader.as_ref().is_some_and(|leader| !view.is_mine(leader));
    if !taken || !server.in_recovery || fitness::unfit(view, cluster, server, now).is_some() {
        return None;
    }
    let answers = view.peers.as_ref()?.answers.iter();
    let known: Vec<_> = answers.filter_map(|(name, peer)| Some((name.as_str(), peer.as_ref()?))).collect();
    // Whoever leads now is not the one who left.
    let mut before = view.clone();
    before.facts.last_leader = None;
    match ballot::count(&before, cluster, server, &known, now) {
        Verdict::Defer(why) => Some(why),
        Verdict::Lead(_) => None,
    }
}

/// They are fresh, were given after the leader went, and nobody is missing.
fn count_still(view: &View, answers: &Peers, peers: &[(String, String)], now: Moment) -> bool {
    now.since(answers.asked) < ANSWERS_COUNT
        && view.facts.leaderless_since.is_none_or(|since| answers.asked >= since)
        && peers.iter().all(|(name, _)| answers.answers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use crate::cluster::{Failover, History, Lsn, Sync, Versioned};
    use crate::config::SyncMode;

    /// pg1, a replica of a leader pg2 that has just gone, in synchronous mode.
    fn orphan() -> View {
        let mut view = replica();
        view.dcs.cluster.as_mut().unwrap().leader = None;
        set_sync(&mut view, Sync::new("pg2", ["pg1".into()]));
        view
    }

    fn acquire() -> Action {
        Write::AcquireLeader { sync: Some(0) }.into()
    }

    fn answer(view: &mut View, name: &str, peer: Option<Peer>) {
        let peers = view.peers.get_or_insert_with(|| Peers { asked: NOW, ..Default::default() });
        peers.answers.insert(name.into(), peer);
    }

    fn peer(position: u64) -> Peer {
        Peer { position: Some(Lsn(position)), may_lead: true, priority: 1, ..Default::default() }
    }

    #[test]
    fn a_sync_standby_asks_and_then_takes_the_lease_when_the_leader_is_silent() {
        let mut view = orphan();
        let ask = Action::AskPeers(vec![("pg2".into(), "http://127.0.1.2:8008/patroni".into())]);
        assert_eq!(first(&view), ask);
        answer(&mut view, "pg2", None);
        assert_eq!(first(&view), acquire());
        // Answers age.
        view.peers.as_mut().unwrap().asked = crate::clock::Moment(NOW.0 - 2999);
        assert_eq!(first(&view), acquire());
        view.peers.as_mut().unwrap().asked = crate::clock::Moment(NOW.0 - 3000);
        assert_eq!(first(&view), ask);
    }

    #[test]
    fn a_living_primary_and_a_peer_that_is_ahead_win() {
        let mut view = orphan();
        answer(&mut view, "pg2", Some(Peer { is_primary: true, ..peer(1) }));
        assert_eq!(wanted(&view), []);
        let mut view = orphan();
        set_sync(&mut view, Sync::default());
        answer(&mut view, "pg2", Some(peer(POSITION + 1)));
        assert_eq!(wanted(&view), []);
        // The former leader of a synchronous cluster is no better for what it never acknowledged.
        let mut view = orphan();
        answer(&mut view, "pg2", Some(peer(POSITION + 1)));
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn only_nodes_of_the_sync_key_race_and_only_those_are_asked() {
        let mut view = orphan();
        set_sync(&mut view, Sync::new("pg2", []));
        assert_eq!(wanted(&view), []);
        let mut view = orphan();
        add_member(&mut view, "pg3", "127.0.1.3");
        answer(&mut view, "pg2", None);
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn lag_tags_and_timeline_disqualify() {
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        view.settings.maximum_lag_on_failover = 10;
        set_optime(&mut view, POSITION + 10);
        assert_eq!(first(&view), acquire());
        set_optime(&mut view, POSITION + 11);
        assert_eq!(wanted(&view), []);
        // It took over, and was stopped before it was promoted: nobody else may lead, and nothing acknowledged is lost.
        let mut alone = view.clone();
        set_sync(&mut alone, Sync::new("pg1", []));
        assert_eq!(first(&alone), acquire());
        alone.settings.sync_mode = SyncMode::Off;
        assert_eq!(wanted(&alone), []);
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        view.me.tags.insert("nofailover".into(), true.into());
        assert_eq!(wanted(&view), []);
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        view.settings.check_timeline = true;
        let history = History::parse(br#"[[1,100,"x"]]"#);
        view.dcs.cluster.as_mut().unwrap().history = Some(Versioned { value: history, version: 0 });
        assert_eq!(wanted(&view), []);
        set_sync(&mut view, Sync::new("pg1", []));
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn a_peer_that_may_not_lead_for_its_timeline_is_not_waited_for() {
        let mut view = orphan();
        let cluster = view.dcs.cluster.as_mut().unwrap();
        (cluster.sync, view.settings.check_timeline) = (None, true);
        let history = History::parse(br#"[[1,100,"x"]]"#);
        cluster.history = Some(Versioned { value: history, version: 0 });
        view.pg.server.as_mut().unwrap().timeline = 2;
        answer(&mut view, "pg2", Some(Peer { timeline: Some(2), ..peer(POSITION + 1) }));
        assert_eq!(wanted(&view), []);
        answer(&mut view, "pg2", Some(Peer { timeline: Some(1), ..peer(POSITION + 1) }));
        assert_eq!(first(&view), Write::AcquireLeader { sync: None }.into());
    }

    #[test]
    fn a_node_whose_promotion_failed_leaves_the_race_to_others_for_the_time_of_a_lease() {
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        fail(&mut view, JobKind::Promote);
        assert_eq!(wanted(&view), []);
        view.facts.failure.as_mut().unwrap().at = crate::clock::Moment(NOW.0 - 29_999);
        assert_eq!(wanted(&view), []);
        view.facts.failure.as_mut().unwrap().at = crate::clock::Moment(NOW.0 - 30_000);
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn without_the_watchdog_that_it_needs_a_node_does_not_race() {
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        view.watchdog.unusable = true;
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn equal_positions_are_decided_by_priority() {
        let mut view = orphan();
        set_sync(&mut view, Sync::default());
        answer(&mut view, "pg2", Some(Peer { priority: 2, ..peer(POSITION) }));
        assert_eq!(wanted(&view), []);
        view.me.tags.insert("failover_priority".into(), 2.into());
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn a_switchover_names_who_may_and_who_may_not() {
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        let mut ask = |failover: Failover| {
            view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 0 });
            wanted(&view)
        };
        assert_eq!(ask(Failover { leader: Some("pg1".into()), ..Default::default() }), []);
        let to_me = Failover { leader: Some("pg2".into()), candidate: Some("pg1".into()), scheduled_at: None };
        assert_eq!(ask(to_me), [acquire()]);
    }

    #[test]
    fn a_switchover_that_nobody_takes_up_does_not_leave_the_cluster_without_a_leader() {
        // Only the former leader is synchronous, and the request names it as the one to leave.
        let mut view = orphan();
        set_sync(&mut view, Sync::new("pg1", []));
        let failover = Failover { leader: Some("pg1".into()), ..Default::default() };
        view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 0 });
        view.facts.leaderless_since = Some(crate::clock::Moment(NOW.0 - 9_999));
        assert_eq!(wanted(&view), []);
        view.facts.leaderless_since = Some(crate::clock::Moment(NOW.0 - 10_000));
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn the_own_position_is_looked_at_after_the_leader_went() {
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        view.facts.leaderless_since = Some(NOW);
        view.pg.observed = crate::clock::Moment(NOW.0 - 1);
        assert_eq!(wanted(&view), []);
        view.pg.observed = NOW;
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn a_running_primary_takes_a_free_lease_unless_the_cluster_went_on_without_it() {
        let mut view = primary();
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(first(&view), acquire());
        let history = History::parse(br#"[[1,100,"x"]]"#);
        view.dcs.cluster.as_mut().unwrap().history = Some(Versioned { value: history, version: 0 });
        assert!(matches!(first(&view), Action::Run(Job::Stop { .. })));
        let mut view = primary();
        view.dcs.cluster.as_mut().unwrap().leader = None;
        set_sync(&mut view, Sync::new("pg2", []));
        assert!(matches!(first(&view), Action::Run(Job::Stop { .. })));
    }

    /// pg1 and pg3 have the votes beside pg2, the leader that has gone; one is needed beside one's own.
    fn quorum() -> View {
        let mut view = orphan();
        view.settings.sync_mode = SyncMode::Quorum { strict: false };
        add_member(&mut view, "pg3", "127.0.1.3");
        set_sync(&mut view, Sync { quorum: 1, ..Sync::new("pg2", ["pg1".into(), "pg3".into()]) });
        answer(&mut view, "pg2", None);
        answer(&mut view, "pg3", None);
        view
    }

    #[test]
    fn in_quorum_mode_votes_of_nodes_that_are_not_ahead_decide() {
        let mut view = quorum();
        assert_eq!(wanted(&view), []);
        assert!(decide(&view, NOW).status.contains("0 of 1 quorum votes"));
        answer(&mut view, "pg3", Some(peer(POSITION)));
        assert_eq!(first(&view), acquire());
        assert!(decide(&view, NOW).status.contains("Got quorum vote from pg3"));
        answer(&mut view, "pg3", Some(peer(POSITION + 1)));
        assert_eq!(wanted(&view), []);
        // Even one that may not lead can tell that this node lacks something, or that it does not.
        answer(&mut view, "pg3", Some(Peer { may_lead: false, ..peer(POSITION + 1) }));
        assert_eq!(wanted(&view), []);
        answer(&mut view, "pg3", Some(Peer { may_lead: false, ..peer(POSITION) }));
        assert_eq!(first(&view), acquire());
        // PostgreSQL on it does not answer.
        answer(&mut view, "pg3", Some(Peer { position: None, ..peer(0) }));
        assert_eq!(wanted(&view), []);
        // The former leader has a vote, too; that it is ahead is no merit.
        answer(&mut view, "pg2", Some(peer(POSITION)));
        assert_eq!(first(&view), acquire());
        answer(&mut view, "pg2", Some(peer(POSITION + 1)));
        assert_eq!(wanted(&view), []);
        answer(&mut view, "pg3", Some(peer(POSITION)));
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn a_node_without_a_vote_of_its_own_needs_one_more() {
        let mut view = quorum();
        set_sync(&mut view, Sync { quorum: 1, ..Sync::new("pg2", ["pg3".into(), "pg4".into()]) });
        add_member(&mut view, "pg4", "127.0.1.4");
        answer(&mut view, "pg4", None);
        answer(&mut view, "pg3", Some(peer(POSITION)));
        assert_eq!(wanted(&view), []);
        answer(&mut view, "pg4", Some(peer(POSITION)));
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn the_mode_need_not_be_quorum_any_more_for_a_key_that_asks_for_votes() {
        let mut view = quorum();
        view.settings.sync_mode = SyncMode::On { strict: false };
        assert_eq!(wanted(&view), []);
        answer(&mut view, "pg3", Some(peer(POSITION)));
        assert_eq!(first(&view), acquire());
        // Switched off, the key has no say.
        let mut view = quorum();
        view.settings.sync_mode = SyncMode::Off;
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn the_leader_that_wrote_the_key_needs_no_votes() {
        let mut view = quorum();
        set_sync(&mut view, Sync { quorum: 1, ..Sync::new("pg1", ["pg2".into(), "pg3".into()]) });
        assert_eq!(first(&view), acquire());
        answer(&mut view, "pg3", Some(peer(POSITION + 1)));
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_voter_on_a_newer_timeline_is_not_outvoted_by_a_longer_wal_of_the_old_one() {
        let mut view = quorum();
        answer(&mut view, "pg3", Some(Peer { timeline: Some(2), ..peer(POSITION - 1) }));
        assert_eq!(wanted(&view), []);
        assert!(decide(&view, NOW).status.contains("pg3 is on timeline 2, this node on 1"));
    }

    #[test]
    fn a_switchover_to_this_node_needs_votes_and_a_failover_by_hand_does_not() {
        let mut view = quorum();
        let mut ask = |leader: Option<&str>| {
            let failover =
                Failover { leader: leader.map(Into::into), candidate: Some("pg1".into()), scheduled_at: None };
            view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 0 });
            wanted(&view)
        };
        assert_eq!((ask(Some("pg2")), ask(None)), (vec![], vec![acquire()]));
        answer(&mut view, "pg3", Some(Peer { priority: 9, ..peer(POSITION) }));
        let failover = Failover { leader: Some("pg2".into()), candidate: Some("pg1".into()), scheduled_at: None };
        view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 0 });
        assert_eq!(first(&view), acquire());
    }

    #[test]
    fn answers_that_come_too_late_still_tell_why() {
        let mut view = replica();
        set_sync(&mut view, Sync::default());
        view.facts.last_leader = Some("pg2".into());
        assert_eq!(outrun(&view, NOW), None);
        answer(&mut view, "pg2", Some(Peer { priority: 2, ..peer(POSITION) }));
        let told = "pg2 has equally tolerable WAL position and priority 2, while this node has priority 1";
        assert_eq!(outrun(&view, NOW).as_deref(), Some(told));
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(outrun(&view, NOW), None);
    }

    #[test]
    fn the_priority_of_a_leader_that_has_just_failed_does_not_count() {
        let mut view = orphan();
        set_sync(&mut view, Sync::default());
        answer(&mut view, "pg2", Some(Peer { priority: 2, ..peer(POSITION) }));
        assert_eq!(wanted(&view), []);
        view.facts.last_leader = Some("pg2".into());
        assert_eq!(first(&view), acquire());
        answer(&mut view, "pg2", Some(Peer { priority: 2, ..peer(POSITION + 1) }));
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_primary_that_the_key_does_not_know_takes_no_free_lease_in_quorum_mode_either() {
        let mut view = primary();
        view.settings.sync_mode = SyncMode::Quorum { strict: false };
        view.dcs.cluster.as_mut().unwrap().leader = None;
        set_sync(&mut view, Sync { quorum: 1, ..Sync::new("pg2", ["pg3".into(), "pg4".into()]) });
        assert!(matches!(first(&view), Action::Run(Job::Stop { .. })));
    }
}
