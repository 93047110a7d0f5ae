//! What this node says about itself and, as the leader, about the cluster.

use super::{Action, DataDir, Decision, JobKind, Process, Role, Server, View, Write, slots, sync};
use crate::clock::Moment;
use crate::cluster::{Cluster, MemberData, MemberRole, PgState, Status};

/// The Patroni version whose protocol is spoken: peers adapt to it.
pub const VERSION: &str = "4.1.5";

/// Appends the writes of the member key and the status that are due.
pub(super) fn add(view: &View, now: Moment, decision: &mut Decision) {
    let ends = decision.actions.iter().any(|action| matches!(action, Action::Exit { .. }));
    let Some(cluster) = view.dcs.cluster.as_ref().filter(|_| view.dcs.reachable && !ends) else { return };
    if decision.actions.iter().any(|action| matches!(action, Action::Write(Write::Member(_)))) {
        return;
    }
    decision.actions.extend(status(view, cluster, now).map(Action::Write));
    let data = member(view);
    if member_needs_write(view, cluster, &data, now) {
        decision.actions.push(Write::Member(Box::new(data)).into());
    }
    decision.recheck = decision.recheck.min(view.settings.loop_wait);
}

/// The member key's payload.
pub fn member(view: &View) -> MemberData {
    let server = view.pg.server.as_ref().filter(|_| view.pg.process == Process::Up);
    let busy = view.job.as_ref().is_some_and(|job| job.kind != JobKind::Promote);
    let leads = view.dcs.cluster.as_ref().and_then(|c| c.leader.as_ref()).is_some_and(|leader| view.is_mine(leader));
    let standby = view.settings.standby_cluster.is_some();
    let unready = server.is_some_and(|server| leads && !standby && (server.in_recovery || !server.checkpointed));
    let mut data = MemberData {
        conn_url: view.me.conn_url.clone(),
        api_url: view.me.api_url.clone(),
        state: state(view).as_str().into(),
        role: role(view).as_str().into(),
        version: VERSION.into(),
        proxy_url: view.me.proxy_url.clone(),
        checkpoint_after_promote: unready.then_some(false),
        tags: tags(view),
        pending_restart: !view.pg.pending_restart.is_empty(),
        pending_restart_reason: pending_restart_reason(view),
        scheduled_restart: view.asked.scheduled_restart.as_ref().map(|plan| plan.published.clone().into()),
        pause: view.settings.pause,
        ..MemberData::default()
    };
    if let Some(server) = server.filter(|_| !busy) {
        positions(server, &mut data);
    }
    data
}

/// The node's tags; for the moment before it stops it is not to be synchronous.
pub(crate) fn tags(view: &View) -> indexmap::IndexMap<String, serde_json::Value> {
    let mut tags = view.me.tags.clone();
    if sync::is_leaving(view) {
        tags.insert("nosync".into(), true.into());
        tags.insert("sync_priority".into(), 0.into());
    }
    tags
}

/// Which parameters wait for a restart; `None` if none does.
pub(crate) fn pending_restart_reason(view: &View) -> Option<serde_json::Value> {
    let pending = &view.pg.pending_restart;
    (!pending.is_empty()).then(|| serde_json::json!(pending))
}

fn positions(server: &Server, data: &mut MemberData) {
    data.xlog_location = Some(server.position());
    if server.in_recovery {
        data.replay_lsn = Some(server.replayed);
        data.receive_lsn = Some(server.received);
        data.replication_state = replication_state(server).map(Into::into);
    }
    data.timeline = Some(server.timeline).filter(|timeline| *timeline > 0);
}

/// How a standby gets its WAL.
pub(crate) fn replication_state(server: &Server) -> Option<&'static str> {
    if !server.in_recovery {
        None
    } else if server.is_streaming() {
        Some("streaming")
    } else if server.archive_recovery {
        Some("in archive recovery")
    } else {
        None
    }
}

/// The state that is published.
pub(crate) fn state(view: &View) -> PgState {
    match view.job.as_ref().map(|job| job.kind) {
        Some(JobKind::Bootstrap) => return bootstrapping(view),
        Some(JobKind::Clone | JobKind::Discard) => return PgState::CreatingReplica,
        Some(JobKind::Restart) => return PgState::Restarting,
        Some(JobKind::Stop) => return PgState::Stopping,
        Some(JobKind::StartPrimary | JobKind::StartStandby) => return PgState::Starting,
        _ => {}
    }
    let empty = matches!(view.pg.data, DataDir::Empty | DataDir::Unfinished);
    if empty && view.asked.reinitialize.is_some() {
        return PgState::CreatingReplica;
    }
    let failed = view.facts.failure.as_ref().map(|failure| failure.kind);
    match (view.pg.process, &view.pg.server) {
        (Process::Up, Some(_)) => PgState::Running,
        (Process::Up, None) => PgState::Starting,
        // Nobody will start it, however it ended.
        (Process::Down, _) if view.settings.pause => PgState::Stopped,
        (Process::Down, _) if matches!(failed, Some(JobKind::StartPrimary | JobKind::StartStandby)) => {
            PgState::StartFailed
        }
        (Process::Down, _) if failed == Some(JobKind::Bootstrap) => match view.me.custom_bootstrap {
            true => PgState::CustomBootstrapFailed,
            false => PgState::InitdbFailed,
        },
        (Process::Down, _) if view.pg.crashed => PgState::Crashed,
        (Process::Down, _) => PgState::Stopped,
    }
}

fn bootstrapping(view: &View) -> PgState {
    match (view.pg.process, view.me.custom_bootstrap) {
        (Process::Down, true) => PgState::RunningCustomBootstrap,
        (Process::Down, false) => PgState::InitializingNewCluster,
        (Process::Up, true) => PgState::StartingAfterCustomBootstrap,
        (Process::Up, false) => PgState::Starting,
    }
}

/// The role that is published.
pub(crate) fn role(view: &View) -> MemberRole {
    match view.pg.role {
        Role::Primary => MemberRole::Primary,
        Role::Replica if view.settings.standby_cluster.is_some() && view.leads() => MemberRole::StandbyLeader,
        Role::Replica => MemberRole::Replica,
        Role::Demoted => MemberRole::Demoted,
        Role::Uninitialized => MemberRole::Uninitialized,
    }
}

/// A change is written at once, except that WAL positions alone are written every loop_wait: each write
/// wakes every agent of the cluster.
pub fn member_needs_write(view: &View, cluster: &Cluster, data: &MemberData, now: Moment) -> bool {
    let Some(member) = cluster.members.get(&view.me.name).filter(|m| Some(m.session) == view.dcs.session) else {
        return true;
    };
    if member.data == *data {
        return false;
    }
    let without_positions = |data: &MemberData| {
        let present = data.xlog_location.is_some();
        let data = MemberData { xlog_location: None, replay_lsn: None, receive_lsn: None, ..data.clone() };
        (present, data)
    };
    without_positions(&member.data) != without_positions(data) || is_due(view, view.facts.member_written, now)
}

fn is_due(view: &View, written: Moment, now: Moment) -> bool {
    now.since(written) >= view.settings.loop_wait
}

/// The leader's status key.
fn status(view: &View, cluster: &Cluster, now: Moment) -> Option<Write> {
    let leads = cluster.leader.as_ref().is_some_and(|leader| view.is_mine(leader));
    let standby = view.settings.standby_cluster.is_some();
    let server = view.pg.server.as_ref().filter(|server| leads && server.in_recovery == standby)?;
    let use_slots = view.settings.use_slots;
    let status = Status {
        optime: server.position(),
        slots: Some(slots::published(view, cluster, server)).filter(|slots| use_slots && !slots.is_empty()),
        retain_slots: Some(slots::retained(view, cluster, now)).filter(|names| use_slots && !names.is_empty()),
    };
    let version = cluster.status.as_ref().map(|status| status.version);
    let old = cluster.status.as_ref().map(|status| &status.value);
    let names = |status: &Status| {
        let mut names: Vec<_> = status.slots.iter().flatten().map(|(name, _)| name.clone()).collect();
        names.sort();
        (names, status.retain_slots.clone())
    };
    let needed = old.is_none_or(|old| names(old) != names(&status))
        || (old != Some(&status) && is_due(view, view.facts.status_written, now));
    needed.then_some(Write::Status { status, version })
}

/// The last status of a leader that has stopped cleanly: everything up to its shutdown checkpoint.
pub fn final_status(view: &View, cluster: &Cluster) -> Option<Write> {
    let control = view.pg.control.as_ref().filter(|control| control.state == super::ControlState::ShutDown)?;
    let old = cluster.status.as_ref();
    let status = Status { optime: control.checkpoint, ..old.map(|old| old.value.clone()).unwrap_or_default() };
    let version = old.map(|old| old.version);
    (old.map(|old| &old.value) != Some(&status)).then_some(Write::Status { status, version })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;
    use crate::cluster::{Lsn, Versioned};
    use std::time::Duration;

    #[test]
    fn payloads_are_those_that_were_captured() {
        let mut view = primary();
        view.pg.server.as_mut().unwrap().written = Lsn(50331840);
        let golden: Vec<_> = include_str!("../../tests/golden/members.txt").lines().collect();
        let json = member(&view).to_json();
        assert!(golden.contains(&json.as_str()), "{json}");
        let mut view = replica();
        (view.me.conn_url, view.me.api_url) =
            ("postgres://127.0.1.2:5432/postgres".into(), "http://127.0.1.2:8008/patroni".into());
        let server = view.pg.server.as_mut().unwrap();
        (server.received, server.replayed) = (Lsn(50331840), Lsn(50331840));
        let json = member(&view).to_json();
        assert!(golden.contains(&json.as_str()), "{json}");
        (view.pg.process, view.pg.server, view.pg.role) = (Process::Down, None, Role::Demoted);
        let json = member(&view).to_json().replace("127.0.1.2", "127.0.1.1");
        assert!(golden.contains(&json.as_str()), "{json}");
    }

    #[test]
    fn the_status_is_the_one_that_was_captured() {
        let mut view = primary();
        view.dcs.cluster.as_mut().unwrap().status = None;
        let server = view.pg.server.as_mut().unwrap();
        (server.written, server.slots[0].position) = (Lsn(50331840), Lsn(50331840));
        let Some(Write::Status { status, version: None }) = status(&view, &view.dcs.cluster.clone().unwrap(), NOW)
        else {
            panic!("no status");
        };
        let golden = r#"{"optime":50331840,"slots":{"pg2":50331840,"pg1":50331840},"retain_slots":["pg1","pg2"]}"#;
        assert_eq!(status.to_json(), golden);
    }

    #[test]
    fn positions_alone_are_written_every_loop_wait_and_anything_else_at_once() {
        let mut view = primary();
        view.facts.member_written = NOW;
        let writes = |view: &View, after: u64| {
            let cluster = view.dcs.cluster.clone().unwrap();
            member_needs_write(view, &cluster, &member(view), NOW + Duration::from_secs(after))
        };
        view.pg.server.as_mut().unwrap().written = Lsn(POSITION + 1);
        assert!(!writes(&view, 9) && writes(&view, 10));
        view.settings.pause = true;
        assert!(writes(&view, 0));
        let mut view = primary();
        view.dcs.cluster.as_mut().unwrap().members["pg1"].session = 99;
        assert!(writes(&view, 0));
    }

    #[test]
    fn a_leader_that_is_not_ready_to_be_rewound_from_says_so() {
        let mut view = primary();
        view.pg.server.as_mut().unwrap().checkpointed = false;
        assert_eq!(member(&view).checkpoint_after_promote, Some(false));
        let mut view = replica();
        lead_by(&mut view, "pg1");
        assert_eq!(member(&view).checkpoint_after_promote, Some(false));
        let _ = Versioned { value: (), version: 0 };
    }
}
