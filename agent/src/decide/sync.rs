//! Synchronous mode: which standbys commits wait for, and who may therefore take over.
//!
//! The order is what keeps every acknowledged commit (Patroni, "Replication modes"): a standby enters
//! `synchronous_standby_names` first and the sync key once it has everything that was acknowledged without
//! it; it leaves the sync key first and `synchronous_standby_names` after that.

use super::{Action, Chore, Server, View, WalSender, Write};
use crate::cluster::{Cluster, Sync};
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
    if view.settings.sync_mode == SyncMode::Off {
        return without(view, cluster, server);
    }
    if let Some(write) = only_me(view, cluster) {
        return Step::act(write);
    }
    let listed = cluster.sync().standbys;
    let picked = pick(view, cluster, server);
    let version = cluster.sync.as_ref().map(|sync| sync.version);
    let write = |names: Vec<String>| Step::act(Write::Sync { sync: Sync::new(&view.me.name, names), version });

    let kept: Vec<_> = listed.iter().filter(|name| contains(&picked, name)).cloned().collect();
    if kept.len() < listed.len() {
        return write(kept);
    }
    let names = match picked.as_slice() {
        [] => names_of_nobody(view),
        picked => setting(picked),
    };
    let all_listed = picked.iter().all(|name| contains(&listed, name));
    let set = view.facts.sync_setting.as_ref().filter(|set| set.names == names);
    if server.sync_names != names || (set.is_none() && !all_listed) {
        return Step::act(Chore::SyncNames(names));
    }
    let confirmed: Vec<_> = picked
        .iter()
        .filter(|name| {
            contains(&listed, name)
                || server.wal_senders.iter().any(|sender| {
                    let has_all = set.is_some_and(|set| sender.flushed >= set.since);
                    sender.application_name.eq_ignore_ascii_case(name) && is_sync(sender) && has_all
                })
        })
        .cloned()
        .collect();
    if confirmed.len() > listed.len() {
        return write(confirmed);
    }
    Step { action: None, pending: confirmed.len() < picked.len() }
}

/// Synchronous mode is off: the sync key goes first (see `lead`), then the setting.
fn without(view: &View, cluster: &Cluster, server: &Server) -> Step {
    let own = view.settings.parameters.get("synchronous_standby_names").cloned().unwrap_or_default();
    let clear = !cluster.sync().is_active() && server.sync_names != own;
    match clear {
        true => Step::act(Chore::SyncNames(own)),
        false => Step { action: None, pending: false },
    }
}

/// Makes this node the leader of the sync key, with no standby, unless it already is.
pub(super) fn only_me(view: &View, cluster: &Cluster) -> Option<Write> {
    let sync = cluster.sync();
    let version = cluster.sync.as_ref().map(|sync| sync.version);
    match view.settings.sync_mode {
        SyncMode::Off => sync.is_active().then_some(Write::Sync { sync: Sync::default(), version }),
        SyncMode::On { .. } if sync.is_leader(&view.me.name) => None,
        SyncMode::On { .. } => Some(Write::Sync { sync: Sync::new(&view.me.name, []), version }),
    }
}

/// The setting while there is no synchronous standby: commits pass, or in strict mode wait for anybody.
pub(super) fn names_of_nobody(view: &View) -> String {
    match view.settings.sync_mode {
        SyncMode::On { strict: true } => "*".into(),
        SyncMode::On { strict: false } => String::new(),
        SyncMode::Off => view.settings.parameters.get("synchronous_standby_names").cloned().unwrap_or_default(),
    }
}

/// The best standbys: those that stream, by priority, then those that already are synchronous, then by
/// what they have flushed; nodes that may not lead come last.
fn pick(view: &View, cluster: &Cluster, server: &Server) -> Vec<String> {
    let member = |sender: &WalSender| {
        cluster.members.values().find(|member| member.name.eq_ignore_ascii_case(&sender.application_name))
    };
    let mut able: Vec<_> = server
        .wal_senders
        .iter()
        .filter(|sender| sender.state == "streaming")
        .filter_map(|sender| Some((sender, member(sender)?)))
        .filter(|(_, member)| {
            member.name != view.me.name && member.data.is_running() && member.data.sync_priority() > 0
        })
        .collect();
    let best = able.iter().map(|(sender, _)| sender.flushed).max().unwrap_or_default();
    if let Some(limit) = view.settings.maximum_lag_on_syncnode {
        able.retain(|(sender, _)| best.since(sender.flushed) <= limit);
    }
    able.sort_by_key(|(sender, member)| {
        let rank = (member.data.may_lead(), member.data.sync_priority(), is_sync(sender), sender.flushed);
        std::cmp::Reverse(rank)
    });
    let mut names: Vec<_> = able.into_iter().map(|(_, member)| member.name.clone()).collect();
    names.dedup();
    names.truncate(view.settings.sync_node_count);
    names.sort();
    names
}

fn is_sync(sender: &WalSender) -> bool {
    matches!(sender.sync_state.as_str(), "sync" | "quorum")
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// `synchronous_standby_names` for these nodes.
fn setting(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    match quoted.as_slice() {
        [name] => name.clone(),
        names => format!("{} ({})", names.len(), names.join(",")),
    }
}

/// As an identifier: plain where PostgreSQL would read it unchanged.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !matches!(name, "any" | "first");
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;
    use crate::cluster::Lsn;

    /// pg1 leads, pg2 streams; the key and the setting name nobody yet.
    fn unsettled() -> View {
        let mut view = primary();
        set_sync(&mut view, Sync::new("pg1", []));
        view.pg.server.as_mut().unwrap().sync_names = String::new();
        view.facts.sync_setting = None;
        sender(&mut view).sync_state = "async".into();
        view
    }

    fn sender(view: &mut View) -> &mut WalSender {
        &mut view.pg.server.as_mut().unwrap().wal_senders[0]
    }

    fn set_names(view: &mut View, names: &str, since: u64) {
        view.pg.server.as_mut().unwrap().sync_names = names.into();
        view.facts.sync_setting = Some(SyncSetting { names: names.into(), since: Lsn(since) });
    }

    fn key(standbys: &[&str]) -> Action {
        let sync = Sync::new("pg1", standbys.iter().map(ToString::to_string));
        Write::Sync { sync, version: Some(0) }.into()
    }

    #[test]
    fn a_standby_enters_the_setting_first_and_the_key_once_it_has_everything() {
        let mut view = unsettled();
        assert_eq!(first(&view), Chore::SyncNames("pg2".into()).into());
        set_names(&mut view, "pg2", POSITION);
        // Not yet synchronous, then synchronous but not far enough.
        assert_eq!(wanted(&view), []);
        sender(&mut view).sync_state = "sync".into();
        sender(&mut view).flushed = Lsn(POSITION - 1);
        assert_eq!(wanted(&view), []);
        sender(&mut view).flushed = Lsn(POSITION);
        assert_eq!(first(&view), key(&["pg2"]));
    }

    #[test]
    fn a_setting_of_an_earlier_life_is_made_anew_before_it_is_believed() {
        let mut view = unsettled();
        view.pg.server.as_mut().unwrap().sync_names = "pg2".into();
        sender(&mut view).sync_state = "sync".into();
        assert_eq!(first(&view), Chore::SyncNames("pg2".into()).into());
    }

    #[test]
    fn a_standby_leaves_the_key_first_and_the_setting_after_that() {
        let mut view = primary();
        view.pg.server.as_mut().unwrap().wal_senders.clear();
        assert_eq!(first(&view), key(&[]));
        set_sync(&mut view, Sync::new("pg1", []));
        assert_eq!(first(&view), Chore::SyncNames(String::new()).into());
        view.settings.sync_mode = SyncMode::On { strict: true };
        assert_eq!(first(&view), Chore::SyncNames("*".into()).into());
    }

    #[test]
    fn the_key_of_another_leader_is_reset() {
        let mut view = primary();
        set_sync(&mut view, Sync::new("pg2", ["pg1".into()]));
        assert_eq!(first(&view), key(&[]));
    }

    #[test]
    fn tags_state_priority_and_lag_decide_who_is_picked() {
        let mut view = unsettled();
        add_member(&mut view, "pg3", "127.0.1.3");
        let mut third = sender(&mut view).clone();
        third.application_name = "pg3".into();
        let server = view.pg.server.as_mut().unwrap();
        server.wal_senders.push(third);
        server.slots.push(Slot { name: "pg3".into(), active: true, ..Default::default() });
        let member = |view: &mut View, name: &str, tag: &str, value: serde_json::Value| {
            view.dcs.cluster.as_mut().unwrap().members[name].data.tags.insert(tag.into(), value);
        };
        member(&mut view, "pg3", "sync_priority", 2.into());
        assert_eq!(first(&view), Chore::SyncNames("pg3".into()).into());
        member(&mut view, "pg3", "nosync", true.into());
        assert_eq!(first(&view), Chore::SyncNames("pg2".into()).into());
        member(&mut view, "pg3", "nosync", false.into());
        view.settings.sync_node_count = 2;
        assert_eq!(first(&view), Chore::SyncNames("2 (pg2,pg3)".into()).into());
        view.settings.maximum_lag_on_syncnode = Some(10);
        sender(&mut view).flushed = Lsn(POSITION - 11);
        assert_eq!(first(&view), Chore::SyncNames("pg3".into()).into());
        view.dcs.cluster.as_mut().unwrap().members["pg3"].data.state = "stopped".into();
        assert_eq!(first(&view), Chore::SyncNames("pg2".into()).into());
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
    fn names_that_need_it_are_quoted() {
        assert_eq!(setting(&["pg-1".into()]), "\"pg-1\"");
        assert_eq!(setting(&["PG1".into(), "b".into()]), "2 (\"PG1\",b)");
    }
}
