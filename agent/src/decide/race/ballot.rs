//! What the peers' answers come to: who is ahead, who is preferred, and in quorum mode who votes for this node.

use super::super::{Peer, Server, View, failover};
use crate::clock::Moment;
use crate::cluster::{Cluster, Lsn, Member, MemberData, Sync};
use crate::config::SyncMode;

/// Whether this node takes the lease, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Lead(String),
    Defer(String),
}

/// The sync key, if it has a say: synchronous mode is on, and a leader has written it.
fn sync_in_force(view: &View, cluster: &Cluster) -> Option<Sync> {
    Some(cluster.sync()).filter(|sync| view.settings.sync_mode != SyncMode::Off && sync.is_active())
}

/// The members whose word counts: all others, in synchronous mode those that the sync key names.
pub(super) fn rivals<'a>(view: &'a View, cluster: &'a Cluster, now: Moment) -> impl Iterator<Item = &'a Member> {
    let sync = sync_in_force(view, cluster);
    let handover = failover::in_a_race(view, cluster, now).and_then(|failover| failover.leader.clone());
    cluster.members.values().filter(move |member| {
        member.name != view.me.name
            && !member.data.api_url.is_empty()
            && sync.as_ref().is_none_or(|sync| sync.names(&member.name))
            && handover.as_deref() != Some(&member.name)
    })
}

/// `answers`: of the rivals that did answer.
pub(super) fn count(
    view: &View,
    cluster: &Cluster,
    server: &Server,
    answers: &[(&str, &Peer)],
    now: Moment,
) -> Verdict {
    let alive = answers.iter().find(|(_, peer)| peer.is_primary && peer.may_lead && peer.position.is_some());
    if let Some((name, _)) = alive {
        return Verdict::Defer(format!("Primary ({name}) is still alive"));
    }
    let request = failover::in_a_race(view, cluster, now);
    let candidate = request.and_then(|request| request.candidate.as_deref());
    let named = candidate == Some(&view.me.name);
    // Whoever asks for a failover to a node takes what it lacks into the bargain; a switchover loses nothing.
    if named && request.is_some_and(|request| request.leader.is_none()) {
        return Verdict::Lead("this node was named to take over".into());
    }
    let sync = sync_in_force(view, cluster);
    if !named {
        // One that may not lead itself, for its timeline, would be waited for in vain.
        let newest = cluster.history.as_ref().and_then(|history| history.value.last_timeline());
        let former = |peer: &Peer| peer.timeline.zip(newest).is_some_and(|(theirs, newest)| theirs <= newest);
        let mut able = answers.iter().filter(|(_, peer)| !(view.settings.check_timeline && former(peer)));
        let better = able.find_map(|(name, peer)| better(view, sync.as_ref(), server, candidate, name, peer));
        if let Some(reason) = better {
            return Verdict::Defer(reason);
        }
    }
    match sync.filter(|sync| sync.quorum > 0 || !sync.names(&view.me.name)) {
        None if answers.is_empty() => Verdict::Lead("no peer could lead".into()),
        None => Verdict::Lead("no peer is ahead".into()),
        Some(sync) => elect(view, server, &sync, answers),
    }
}

/// Quorum mode. A vote says: I have nothing that you lack. Enough of them, and one of the voters, or this node
/// itself, is among those that hold any given acknowledged commit.
fn elect(view: &View, server: &Server, sync: &Sync, answers: &[(&str, &Peer)]) -> Verdict {
    let votes: Vec<_> = answers
        .iter()
        .filter(|(name, peer)| sync.names(name) && !peer.is_primary && not_ahead(server, peer))
        .map(|(name, _)| *name)
        .collect();
    let missing_own = usize::from(!sync.names(&view.me.name));
    let needed = sync.quorum as usize + missing_own;
    // Whoever wrote the key as the leader has everything that was acknowledged since.
    if votes.len() >= needed || sync.is_leader(&view.me.name) {
        return Verdict::Lead(match votes.as_slice() {
            [] => "no vote is needed".into(),
            votes => format!("Got quorum vote from {}", votes.join(", ")),
        });
    }
    Verdict::Defer(format!("{} of {needed} quorum votes", votes.len()))
}

fn not_ahead(server: &Server, peer: &Peer) -> bool {
    peer.position.is_some_and(|position| position > Lsn(0) && position <= server.position())
        && !newer_timeline(server, peer)
}

/// Positions on different timelines cannot be compared: what is behind may still be what counts.
fn newer_timeline(server: &Server, peer: &Peer) -> bool {
    peer.timeline.is_some_and(|timeline| server.timeline > 0 && timeline > server.timeline)
}

/// Why this peer should lead rather than we.
fn better(
    view: &View,
    sync: Option<&Sync>,
    server: &Server,
    candidate: Option<&str>,
    name: &str,
    peer: &Peer,
) -> Option<String> {
    let position = peer.position.filter(|_| peer.may_lead)?;
    if candidate == Some(name) {
        return Some(format!("{name} was named to take over"));
    }
    let former = match sync {
        Some(sync) => sync.is_leader(name),
        None => view.facts.last_leader.as_deref() == Some(name),
    };
    // In quorum mode a node may have a vote that has not yet joined the last leader's timeline.
    let by_votes = |sync: &Sync| sync.quorum > 0 || sync.is_leader(&view.me.name);
    if sync.is_some_and(by_votes) && newer_timeline(server, peer) {
        let newer = peer.timeline.unwrap_or_default();
        return Some(format!("{name} is on timeline {newer}, this node on {}", server.timeline));
    }
    // In synchronous mode the former leader may have WAL that was never acknowledged; that is no merit.
    if position > server.position() && !(former && sync.is_some()) {
        return Some(format!("Wal position of {name} is ahead of my wal position"));
    }
    // Nor is the priority of a leader that has just failed.
    let mine = MemberData { tags: view.me.tags.clone(), ..Default::default() }.failover_priority();
    (position == server.position() && peer.priority > mine && !former).then(|| {
        format!(
            "{name} has equally tolerable WAL position and priority {}, while this node has priority {mine}",
            peer.priority
        )
    })
}
