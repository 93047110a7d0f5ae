//! Views for the tests of the rules: a settled cluster of pg1 (this node) and pg2 in synchronous mode.

use super::*;
use crate::cluster::{Cluster, DynamicConfig, Initialize, LeaderKey, Lsn, Member, MemberData, Status, Sync, Versioned};
use crate::config::Settings;

pub(crate) const NOW: Moment = Moment(1_000_000);
pub(crate) const SYSID: u64 = 7711190269678379076;
pub(crate) const POSITION: u64 = 50331840;

const SESSION: i64 = 1;
const OTHER: i64 = 2;

/// What is wanted now, without the writes that keep this node's own keys current.
pub(crate) fn wanted(view: &View) -> Vec<Action> {
    let own = |action: &Action| matches!(action, Action::Write(Write::Member(_)));
    decide(view, NOW).actions.into_iter().filter(|action| !own(action)).collect()
}

pub(crate) fn first(view: &View) -> Action {
    let decision = decide(view, NOW);
    wanted(view).into_iter().next().unwrap_or_else(|| panic!("nothing is wanted: {}", decision.status))
}

/// pg1 leads, pg2 is its synchronous standby.
pub(crate) fn primary() -> View {
    let mut view = replica();
    lead_by(&mut view, "pg1");
    set_sync(&mut view, Sync::new("pg1", ["pg2".into()]));
    view.pg.role = Role::Primary;
    view.pg.server = Some(Server {
        in_recovery: false,
        timeline: 1,
        written: Lsn(POSITION),
        wal_senders: vec![WalSender {
            application_name: "pg2".into(),
            state: "streaming".into(),
            sync_state: "sync".into(),
            flushed: Lsn(POSITION),
            ..WalSender::default()
        }],
        slots: vec![Slot { name: "pg2".into(), active: true, position: Lsn(POSITION), ..Slot::default() }],
        sync_names: "pg2".into(),
        checkpointed: true,
        ..Server::default()
    });
    view.facts.sync_setting = Some(SyncSetting { names: "pg2".into(), since: Lsn(0) });
    keep_own_keys_current(&mut view);
    view
}

/// pg2 leads, pg1 is its synchronous standby.
pub(crate) fn replica() -> View {
    let text = include_str!("../../tests/data/postgres0.yml");
    let (config, _) = crate::config::read("postgres0.yml", text, []).unwrap();
    let mut view = View {
        me: Me {
            name: "pg1".into(),
            conn_url: "postgres://127.0.1.1:5432/postgres".into(),
            api_url: "http://127.0.1.1:8008/patroni".into(),
            ..Me::default()
        },
        settings: Settings::new(&config, &config.bootstrap.dcs),
        dcs: Dcs {
            cluster: Some(Cluster {
                initialize: Some(Initialize { value: SYSID.to_string(), created: 1, version: 1 }),
                config: Some(Versioned { value: DynamicConfig::default(), version: 0 }),
                ..Cluster::default()
            }),
            reachable: true,
            session: Some(SESSION),
            session_until: Moment(NOW.0 + 30_000),
            failsafe_until: Moment(0),
            session_timeout: 30_000,
        },
        pg: Pg {
            data: DataDir::Present { system_identifier: SYSID },
            process: Process::Up,
            server: Some(Server {
                in_recovery: true,
                timeline: 1,
                received: Lsn(POSITION),
                replayed: Lsn(POSITION),
                has_read_all: true,
                wal_receiver: Some(WalReceiver {
                    status: "streaming".into(),
                    latest_end: Lsn(POSITION),
                    timeline: Some(1),
                }),
                upstream: Some(Upstream { host: "127.0.1.2".into(), port: 5432 }),
                upstream_slot: "pg1".into(),
                checkpointed: true,
                ..Server::default()
            }),
            observed: NOW,
            role: Role::Replica,
            ..Pg::default()
        },
        job: None,
        facts: Facts { member_written: NOW, status_written: NOW, ..Facts::default() },
        watchdog: Watchdog::default(),
        asked: Asked::default(),
        peers: None,
        stopping: false,
        wall: 1_795_401_465,
        made: NOW,
    };
    add_member(&mut view, "pg1", "127.0.1.1");
    add_member(&mut view, "pg2", "127.0.1.2");
    view.dcs.cluster.as_mut().unwrap().members["pg1"].session = SESSION;
    lead_by(&mut view, "pg2");
    set_sync(&mut view, Sync::new("pg2", ["pg1".into()]));
    keep_own_keys_current(&mut view);
    view
}

fn keep_own_keys_current(view: &mut View) {
    let data = member(view);
    let cluster = view.dcs.cluster.as_mut().unwrap();
    cluster.members["pg1"].data = data;
    let slots = [("pg2".to_string(), Lsn(POSITION)), ("pg1".to_string(), Lsn(POSITION))].into_iter().collect();
    let retain_slots = Some(vec!["pg1".into(), "pg2".into()]);
    let leads = cluster.leader_name() == Some("pg1");
    let status = Status { optime: Lsn(POSITION), slots: leads.then_some(slots), retain_slots };
    cluster.status = Some(Versioned { value: status, version: 0 });
}

/// Another member; a standby has its slot already.
pub(crate) fn add_member(view: &mut View, name: &str, host: &str) {
    if let Some(server) = view.pg.server.as_mut().filter(|server| server.in_recovery && name != view.me.name) {
        server.slots.push(Slot { name: name.into(), position: Lsn(POSITION), ..Slot::default() });
    }
    let data = MemberData {
        conn_url: format!("postgres://{host}:5432/postgres"),
        api_url: format!("http://{host}:8008/patroni"),
        state: "running".into(),
        role: "replica".into(),
        version: "4.1.5".into(),
        timeline: Some(1),
        ..MemberData::default()
    };
    let member = Member { name: name.into(), session: OTHER, data };
    view.dcs.cluster.as_mut().unwrap().members.insert(name.into(), member);
}

pub(crate) fn lead_by(view: &mut View, name: &str) {
    let session = if name == "pg1" { SESSION } else { OTHER };
    view.dcs.cluster.as_mut().unwrap().leader = Some(LeaderKey { name: name.into(), session, created: 1 });
}

pub(crate) fn set_sync(view: &mut View, sync: Sync) {
    view.dcs.cluster.as_mut().unwrap().sync = Some(Versioned { value: sync, version: 0 });
}

pub(crate) fn set_optime(view: &mut View, optime: u64) {
    let status = Status { optime: Lsn(optime), ..Status::default() };
    view.dcs.cluster.as_mut().unwrap().status = Some(Versioned { value: status, version: 0 });
}

pub(crate) fn fail(view: &mut View, kind: JobKind) {
    view.facts.failure = Some(JobFailure { kind, at: NOW, count: 1, reason: "it failed".into() });
}
