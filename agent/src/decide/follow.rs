//! Another node leads and our PostgreSQL runs: follow it.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

use super::rewind::{Need, needed_while_running};
use super::view::upstream;
use super::{Chore, Decision, Job, LeaderTimeline, Server, StopMode, Upstream, View, recover, slots, standby};
use crate::clock::Moment;
use crate::cluster::{Cluster, MemberData, MemberRole};

/// How often a standby that does not stream yet is looked at.
const NOT_STREAMING: Duration = Duration::from_millis(250);

/// For this long after a change of the leader, a standby is made to ask it again at once.
const NEWS: Duration = Duration::from_secs(5);

pub(super) fn other_leader(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Decision {
    let name = cluster.leader_name().unwrap_or_default();
    if !server.in_recovery {
        let status = format!("{name} holds the lease: demoting at once");
        return Decision::act(status, Job::Stop { mode: StopMode::Immediate });
    }
    let Some(leader) = view.leader_upstream(cluster) else {
        return Decision::wait(format!(
            "no action. I am ({}), a secondary; {name}'s member key is missing",
            view.me.name
        ));
    };
    let from = source(view, cluster, leader.clone());
    let judge = standby::judge(view, cluster);
    let diverged = judge.and_then(|judge| gone_another_way(view, cluster, server, (&judge, from.as_ref()), now));
    if let Some(decision) = diverged {
        return decision;
    }
    stream_from(view, cluster, server, leader, now)
}

/// In a pause a standby follows, too, but is not stopped to be rewound.
pub(super) fn other_leader_in_pause(view: &View, cluster: &Cluster, server: &Server, now: Moment) -> Decision {
    match view.leader_upstream(cluster) {
        Some(leader) => stream_from(view, cluster, server, leader, now),
        None => Decision::wait("paused"),
    }
}

fn stream_from(view: &View, cluster: &Cluster, server: &Server, leader: Upstream, now: Moment) -> Decision {
    let name = cluster.leader_name().unwrap_or_default();
    let source = source(view, cluster, leader);
    if server.upstream != source || standby::uses_wrong_slot(view, server, source.as_ref()) {
        let from = source.as_ref().map_or("nobody".into(), |source| format!("{}:{}", source.host, source.port));
        return Decision::act(format!("following {from} (leader {name})"), Chore::Follow(source))
            .recheck(NOT_STREAMING);
    }
    let status = format!("no action. I am ({}), a secondary, and following a leader ({name})", view.me.name);
    let mut decision = Decision::wait(status);
    decision.actions.extend(slots::chores(view, cluster, server));
    if stands(view, server) {
        decision.actions.push(Chore::ResumeReplay.into());
    }
    if server.is_streaming() || source.is_none() {
        return decision;
    }
    let ready = cluster.leader_member().is_some_and(|leader| leader.data.is_running());
    if let Some(startup) = server.startup.filter(|_| ready && now.since(view.facts.leader_changed) < NEWS) {
        decision.actions.push(Chore::RetryStreaming { startup }.into());
    }
    decision.recheck(NOT_STREAMING)
}

/// A standby with less room than its primary (`max_connections` and the like) pauses its replay, from PostgreSQL 14 on.
/// It goes down when the replay is resumed, and is started with room enough. Nothing tells that pause from one that
/// somebody asked for; Patroni ends both, except in pause mode.
fn stands(view: &View, server: &Server) -> bool {
    server.in_recovery && server.replay_paused && server.version >= 140_000 && !view.settings.pause
}

/// A running standby whose WAL is not on the leader's way cannot stream; it must stop to be rewound or replaced.
fn gone_another_way(
    view: &View,
    cluster: &Cluster,
    server: &Server,
    (leader, source): (&Upstream, Option<&Upstream>),
    now: Moment,
) -> Option<Decision> {
    let data = &cluster.leader_member()?.data;
    let theirs = data.timeline?;
    let told = recover::known_timeline(view, cluster, leader);
    let streams = server.is_streaming() && server.upstream.as_ref() == source;
    if streams || (theirs == server.timeline && !may_be_another(view, server, data, told, source)) || !is_curable(view)
    {
        return None;
    }
    let Some(known) = told else { return Some(recover::ask_leader(view, leader.clone(), now)) };
    if known.shared && needed_while_running(server.timeline, server.position(), known) != Need::Yes {
        return None;
    }
    let status = "this standby has gone another way than the leader: stopping it to be rewound or replaced";
    Some(Decision::act(status, Job::Stop { mode: StopMode::Fast { checkpoint: false } }))
}

/// Whether the leader's timeline, which has the number of ours, may be another one: two nodes can have been promoted
/// onto one number, and PostgreSQL would stream from one to the other. That we were told to stream from the leader
/// proves nothing, nor that it is a standby still: it may have its WAL from the other of the two.
fn may_be_another(
    view: &View,
    server: &Server,
    leader: &MemberData,
    told: Option<&LeaderTimeline>,
    source: Option<&Upstream>,
) -> bool {
    if leader.timeline <= Some(1) || told.is_some_and(|told| told.shared) {
        return false;
    }
    // What leads a standby cluster is not promoted; there the remote primary would be asked, which may be gone.
    let promoted = leader.role == MemberRole::Primary.as_str();
    let upstream = server.upstream.as_ref();
    view.settings.standby_cluster.is_none() || (upstream != source && (promoted || upstream.is_none()))
}

fn is_curable(view: &View) -> bool {
    view.settings.use_pg_rewind && view.pg.can_rewind || view.settings.replace_if_diverged
}

/// PostgreSQL runs and has not answered yet. A standby that has not enough WAL to be consistent does not: and from a
/// node that it is not to follow (any more) that WAL may never come.
pub(super) fn silent(view: &View, cluster: &Cluster) -> Decision {
    let wait = Decision::wait("PostgreSQL does not answer yet").recheck(Duration::from_millis(100));
    let (Some(leader), Some(told)) = (view.leader_upstream(cluster), &view.facts.standby_of) else { return wait };
    if view.pg.is_primary() || *told == source(view, cluster, leader) {
        return wait;
    }
    let stop = Job::Stop { mode: StopMode::Fast { checkpoint: false } };
    let status = "PostgreSQL does not answer, and waits for the WAL of another node than it should: stopping it";
    Decision::act(status, stop)
}

/// Whom this node streams from while another one leads: the leader, unless its tags say otherwise.
pub(super) fn source(view: &View, cluster: &Cluster, leader: Upstream) -> Option<Upstream> {
    match (MemberData { tags: view.me.tags.clone(), ..Default::default() }).tag("nostream") {
        true => None,
        false => Some(replicate_from(view, cluster).unwrap_or(leader)),
    }
}

/// The member that the tag `replicatefrom` names, if it runs and does not itself, directly or by others,
/// replicate from us: such a ring would be cut off from the leader.
fn replicate_from(view: &View, cluster: &Cluster) -> Option<Upstream> {
    let named = |tags: &IndexMap<String, Value>| {
        let name = tags.get("replicatefrom")?.as_str()?;
        cluster.members.get(name).filter(|member| member.data.is_running())
    };
    let member = named(&view.me.tags)?;
    let mut next = Some(member);
    // A chain without a ring is no longer than there are members.
    for _ in 0..=cluster.members.len() {
        let Some(link) = next.filter(|link| cluster.leader_name() != Some(&link.name)) else { break };
        if link.name == view.me.name {
            return None;
        }
        next = named(&link.data.tags);
    }
    upstream(member)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use crate::cluster::{History, Lsn};

    fn follow(host: &str) -> Action {
        Chore::Follow(Some(Upstream { host: host.into(), port: 5432 })).into()
    }

    fn server(view: &mut View) -> &mut Server {
        view.pg.server.as_mut().unwrap()
    }

    #[test]
    fn a_replica_of_the_leader_has_nothing_to_do() {
        let view = replica();
        assert_eq!(wanted(&view), []);
        assert!(decide(&view, NOW).status.contains("following a leader (pg2)"));
    }

    #[test]
    fn a_new_leader_or_a_wrong_slot_is_followed_by_a_change_of_upstream() {
        let mut view = replica();
        server(&mut view).upstream = None;
        assert_eq!(first(&view), follow("127.0.1.2"));
        let mut view = replica();
        server(&mut view).upstream_slot = String::new();
        assert_eq!(first(&view), follow("127.0.1.2"));
        view.settings.use_slots = false;
        server(&mut view).slots.clear();
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_standby_asks_a_leader_that_has_just_come_up_again_at_once_but_not_for_ever() {
        let mut view = replica();
        server(&mut view).wal_receiver = None;
        server(&mut view).startup = Some(42);
        assert_eq!(wanted(&view), []);
        view.facts.leader_changed = NOW;
        assert_eq!(wanted(&view), [Chore::RetryStreaming { startup: 42 }.into()]);
        view.dcs.cluster.as_mut().unwrap().members["pg2"].data.state = "starting".into();
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_replay_that_stands_is_resumed_except_in_pause_mode() {
        let mut view = replica();
        server(&mut view).replay_paused = true;
        server(&mut view).version = 130_000;
        assert_eq!(wanted(&view), []);
        server(&mut view).version = 150_000;
        assert_eq!(wanted(&view), [Chore::ResumeReplay.into()]);
        view.settings.pause = true;
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn the_tag_replicatefrom_names_another_upstream_while_it_runs() {
        let mut view = replica();
        add_member(&mut view, "pg3", "127.0.1.3");
        view.me.tags.insert("replicatefrom".into(), "pg3".into());
        assert_eq!(first(&view), follow("127.0.1.3"));
        view.dcs.cluster.as_mut().unwrap().members["pg3"].data.state = "stopped".into();
        assert_eq!(wanted(&view), []);
    }

    /// What pg2 says of itself as the leader, with timeline 2.
    fn timeline(history: &str, shared: bool) -> LeaderTimeline {
        let history = History::parse(history.as_bytes());
        let upstream = Upstream { host: "127.0.1.2".into(), port: 5432 };
        LeaderTimeline { upstream, created: 1, timeline: 2, history, can_be_source: true, shared }
    }

    #[test]
    fn a_ring_of_such_tags_is_broken_by_following_the_leader() {
        let mut view = replica();
        let replicate = |view: &mut View, name: &str, from: &str| {
            view.dcs.cluster.as_mut().unwrap().members[name].data.tags.insert("replicatefrom".into(), from.into());
        };
        for (name, host) in [("pg3", "127.0.1.3"), ("pg4", "127.0.1.4")] {
            add_member(&mut view, name, host);
        }
        view.me.tags.insert("replicatefrom".into(), "pg3".into());
        replicate(&mut view, "pg1", "pg3");
        replicate(&mut view, "pg3", "pg4");
        assert_eq!(first(&view), follow("127.0.1.3"));
        replicate(&mut view, "pg4", "pg1");
        assert_eq!(wanted(&view), []);
        // A ring that this node hangs on, without being a part of it, is broken by its own members.
        replicate(&mut view, "pg4", "pg3");
        assert_eq!(first(&view), follow("127.0.1.3"));
        // The leader's own tag does not count while it leads.
        replicate(&mut view, "pg3", "pg2");
        replicate(&mut view, "pg2", "pg1");
        assert_eq!(first(&view), follow("127.0.1.3"));
        view.me.tags.insert("replicatefrom".into(), "pg1".into());
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn with_the_tag_nostream_a_standby_follows_nobody_and_needs_no_slot() {
        let mut view = replica();
        view.me.tags.insert("nostream".into(), true.into());
        assert_eq!(first(&view), Chore::Follow(None).into());
        server(&mut view).upstream = None;
        server(&mut view).upstream_slot = String::new();
        server(&mut view).wal_receiver = None;
        (server(&mut view).startup, view.facts.leader_changed) = (Some(42), NOW);
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_leader_that_may_have_another_timeline_of_our_number_is_asked_before_it_is_followed() {
        let mut view = replica();
        view.pg.can_rewind = true;
        let theirs = &mut view.dcs.cluster.as_mut().unwrap().members["pg2"].data;
        (theirs.timeline, theirs.role) = (Some(2), "primary".into());
        let ours = server(&mut view);
        (ours.timeline, ours.upstream, ours.wal_receiver) = (2, None, None);
        assert!(matches!(first(&view), Action::ReadLeaderTimeline(_)));
        // Not promoted yet: it may have its WAL from the other one.
        view.dcs.cluster.as_mut().unwrap().members["pg2"].data.role = "replica".into();
        assert!(matches!(first(&view), Action::ReadLeaderTimeline(_)));
        server(&mut view).upstream = Some(Upstream { host: "127.0.1.3".into(), port: 5432 });
        assert!(matches!(first(&view), Action::ReadLeaderTimeline(_)));
        // We follow it by its name alone, or seem to stream from a node that is gone.
        server(&mut view).upstream = Some(Upstream { host: "127.0.1.2".into(), port: 5432 });
        assert!(matches!(first(&view), Action::ReadLeaderTimeline(_)));
        server(&mut view).upstream = Some(Upstream { host: "127.0.1.3".into(), port: 5432 });
        server(&mut view).wal_receiver = Some(WalReceiver { status: "streaming".into(), ..Default::default() });
        assert!(matches!(first(&view), Action::ReadLeaderTimeline(_)));
        server(&mut view).wal_receiver = None;
        view.facts.leader_timeline = Some(timeline("[[1,1,\"\"]]", true));
        assert_eq!(first(&view), follow("127.0.1.2"));
        view.facts.leader_timeline = Some(timeline("[[1,1,\"\"]]", false));
        assert!(matches!(first(&view), Action::Run(Job::Stop { .. })));
    }

    #[test]
    fn a_standby_that_waits_in_silence_for_another_node_than_the_leader_is_stopped() {
        let mut view = replica();
        view.pg.server = None;
        assert_eq!(wanted(&view), []);
        view.facts.standby_of = Some(Some(Upstream { host: "127.0.1.2".into(), port: 5432 }));
        assert_eq!(wanted(&view), []);
        view.facts.standby_of = Some(None);
        assert_eq!(first(&view), Job::Stop { mode: StopMode::Fast { checkpoint: false } }.into());
        view.dcs.cluster.as_mut().unwrap().leader = None;
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_standby_that_is_ahead_of_the_branch_is_stopped_to_be_rewound_or_replaced() {
        let mut view = replica();
        server(&mut view).wal_receiver = None;
        view.pg.can_rewind = true;
        let cluster = view.dcs.cluster.as_mut().unwrap();
        cluster.members["pg2"].data.timeline = Some(2);
        let leader = Upstream { host: "127.0.1.2".into(), port: 5432 };
        assert_eq!(first(&view), Action::ReadLeaderTimeline(leader.clone()));
        let row = format!(r#"[[1,{},"x"]]"#, POSITION - 1);
        view.facts.leader_timeline = Some(timeline(&row, true));
        let stop = Action::from(Job::Stop { mode: StopMode::Fast { checkpoint: false } });
        assert_eq!(first(&view), stop);
        // Without pg_rewind it can still be replaced, if that is allowed.
        view.settings.use_pg_rewind = false;
        assert_eq!(wanted(&view), []);
        view.settings.replace_if_diverged = true;
        assert_eq!(first(&view), stop);
        server(&mut view).received = Lsn(POSITION - 1);
        server(&mut view).replayed = Lsn(POSITION - 1);
        assert_eq!(wanted(&view), []);
    }
}
