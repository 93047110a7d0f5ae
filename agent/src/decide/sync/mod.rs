//! Synchronous mode: which standbys commits wait for, and who may therefore take over.
//!
//! Two things say it: `synchronous_standby_names` in PostgreSQL, and the sync key in the DCS. They cannot be
//! changed at once, so the order is what keeps every acknowledged commit (Patroni, "Replication modes"): at
//! any moment, whoever the key lets win a race holds everything that was acknowledged.

mod names;
mod pick;
mod priority;
mod quorum;
#[cfg(test)]
mod safety;
mod setting;

use std::time::Duration;

use super::{Action, Chore, Decision, Process, Role, Server, View, Write};
use crate::clock::Moment;
use crate::cluster::{Cluster, Lsn, Sync};
use crate::config::SyncMode;

/// What to do next, and whether there is more to come.
pub(super) struct Step {
    pub(super) action: Option<Action>,
    pub(super) pending: bool,
}

impl Step {
    fn act(action: impl Into<Action>) -> Step {
        Step { action: Some(action.into()), pending: true }
    }
}

/// The next step of a primary with the lease.
pub(super) fn next_step(view: &View, cluster: &Cluster, server: &Server) -> Step {
    if let Some(write) = only_me(view, cluster) {
        return Step::act(write);
    }
    match view.settings.sync_mode {
        SyncMode::Off => without(view, server),
        SyncMode::On { .. } => priority::next_step(view, cluster, server),
        SyncMode::Quorum { .. } => quorum::next_step(view, cluster, server),
    }
}

/// Synchronous mode is off and the sync key says so: the setting is the user's own again.
fn without(view: &View, server: &Server) -> Step {
    let own = names_of_nobody(view);
    match server.sync_names != own {
        true => Step::act(Chore::SyncNames(own)),
        false => Step { action: None, pending: false },
    }
}

/// Before a promotion: makes this node the only one that the sync key names. Standbys that it names from before
/// have to go, too, whoever wrote it: commits will not wait for them at first. (In quorum mode Patroni leaves
/// the key as it is and makes commits wait for nodes that may be gone. A key that names nobody else is as safe,
/// and the standbys are back in it as soon as they stream; only if the promotion fails, nobody else can lead, as
/// in plain synchronous mode.)
pub(super) fn nobody_but_me(view: &View, cluster: &Cluster) -> Option<Write> {
    let sync = cluster.sync();
    let alone = sync.is_leader(&view.me.name) && sync.standbys.is_empty();
    match view.settings.sync_mode {
        SyncMode::Off => only_me(view, cluster),
        _ if alone => None,
        _ => Some(reset(view, cluster)),
    }
}

/// Makes this node the leader of the sync key, with no standby, unless it already is; without synchronous mode
/// the key goes.
fn only_me(view: &View, cluster: &Cluster) -> Option<Write> {
    let sync = cluster.sync();
    let version = cluster.sync.as_ref().map(|sync| sync.version);
    match view.settings.sync_mode {
        SyncMode::Off => sync.is_active().then_some(Write::Sync { sync: Sync::default(), version }),
        // A key of quorum mode: none of its standbys is sure to have everything on its own.
        SyncMode::On { .. } if sync.quorum > 0 => Some(reset(view, cluster)),
        _ if sync.is_leader(&view.me.name) => None,
        _ => Some(reset(view, cluster)),
    }
}

fn reset(view: &View, cluster: &Cluster) -> Write {
    let version = cluster.sync.as_ref().map(|sync| sync.version);
    Write::Sync { sync: Sync::new(&view.me.name, []), version }
}

/// The setting while there is no synchronous standby: commits pass, or in strict mode wait for anybody.
pub(super) fn names_of_nobody(view: &View) -> String {
    match view.settings.sync_mode {
        SyncMode::On { strict: true } => "*".into(),
        SyncMode::Quorum { strict: true } => "ANY 1 (*)".into(),
        SyncMode::On { .. } | SyncMode::Quorum { .. } => String::new(),
        SyncMode::Off => view.settings.parameters.get("synchronous_standby_names").cloned().unwrap_or_default(),
    }
}

/// From which WAL position on every commit obeys the setting that is in force; `None` if that is not known: it
/// is being changed, or was made in an earlier life of this agent.
fn known(view: &View, server: &Server) -> Option<Lsn> {
    view.facts.sync_setting.as_ref().filter(|set| set.names == server.sync_names).map(|set| set.since)
}

/// Whether this node has asked the leader to do without it as a synchronous standby: it is about to stop, and
/// commits should not have to wait for it. Its member key says `nosync` meanwhile.
pub(super) fn is_leaving(view: &View) -> bool {
    view.facts.leaving_since.is_some()
        && view.settings.sync_mode != SyncMode::Off
        && !view.settings.pause
        && view.pg.role == Role::Replica
        && view.pg.process == Process::Up
}

/// A standby that is to stop waits until the leader has let go of it, but not for longer than two loops: it is
/// only a courtesy.
pub(super) fn waits_to_leave(view: &View, now: Moment) -> Option<Decision> {
    let since = view.facts.leaving_since.filter(|_| is_leaving(view))?;
    let cluster = view.dcs.cluster.as_ref().filter(|_| view.dcs.reachable)?;
    let sync = cluster.sync();
    let listed = sync.has_standby(&view.me.name) && cluster.leader_name().is_some_and(|leader| sync.is_leader(leader));
    let late = now.since(since) >= view.settings.loop_wait * 2;
    (listed && !late).then(|| {
        let status = "Waiting for primary to release us from synchronous standby";
        Decision::wait(status).recheck(Duration::from_secs(1))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;

    #[test]
    fn the_key_of_another_leader_is_reset_in_every_mode() {
        let mut view = primary();
        for mode in [SyncMode::On { strict: false }, SyncMode::Quorum { strict: false }] {
            view.settings.sync_mode = mode;
            set_sync(&mut view, Sync::new("pg2", ["pg1".into()]));
            assert_eq!(first(&view), Write::Sync { sync: Sync::new("pg1", []), version: Some(0) }.into());
        }
    }

    #[test]
    fn without_standbys_strict_mode_waits_for_anybody() {
        let mut view = primary();
        let mut nobody = |mode| {
            view.settings.sync_mode = mode;
            names_of_nobody(&view)
        };
        assert_eq!(nobody(SyncMode::On { strict: true }), "*");
        assert_eq!(nobody(SyncMode::Quorum { strict: true }), "ANY 1 (*)");
        assert_eq!(nobody(SyncMode::On { strict: false }) + &nobody(SyncMode::Quorum { strict: false }), "");
    }

    #[test]
    fn a_key_with_a_quorum_is_no_use_to_the_plain_mode() {
        let mut view = primary();
        let sync = Sync { quorum: 1, ..Sync::new("pg1", ["pg2".into(), "pg3".into()]) };
        set_sync(&mut view, sync);
        assert_eq!(first(&view), Write::Sync { sync: Sync::new("pg1", []), version: Some(0) }.into());
    }

    #[test]
    fn switched_off_the_key_goes_before_the_setting() {
        let mut view = primary();
        view.settings.sync_mode = SyncMode::Off;
        assert_eq!(wanted(&view), [Write::Sync { sync: Sync::default(), version: Some(0) }.into()]);
        set_sync(&mut view, Sync::default());
        assert_eq!(first(&view), Chore::SyncNames(String::new()).into());
    }

    #[test]
    fn a_synchronous_standby_that_is_to_stop_is_let_go_first() {
        let mut view = replica();
        (view.stopping, view.facts.leaving_since) = (true, Some(NOW));
        let decision = decide(&view, NOW);
        assert!(decision.status.contains("Waiting for primary to release us"), "{}", decision.status);
        let [Action::Write(Write::Member(data))] = decision.actions.as_slice() else { panic!("{decision:?}") };
        assert_eq!(data.sync_priority(), 0);
        let stop: Action = Job::Stop { mode: StopMode::Fast { checkpoint: false } }.into();
        // Released, or not for two loops, or without a leader.
        let mut released = view.clone();
        set_sync(&mut released, Sync::new("pg2", []));
        assert_eq!(first(&released), stop);
        assert_eq!(decide(&view, NOW + Duration::from_secs(20)).actions[0], stop);
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(first(&view), stop);
    }
}
