//! The whole cluster at once: the DCS, every agent's REST, `pg_stat_replication` and HAProxy side by side, and where
//! they disagree. Putting them together is pure; [`super::Observer`] does the asking.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DcsView, ProxyView};

/// What was heard from one postgres node.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// The node.
    pub node: String,
    /// Its member name.
    pub member: String,
    /// `GET /patroni`, where its agent answered.
    pub rest: Option<Value>,
    /// Whether `GET /primary` answered 200.
    pub primary: bool,
    /// Why it could not be asked.
    pub trouble: Option<String>,
}

/// The cluster as seen from outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The node that holds the lease.
    pub leader: Option<String>,
    /// Nodes that the DCS names as synchronous standbys.
    pub sync_standbys: Vec<String>,
    /// Nodes that stream from the leader.
    pub replicas: Vec<String>,
    /// The leader's timeline.
    pub timeline: Option<u64>,
    /// Whether the cluster is meant to have a synchronous standby.
    pub synchronous: bool,
    /// Every postgres node.
    pub members: Vec<MemberView>,
    /// Where the sources contradict each other, in words.
    pub disagreements: Vec<String>,
    /// HAProxy's view; none where there is no proxy or it does not answer.
    pub proxy: Option<ProxyView>,
    /// Why something could not be seen, in words.
    pub troubles: Vec<String>,
    /// Whether the DCS answered.
    #[serde(default)]
    pub dcs_seen: bool,
}

/// One postgres node as seen from outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// The node.
    pub node: String,
    /// Its member name.
    pub member: String,
    /// `leader`, `sync_standby`, `replica`, or `down` where its agent does not answer.
    pub role: String,
    /// Whether its `GET /primary` answers 200: it acts as primary and holds the lease by its own word.
    pub primary: bool,
    /// The state that its agent tells (`running`, `streaming`, `starting`, …).
    pub state: String,
    /// Its timeline.
    pub timeline: Option<u64>,
    /// `pg_stat_replication.sync_state` on the leader: `sync`, `async`, `quorum`; none for the leader.
    pub sync_state: Option<String>,
    /// Bytes between the leader's WAL position and the position that this node replayed.
    pub lag: Option<u64>,
    /// Its WAL position, in bytes.
    pub lsn: Option<u64>,
    /// Where standbys reach it by its own word in the DCS (the host and port of Patroni's `connect_address`).
    #[serde(default)]
    pub connect: Option<String>,
}

impl ClusterView {
    /// Put together what was heard.
    pub fn assemble(dcs: Result<DcsView, String>, heard: Vec<Heard>, proxy: Option<Result<ProxyView, String>>) -> Self {
        let mut view = ClusterView { dcs_seen: dcs.is_ok(), ..ClusterView::default() };
        let dcs = dcs.unwrap_or_else(|why| {
            view.troubles.push(why);
            DcsView::default()
        });
        match proxy {
            Some(Ok(proxy)) => view.proxy = Some(proxy),
            Some(Err(why)) => view.troubles.push(why),
            None => {}
        }
        let node_of = |member: &str| heard.iter().find(|h| h.member == member).map(|h| h.node.clone());
        view.synchronous = dcs.is_synchronous();
        view.leader = dcs.leader.as_deref().map(|member| node_of(member).unwrap_or_else(|| member.to_owned()));
        view.sync_standbys =
            dcs.sync_standbys().iter().map(|member| node_of(member).unwrap_or_else(|| member.clone())).collect();
        let leader = heard.iter().find(|h| Some(&h.node) == view.leader.as_ref());
        let leader_rest = leader.and_then(|h| h.rest.as_ref());
        view.timeline = leader_rest.and_then(timeline);
        let leader_lsn = leader_rest.and_then(lsn);
        for node in &heard {
            let mut member = member_view(node, &view, leader_rest, leader_lsn);
            member.connect = dcs.connect_address(&node.member);
            if member.state == "streaming" {
                view.replicas.push(member.node.clone());
            }
            view.members.push(member);
            view.troubles.extend(node.trouble.clone());
        }
        if view.dcs_seen {
            view.disagreements = disagreements(&view, &heard);
        }
        view
    }

    /// The node's view.
    pub fn member(&self, node: &str) -> Option<&MemberView> {
        self.members.iter().find(|member| member.node == node)
    }
}

fn member_view(heard: &Heard, view: &ClusterView, leader_rest: Option<&Value>, leader_lsn: Option<u64>) -> MemberView {
    let mut member = MemberView { node: heard.node.clone(), member: heard.member.clone(), ..MemberView::default() };
    let Some(rest) = &heard.rest else {
        member.role = "down".to_owned();
        member.state = "unreachable".to_owned();
        return member;
    };
    let is_leader = view.leader.as_ref() == Some(&heard.node);
    member.role = match () {
        () if is_leader => "leader",
        () if view.sync_standbys.contains(&heard.node) => "sync_standby",
        () => "replica",
    }
    .to_owned();
    let state = rest.get("state").and_then(Value::as_str).unwrap_or("unknown");
    let replication = rest.get("replication_state").and_then(Value::as_str);
    member.state = replication.filter(|_| !is_leader && state == "running").unwrap_or(state).to_owned();
    member.primary = heard.primary;
    member.timeline = timeline(rest);
    member.lsn = lsn(rest);
    member.lag = match (leader_lsn, member.lsn) {
        (Some(ahead), Some(own)) if !is_leader => Some(ahead.saturating_sub(own)),
        _ => None,
    };
    member.sync_state = leader_rest
        .filter(|_| !is_leader)
        .and_then(|rest| rest.get("replication")?.as_array()?.iter().find(|row| application(row) == heard.member))
        .and_then(|row| row.get("sync_state")?.as_str().map(str::to_owned));
    member
}

/// Each line is a contradiction between two sources that no healthy cluster shows.
fn disagreements(view: &ClusterView, heard: &[Heard]) -> Vec<String> {
    let mut found = Vec::new();
    for node in heard.iter().filter(|h| h.rest.is_some()) {
        let holds_lease = view.leader.as_ref() == Some(&node.node);
        if node.primary && !holds_lease {
            let holder = view.leader.as_deref().unwrap_or("nobody");
            found.push(format!("{}: GET /primary says 200, but the lease is held by {holder}", node.node));
        }
        if holds_lease && !node.primary {
            found.push(format!("{} holds the lease, but its GET /primary does not say 200", node.node));
        }
    }
    for standby in &view.sync_standbys {
        match view.member(standby).and_then(|member| member.sync_state.as_deref()) {
            Some("sync" | "quorum") => {}
            Some(other) => found.push(format!("/sync names {standby}, but pg_stat_replication says {other}")),
            None => found.push(format!("/sync names {standby}, but pg_stat_replication does not show it")),
        }
    }
    for member in &view.members {
        if member.sync_state.as_deref() == Some("sync") && !view.sync_standbys.contains(&member.node) {
            found.push(format!("pg_stat_replication says {} is sync, but /sync does not name it", member.node));
        }
    }
    found
}

fn application(row: &Value) -> &str {
    row.get("application_name").and_then(Value::as_str).unwrap_or("")
}

fn timeline(rest: &Value) -> Option<u64> {
    rest.get("timeline").and_then(Value::as_u64)
}

fn lsn(rest: &Value) -> Option<u64> {
    let xlog = rest.get("xlog")?;
    ["location", "replayed_location"].iter().find_map(|key| xlog.get(key).and_then(Value::as_u64))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// Two healthy nodes, as Patroni and labrun-agent show them.
    pub(crate) fn healthy() -> (DcsView, Vec<Heard>, ProxyView) {
        let dcs = DcsView {
            leader: Some("postgresql0".into()),
            sync: Some(json!({"leader": "postgresql0", "quorum": 0, "sync_standby": "postgresql1"})),
            config: Some(json!({"ttl": 30, "synchronous_mode": true})),
            members: Vec::new(),
        };
        let leader = json!({"state": "running", "role": "primary", "xlog": {"location": 300}, "timeline": 1,
            "replication": [{"application_name": "postgresql1", "state": "streaming", "sync_state": "sync"}]});
        let standby = json!({"state": "running", "role": "replica", "timeline": 1, "replication_state": "streaming",
            "xlog": {"received_location": 300, "replayed_location": 290}, "sync_standby": true});
        let heard = vec![
            Heard {
                node: "pg-master".into(),
                member: "postgresql0".into(),
                rest: Some(leader),
                primary: true,
                trouble: None,
            },
            Heard {
                node: "pg-slave".into(),
                member: "postgresql1".into(),
                rest: Some(standby),
                primary: false,
                trouble: None,
            },
        ];
        let server = |name: &str, status: &str, code| super::super::ServerView {
            name: name.into(),
            section: "postgres".into(),
            status: status.into(),
            check_status: "L7OK".into(),
            check_code: Some(code),
            sessions: 0,
        };
        let proxy = ProxyView {
            servers: vec![server("pg-master", "UP", 200), server("pg-slave", "DOWN", 503)],
            up: vec!["pg-master".into()],
            down: vec!["pg-slave".into()],
        };
        (dcs, heard, proxy)
    }

    #[test]
    fn a_member_is_reached_where_the_dcs_says() {
        let (dcs, heard, _) = healthy();
        let conn = json!({"conn_url": "postgres://db-one.lab:6432/postgres", "state": "running"});
        let members = vec![("postgresql0".to_owned(), conn), ("postgresql1".to_owned(), json!({"conn_url": "?"}))];
        let view = ClusterView::assemble(Ok(DcsView { members, ..dcs.clone() }), heard.clone(), None);
        let connect = |node: &str| view.member(node).unwrap().connect.clone();
        assert_eq!((connect("pg-master").as_deref(), connect("pg-slave")), (Some("db-one.lab:6432"), None));
        let with_user = vec![("m".to_owned(), json!({"conn_url": "postgres://u:p@h:1/x?a=b"}))];
        assert_eq!(DcsView { members: with_user, ..dcs }.connect_address("m").as_deref(), Some("h:1"));
    }

    #[test]
    fn a_healthy_cluster_has_roles_by_node_and_no_disagreement() {
        let (dcs, heard, proxy) = healthy();
        let view = ClusterView::assemble(Ok(dcs), heard, Some(Ok(proxy)));
        assert_eq!(view.leader.as_deref(), Some("pg-master"));
        assert_eq!(view.sync_standbys, ["pg-slave"]);
        assert_eq!(view.disagreements, Vec::<String>::new());
        let standby = view.member("pg-slave").unwrap();
        assert_eq!(
            (standby.role.as_str(), standby.state.as_str(), standby.lag),
            ("sync_standby", "streaming", Some(10))
        );
        assert_eq!(standby.sync_state.as_deref(), Some("sync"));
        assert_eq!(view.members.iter().map(|member| member.primary).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_second_primary_is_a_disagreement() {
        let (dcs, mut heard, proxy) = healthy();
        heard[1].primary = true;
        let view = ClusterView::assemble(Ok(dcs), heard, Some(Ok(proxy)));
        assert_eq!(view.disagreements.len(), 1);
        assert!(view.disagreements[0].contains("pg-slave"), "{:?}", view.disagreements);
    }

    #[test]
    fn a_sync_key_without_a_sync_standby_is_a_disagreement() {
        let (dcs, mut heard, proxy) = healthy();
        heard[0].rest.as_mut().unwrap()["replication"][0]["sync_state"] = json!("async");
        let view = ClusterView::assemble(Ok(dcs), heard, Some(Ok(proxy)));
        assert!(view.disagreements[0].contains("says async"), "{:?}", view.disagreements);
    }

    #[test]
    fn an_unreachable_dcs_is_a_trouble_and_leaves_the_roles_open() {
        let (_, heard, proxy) = healthy();
        let view = ClusterView::assemble(Err("ZooKeeper is away".into()), heard, Some(Ok(proxy)));
        assert_eq!(view.leader, None);
        assert_eq!(view.troubles, ["ZooKeeper is away"]);
    }
}
