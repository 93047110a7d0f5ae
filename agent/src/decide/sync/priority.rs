//! Synchronous mode on: commits wait for each of `synchronous_node_count` chosen standbys, and each of those
//! that the sync key names may take over on its own.

use super::super::{Chore, Server, View, Write};
use super::pick::able;
use super::{Step, known, names_of_nobody, setting};
use crate::cluster::{Cluster, Sync};

/// The next step. `Sync` names this node as the leader already.
pub(super) fn next_step(view: &View, cluster: &Cluster, server: &Server) -> Step {
    let listed = cluster.sync().standbys;
    let able = able(view, cluster, server.written, &server.wal_senders);
    let able = &able[..able.len().min(view.settings.sync_node_count)];
    let mut picked: Vec<_> = able.iter().map(|able| able.member.name.clone()).collect();
    picked.sort();
    let version = cluster.sync.as_ref().map(|sync| sync.version);
    let write = |names: Vec<String>| Step::act(Write::Sync { sync: Sync::new(&view.me.name, names), version });

    let kept: Vec<_> = listed.iter().filter(|name| contains(&picked, name)).cloned().collect();
    if kept.len() < listed.len() {
        return write(kept);
    }
    let names = match picked.as_slice() {
        [] => names_of_nobody(view),
        picked => setting::all_of(picked),
    };
    let all_listed = picked.iter().all(|name| contains(&listed, name));
    let set = known(view, server).filter(|_| server.sync_names == names);
    if server.sync_names != names || (set.is_none() && !all_listed) {
        return Step::act(Chore::SyncNames(names));
    }
    let has_all = |position| set.is_some_and(|since| position >= since);
    let mut confirmed: Vec<_> = able
        .iter()
        .filter(|able| contains(&listed, &able.member.name) || (able.is_sync() && has_all(able.position)))
        .map(|able| able.member.name.clone())
        .collect();
    if confirmed.len() > listed.len() {
        confirmed.sort();
        return write(confirmed);
    }
    Step { action: None, pending: confirmed.len() < picked.len() }
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::super::super::*;
    use super::*;
    use crate::cluster::Lsn;
    use crate::config::SyncMode;

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
        view.settings.maximum_lag_on_syncnode = None;
        view.dcs.cluster.as_mut().unwrap().members["pg3"].data.state = "stopped".into();
        assert_eq!(first(&view), Chore::SyncNames("pg2".into()).into());
    }
}
