//! The failover key on the leader: hand over, or say why not by clearing it.

use std::time::Duration;

use super::{Action, Decision, Job, Peers, Server, StopMode, View, Write};
use crate::clock::Moment;
use crate::cluster::{Cluster, Failover, Member};

/// A request whose time passed longer ago than this many loop_waits is stale.
const STALE_AFTER: f64 = 1.5;
/// Answers of candidates count for this long.
const ANSWERS_COUNT: Duration = Duration::from_secs(3);

/// What the leader does about a request; `None` if there is none that is due.
pub(super) fn requested(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Option<Decision> {
    let failover = cluster.failover()?;
    if view.settings.pause && failover.scheduled_at.is_some() {
        return None;
    }
    match due(view, failover) {
        Due::Later => return None,
        Due::Stale => return Some(clear(cluster, "the scheduled switchover's time has passed unused")),
        Due::Now => {}
    }
    if failover.leader.as_ref().is_some_and(|leader| *leader != view.me.name) {
        return Some(clear(cluster, "the switchover names another leader than this node"));
    }
    if failover.candidate.as_deref() == Some(&view.me.name) {
        return Some(clear(cluster, "this node already is the leader"));
    }
    if view.settings.pause && failover.candidate.is_none() {
        return Some(clear(cluster, "it is possible only to a specific candidate in a paused state"));
    }
    let switchover = failover.leader.is_some();
    let able: Vec<_> = candidates(view, cluster, failover.candidate.as_deref(), switchover).collect();
    if able.is_empty() {
        return Some(clear(cluster, "no member could take over"));
    }
    let asked: Vec<_> = able.iter().map(|member| (member.name.clone(), member.data.api_url.clone())).collect();
    let answers = view.peers.as_ref().filter(|peers| {
        now.since(peers.asked) < ANSWERS_COUNT && asked.iter().all(|(name, _)| peers.answers.contains_key(name))
    });
    let Some(answers) = answers else {
        return Some(Decision::act("a switchover is asked for: asking the candidates", Action::AskPeers(asked)));
    };
    let ready = able.iter().filter(|member| is_ready(view, server, answers, member)).count();
    if ready == 0 {
        return Some(clear(cluster, "no candidate answers and is near enough"));
    }
    // Whoever takes over needs the votes of the others.
    let quorum = cluster.sync().quorum as usize;
    if failover.candidate.is_none() && ready <= quorum {
        return Some(clear(cluster, &format!("Quorum requirement {quorum} can not be reached")));
    }
    let stop = Job::Stop { mode: StopMode::Fast { checkpoint: true } };
    Some(Decision::act("a switchover is asked for: stopping to hand over", stop))
}

/// Whether a leader that is down, is so in order to hand over.
pub(super) fn hands_over(view: &View, cluster: &Cluster) -> bool {
    cluster.failover().is_some_and(|failover| {
        let for_us = failover.leader.as_ref().is_none_or(|leader| *leader == view.me.name);
        let candidate = failover.candidate.as_deref();
        let switchover = failover.leader.is_some();
        for_us
            && candidate != Some(&view.me.name)
            && matches!(due(view, failover), Due::Now)
            && candidates(view, cluster, candidate, switchover).next().is_some()
    })
}

/// Members that could take over; in synchronous mode only the synchronous ones, unless a failover by hand names
/// another.
pub(super) fn candidates<'a>(
    view: &'a View,
    cluster: &'a Cluster,
    named: Option<&'a str>,
    switchover: bool,
) -> impl Iterator<Item = &'a Member> {
    let sync = cluster.sync();
    cluster.members.values().filter(move |member| {
        let chosen = named.is_none_or(|name| name == member.name);
        let by_hand = named.is_some() && !switchover;
        let synchronous = !sync.is_active() || sync.has_standby(&member.name) || by_hand;
        member.name != view.me.name && chosen && synchronous && member.data.is_running() && member.data.may_lead()
    })
}

fn is_ready(view: &View, server: &Server, answers: &Peers, member: &Member) -> bool {
    let peer = answers.answers.get(&member.name).and_then(Option::as_ref);
    peer.is_some_and(|peer| {
        let near = |position| server.position().since(position) <= view.settings.maximum_lag_on_failover;
        !peer.is_primary && peer.may_lead && peer.position.is_some_and(near)
    })
}

/// The request, if it is to be honoured by the nodes that race for a free lease: it is due, and those that it
/// prefers have not been waited for in vain already.
pub(super) fn in_a_race<'a>(view: &View, cluster: &'a Cluster, now: Moment) -> Option<&'a Failover> {
    let patience = view.settings.loop_wait;
    let fresh = view.facts.leaderless_since.is_none_or(|since| now.since(since) < patience);
    cluster.failover().filter(|failover| fresh && matches!(due(view, failover), Due::Now))
}

/// How long until a scheduled request's time comes, where it is ours to meet.
pub(super) fn due_within(view: &View) -> Option<Duration> {
    let cluster = view.dcs.cluster.as_ref().filter(|_| !view.settings.pause)?;
    let at = cluster.failover()?.scheduled_at.as_ref()?.parse::<jiff::Timestamp>().ok()?;
    u64::try_from(at.as_second() - view.wall).ok().filter(|left| *left > 0).map(Duration::from_secs)
}

enum Due {
    Now,
    Later,
    Stale,
}

fn due(view: &View, failover: &Failover) -> Due {
    let Some(text) = &failover.scheduled_at else { return Due::Now };
    let Ok(at) = text.parse::<jiff::Timestamp>() else { return Due::Stale };
    let late = view.wall - at.as_second();
    match late {
        ..0 => Due::Later,
        late if late as f64 > STALE_AFTER * view.settings.loop_wait.as_secs_f64() => Due::Stale,
        _ => Due::Now,
    }
}

pub(super) fn clear(cluster: &Cluster, why: &str) -> Decision {
    let version = cluster.failover.as_ref().map(|failover| failover.version);
    Decision::act(format!("not handing over: {why}"), Write::Failover { failover: Failover::default(), version })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use crate::cluster::{Failover, Lsn, Sync, Versioned};

    fn asked(failover: Failover) -> View {
        let mut view = primary();
        view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 4 });
        view
    }

    fn switchover() -> Failover {
        Failover { leader: Some("pg1".into()), ..Default::default() }
    }

    fn is_cleared(view: &View) -> bool {
        wanted(view) == [Write::Failover { failover: Failover::default(), version: Some(4) }.into()]
    }

    #[test]
    fn a_switchover_asks_the_candidate_and_then_stops_the_leader() {
        let mut view = asked(switchover());
        assert_eq!(first(&view), Action::AskPeers(vec![("pg2".into(), "http://127.0.1.2:8008/patroni".into())]));
        let peer = Peer { position: Some(Lsn(POSITION)), may_lead: true, priority: 1, ..Default::default() };
        view.peers = Some(Peers { asked: NOW, answers: [("pg2".to_string(), Some(peer))].into_iter().collect() });
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Fast { checkpoint: true } }.into());
        view.peers.as_mut().unwrap().answers["pg2"] = None;
        assert!(is_cleared(&view));
    }

    #[test]
    fn requests_that_cannot_be_met_are_cleared() {
        assert!(is_cleared(&asked(Failover { leader: Some("pg2".into()), ..Default::default() })));
        assert!(is_cleared(&asked(Failover { candidate: Some("pg1".into()), ..Default::default() })));
        assert!(is_cleared(&asked(Failover { candidate: Some("pg9".into()), ..Default::default() })));
        // In synchronous mode only a synchronous standby can be switched over to.
        let mut view = asked(switchover());
        set_sync(&mut view, Sync::new("pg1", []));
        assert!(is_cleared(&view));
    }

    #[test]
    fn a_scheduled_one_waits_and_a_stale_one_is_cleared() {
        let scheduled = |seconds: i64| {
            let mut view = asked(Failover { scheduled_at: Some("2027-01-01T00:00:00+00:00".into()), ..switchover() });
            view.wall = 1798761600 + seconds;
            view
        };
        assert_eq!(wanted(&scheduled(-1)), []);
        assert!(matches!(first(&scheduled(1)), Action::AskPeers(_)));
        assert!(is_cleared(&scheduled(16)));
    }
}
