//! The cluster of the pretended world, and what becomes of it as time goes by.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Quirk;
use crate::deploy::{DeployError, NodeStatus, Rule};
use crate::lab::model::Operation;
use crate::observe::{ClusterView, DcsKey, MemberView, ProxyView, ServerView};

/// Rows by table.
pub type Tables = BTreeMap<String, Vec<Vec<String>>>;

/// A postgres node.
pub struct Node {
    pub name: String,
    pub address: SocketAddr,
    pub up: bool,
    pub in_recovery: bool,
    pub timeline: u64,
    pub streaming: bool,
    pub came_back: bool,
    pub tables: Tables,
}

/// Two postgres nodes, the keys, the proxy.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub lease: Option<usize>,
    pub sync: Vec<usize>,
    pub proxy_up: Vec<usize>,
    /// Nodes of which something is stopped by a signal.
    pub held: HashSet<String>,
    /// The rules of the network.
    pub rules: Vec<Rule>,
    /// What agents were asked to do, with what was sent and how long the answer might take.
    pub asked: Vec<(Operation, Value, Duration)>,
    sessions: usize,
    quirks: HashSet<Quirk>,
    later: Vec<(Instant, Change)>,
}

#[derive(Clone, Copy)]
enum Change {
    DropSync,
    Promote(usize),
    ProxyLoses(usize),
    ProxyFinds(usize),
    ComeBack(usize),
    BecomeSync(usize),
}

impl Cluster {
    pub fn new(nodes: Vec<(String, SocketAddr)>, quirks: &[Quirk]) -> Cluster {
        let nodes = nodes.into_iter().enumerate().map(|(place, (name, address))| Node {
            name,
            address,
            up: true,
            in_recovery: place > 0,
            timeline: 1,
            streaming: place > 0,
            came_back: false,
            tables: Tables::new(),
        });
        let quirks: HashSet<Quirk> = quirks.iter().copied().collect();
        let proxy_up = if quirks.contains(&Quirk::ProxyHasBoth) { vec![0, 1] } else { vec![0] };
        let mut cluster = Cluster {
            nodes: nodes.collect(),
            lease: Some(0),
            sync: vec![1],
            proxy_up,
            held: HashSet::new(),
            rules: Vec::new(),
            asked: Vec::new(),
            sessions: 0,
            later: Vec::new(),
            quirks,
        };
        if cluster.has(Quirk::StandbyDown) {
            (cluster.nodes[1].up, cluster.nodes[1].streaming) = (false, false);
            cluster.sync.clear();
        }
        cluster
    }

    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    pub fn place(&self, node: &str) -> Option<usize> {
        self.nodes.iter().position(|other| other.name == node)
    }

    pub fn is_leader(&self, place: usize) -> bool {
        let node = &self.nodes[place];
        (node.up && !node.in_recovery && self.lease == Some(place)) || self.has(Quirk::TwoPrimaries)
    }

    pub fn takes_sessions(&self, place: usize) -> bool {
        self.nodes[place].up || self.has(Quirk::OldLeaderLivesOn)
    }

    /// Whether the proxy ends its sessions with the node: `on-marked-down shutdown-sessions`.
    pub fn cuts_sessions(&self, place: usize) -> bool {
        !self.proxy_up.contains(&place) && !self.has(Quirk::ProxyStrays)
    }

    /// The node to which the proxy sends the next session.
    pub fn route(&mut self) -> Option<usize> {
        self.sessions += 1;
        if self.has(Quirk::ProxyStrays) && self.sessions.is_multiple_of(5) {
            return self.lease.map(|leader| 1 - leader);
        }
        if self.has(Quirk::ProxyHasBoth) {
            return Some(self.sessions % 2);
        }
        self.proxy_up.first().copied()
    }

    fn later(&mut self, ms: u64, change: Change) {
        self.later.push((Instant::now() + Duration::from_millis(ms), change));
    }

    /// Let happen what is due.
    pub fn settle(&mut self) {
        let now = Instant::now();
        let (due, later) = self.later.drain(..).partition(|(at, _)| *at <= now);
        self.later = later;
        let due: Vec<(Instant, Change)> = due;
        due.into_iter().for_each(|(_, change)| self.happen(change));
    }

    fn happen(&mut self, change: Change) {
        match change {
            Change::DropSync => self.sync.clear(),
            Change::Promote(place) => self.promote(place),
            Change::ProxyLoses(place) => self.proxy_up.retain(|other| *other != place),
            Change::ProxyFinds(place) if !self.proxy_up.contains(&place) => self.proxy_up.push(place),
            Change::ProxyFinds(_) => {}
            Change::ComeBack(place) => self.come_back(place),
            Change::BecomeSync(place) => self.sync = vec![place],
        }
    }

    fn promote(&mut self, place: usize) {
        self.lease = Some(place);
        self.sync.clear();
        let (stays, loses) = (self.has(Quirk::TimelineStays), self.has(Quirk::LosesWrites));
        let node = &mut self.nodes[place];
        (node.in_recovery, node.streaming) = (false, false);
        node.timeline += u64::from(!stays);
        if loses {
            node.tables.values_mut().for_each(|rows| rows.truncate(rows.len().saturating_sub(3)));
        }
    }

    fn come_back(&mut self, place: usize) {
        let Some(leader) = self.lease else { return };
        let (timeline, tables) = (self.nodes[leader].timeline, self.nodes[leader].tables.clone());
        let (stale, old) = (self.has(Quirk::RejoinsStale), self.has(Quirk::RejoinsOnOldTimeline));
        let node = &mut self.nodes[place];
        (node.up, node.in_recovery, node.streaming, node.came_back) = (true, true, true, true);
        if !stale {
            node.tables = tables;
        }
        if !old {
            node.timeline = timeline;
        }
    }

    pub fn stop(&mut self, node: &str) -> Result<(), DeployError> {
        if self.has(Quirk::StopFails) {
            return Err(DeployError::Process { what: format!("stop {node}"), why: "no such process".to_owned() });
        }
        let Some(place) = self.place(node).filter(|_| !self.has(Quirk::StopHasNoEffect)) else { return Ok(()) };
        self.nodes[place].up = false;
        self.nodes[place].streaming = false;
        if self.lease == Some(place) {
            self.lease = None;
            let other = 1 - place;
            if self.nodes[other].up && self.sync.contains(&other) && !self.has(Quirk::NoElection) {
                self.later(500, Change::Promote(other));
            }
            self.later(2_000, Change::ProxyLoses(place));
            if !self.has(Quirk::ProxyStays) {
                self.later(5_000, Change::ProxyFinds(other));
            }
        } else {
            self.later(1_000, Change::DropSync);
        }
        Ok(())
    }

    /// What the agent answers, and what it begins to do. A switchover goes to the other node, as there are two.
    pub fn operate(&mut self, place: usize, operation: Operation) -> (u16, &'static str) {
        let other = 1 - place;
        match operation {
            Operation::Switchover if self.lease != Some(place) => (412, "leader name does not match"),
            Operation::Switchover if !self.sync.contains(&other) => (412, "can not find sync_standby"),
            Operation::Switchover => {
                (self.nodes[place].in_recovery, self.lease) = (true, None);
                self.later(300, Change::Promote(other));
                self.later(2_000, Change::ProxyLoses(place));
                self.later(5_000, Change::ProxyFinds(other));
                self.later(800, Change::ComeBack(place));
                self.later(2_500, Change::BecomeSync(place));
                (200, "Successfully switched over")
            }
            Operation::Reinitialize if self.lease == Some(place) => (503, "I am the leader, can not reinitialize"),
            Operation::Restart | Operation::Reinitialize | Operation::Configure => (200, "done"),
        }
    }

    pub fn start(&mut self, node: &str) {
        let Some(place) = self.place(node).filter(|place| !self.nodes[*place].up) else { return };
        self.later(800, Change::ComeBack(place));
        if !self.has(Quirk::RejoinsAsync) {
            self.later(2_500, Change::BecomeSync(place));
        }
    }

    pub fn status(&self, node: &str) -> NodeStatus {
        match self.place(node).map(|place| {
            self.nodes[place].up
                || self.later.iter().any(|(_, change)| matches!(change, Change::ComeBack(other) if *other == place))
        }) {
            Some(false) => NodeStatus::Stopped,
            _ => NodeStatus::Running { pid: 1, restarts: 0 },
        }
    }

    pub fn member(&self, place: usize) -> String {
        format!("postgresql{place}")
    }

    pub fn view(&self) -> ClusterView {
        let leader = self.lease.map(|place| self.nodes[place].name.clone());
        let members = (0..self.nodes.len()).map(|place| self.member_view(place)).collect();
        let name = |place: &usize| self.nodes[*place].name.clone();
        let two = self.has(Quirk::TwoPrimaries).then(|| "two nodes answer 200 on /primary".to_owned());
        ClusterView {
            timeline: self.lease.map(|place| self.nodes[place].timeline),
            leader,
            sync_standbys: self.sync.iter().map(name).collect(),
            replicas: self.nodes.iter().filter(|node| node.streaming).map(|node| node.name.clone()).collect(),
            synchronous: true,
            dcs_seen: true,
            members,
            disagreements: two.into_iter().collect(),
            proxy: Some(self.proxy_view()),
            troubles: self.nodes.iter().filter(|node| !node.up).map(|node| format!("{}: refused", node.name)).collect(),
        }
    }

    /// The host of a node's `connect_address`.
    pub fn own_host(&self, place: usize) -> String {
        format!("host-of-{}", self.nodes[place].name)
    }

    fn member_view(&self, place: usize) -> MemberView {
        let node = &self.nodes[place];
        let is_sync = self.sync.contains(&place);
        let role = match () {
            () if !node.up => "down",
            () if self.lease == Some(place) => "leader",
            () if is_sync => "sync_standby",
            () => "replica",
        };
        let state = match (node.up, node.streaming) {
            (false, _) => "unreachable",
            (true, true) => "streaming",
            (true, false) => "running",
        };
        let sync_state = node.streaming.then(|| if is_sync { "sync" } else { "async" }.to_owned());
        MemberView {
            node: node.name.clone(),
            member: self.member(place),
            role: role.to_owned(),
            primary: self.is_leader(place),
            state: state.to_owned(),
            timeline: node.up.then_some(node.timeline),
            sync_state,
            connect: Some(format!("{}:{}", self.own_host(place), node.address.port())),
            ..MemberView::default()
        }
    }

    pub fn proxy_view(&self) -> ProxyView {
        let server = |(place, node): (usize, &Node)| {
            let up = self.proxy_up.contains(&place);
            ServerView {
                name: node.name.clone(),
                section: "postgres".to_owned(),
                status: if up { "UP" } else { "DOWN" }.to_owned(),
                check_status: if up { "L7OK" } else { "L7STS" }.to_owned(),
                check_code: Some(if up { 200 } else { 503 }),
                sessions: 0,
            }
        };
        let servers: Vec<ServerView> = self.nodes.iter().enumerate().map(server).collect();
        let named = |wanted: bool| {
            let chosen = servers.iter().filter(|server| server.is_up() == wanted);
            chosen.map(|server| server.name.clone()).collect()
        };
        ProxyView { up: named(true), down: named(false), servers: servers.clone() }
    }

    pub fn key(&self, key: &str) -> Option<DcsKey> {
        let owner = if self.has(Quirk::LastingLeaderKey) { 0 } else { 7 };
        let data = match key {
            "leader" => self.member(self.lease?),
            "sync" => {
                let standbys: Vec<String> = self.sync.iter().map(|place| self.member(*place)).collect();
                let standbys = Some(standbys.join(",")).filter(|names| !names.is_empty());
                json!({ "leader": self.member(self.lease?), "quorum": 0, "sync_standby": standbys }).to_string()
            }
            _ => return None,
        };
        Some(DcsKey { data, version: 1, owner: if key == "leader" { owner } else { 0 }, created_ms: 0 })
    }
}
