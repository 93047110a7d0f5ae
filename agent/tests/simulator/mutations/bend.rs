//! Rules that are weakened by what is done of what `decide` wants.

use labrun_agent::cluster::{Cluster, Sync};
use labrun_agent::decide::{Action, Chore, DataDir, Job, JobKind, StartAs, View, Write};

use super::{Mutation, is_primary, server};

impl Mutation {
    /// What is done instead.
    pub fn bend(self, view: &View, actions: &mut Vec<Action>) {
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
            Mutation::LowersTheQuorumFirst if leads && primary => {
                let names = actions.iter().find_map(|action| match action {
                    Action::Chore(Chore::SyncNames(names)) if names.starts_with("ANY") => Some(names.clone()),
                    _ => None,
                });
                if let Some(names) = names {
                    let voters = members_in(cluster, &names);
                    let count = names.split_whitespace().nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
                    let quorum = (voters.len() as u32).saturating_sub(count);
                    let version = cluster.sync.as_ref().map(|sync| sync.version);
                    let sync = Sync { quorum, ..Sync::new(&view.me.name, voters) };
                    actions.insert(0, Write::Sync { sync, version }.into());
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
            Mutation::KeepsTheLeaseOfAFailedPromotion if has_failed(view, JobKind::Promote) => keep_lease(actions),
            Mutation::LeadsWithoutData if view.pg.data == DataDir::Empty => keep_lease(actions),
            Mutation::NeverClearsARequest => {
                actions.retain(|action| !matches!(action, Action::Write(Write::Failover { .. })));
            }
            Mutation::TellsNoLastPosition if actions.contains(&Write::ReleaseLeader.into()) => {
                actions.retain(|action| !matches!(action, Action::Write(Write::Status { .. })));
            }
            _ => {}
        }
    }
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

fn keep_lease(actions: &mut Vec<Action>) {
    actions.retain(|action| *action != Write::ReleaseLeader.into());
}

fn has_failed(view: &View, kind: JobKind) -> bool {
    view.facts.failure.as_ref().is_some_and(|failure| failure.kind == kind)
}
