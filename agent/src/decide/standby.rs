//! A standby cluster: its leader is a standby, too, of a primary elsewhere; the others follow the leader.

use std::time::Duration;

use super::rewind::{Need, needed_while_running};
use super::{Action, Chore, Decision, Job, Server, StopMode, Upstream, View, Write, failover, lead, recover, slots};
use crate::clock::Moment;
use crate::cluster::{Cluster, Sync};
use crate::config::Settings;

/// How often the leader looks while it does not stream.
const NOT_STREAMING: Duration = Duration::from_millis(500);

/// The primary that a standby cluster follows; none if its WAL comes by `restore_command` alone.
pub fn remote(settings: &Settings) -> Option<Upstream> {
    let standby = settings.standby_cluster.as_ref()?;
    Some(Upstream { host: standby.host.clone()?, port: standby.port })
}

/// The slot that the node `name` uses on `upstream`; none if it uses none there.
pub fn upstream_slot(settings: &Settings, name: &str, upstream: &Upstream) -> Option<String> {
    if !settings.use_slots {
        return None;
    }
    if remote(settings).as_ref() == Some(upstream) {
        let slot = settings.standby_cluster.as_ref().and_then(|standby| standby.slot.as_deref());
        return slot.map(slots::slot_name);
    }
    Some(slots::slot_name(name))
}

/// A running standby uses another slot than it should.
pub(super) fn uses_wrong_slot(view: &View, server: &Server, source: Option<&Upstream>) -> bool {
    source.is_some_and(|source| {
        server.upstream_slot != upstream_slot(&view.settings, &view.me.name, source).unwrap_or_default()
    })
}

/// Whose way the local data must be on: the remote primary's in a standby cluster, else the leader's.
pub(super) fn judge(view: &View, cluster: &Cluster) -> Option<Upstream> {
    match view.settings.standby_cluster {
        Some(_) => remote(&view.settings),
        None => view.leader_upstream(cluster),
    }
}

/// We hold the lease, and PostgreSQL runs.
pub(super) fn with_lease(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Decision {
    if !server.in_recovery {
        // The lease stays: this node will lead the standby cluster. Standbys get all WAL in a clean stop.
        let stop = Job::Stop { mode: StopMode::Fast { checkpoint: true } };
        return Decision::act("demoting to a standby cluster", stop);
    }
    if let Some(decision) = failover::requested(view, cluster, server, now) {
        return decision;
    }
    let source = remote(&view.settings);
    if server.upstream != source || uses_wrong_slot(view, server, source.as_ref()) {
        let from = source.as_ref().map_or("nobody".into(), |source| format!("{}:{}", source.host, source.port));
        let status = format!("promoted self to a standby leader: following {from}");
        return Decision::act(status, Chore::Follow(source)).recheck(NOT_STREAMING);
    }
    if let Some(decision) = source.as_ref().and_then(|source| gone_another_way(view, cluster, server, source, now)) {
        return decision;
    }
    upkeep(view, cluster, server)
}

/// What the leader of a standby cluster does every time it looks, also while paused.
pub(super) fn upkeep(view: &View, cluster: &Cluster, server: &Server) -> Decision {
    let status = format!("no action. I am ({}), the standby leader with the lock", view.me.name);
    let mut decision = Decision::wait(status);
    // Nothing is committed here, so nobody is synchronous; the key may be left from the time before.
    if let Some(sync) = cluster.sync.as_ref().filter(|sync| sync.value.is_active()) {
        decision.actions.push(Write::Sync { sync: Sync::default(), version: Some(sync.version) }.into());
    }
    decision.actions.extend(lead::missing_keys(view, cluster).into_iter().map(Action::Write));
    decision.actions.extend(slots::chores(view, cluster, server));
    let coming = cluster.members.values().any(|member| {
        let streams = |s: &super::WalSender| s.application_name == member.name && s.state == "streaming";
        member.name != view.me.name && member.data.is_running() && !server.wal_senders.iter().any(streams)
    });
    if coming || !server.is_streaming() { decision.recheck(NOT_STREAMING) } else { decision }
}

/// The remote cluster may have failed over to a node that lacks WAL which is here. While streaming works that cannot
/// be; when it does not, the remote primary is asked from time to time.
fn gone_another_way(
    view: &View,
    cluster: &Cluster,
    server: &Server,
    source: &Upstream,
    now: Moment,
) -> Option<Decision> {
    let may_rewind = view.settings.use_pg_rewind && view.pg.can_rewind;
    if server.is_streaming() || !may_rewind {
        return None;
    }
    let due = view.facts.leader_asked.is_none_or(|asked| now.since(asked) >= view.settings.loop_wait);
    if due {
        let mut decision = upkeep(view, cluster, server);
        decision.actions.push(Action::ReadLeaderTimeline(source.clone()));
        return Some(decision);
    }
    let known = recover::known_timeline(view, cluster, source)?;
    if known.shared && needed_while_running(server.timeline, server.position(), known) != Need::Yes {
        return None;
    }
    let status = "this standby leader has gone another way than the remote primary: stopping it to be rewound";
    Some(Decision::act(status, Job::Stop { mode: StopMode::Fast { checkpoint: false } }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::remote;
    use crate::cluster::{History, MemberRole};
    use crate::config::StandbyCluster;

    fn there() -> Upstream {
        Upstream { host: "10.1.1.1".into(), port: 6000 }
    }

    fn section() -> StandbyCluster {
        StandbyCluster {
            host: Some("10.1.1.1".into()),
            port: 6000,
            slot: Some("Stand-by".into()),
            restore_command: None,
            archive_cleanup_command: None,
            recovery_min_apply_delay: None,
            replica_methods: vec![crate::config::ReplicaMethod::Basebackup],
        }
    }

    /// pg1 leads a standby cluster, pg2 follows it.
    fn leader() -> View {
        let mut view = replica();
        view.settings.standby_cluster = Some(section());
        view.settings.sync_mode = crate::config::SyncMode::Off;
        lead_by(&mut view, "pg1");
        let cluster = view.dcs.cluster.as_mut().unwrap();
        cluster.sync = None;
        let server = view.pg.server.as_mut().unwrap();
        (server.upstream, server.upstream_slot) = (Some(there()), "stand_by".into());
        server.wal_senders =
            vec![WalSender { application_name: "pg2".into(), state: "streaming".into(), ..WalSender::default() }];
        let cluster = view.dcs.cluster.clone().unwrap();
        if let Some(Write::Status { status, .. }) = publish_status(&view, &cluster) {
            set_status(&mut view, status);
        }
        view
    }

    fn publish_status(view: &View, _: &crate::cluster::Cluster) -> Option<Write> {
        decide(view, NOW).actions.into_iter().find_map(|action| match action {
            Action::Write(write @ Write::Status { .. }) => Some(write),
            _ => None,
        })
    }

    fn set_status(view: &mut View, value: crate::cluster::Status) {
        view.dcs.cluster.as_mut().unwrap().status = Some(crate::cluster::Versioned { value, version: 0 });
    }

    #[test]
    fn a_standby_leader_follows_the_remote_primary_through_its_slot_and_is_never_promoted() {
        let mut view = leader();
        assert_eq!(wanted(&view), []);
        assert!(decide(&view, NOW).status.contains("the standby leader with the lock"));
        assert_eq!(role(&view), MemberRole::StandbyLeader);
        view.pg.server.as_mut().unwrap().upstream_slot = "pg1".into();
        assert_eq!(first(&view), Chore::Follow(Some(there())).into());
        view.settings.standby_cluster.as_mut().unwrap().slot = None;
        view.pg.server.as_mut().unwrap().upstream_slot = String::new();
        assert_eq!(wanted(&view), []);
        view.settings.standby_cluster = None;
        view.pg.server.as_mut().unwrap().sync_names = String::new();
        assert_eq!(wanted(&view).last(), Some(&Job::Promote.into()));
    }

    #[test]
    fn a_primary_becomes_a_standby_leader_when_the_section_appears_and_keeps_the_lease() {
        let mut view = primary();
        view.settings.standby_cluster = Some(section());
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Fast { checkpoint: true } }.into());
        (view.pg.process, view.pg.server, view.pg.role) = (Process::Down, None, Role::Demoted);
        view.pg.control = Some(Control { state: ControlState::ShutDown, timeline: 1, ..Default::default() });
        assert_eq!(first(&view), Action::ReadLeaderTimeline(there()));
        view.facts.leader_unanswered = 2;
        assert_eq!(first(&view), Job::Start(StartAs::Standby(Some(there()))).into());
    }

    #[test]
    fn the_sync_key_of_the_time_before_is_cleared_and_bars_nobody() {
        let mut view = leader();
        set_sync(&mut view, crate::cluster::Sync::new("pg9", []));
        let clear = Write::Sync { sync: crate::cluster::Sync::default(), version: Some(0) };
        assert_eq!(wanted(&view), [clear.into()]);
    }

    #[test]
    fn a_follower_replicates_from_the_standby_leader_and_is_judged_by_the_remote_primary() {
        let mut view = replica();
        view.settings.standby_cluster = Some(section());
        assert_eq!(wanted(&view), []);
        view.pg.server.as_mut().unwrap().wal_receiver = None;
        view.pg.can_rewind = true;
        view.dcs.cluster.as_mut().unwrap().members["pg2"].data.timeline = Some(2);
        assert_eq!(first(&view), Action::ReadLeaderTimeline(there()));
    }

    #[test]
    fn a_standby_leader_that_cannot_stream_asks_and_is_stopped_to_be_rewound_if_it_went_too_far() {
        let mut view = leader();
        view.pg.server.as_mut().unwrap().wal_receiver = None;
        view.pg.can_rewind = true;
        assert_eq!(wanted(&view), [Action::ReadLeaderTimeline(there())]);
        view.facts.leader_asked = Some(NOW);
        assert_eq!(wanted(&view), []);
        let history = |at: u64| History::parse(format!(r#"[[1,{at},"x"]]"#).as_bytes());
        let known = |at| LeaderTimeline {
            upstream: there(),
            created: 1,
            timeline: 2,
            history: history(at),
            can_be_source: true,
            shared: true,
        };
        view.facts.leader_timeline = Some(known(POSITION));
        assert_eq!(wanted(&view), []);
        view.facts.leader_timeline = Some(known(POSITION - 1));
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Fast { checkpoint: false } }.into());
    }

    #[test]
    fn without_a_host_wal_comes_from_the_archive_alone() {
        let mut view = leader();
        view.settings.standby_cluster.as_mut().unwrap().host = None;
        assert_eq!(remote(&view.settings), None);
        assert_eq!(first(&view), Chore::Follow(None).into());
        let server = view.pg.server.as_mut().unwrap();
        (server.upstream, server.wal_receiver) = (None, None);
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn the_winner_of_the_race_copies_the_remote_primary_and_announces_the_standby_cluster() {
        let mut view = leader();
        view.me.may_bootstrap = true;
        view.pg = Pg::default();
        let cluster = view.dcs.cluster.as_mut().unwrap();
        (cluster.leader, cluster.config) = (None, None);
        cluster.initialize = Some(crate::cluster::Initialize { value: "".into(), created: 7, version: 0 });
        view.facts.initialize_created = Some(7);
        let name = "remote member 10.1.1.1:6000".to_owned();
        assert_eq!(first(&view), Job::Clone { name, from: Some(there()), created: Some(7) }.into());
        let phase = Phase { created: 7, complete: true };
        view.pg.data = DataDir::Initialising { system_identifier: SYSID, phase };
        assert_eq!(first(&view), Job::Start(StartAs::Standby(Some(there()))).into());
        view.pg = Pg { data: view.pg.data, process: Process::Up, role: Role::Replica, ..leader().pg };
        view.pg.data = DataDir::Initialising { system_identifier: SYSID, phase };
        assert!(matches!(wanted(&view).last(), Some(Action::Write(Write::AcquireLeader { .. }))));
    }

    #[test]
    fn without_a_leader_the_data_comes_up_as_a_standby_of_the_remote_primary() {
        let mut view = leader();
        view.dcs.cluster.as_mut().unwrap().leader = None;
        (view.pg.process, view.pg.server) = (Process::Down, None);
        view.pg.control = Some(Control { state: ControlState::ShutDownInRecovery, ..Default::default() });
        assert_eq!(first(&view), Job::Start(StartAs::Standby(Some(there()))).into());
    }
}
