//! An empty data directory: a new cluster or a copy of the leader. And whose data a full one is.

use std::time::Duration;

use super::view::upstream;
use super::{DataDir, Decision, Job, JobKind, Phase, Process, StartAs, StopMode, View, Write, recover, standby, sync};
use crate::clock::Moment;
use crate::cluster::{Cluster, Initialize, Member};
use crate::exit;

/// `None` if the data directory is complete and belongs to this cluster.
pub(super) fn data_directory(view: &View, cluster: &Cluster, now: Moment) -> Option<Decision> {
    match &view.pg.data {
        DataDir::Foreign { reason } => Some(give_up(view, cluster, reason)),
        DataDir::Empty | DataDir::Unfinished => Some(fill(view, cluster, now)),
        DataDir::Initialising { system_identifier, phase } => {
            initialising(view, cluster, *system_identifier, *phase, now)
        }
        DataDir::Present { system_identifier } => belongs(view, cluster, *system_identifier),
        DataDir::Rewinding { system_identifier } => {
            belongs(view, cluster, *system_identifier).or_else(|| Some(recover::half_rewound(view, cluster, now)))
        }
    }
}

/// The data is not ours to touch: let others lead, and go.
fn give_up(view: &View, cluster: &Cluster, reason: &str) -> Decision {
    if cluster.leader.as_ref().is_some_and(|leader| view.is_mine(leader)) {
        return Decision::act(reason, Write::ReleaseLeader);
    }
    Decision::exit(exit::FOREIGN_DATA, reason)
}

fn belongs(view: &View, cluster: &Cluster, ours: u64) -> Option<Decision> {
    let initialize = cluster.initialize.as_ref();
    if let Some(theirs) = initialize.and_then(Initialize::system_identifier) {
        let reason = format!("the data directory has system identifier {ours}, the cluster has {theirs}");
        return (ours != theirs).then(|| give_up(view, cluster, &reason));
    }
    // Nobody knows the cluster's identifier yet. A primary's is the one, and so is that of data which nobody has started
    // yet (a cluster moved here, or a copy that is to become a standby cluster); a running replica cannot know.
    if cluster.leader.is_some() {
        return None;
    }
    let down = view.pg.process == Process::Down;
    if down && initialize.is_some() {
        return None;
    }
    if !down && view.pg.server.as_ref()?.in_recovery {
        let reason = "no system identifier in the DCS while this node is a replica: start the primary first";
        return Some(Decision::exit(exit::FAILURE, reason));
    }
    let version = initialize.map(|initialize| initialize.version);
    Some(Decision::act(
        "the DCS has no system identifier; writing ours",
        Write::SetInitialize { system_identifier: ours, version },
    ))
}

fn fill(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    if let Some(leader) = &cluster.leader {
        if view.mine_from_before(cluster) {
            let status =
                "the data directory is empty, and the leader key is mine from before: taking it over to give it back";
            return Decision::act(status, Write::reclaim(cluster));
        }
        if view.is_mine(leader) {
            return Decision::act("the data directory is empty: giving the lease back", Write::ReleaseLeader);
        }
        return clone(view, cluster, now);
    }
    match &cluster.initialize {
        None if !view.me.may_bootstrap || !view.may_lead() => without_leader(view, now).unwrap_or_else(|| {
            Decision::wait(match view.me.may_bootstrap {
                true => "not allowed to lead: waiting for another node to bootstrap",
                false => "waiting for leader to bootstrap",
            })
        }),
        None => match view.cooling(JobKind::Bootstrap, now) {
            Some(left) => Decision::wait("waiting before the next try to bootstrap").recheck(left),
            None => race(view),
        },
        Some(initialize) if initialize.value.is_empty() && is_mine(view, initialize) => begin(view, initialize),
        Some(initialize) if initialize.value.is_empty() => others_bootstrap(view, initialize, now),
        Some(_) => without_leader(view, now)
            .unwrap_or_else(|| Decision::wait("the data directory is empty: waiting for a leader to copy from")),
    }
}

/// A new cluster, or the first node of a standby cluster.
fn begin(view: &View, initialize: &Initialize) -> Decision {
    let created = initialize.created;
    if view.settings.standby_cluster.is_none() {
        return Decision::act("bootstrapping a new cluster", Job::Bootstrap { created });
    }
    let from = standby::remote(&view.settings);
    let name = match &from {
        Some(remote) => format!("remote member {}:{}", remote.host, remote.port),
        None => "a backup".to_owned(),
    };
    Decision::act("bootstrapping a new standby leader", Job::Clone { name, from, created: Some(created) })
}

/// A replica by a method that needs no running member, such as a restore of a backup.
fn without_leader(view: &View, now: Moment) -> Option<Decision> {
    if view.settings.replica_methods().iter().all(|method| method.needs_leader()) {
        return None;
    }
    if let Some(left) = view.cooling(JobKind::Clone, now) {
        return Some(Decision::wait("waiting before the next try to bootstrap (without leader)").recheck(left));
    }
    let job = Job::Clone { name: "a backup".into(), from: None, created: None };
    Some(Decision::act("trying to bootstrap (without leader)", job))
}

/// A node makes itself known before it races: the others see who may be bootstrapping.
fn race(view: &View) -> Decision {
    let known = Write::Member(Box::new(super::member(view)));
    Decision::act("the cluster is not initialised: racing for it", known).then(Write::CreateInitialize)
}

/// Another node, or a former life of this one, has won the race.
fn others_bootstrap(view: &View, initialize: &Initialize, now: Moment) -> Decision {
    abandoned(view, initialize, now).unwrap_or_else(|| Decision::wait("waiting for leader to bootstrap"))
}

/// Whoever began the bootstrap is gone: after the time of a lease the race is open again. (With Patroni the
/// key must be removed by hand.)
fn abandoned(view: &View, initialize: &Initialize, now: Moment) -> Option<Decision> {
    let since = view.facts.bootstrap_idle_since?;
    let left = view.settings.ttl.saturating_sub(now.since(since));
    if !view.me.may_bootstrap || !view.may_lead() {
        return None;
    }
    if left.is_zero() {
        let write = Write::DropInitialize { version: initialize.version };
        return Some(Decision::act("the node that was bootstrapping is gone: opening the race again", write));
    }
    Some(Decision::wait("waiting for leader to bootstrap").recheck(left))
}

/// Whether some member may be bootstrapping the cluster.
pub fn somebody_bootstraps(cluster: &Cluster, me: &str) -> bool {
    let waiting = ["stopped", ""];
    cluster.members.values().any(|member| member.name != me && !waiting.contains(&member.data.state.as_str()))
}

fn is_mine(view: &View, initialize: &Initialize) -> bool {
    view.facts.initialize_created == Some(initialize.created)
}

fn clone(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    if let Some(left) = view.cooling(JobKind::Clone, now) {
        let reason = view.facts.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        return Decision::wait(format!("no copy of the leader yet: {reason}")).recheck(left);
    }
    match source(view, cluster).and_then(|member| Some((member.name.clone(), upstream(member)?))) {
        Some((name, from)) => {
            Decision::act(format!("copying the data of {name}"), Job::Clone { name, from: Some(from), created: None })
        }
        None => Decision::wait("the data directory is empty and the leader's member key is missing"),
    }
}

/// A running member with the tag `clonefrom`, else the leader.
fn source<'a>(view: &View, cluster: &'a Cluster) -> Option<&'a Member> {
    let willing = |member: &&Member| {
        member.name != view.me.name
            && Some(member.name.as_str()) != cluster.leader_name()
            && member.data.is_running()
            && member.data.tag("clonefrom")
            && member.data.address().is_some()
    };
    let from_leader = view.asked.reinitialize.is_some_and(|request| request.from_leader);
    cluster.members.values().find(|member| willing(member) && !from_leader).or_else(|| cluster.leader_member())
}

/// A data directory that this very node has made for a new cluster which is not announced yet.
fn initialising(view: &View, cluster: &Cluster, ours: u64, phase: Phase, now: Moment) -> Option<Decision> {
    let Some(initialize) = &cluster.initialize else {
        return Some(race(view));
    };
    if let Some(theirs) = initialize.system_identifier() {
        return (theirs != ours).then(|| lost_race(view, cluster, now));
    }
    if initialize.created != phase.created && !is_mine(view, initialize) {
        return Some(others_bootstrap(view, initialize, now));
    }
    if !phase.complete || initialize.created != phase.created {
        if let Some(left) = view.cooling(JobKind::Bootstrap, now) {
            return Some(Decision::wait("waiting before the next try to bootstrap").recheck(left));
        }
        return Some(Decision::act("going on with the bootstrap", Job::Bootstrap { created: initialize.created }));
    }
    let standby = view.settings.standby_cluster.is_some();
    if view.pg.process == Process::Down {
        let how = if standby { StartAs::Standby(standby::remote(&view.settings)) } else { StartAs::Primary };
        return Some(match view.cooling(Job::Start(how.clone()).kind(), now) {
            Some(left) => Decision::wait("waiting before the next start of the new cluster").recheck(left),
            None => Decision::act("starting the new cluster", Job::Start(how)),
        });
    }
    let Some(server) = &view.pg.server else {
        return Some(Decision::wait("the new cluster does not answer yet").recheck(Duration::from_millis(100)));
    };
    (server.in_recovery == standby && cluster.leader.is_none()).then(|| announce(view, cluster, ours, initialize))
}

/// Another node has initialised the cluster while this one was doing so. Nobody was ever told of what we have made,
/// so it makes way for a copy (Patroni moves it to `<data_dir>.failed` and ends).
fn lost_race(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    if cluster.leader.as_ref().is_some_and(|leader| view.is_mine(leader)) {
        return Decision::act("another node has initialised the cluster: giving the lease back", Write::ReleaseLeader);
    }
    if view.pg.process == Process::Up {
        let stop = Job::Stop { mode: StopMode::Fast { checkpoint: false } };
        return Decision::act("another node has initialised the cluster while this one was doing so: stopping", stop);
    }
    let status = "another node has initialised the cluster while this one was doing so: making way for a copy of it";
    match view.cooling(JobKind::SetAside, now) {
        Some(left) => Decision::wait(status).recheck(left),
        None => Decision::act(status, Job::SetAside),
    }
}

/// Patroni's order: member, initialize, config, leader. In synchronous mode the sync key comes before all of it: nobody
/// may take over what clients write from then on, until a standby has it, too. (Patroni writes the key in its next loop:
/// whoever copies the new cluster before that, and finds its leader gone, leads without what was acknowledged since.)
fn announce(view: &View, cluster: &Cluster, ours: u64, initialize: &Initialize) -> Decision {
    if view.settings.standby_cluster.is_none()
        && let Some(write) = sync::nobody_but_me(view, cluster)
    {
        return Decision::act("the new cluster stands: nobody else may lead it yet", write);
    }
    let mut decision = Decision::wait("the new cluster stands: taking the lease");
    decision.actions.push(Write::Member(Box::new(super::member(view))).into());
    decision.actions.push(Write::SetInitialize { system_identifier: ours, version: Some(initialize.version) }.into());
    if cluster.config.is_none() {
        decision.actions.push(Write::Config { json: view.me.initial_config.clone(), version: None }.into());
    }
    decision.actions.push(Write::acquire(cluster).into());
    decision
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;

    fn empty() -> View {
        let mut view = replica();
        view.pg = Pg::default();
        view.me.may_bootstrap = true;
        let cluster = view.dcs.cluster.as_mut().unwrap();
        (cluster.leader, cluster.initialize) = (None, None);
        view
    }

    fn initialize(view: &mut View, value: &str, created: i64) {
        view.dcs.cluster.as_mut().unwrap().initialize = Some(Initialize { value: value.into(), created, version: 0 });
    }

    #[test]
    fn the_first_node_races_for_the_cluster_and_the_winner_bootstraps() {
        let mut view = empty();
        assert_eq!(first(&view), Write::CreateInitialize.into());
        initialize(&mut view, "", 7);
        assert_eq!(wanted(&view), []);
        view.facts.initialize_created = Some(7);
        assert_eq!(first(&view), Job::Bootstrap { created: 7 }.into());
        initialize(&mut view, "7711190269678379076", 7);
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_bootstrap_that_was_abandoned_is_open_to_others_after_the_time_of_a_lease() {
        let mut view = empty();
        initialize(&mut view, "", 7);
        view.facts.bootstrap_idle_since = Some(Moment(NOW.0 - 29_999));
        assert_eq!(wanted(&view), []);
        view.facts.bootstrap_idle_since = Some(Moment(NOW.0 - 30_000));
        assert_eq!(first(&view), Write::DropInitialize { version: 0 }.into());
        let cluster = view.dcs.cluster.as_mut().unwrap();
        assert!(somebody_bootstraps(cluster, "pg1"));
        cluster.members["pg2"].data.state = "stopped".into();
        assert!(!somebody_bootstraps(cluster, "pg1"));
    }

    #[test]
    fn nor_does_a_node_with_a_half_made_cluster_of_its_own_wait_for_an_abandoned_one_for_ever() {
        let mut view = empty();
        let phase = Phase { created: 5, complete: false };
        view.pg.data = DataDir::Initialising { system_identifier: SYSID, phase };
        initialize(&mut view, "", 7);
        view.facts.bootstrap_idle_since = Some(Moment(NOW.0 - 29_999));
        assert_eq!(wanted(&view), []);
        view.facts.bootstrap_idle_since = Some(Moment(NOW.0 - 30_000));
        assert_eq!(first(&view), Write::DropInitialize { version: 0 }.into());
    }

    #[test]
    fn a_node_without_a_bootstrap_section_or_not_allowed_to_lead_waits() {
        let mut view = empty();
        view.me.may_bootstrap = false;
        assert_eq!(wanted(&view), []);
        let mut view = empty();
        view.me.tags.insert("nofailover".into(), true.into());
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn with_a_leader_its_data_is_copied_and_a_willing_member_comes_first() {
        let mut view = empty();
        lead_by(&mut view, "pg2");
        let copy = |name: &str, host: &str| {
            let from = Some(Upstream { host: host.into(), port: 5432 });
            Action::from(Job::Clone { name: name.into(), from, created: None })
        };
        assert_eq!(first(&view), copy("pg2", "127.0.1.2"));
        add_member(&mut view, "pg3", "127.0.1.3");
        let cluster = view.dcs.cluster.as_mut().unwrap();
        cluster.members["pg3"].data.tags.insert("clonefrom".into(), true.into());
        assert_eq!(first(&view), copy("pg3", "127.0.1.3"));
        fail(&mut view, JobKind::Clone);
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn the_lease_of_a_node_whose_data_is_gone_is_given_back_also_that_of_a_former_session() {
        let mut view = empty();
        lead_by(&mut view, "pg1");
        assert_eq!(first(&view), Write::ReleaseLeader.into());
        view.dcs.cluster.as_mut().unwrap().leader.as_mut().unwrap().session = 99;
        assert_eq!(first(&view), Write::ReclaimLeader { sync: Some(0) }.into());
    }

    #[test]
    fn data_of_another_cluster_is_never_touched() {
        let mut view = replica();
        view.pg.data = DataDir::Present { system_identifier: 1 };
        let decision = decide(&view, NOW);
        assert!(matches!(decision.actions[0], Action::Exit { code: exit::FOREIGN_DATA, .. }));
        let mut view = empty();
        view.pg.data = DataDir::Foreign { reason: "no PG_VERSION".into() };
        assert!(matches!(decide(&view, NOW).actions[0], Action::Exit { code: exit::FOREIGN_DATA, .. }));
        // A leader whose data vanished lets others lead.
        let mut view = primary();
        view.pg.data = DataDir::Empty;
        (view.pg.process, view.pg.server) = (Process::Down, None);
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn a_finished_bootstrap_is_announced_in_patronis_order() {
        let mut view = primary();
        let cluster = view.dcs.cluster.as_mut().unwrap();
        (cluster.leader, cluster.config) = (None, None);
        initialize(&mut view, "", 7);
        view.me.initial_config = "{}".into();
        let phase = Phase { created: 7, complete: true };
        view.pg.data = DataDir::Initialising { system_identifier: SYSID, phase };
        let announces = |view: &View| decide(view, NOW).actions.len() > 2;
        // First of all, nobody else may lead.
        let alone = crate::cluster::Sync::new("pg1", []);
        assert_eq!(first(&view), Write::Sync { sync: alone.clone(), version: Some(0) }.into());
        assert!(!announces(&view));
        view.dcs.cluster.as_mut().unwrap().sync = None;
        assert_eq!(first(&view), Write::Sync { sync: alone.clone(), version: None }.into());
        let mut asynchronous = view.clone();
        asynchronous.settings.sync_mode = crate::config::SyncMode::Off;
        assert!(announces(&asynchronous));
        set_sync(&mut view, alone);
        let actions = decide(&view, NOW).actions;
        assert!(matches!(actions[0], Action::Write(Write::Member(_))));
        assert_eq!(actions[1], Write::SetInitialize { system_identifier: SYSID, version: Some(0) }.into());
        assert!(matches!(actions[2], Action::Write(Write::Config { .. })));
        assert!(matches!(actions[3], Action::Write(Write::AcquireLeader { .. })));
    }

    #[test]
    fn an_interrupted_bootstrap_goes_on_and_one_that_was_overtaken_makes_way() {
        let mut view = empty();
        let phase = Phase { created: 7, complete: false };
        view.pg.data = DataDir::Initialising { system_identifier: SYSID, phase };
        initialize(&mut view, "", 7);
        assert_eq!(first(&view), Job::Bootstrap { created: 7 }.into());
        initialize(&mut view, "", 8);
        assert_eq!(wanted(&view), []);
        initialize(&mut view, "1111111111111", 8);
        assert_eq!(first(&view), Job::SetAside.into());
        view.pg.process = Process::Up;
        assert!(matches!(first(&view), Action::Run(Job::Stop { .. })));
        lead_by(&mut view, "pg1");
        assert_eq!(first(&view), Write::ReleaseLeader.into());
        view.dcs.cluster.as_mut().unwrap().leader = None;
        view.pg.process = Process::Down;
        view.dcs.cluster.as_mut().unwrap().initialize = None;
        assert_eq!(first(&view), Write::CreateInitialize.into());
    }

    #[test]
    fn data_that_nobody_has_started_gives_a_new_cluster_its_identifier() {
        let mut view = primary();
        let cluster = view.dcs.cluster.as_mut().unwrap();
        (cluster.leader, cluster.initialize) = (None, None);
        (view.pg.process, view.pg.server) = (Process::Down, None);
        assert_eq!(wanted(&view), [Write::SetInitialize { system_identifier: SYSID, version: None }.into()]);
        // Somebody is bootstrapping.
        view.dcs.cluster.as_mut().unwrap().initialize =
            Some(Initialize { value: String::new(), version: 3, created: 7 });
        assert!(!wanted(&view).iter().any(|action| matches!(action, Action::Write(Write::SetInitialize { .. }))));
    }
}
