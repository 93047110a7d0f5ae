//! Which standbys may be synchronous, best first (Patroni, `_ReplicaList`).

use super::super::{View, WalSender};
use super::names::Names;
use crate::cluster::{Cluster, Lsn, Member};

/// A standby that streams from us and may be synchronous.
pub(super) struct Able<'a> {
    pub(super) member: &'a Member,
    /// What it has, in the sense of `synchronous_commit`.
    pub(super) position: Lsn,
    /// How PostgreSQL ranks it now: async, potential, quorum, sync.
    sync_state: &'a str,
}

impl Able<'_> {
    pub(super) fn is_sync(&self) -> bool {
        self.sync_state == "sync"
    }
}

/// All of them: by priority, then those that already are synchronous, then by what they have; nodes that may
/// not lead come last. Left out are those that lag too far and those that are to stream from another standby.
pub(super) fn able<'a>(view: &'a View, cluster: &'a Cluster, written: Lsn, senders: &'a [WalSender]) -> Vec<Able<'a>> {
    let eligible = |member: &&Member| {
        !member.name.eq_ignore_ascii_case(&view.me.name) && member.data.is_running() && member.data.may_be_synchronous()
    };
    let members: Vec<_> = cluster.members.values().filter(eligible).collect();
    let member = |name: &str| members.iter().find(|member| member.name.eq_ignore_ascii_case(name)).copied();
    let streams = |sender: &&WalSender| sender.state == "streaming";
    let connected: Names = senders.iter().filter(streams).map(|sender| &sender.application_name).collect();
    let mut able: Vec<_> = senders
        .iter()
        .filter(streams)
        .filter_map(|sender| {
            let member = member(&sender.application_name)?;
            Some(Able { member, position: position(view, sender), sync_state: &sender.sync_state })
        })
        .filter(|able| !cascades(&members, &connected, able.member))
        .collect();
    able.sort_by_key(|able| {
        let data = &able.member.data;
        std::cmp::Reverse((data.may_lead(), data.sync_priority(), rank(able.sync_state), able.position))
    });
    let mut seen: Vec<&str> = Vec::new();
    able.retain(|able| {
        let first = !seen.contains(&able.member.name.as_str());
        seen.push(&able.member.name);
        first
    });
    if let Some(limit) = view.settings.maximum_lag_on_syncnode {
        // A single standby is measured against the primary, lest one that hangs is never too far behind.
        let newest = match able.as_slice() {
            [_] => written,
            able => able.iter().map(|able| able.position).max().unwrap_or_default(),
        };
        able.retain(|able| newest.since(able.position) <= limit);
    }
    able
}

/// What a commit waits for a standby to have done, by the level of `synchronous_commit`.
fn position(view: &View, sender: &WalSender) -> Lsn {
    match view.settings.parameters.get("synchronous_commit").map(String::as_str) {
        Some("remote_apply") => sender.replayed,
        Some("remote_write") => sender.written,
        _ => sender.flushed,
    }
}

fn rank(sync_state: &str) -> u8 {
    match sync_state {
        "sync" => 3,
        "quorum" => 2,
        "potential" => 1,
        _ => 0,
    }
}

/// Whether `member` streams from us only for now: the tag `replicatefrom` names a standby that is there.
fn cascades(members: &[&Member], connected: &Names, member: &Member) -> bool {
    let upstream = |member: &Member| {
        let name = member.data.tags.get("replicatefrom")?.as_str()?.to_owned();
        members.iter().find(|member| member.name.eq_ignore_ascii_case(&name)).copied()
    };
    let mut next = upstream(member);
    // A chain is no longer than there are members; a ring of such tags leads nowhere.
    for _ in members {
        let Some(member) = next else { return false };
        next = match member.data.tags.get("replicatefrom") {
            None => return connected.contains(&member.name),
            Some(_) => upstream(member),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    /// pg1 leads; pg2, pg3 and pg4 stream from it.
    fn three() -> View {
        let mut view = primary();
        for (name, host) in [("pg3", "127.0.1.3"), ("pg4", "127.0.1.4")] {
            add_member(&mut view, name, host);
        }
        let server = view.pg.server.as_mut().unwrap();
        let first = WalSender { sync_state: "async".into(), ..server.wal_senders[0].clone() };
        server.wal_senders =
            ["pg2", "pg3", "pg4"].map(|name| WalSender { application_name: name.into(), ..first.clone() }).into();
        view
    }

    fn sender<'a>(view: &'a mut View, name: &str) -> &'a mut WalSender {
        let senders = &mut view.pg.server.as_mut().unwrap().wal_senders;
        senders.iter_mut().find(|sender| sender.application_name == name).unwrap()
    }

    fn tag(view: &mut View, name: &str, tag: &str, value: serde_json::Value) {
        view.dcs.cluster.as_mut().unwrap().members[name].data.tags.insert(tag.into(), value);
    }

    fn names(view: &View) -> Vec<String> {
        let server = view.pg.server.as_ref().unwrap();
        let able = able(view, view.dcs.cluster.as_ref().unwrap(), server.written, &server.wal_senders);
        able.iter().map(|able| able.member.name.clone()).collect()
    }

    #[test]
    fn priority_goes_before_state_and_state_before_position_and_nofailover_comes_last() {
        let mut view = three();
        sender(&mut view, "pg3").flushed = Lsn(POSITION + 1);
        assert_eq!(names(&view), ["pg3", "pg2", "pg4"]);
        sender(&mut view, "pg4").sync_state = "potential".into();
        assert_eq!(names(&view), ["pg4", "pg3", "pg2"]);
        tag(&mut view, "pg2", "sync_priority", 2.into());
        assert_eq!(names(&view), ["pg2", "pg4", "pg3"]);
        tag(&mut view, "pg2", "nofailover", true.into());
        assert_eq!(names(&view), ["pg4", "pg3", "pg2"]);
        tag(&mut view, "pg4", "nosync", true.into());
        assert_eq!(names(&view), ["pg3", "pg2"]);
        tag(&mut view, "pg3", "sync_priority", 0.into());
        assert_eq!(names(&view), ["pg2"]);
        // The switch counts, where the two contradict each other.
        tag(&mut view, "pg3", "nosync", false.into());
        assert_eq!(names(&view), ["pg3", "pg2"]);
    }

    #[test]
    fn the_level_of_synchronous_commit_says_which_position_counts() {
        let mut view = three();
        let mut newest = |level: &str, written: u64, flushed: u64, replayed: u64| {
            view.settings.parameters.insert("synchronous_commit".into(), level.into());
            let sender = sender(&mut view, "pg4");
            (sender.written, sender.flushed, sender.replayed) = (Lsn(written), Lsn(flushed), Lsn(replayed));
            names(&view)[0].clone()
        };
        assert_eq!(newest("on", 0, POSITION + 1, 0), "pg4");
        assert_eq!(newest("remote_write", POSITION + 1, 0, 0), "pg4");
        assert_eq!(newest("remote_apply", 0, 0, POSITION + 1), "pg4");
        assert_eq!(newest("remote_apply", 0, POSITION + 1, 0), "pg2");
    }

    #[test]
    fn lag_is_measured_against_the_best_and_that_of_a_single_one_against_the_primary() {
        let mut view = three();
        view.settings.maximum_lag_on_syncnode = Some(10);
        sender(&mut view, "pg2").flushed = Lsn(POSITION - 11);
        assert_eq!(names(&view), ["pg3", "pg4"]);
        view.pg.server.as_mut().unwrap().wal_senders.truncate(1);
        assert!(names(&view).is_empty());
        sender(&mut view, "pg2").flushed = Lsn(POSITION - 10);
        assert_eq!(names(&view), ["pg2"]);
    }

    #[test]
    fn a_node_that_is_to_stream_from_another_standby_is_left_to_it() {
        let mut view = three();
        tag(&mut view, "pg4", "replicatefrom", "pg3".into());
        assert_eq!(names(&view), ["pg2", "pg3"]);
        tag(&mut view, "pg3", "replicatefrom", "pg2".into());
        assert_eq!(names(&view), ["pg2"]);
        // While the node it names is away, it streams from us as any other.
        sender(&mut view, "pg2").state = "catchup".into();
        assert_eq!(names(&view), ["pg3", "pg4"]);
        tag(&mut view, "pg3", "replicatefrom", "pg4".into());
        assert_eq!(names(&view), ["pg3", "pg4"]);
    }

    #[test]
    fn names_match_without_case_and_two_connections_of_one_node_count_once() {
        let mut view = three();
        sender(&mut view, "pg3").application_name = "PG3".into();
        sender(&mut view, "pg4").application_name = "pg3".into();
        assert_eq!(names(&view), ["pg2", "pg3"]);
    }
}
