//! Rules that are weakened by what `decide` gets to see.

use std::time::Duration;

use labrun_agent::cluster::{Lsn, Sync};
use labrun_agent::decide::{DataDir, Peers, View};

use super::{Mutation, is_primary};

impl Mutation {
    /// What `decide` sees instead.
    pub fn see(self, view: &View) -> View {
        let mut seen = view.clone();
        let (me, session, leads) = (view.me.name.clone(), view.dcs.session, view.leads());
        let primary = is_primary(view);
        let Some(cluster) = &mut seen.dcs.cluster else { return seen };
        match self {
            Mutation::NeverDemotes => seen.dcs.session_until = seen.dcs.session_until + Duration::from_secs(3600),
            Mutation::DemotesLate => seen.dcs.session_until = seen.dcs.session_until + Duration::from_secs(3),
            Mutation::IgnoresTheSyncKey if !primary && (leads || cluster.leader.is_none()) => {
                if let Some(sync) = &mut cluster.sync {
                    sync.value = Sync::new(&me, []);
                }
            }
            Mutation::TrustsAFormerLease => {
                if let (Some(leader), Some(session)) = (&mut cluster.leader, session)
                    && leader.name == me
                {
                    leader.session = session;
                }
            }
            Mutation::CountsStandbysThatLag => {
                let senders = seen.pg.server.iter_mut().flat_map(|server| &mut server.wal_senders);
                senders.for_each(|sender| sender.flushed = Lsn(u64::MAX));
            }
            Mutation::StartsHalfRewoundData => {
                if let DataDir::Rewinding { system_identifier } = seen.pg.data {
                    seen.pg.data = DataDir::Present { system_identifier };
                }
            }
            Mutation::TrustsTimelineNumbers => {
                seen.facts.leader_timeline.iter_mut().for_each(|timeline| timeline.shared = true);
            }
            Mutation::WaitsForAHang => (seen.pg.silent_since, seen.pg.wal_stuck_since) = (None, None),
            Mutation::LeadsInAPause if !primary && cluster.leader.is_none() => seen.settings.pause = false,
            Mutation::NeedsOneVoteLess if !primary && cluster.leader.is_none() => {
                if let Some(sync) = &mut cluster.sync {
                    sync.value.quorum = sync.value.quorum.saturating_sub(1);
                }
            }
            Mutation::AsksNobody => {
                let names: Vec<_> = cluster.members.keys().cloned().collect();
                let nobody = names.into_iter().map(|name| (name, None)).collect();
                seen.peers = Some(Peers { asked: seen.made, answers: nobody });
            }
            Mutation::IgnoresTheLag => seen.settings.maximum_lag_on_failover = u64::MAX,
            Mutation::BreaksItsWord => seen.facts.failsafe = None,
            Mutation::WaitsForWhoLags => seen.settings.maximum_lag_on_syncnode = None,
            _ => {}
        }
        seen
    }
}
