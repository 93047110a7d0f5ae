//! Rules of the agent that are weakened, one at a time, to see that the simulator finds it. A mutation bends what
//! `decide` sees, or what it has decided.

use std::time::Duration;

use labrun_agent::clock::Moment;
use labrun_agent::cluster::{Cluster, Lsn, Sync};
use labrun_agent::decide::{
    self, Action, Chore, DataDir, Decision, Job, Permit, Process, Server, StartAs, View, Write,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Takes a free lease whatever the sync key says, and is promoted.
    IgnoresTheSyncKey,
    /// Is promoted while the sync key still names the standbys of before.
    KeepsTheSyncKeyOfBefore,
    /// A standby enters the sync key before commits wait for it.
    EntersTheKeyFirst,
    /// Commits stop to wait for a standby before it has left the sync key.
    LeavesTheSettingFirst,
    /// A standby enters the sync key before it has all that was acknowledged without it.
    CountsStandbysThatLag,
    /// Neither the agent nor its guard ever stops a primary whose lease runs out.
    NeverDemotes,
    /// Both do so a margin too late.
    DemotesLate,
    /// The guard's process is told nothing.
    GuardStandsAside,
    /// A lease of an earlier session counts as its own.
    TrustsAFormerLease,
    /// Gives the lease back before PostgreSQL is down.
    ReleasesBeforeTheStop,
    /// Without a leader it comes up as a primary.
    StartsAsPrimaryUnasked,
    /// A former primary follows the new leader as it is.
    NeverRewinds,
    /// What pg_rewind has left half done is started.
    StartsHalfRewoundData,
    /// Timelines are told apart by their numbers only.
    TrustsTimelineNumbers,
    /// A new leader is not followed.
    FollowsNobody,
    /// The slots that standbys ask for are not made.
    MakesNoSlots,
}

/// All of them, each with a part of what the invariant that finds it says.
pub const ALL: [(Mutation, &str); 16] = {
    use Mutation::*;
    [
        (IgnoresTheSyncKey, "without the commit acknowledged"),
        (KeepsTheSyncKeyOfBefore, "the sync key names"),
        (EntersTheKeyFirst, "but synchronous_standby_names is"),
        (LeavesTheSettingFirst, "but synchronous_standby_names is"),
        (CountsStandbysThatLag, "which lacks the commit acknowledged"),
        (NeverDemotes, "takes writes while"),
        (DemotesLate, "takes writes while"),
        (GuardStandsAside, "takes writes while"),
        (TrustsAFormerLease, "takes writes while"),
        (ReleasesBeforeTheStop, "takes writes while"),
        (StartsAsPrimaryUnasked, "takes writes while"),
        (NeverRewinds, "does not stream from the leader"),
        (StartsHalfRewoundData, "that pg_rewind has left half done"),
        (TrustsTimelineNumbers, "WAL that does not continue its own"),
        (FollowsNobody, "does not stream from the leader"),
        (MakesNoSlots, "does not stream from the leader"),
    ]
};

/// `decide::decide`, unless this run weakens it.
pub fn decided(mutation: Option<Mutation>, view: &View, now: Moment) -> Decision {
    let Some(mutation) = mutation else { return decide::decide(view, now) };
    let seen = mutation.see(view);
    let mut decision = decide::decide(&seen, now);
    mutation.bend(&seen, &mut decision.actions);
    decision
}

pub fn guarded(mutation: Option<Mutation>, view: &View, now: Moment) -> Option<Decision> {
    match mutation {
        Some(mutation) => decide::guard(&mutation.see(view), now),
        None => decide::guard(view, now),
    }
}

pub fn permitted(mutation: Option<Mutation>, view: &View) -> Permit {
    match mutation {
        Some(Mutation::GuardStandsAside) => Permit::Aside,
        Some(mutation) => decide::permit(&mutation.see(view)),
        None => decide::permit(view),
    }
}

impl Mutation {
    /// What `decide` sees instead.
    fn see(self, view: &View) -> View {
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
            _ => {}
        }
        seen
    }

    /// What is done instead.
    fn bend(self, view: &View, actions: &mut Vec<Action>) {
        let Some(cluster) = &view.dcs.cluster else { return };
        let (leads, primary) = (view.leads(), is_primary(view));
        match self {
            Mutation::KeepsTheSyncKeyOfBefore if leads && !primary && server(view).is_some() => {
                let before = actions.len();
                actions.retain(|action| !matches!(action, Action::Write(Write::Sync { .. })));
                if actions.len() < before {
                    actions.push(Job::Promote.into());
                }
            }
            Mutation::EntersTheKeyFirst if leads && primary => {
                let names = actions.iter().find_map(|action| match action {
                    Action::Chore(Chore::SyncNames(names)) => Some(members_in(cluster, names)),
                    _ => None,
                });
                if let Some(names) = names.filter(|names| !names.is_empty()) {
                    let version = cluster.sync.as_ref().map(|sync| sync.version);
                    actions.insert(0, Write::Sync { sync: Sync::new(&view.me.name, names), version }.into());
                }
            }
            Mutation::LeavesTheSettingFirst if leads && primary => {
                let listed = cluster.sync().standbys.len();
                let leaves = |action: &Action| match action {
                    Action::Write(Write::Sync { sync, .. }) => sync.standbys.len() < listed,
                    _ => false,
                };
                if actions.iter().any(leaves) {
                    actions.insert(0, Chore::SyncNames(String::new()).into());
                }
            }
            Mutation::ReleasesBeforeTheStop
                if leads && primary && actions.iter().any(|action| matches!(action, Action::Run(Job::Stop { .. }))) =>
            {
                actions.insert(0, Write::ReleaseLeader.into());
            }
            Mutation::StartsAsPrimaryUnasked => replace(actions, |job| match job {
                Job::Start(StartAs::Standby(None)) => Some(Job::Start(StartAs::Primary)),
                _ => None,
            }),
            Mutation::NeverRewinds => {
                let leader = view.leader_upstream(cluster);
                replace(actions, |job| match job {
                    Job::Rewind { .. } | Job::SetAside => Some(Job::Start(StartAs::Standby(leader.clone()))),
                    _ => None,
                });
            }
            Mutation::FollowsNobody => actions.retain(|action| !matches!(action, Action::Chore(Chore::Follow(_)))),
            Mutation::MakesNoSlots => actions.retain(|action| !matches!(action, Action::Chore(Chore::Slots { .. }))),
            _ => {}
        }
    }
}

fn server(view: &View) -> Option<&Server> {
    view.pg.server.as_ref().filter(|_| view.pg.process == Process::Up)
}

fn is_primary(view: &View) -> bool {
    server(view).is_some_and(|server| !server.in_recovery)
}

/// The members that a value of synchronous_standby_names names.
fn members_in(cluster: &Cluster, names: &str) -> Vec<String> {
    let words: Vec<_> = names.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    cluster.members.keys().filter(|name| words.contains(&name.as_str())).cloned().collect()
}

fn replace(actions: &mut [Action], with: impl Fn(&Job) -> Option<Job>) {
    for action in actions {
        if let Action::Run(job) = action
            && let Some(other) = with(job)
        {
            *action = other.into();
        }
    }
}
