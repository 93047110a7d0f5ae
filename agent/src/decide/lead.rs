//! We hold the lease and PostgreSQL runs: be the primary, and keep the cluster's keys in step.

use std::time::Duration;

use super::{
    Action, Chore, Decision, Job, JobKind, Process, Server, StopMode, View, Write, failover, failsafe, race, slots,
    standby, sync,
};
use crate::clock::Moment;
use crate::cluster::{Cluster, Failover, History, HistoryLine, Initialize, Member};

/// How often the leader looks while a standby is about to stream.
const STANDBY_IS_COMING: Duration = Duration::from_millis(250);

pub(super) fn with_lease(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Decision {
    if view.settings.standby_cluster.is_some() {
        return standby::with_lease(view, cluster, server, now);
    }
    if view.watchdog.failed {
        return without_watchdog(server);
    }
    // The request for the lease was under way while we agreed to follow somebody else.
    if server.in_recovery && failsafe::agreed(view, now).is_some_and(|leader| leader.name != view.me.name) {
        return Decision::act("another node leads in failsafe mode: giving the lease back", Write::ReleaseLeader);
    }
    if server.in_recovery {
        return promote(view, cluster, server);
    }
    if let Some(decision) = failover::requested(view, cluster, server, now) {
        return decision;
    }
    upkeep(view, cluster, server, &format!("no action. I am ({}), the leader with the lock", view.me.name))
}

/// The lease is ours, but the sync key does not name us (any more): the request for the key was under way for
/// so long that another node has led meanwhile, and has acknowledged commits that we lack.
pub(super) fn not_entitled(view: &View, cluster: &Cluster) -> Option<Decision> {
    let mine = cluster.leader.as_ref().is_some_and(|leader| view.is_mine(leader));
    if !mine || race::may_lead_by_sync_key(view, cluster) {
        return None;
    }
    if view.pg.process == Process::Up && view.pg.is_primary() {
        let stop = Job::Stop { mode: StopMode::Immediate };
        return Some(Decision::act("holding the lease, but not a synchronous standby: demoting", stop));
    }
    Some(Decision::act("holding the lease, but not a synchronous standby: giving it back", Write::ReleaseLeader))
}

fn without_watchdog(server: &Server) -> Decision {
    if server.in_recovery {
        return Decision::act("Not promoting self because watchdog could not be activated", Write::ReleaseLeader);
    }
    let stop = Job::Stop { mode: StopMode::Immediate };
    Decision::act("Demoting self because watchdog could not be activated", stop)
}

/// The lease is not given back while PostgreSQL could become writable all the same, by a promotion that a former life
/// of this agent has begun: it is stopped first.
pub(super) fn keep_while_promoting(view: &View, decision: Decision) -> Decision {
    let releases = decision.actions.contains(&Write::ReleaseLeader.into());
    let promoting = view.facts.may_be_promoting && view.pg.process == Process::Up && view.job.is_none();
    if !releases || !promoting || view.settings.pause {
        return decision;
    }
    let status = format!("{}; PostgreSQL, which may be being promoted, is stopped before", decision.status);
    Decision::act(status, Job::Stop { mode: StopMode::Fast { checkpoint: false } })
}

/// Before the promotion: only this node may take over from now on, and the request is done with.
pub(super) fn promote(view: &View, cluster: &Cluster, server: &Server) -> Decision {
    if view.failed(JobKind::Promote) {
        return Decision::act("the promotion failed: giving the lease back", Write::ReleaseLeader);
    }
    let mut decision = Decision::wait("holding the lease: promoting");
    // Patroni's order. The request may be what entitles us, so both are written before we look again. In a pause it
    // stays until we are a primary: it is what tells this lease from one that we should not have.
    let done_with = cluster.failover.as_ref().filter(|failover| !failover.value.is_empty() && !view.settings.pause);
    if let Some(failover) = done_with {
        let version = Some(failover.version);
        decision.actions.push(Write::Failover { failover: Failover::default(), version }.into());
    }
    decision.actions.extend(sync::nobody_but_me(view, cluster).map(Action::Write));
    if !decision.actions.is_empty() {
        return decision;
    }
    let names = sync::names_of_nobody(view);
    if server.sync_names != names {
        return decision.then(Chore::SyncNames(names));
    }
    decision.then(Job::Promote)
}

/// What a primary with the lease does every time it looks.
pub(super) fn upkeep(view: &View, cluster: &Cluster, server: &Server, status: &str) -> Decision {
    let mut decision = Decision::wait(status);
    decision.actions.extend(missing_keys(view, cluster).into_iter().map(Action::Write));
    decision.actions.extend(failsafe::key(view, cluster).map(Action::Write));
    decision.actions.extend(slots::chores(view, cluster, server));
    if !server.checkpointed {
        decision.actions.push(Chore::Checkpoint.into());
    }
    let step = sync::next_step(view, cluster, server);
    decision.actions.extend(step.action);
    decision.actions.extend(history(view, cluster, server).map(Action::Write));
    let coming = cluster.members.values().any(|member| member.name != view.me.name && is_coming(member, server));
    if coming || step.pending { decision.recheck(STANDBY_IS_COMING) } else { decision }
}

/// A standby that will stream from here and does not yet. (Our own agent's key tells when it does, Patroni's much
/// later.) One that streams, by its key, from another one is not waited for.
fn is_coming(member: &Member, server: &Server) -> bool {
    let data = &member.data;
    let elsewhere = data.tag("nostream") || data.replication_state.as_deref() == Some("streaming");
    match server.wal_senders.iter().find(|sender| sender.application_name == member.name) {
        Some(sender) => sender.state != "streaming",
        None => data.is_running() && !elsewhere,
    }
}

pub(super) fn missing_keys(view: &View, cluster: &Cluster) -> Vec<Write> {
    let mut writes = Vec::new();
    let initialize = cluster.initialize.as_ref();
    if initialize.and_then(Initialize::system_identifier).is_none() {
        let version = initialize.map(|initialize| initialize.version);
        let ours = view.pg.data.system_identifier();
        writes.extend(ours.map(|system_identifier| Write::SetInitialize { system_identifier, version }));
    }
    if cluster.config.is_none() {
        writes.push(Write::Config { json: view.me.initial_config.clone(), version: None });
    }
    writes
}

/// The history key, when our timeline is newer than what it tells. The rows of PostgreSQL's file are joined
/// with the times and names that the key has for older ones.
fn history(view: &View, cluster: &Cluster, server: &Server) -> Option<Write> {
    let file = server.history.as_ref()?;
    let old = cluster.history.as_ref().map(|history| &history.value);
    let known = |line: &HistoryLine| {
        old.and_then(|old| {
            old.0.iter().find(|row| row.timeline == line.timeline && row.switchpoint == line.switchpoint)
        })
    };
    let last = file.0.len().saturating_sub(1);
    let mut lines: Vec<_> = file
        .0
        .iter()
        .enumerate()
        .map(|(i, line)| match known(line) {
            Some(row) => row.clone(),
            None if i == last => HistoryLine { leader: Some(view.me.name.clone()), ..line.clone() },
            None => HistoryLine { at: None, ..line.clone() },
        })
        .collect();
    let keep = view.settings.max_timelines_history;
    if keep > 0 && lines.len() > keep {
        lines.drain(..lines.len() - keep);
    }
    let history = History(lines);
    let changed = old != Some(&history) && !(old.is_none() && history.0.is_empty());
    changed.then(|| Write::History { history, version: cluster.history.as_ref().map(|history| history.version) })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use crate::cluster::{Failover, History, MemberData, Sync, Versioned};
    use std::time::Duration;

    /// pg1, a replica that has just won the race.
    fn winner() -> View {
        let mut view = replica();
        lead_by(&mut view, "pg1");
        view
    }

    #[test]
    fn without_the_watchdog_that_it_needs_nobody_leads() {
        let mut view = winner();
        view.watchdog.failed = true;
        assert_eq!(first(&view), Write::ReleaseLeader.into());
        let mut view = primary();
        view.watchdog.failed = true;
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Immediate }.into());
        (view.pg.process, view.pg.server) = (Process::Down, None);
        view.pg.control = Some(Control { state: ControlState::Unclean, timeline: 1, ..Default::default() });
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn before_a_promotion_the_request_is_cleared_and_the_sync_key_names_only_the_new_leader() {
        let mut view = winner();
        let failover = Failover { leader: Some("pg2".into()), ..Default::default() };
        view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 3 });
        set_sync(&mut view, Sync::new("pg2", ["pg1".into()]));
        assert_eq!(
            wanted(&view),
            [
                Write::Failover { failover: Failover::default(), version: Some(3) }.into(),
                Write::Sync { sync: Sync::new("pg1", []), version: Some(0) }.into(),
            ]
        );
        view.dcs.cluster.as_mut().unwrap().failover = None;
        set_sync(&mut view, Sync::new("pg1", []));
        view.pg.server.as_mut().unwrap().sync_names = "pg9".into();
        assert_eq!(wanted(&view), [Chore::SyncNames(String::new()).into()]);
        view.pg.server.as_mut().unwrap().sync_names = String::new();
        assert_eq!(wanted(&view), [Job::Promote.into()]);
    }

    #[test]
    fn a_former_leader_that_is_promoted_again_drops_the_standby_it_had() {
        let mut view = winner();
        set_sync(&mut view, Sync::new("pg1", ["pg2".into()]));
        assert_eq!(wanted(&view), [Write::Sync { sync: Sync::new("pg1", []), version: Some(0) }.into()]);
    }

    #[test]
    fn a_lease_that_came_too_late_is_given_back() {
        let mut view = winner();
        set_sync(&mut view, Sync::new("pg2", []));
        assert_eq!(first(&view), Write::ReleaseLeader.into());
        let failover = Failover { candidate: Some("pg1".into()), ..Default::default() };
        view.dcs.cluster.as_mut().unwrap().failover = Some(Versioned { value: failover, version: 3 });
        assert!(matches!(first(&view), Action::Write(Write::Failover { .. })));
        let mut view = primary();
        set_sync(&mut view, Sync::new("pg2", []));
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Immediate }.into());
    }

    #[test]
    fn a_failed_promotion_gives_the_lease_back() {
        let mut view = winner();
        fail(&mut view, JobKind::Promote);
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn a_promotion_of_a_former_life_is_ended_before_the_lease_is_given_back() {
        let mut view = winner();
        view.dcs.cluster.as_mut().unwrap().leader.as_mut().unwrap().session = 99;
        assert_eq!(first(&view), Write::ReclaimLeader { sync: Some(0) }.into());
        view.learn_written(&Write::ReclaimLeader { sync: Some(0) }, None, NOW);
        lead_by(&mut view, "pg1");
        fail(&mut view, JobKind::Promote);
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Fast { checkpoint: false } }.into());
        view.learn_down();
        view.learn_postmaster_started();
        view.pg.server = winner().pg.server;
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn a_settled_leader_has_nothing_to_do() {
        let view = primary();
        assert_eq!(wanted(&view), []);
        assert!(decide(&view, NOW).status.contains("the leader with the lock"));
    }

    #[test]
    fn only_a_standby_that_will_stream_from_here_is_looked_for_often() {
        let often = |view: &View| decide(view, NOW).recheck <= Duration::from_millis(250);
        let mut view = primary();
        assert!(!often(&view));
        view.pg.server.as_mut().unwrap().wal_senders[0].state = "catchup".into();
        assert!(often(&view), "it catches up");
        let mut view = primary();
        add_member(&mut view, "pg3", "127.0.1.3");
        assert!(often(&view), "it runs and does not stream yet");
        let data = |view: &mut View, change: &dyn Fn(&mut MemberData)| {
            change(&mut view.dcs.cluster.as_mut().unwrap().members["pg3"].data);
        };
        data(&mut view, &|data| data.replication_state = Some("streaming".into()));
        assert!(!often(&view), "it streams from another one");
        data(&mut view, &|data| data.replication_state = None);
        data(&mut view, &|data| drop(data.tags.insert("nostream".into(), true.into())));
        assert!(!often(&view), "it will never stream");
    }

    #[test]
    fn after_a_promotion_come_a_checkpoint_and_the_history() {
        let mut view = primary();
        let server = view.pg.server.as_mut().unwrap();
        server.checkpointed = false;
        let mut file = History::parse_file("1\t0/100\tno recovery target specified\n");
        file.0[0].at = Some("2026-01-01T00:00:00+00:00".into());
        server.history = Some(file.clone());
        file.0[0].leader = Some("pg1".into());
        let actions = wanted(&view);
        assert!(actions.contains(&Chore::Checkpoint.into()));
        assert!(actions.contains(&Write::History { history: file.clone(), version: None }.into()));
        view.dcs.cluster.as_mut().unwrap().history = Some(Versioned { value: file, version: 0 });
        view.pg.server.as_mut().unwrap().checkpointed = true;
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn missing_keys_are_written_again() {
        let mut view = primary();
        let cluster = view.dcs.cluster.as_mut().unwrap();
        (cluster.config, cluster.initialize) = (None, None);
        assert_eq!(
            wanted(&view),
            [
                Write::SetInitialize { system_identifier: SYSID, version: None }.into(),
                Write::Config { json: String::new(), version: None }.into(),
            ]
        );
    }

    #[test]
    fn a_lease_of_an_earlier_life_is_taken_over_first() {
        let mut view = primary();
        view.dcs.cluster.as_mut().unwrap().leader.as_mut().unwrap().session = 99;
        assert_eq!(first(&view), Write::ReclaimLeader { sync: Some(0) }.into());
        view.dcs.cluster.as_mut().unwrap().sync = None;
        assert_eq!(first(&view), Write::ReclaimLeader { sync: None }.into());
    }
}
