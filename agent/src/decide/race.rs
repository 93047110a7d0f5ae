//! There is no leader: who takes the lease.

use std::time::Duration;

use super::{Action, Decision, Job, JobKind, Peer, Server, StopMode, View, Write, failover};
use crate::clock::Moment;
use crate::cluster::{Cluster, Failover, Lsn, Member};

/// Answers of peers count for this long after they were asked for; a silent peer takes 2 s of it.
const ANSWERS_COUNT: Duration = Duration::from_secs(3);
/// Whoever does not take the lease looks again after this time.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) fn without_leader(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Decision {
    if let Some(reason) = unfit(view, cluster, server, now) {
        if !server.in_recovery {
            let status = format!("no leader, and this primary may not lead ({reason}): demoting");
            return Decision::act(status, Job::Stop { mode: StopMode::Fast { checkpoint: false } });
        }
        return Decision::wait(format!("no leader; not racing: {reason}")).recheck(AGAIN);
    }
    if !server.in_recovery {
        return Decision::act("no leader: a running primary takes the lease", Write::AcquireLeader);
    }
    // What was observed before the leader went may be older than what was received from it.
    if view.facts.leaderless_since.is_some_and(|since| view.pg.observed < since) {
        return Decision::wait("no leader: looking at our own position first").recheck(Duration::ZERO);
    }
    let peers: Vec<_> =
        rivals(view, cluster, now).map(|member| (member.name.clone(), member.data.api_url.clone())).collect();
    let answers = match &view.peers {
        _ if peers.is_empty() => None,
        Some(answers)
            if now.since(answers.asked) < ANSWERS_COUNT
                && view.facts.leaderless_since.is_none_or(|since| answers.asked >= since)
                && peers.iter().all(|(name, _)| answers.answers.contains_key(name)) =>
        {
            Some(answers)
        }
        _ => return Decision::act("no leader: asking the peers how far they are", Action::AskPeers(peers)),
    };
    let answered = answers.iter().flat_map(|answers| &answers.answers);
    let known = answered.filter_map(|(name, peer)| Some((name.as_str(), peer.as_ref()?)));
    for (name, peer) in known {
        if let Some(reason) = better(view, cluster, server, (name, peer), now) {
            return Decision::wait(format!("no leader; not taking the lease: {reason}")).recheck(AGAIN);
        }
    }
    let position = server.position();
    let status = match peers.len() {
        0 => format!("no leader and no peer that could lead; at {position}: taking the lease"),
        _ => format!("no leader; no peer is ahead of {position}: taking the lease"),
    };
    Decision::act(status, Write::AcquireLeader)
}

/// Why this node may not take the lease, whatever its peers say.
fn unfit(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Option<String> {
    let handover = failover::in_a_race(view, cluster, now);
    if !view.may_lead() {
        return Some("following a different leader because I am not allowed to promote".into());
    }
    if view.failed(JobKind::Promote) && view.facts.failure.as_ref().is_some_and(|f| now.since(f.at) < view.settings.ttl)
    {
        let what = "backoff: skip leader race after pre_promote script failure and releasing the lock voluntarily";
        return Some(what.into());
    }
    if handover.is_some_and(|failover| failover.leader.as_deref() == Some(&view.me.name)) {
        return Some("a switchover away from this node is under way".into());
    }
    if handover.is_none() && view.watchdog.unusable {
        return Some("Watchdog device is not usable".into());
    }
    if !may_lead_by_sync_key(view, cluster) {
        return Some("not a synchronous standby".into());
    }
    if !server.in_recovery {
        let newest = cluster.history.as_ref().and_then(|history| history.value.last_timeline());
        return newest
            .is_some_and(|timeline| server.timeline <= timeline)
            .then(|| "its timeline is a former one".into());
    }
    if view.settings.check_timeline {
        let newest = cluster.history.as_ref().and_then(|history| history.value.last_timeline());
        if newest.is_some_and(|timeline| server.timeline <= timeline) {
            return Some(format!("timeline {} is a former one", server.timeline));
        }
    }
    let lag = cluster.optime().since(server.position());
    if handover.is_none() && lag > view.settings.maximum_lag_on_failover {
        return Some(format!("{lag} bytes behind the last leader, more than maximum_lag_on_failover"));
    }
    None
}

/// In synchronous mode only nodes that the sync key names may lead: the others may lack acknowledged commits.
/// A failover (not a switchover) by hand may name any node.
pub(super) fn may_lead_by_sync_key(view: &View, cluster: &Cluster) -> bool {
    let sync = cluster.sync();
    let name = &view.me.name;
    let named = |failover: &Failover| failover.leader.is_none() && failover.candidate.as_ref() == Some(name);
    !sync.is_active() || sync.names(name) || cluster.failover().is_some_and(named)
}

/// The members whose word counts: all others, in synchronous mode those that the sync key names.
fn rivals<'a>(view: &'a View, cluster: &'a Cluster, now: Moment) -> impl Iterator<Item = &'a Member> {
    let sync = cluster.sync();
    let handover = failover::in_a_race(view, cluster, now).and_then(|failover| failover.leader.clone());
    cluster.members.values().filter(move |member| {
        member.name != view.me.name
            && !member.data.api_url.is_empty()
            && (!sync.is_active() || sync.names(&member.name))
            && handover.as_deref() != Some(&member.name)
    })
}

/// Why this peer should lead rather than we.
fn better(view: &View, cluster: &Cluster, server: &Server, (name, peer): (&str, &Peer), now: Moment) -> Option<String> {
    let position: Lsn = peer.position?;
    if !peer.may_lead {
        return None;
    }
    if peer.is_primary {
        return Some(format!("{name} is still a primary"));
    }
    let candidate = failover::in_a_race(view, cluster, now).and_then(|failover| failover.candidate.as_deref());
    if candidate == Some(&view.me.name) {
        return None;
    }
    if candidate == Some(name) {
        return Some(format!("{name} was named to take over"));
    }
    // In synchronous mode the former leader may have WAL that was never acknowledged; that is no merit.
    if cluster.sync().is_leader(name) {
        return None;
    }
    if position > server.position() {
        return Some(format!("Wal position of {name} is ahead of my wal position"));
    }
    let mine = crate::cluster::MemberData { tags: view.me.tags.clone(), ..Default::default() }.failover_priority();
    (position == server.position() && peer.priority > mine).then(|| {
        format!(
            "{name} has equally tolerable WAL position and priority {}, while this node has priority {mine}",
            peer.priority
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use crate::cluster::{Failover, History, Lsn, Sync, Versioned};

    /// pg1, a replica of a leader pg2 that has just gone, in synchronous mode.
    fn orphan() -> View {
        let mut view = replica();
        view.dcs.cluster.as_mut().unwrap().leader = None;
        set_sync(&mut view, Sync::new("pg2", ["pg1".into()]));
        view
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
        assert_eq!(first(&view), Write::AcquireLeader.into());
        // Answers age.
        view.peers.as_mut().unwrap().asked = crate::clock::Moment(NOW.0 - 2999);
        assert_eq!(first(&view), Write::AcquireLeader.into());
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
        assert_eq!(first(&view), Write::AcquireLeader.into());
    }

    #[test]
    fn only_nodes_of_the_sync_key_race_and_only_those_are_asked() {
        let mut view = orphan();
        set_sync(&mut view, Sync::new("pg2", []));
        assert_eq!(wanted(&view), []);
        let mut view = orphan();
        add_member(&mut view, "pg3", "127.0.1.3");
        answer(&mut view, "pg2", None);
        assert_eq!(first(&view), Write::AcquireLeader.into());
    }

    #[test]
    fn lag_tags_and_timeline_disqualify() {
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        view.settings.maximum_lag_on_failover = 10;
        set_optime(&mut view, POSITION + 10);
        assert_eq!(first(&view), Write::AcquireLeader.into());
        set_optime(&mut view, POSITION + 11);
        assert_eq!(wanted(&view), []);
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
        assert_eq!(first(&view), Write::AcquireLeader.into());
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
        assert_eq!(first(&view), Write::AcquireLeader.into());
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
        assert_eq!(ask(to_me), [Write::AcquireLeader.into()]);
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
        assert_eq!(first(&view), Write::AcquireLeader.into());
    }

    #[test]
    fn the_own_position_is_looked_at_after_the_leader_went() {
        let mut view = orphan();
        answer(&mut view, "pg2", None);
        view.facts.leaderless_since = Some(NOW);
        view.pg.observed = crate::clock::Moment(NOW.0 - 1);
        assert_eq!(wanted(&view), []);
        view.pg.observed = NOW;
        assert_eq!(first(&view), Write::AcquireLeader.into());
    }

    #[test]
    fn a_running_primary_takes_a_free_lease_unless_the_cluster_went_on_without_it() {
        let mut view = primary();
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(first(&view), Write::AcquireLeader.into());
        let history = History::parse(br#"[[1,100,"x"]]"#);
        view.dcs.cluster.as_mut().unwrap().history = Some(Versioned { value: history, version: 0 });
        assert!(matches!(first(&view), Action::Run(Job::Stop { .. })));
        let mut view = primary();
        view.dcs.cluster.as_mut().unwrap().leader = None;
        set_sync(&mut view, Sync::new("pg2", []));
        assert!(matches!(first(&view), Action::Run(Job::Stop { .. })));
    }
}
