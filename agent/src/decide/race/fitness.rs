//! Whether this node may take the lease at all, whatever its peers say.

use super::super::{JobKind, Server, View, failover, failsafe};
use crate::clock::Moment;
use crate::cluster::{Cluster, Failover};
use crate::config::SyncMode;

/// Why it may not.
pub(super) fn unfit(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Option<String> {
    let handover = failover::in_a_race(view, cluster, now);
    if !view.may_lead() {
        return Some("following a different leader because I am not allowed to promote".into());
    }
    let failed = view.facts.failure.as_ref().filter(|failure| failure.kind == JobKind::Promote);
    if failed.is_some_and(|failure| now.since(failure.at) < view.settings.ttl) {
        let what = "backoff: skip leader race after pre_promote script failure and releasing the lock voluntarily";
        return Some(what.into());
    }
    if handover.is_some_and(|failover| failover.leader.as_deref() == Some(&view.me.name)) {
        return Some("a switchover away from this node is under way".into());
    }
    if handover.is_none() && view.watchdog.unusable {
        return Some("Watchdog device is not usable".into());
    }
    if let Some(reason) = failsafe::bars(view, cluster, now) {
        return Some(reason);
    }
    if !may_lead_by_sync_key(view, cluster) {
        return Some("not a synchronous standby".into());
    }
    // Whoever has written the sync key as the leader has all that was acknowledged, and may be the only one that it
    // lets lead: what it lacks of the last leader's WAL was promised to nobody.
    let has_all = view.settings.sync_mode != SyncMode::Off && cluster.sync().is_leader(&view.me.name);
    // The timelines of a standby cluster are made elsewhere.
    let check_timeline = view.settings.check_timeline && view.settings.standby_cluster.is_none();
    if is_overtaken(cluster, server) && ((check_timeline && !has_all) || !server.in_recovery) {
        let newest = newest_timeline(cluster);
        return Some(format!("My timeline {} is behind last known cluster timeline {newest}", server.timeline));
    }
    let lag = cluster.optime().since(server.position());
    if server.in_recovery && handover.is_none() && !has_all && lag > view.settings.maximum_lag_on_failover {
        return Some(format!(
            "My wal position exceeds maximum replication lag (by {lag} bytes behind the last leader)"
        ));
    }
    None
}

/// The newest timeline that the history key tells of: each of its entries is one that has ended.
fn newest_timeline(cluster: &Cluster) -> u32 {
    cluster.history.as_ref().and_then(|history| history.value.last_timeline()).map_or(0, |ended| ended + 1)
}

/// The cluster has gone on to a newer timeline than this node's.
pub(in super::super) fn is_overtaken(cluster: &Cluster, server: &Server) -> bool {
    server.timeline < newest_timeline(cluster)
}

/// In synchronous mode only nodes that the sync key names may lead: the others may lack acknowledged commits. In
/// quorum mode votes decide about standbys. A failover (not a switchover) by hand may name any node.
pub(in super::super) fn may_lead_by_sync_key(view: &View, cluster: &Cluster) -> bool {
    let sync = cluster.sync();
    let name = &view.me.name;
    let named = |failover: &Failover| failover.leader.is_none() && failover.candidate.as_ref() == Some(name);
    match view.settings.sync_mode {
        SyncMode::Off => true,
        SyncMode::Quorum { .. } if !view.pg.is_primary() => true,
        SyncMode::On { .. } | SyncMode::Quorum { .. } => {
            !sync.is_active() || sync.names(name) || cluster.failover().is_some_and(named)
        }
    }
}
