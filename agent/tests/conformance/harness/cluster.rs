//! A cluster of nodes under one scope, and the conditions that scenarios wait for.

use std::ops::Index;
use std::time::Duration;

use serde_json::{Value, json};

use super::dcs::Dcs;
use super::process::{self, Output};
use super::stage::Stage;
use super::wait::{ensure, until};
use super::writer::{self, Target, Writer};
use super::zookeeper::ZooKeeper;
use super::{Node, ctl, settings, sql};

/// What a cluster is to be before it is started.
pub struct Plan<'a> {
    stage: &'a Stage,
    scope: String,
    prefix: String,
    size: usize,
    zookeeper: Vec<String>,
    /// In the order in which they are laid; of one node where it is named.
    patches: Vec<(Option<usize>, Value)>,
    environment: Vec<(String, String)>,
}

impl<'a> Plan<'a> {
    pub fn new(stage: &'a Stage, size: usize) -> Plan<'a> {
        let scope = stage.name.to_owned();
        let zookeeper = vec![stage.zookeeper.hosts()];
        Plan { stage, scope, prefix: "pg".to_owned(), size, zookeeper, patches: vec![], environment: vec![] }
    }

    /// Another scope, and names that start with `prefix`: a second cluster beside the first.
    pub fn named(mut self, scope: &str, prefix: &str) -> Self {
        (self.scope, self.prefix) = (scope.to_owned(), prefix.to_owned());
        self
    }

    /// Keep the cluster's keys in these servers instead of the stage's own.
    pub fn kept_by(mut self, servers: &[ZooKeeper]) -> Self {
        self.zookeeper = servers.iter().map(ZooKeeper::hosts).collect();
        let hosts = json!({"zookeeper": {"hosts": self.zookeeper}});
        self.with(hosts)
    }

    /// Lay `patch` over every node's YAML.
    pub fn with(mut self, patch: Value) -> Self {
        self.patches.push((None, patch));
        self
    }

    /// Lay `patch` over the dynamic configuration that the cluster is bootstrapped with.
    pub fn dcs(self, patch: Value) -> Self {
        self.with(json!({"bootstrap": {"dcs": patch}}))
    }

    /// Lay `patch` over the YAML of node `index`.
    pub fn node(mut self, index: usize, patch: Value) -> Self {
        self.patches.push((Some(index), patch));
        self
    }

    /// Set a variable in every agent's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The cluster's files, with nothing started.
    pub fn laid(self) -> Cluster {
        let nodes = (0..self.size).map(|index| self.lay(index)).collect();
        let dcs = Dcs::new(&self.zookeeper.join(","), &format!("/service/{}", self.scope));
        Cluster { scope: self.scope, nodes, dcs }
    }

    /// The first node started, which becomes the leader, and then all others, which stream from it.
    pub async fn started(self) -> Cluster {
        let cluster = self.laid();
        cluster[0].start();
        cluster.leads(0).await;
        for node in &cluster.nodes[1..] {
            node.start();
        }
        cluster.ready().await;
        cluster
    }

    fn lay(&self, index: usize) -> Node {
        let name = format!("{}{}", self.prefix, index + 1);
        let dir = self.stage.folder(&format!("{}/{name}", self.scope));
        let address = self.stage.next_address();
        let mut yaml = settings::base(&self.scope, &name, address, &self.stage.zookeeper.hosts(), &dir);
        for (_, patch) in self.patches.iter().filter(|(of, _)| of.is_none_or(|of| of == index)) {
            settings::merge(&mut yaml, patch);
        }
        let program = self.stage.cast.program(index);
        let mut node = Node::new(&name, address, dir, program, &self.stage.labrun, yaml);
        for (name, value) in &self.environment {
            node.environment(name, value);
        }
        node
    }
}

/// A cluster whose nodes are counted from 0 and named from `pg1` on.
pub struct Cluster {
    pub scope: String,
    pub nodes: Vec<Node>,
    pub dcs: Dcs,
}

impl Index<usize> for Cluster {
    type Output = Node;

    fn index(&self, index: usize) -> &Node {
        &self.nodes[index]
    }
}

impl Cluster {
    /// The index of the node `name`.
    pub fn index_of(&self, name: &str) -> usize {
        self.nodes.iter().position(|node| node.name == name).unwrap_or_else(|| panic!("there is no node {name:?}"))
    }

    /// The `leader` key's node.
    pub async fn leader(&self) -> Result<usize, String> {
        Ok(self.index_of(&self.dcs.get("leader").await?.data))
    }

    /// Wait until node `index` holds the leader key and its PostgreSQL takes writes.
    pub async fn leads(&self, index: usize) {
        let name = &self[index].name;
        until(&format!("{name} leads"), async || {
            let leader = self.dcs.get("leader").await?.data;
            ensure(leader == *name, || format!("the leader key says {leader:?}"))?;
            self[index].is_primary().await?;
            let role = self.member(index).await?["role"].clone();
            ensure(role == "primary", || format!("its member key says {role}"))
        })
        .await;
    }

    /// Wait until another node than `old` leads.
    pub async fn new_leader(&self, old: usize) -> usize {
        let new = until(&format!("another than {} leads", self[old].name), async || {
            let leader = self.leader().await?;
            ensure(leader != old, || "it holds the leader key".to_owned())?;
            Ok(leader)
        })
        .await;
        self.leads(new).await;
        new
    }

    /// Wait until there is a leader and every other node streams.
    pub async fn ready(&self) -> usize {
        self.ready_without(&[]).await
    }

    /// As [`Self::ready`], the nodes `out` left aside.
    pub async fn ready_without(&self, out: &[usize]) -> usize {
        let leader = until(&format!("{} has a leader", self.scope), async || self.leader().await).await;
        self.leads(leader).await;
        for index in (0..self.nodes.len()).filter(|index| *index != leader && !out.contains(index)) {
            self.streams(index).await;
        }
        leader
    }

    /// Wait until node `index` is a running replica that streams, by its own member key.
    pub async fn streams(&self, index: usize) {
        until(&format!("{} streams", self[index].name), async || {
            let member = self.member(index).await?;
            let is = |key: &str, value: &str| ensure(member[key] == value, || member.to_string());
            is("state", "running")?;
            is("role", "replica")?;
            is("replication_state", "streaming")?;
            let leader = self.leader().await?;
            let theirs = self.member(leader).await?["timeline"].clone();
            ensure(member["timeline"] == theirs, || format!("timeline {} of {theirs}", member["timeline"]))
        })
        .await;
    }

    /// The member key of node `index`.
    pub async fn member(&self, index: usize) -> Result<Value, String> {
        self.dcs.json(&format!("members/{}", self[index].name)).await
    }

    /// Wait until the `sync` key names exactly `standbys` (sorted), and `leader` as the leader.
    pub async fn synchronous(&self, leader: usize, standbys: &[usize]) {
        let mut names: Vec<_> = standbys.iter().map(|index| self[*index].name.clone()).collect();
        names.sort();
        let expected = if names.is_empty() { Value::Null } else { Value::String(names.join(",")) };
        until(&format!("/sync names {expected}"), async || {
            let sync = self.dcs.json("sync").await?;
            let named = sync["leader"] == *self[leader].name && sync["sync_standby"] == expected;
            ensure(named, || format!("/sync holds {sync}"))
        })
        .await;
    }

    /// Wait until `sql` gives `expected` on node `index`.
    pub async fn shows(&self, index: usize, sql: &str, expected: &str) {
        until(&format!("{sql:?} on {} gives {expected:?}", self[index].name), async || {
            let value = self[index].value(sql).await?;
            ensure(value == expected, || format!("it gives {value:?}"))
        })
        .await;
    }

    /// Wait until node `index` has replayed all that node `leader` has written so far.
    pub async fn caught_up(&self, index: usize, leader: usize) {
        let lsn = self[leader].value("select pg_current_wal_lsn()").await.unwrap();
        self.shows(index, &format!("select pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn"), "t").await;
    }

    /// Start a client on every node that writes whenever the node lets it.
    pub async fn writer(&self, leader: usize) -> Writer {
        self[leader].execute(writer::TABLE).await;
        let patience = Duration::from_secs(30);
        let target = |node: &Node| Target { name: node.name.clone(), address: node.address, port: sql::PORT, patience };
        let writer = Writer::start(self.nodes.iter().map(target).collect());
        writer.progresses().await;
        writer
    }

    /// Stop the clients and see that no acknowledged write is missing on node `leader`, and that no two nodes took
    /// writes at the same time.
    pub async fn nothing_lost(&self, writer: Writer, leader: usize) {
        let record = writer.finish();
        let lost = record.lost(&writer::present(self[leader].address).await.unwrap());
        let first = record.acknowledged.first().expect("some writes were acknowledged").at;
        let gap = record.longest_gap(first, |_| true);
        eprintln!("{} writes acknowledged, the longest time without any: {gap:.1?}", record.acknowledged.len());
        assert!(lost.is_empty(), "{} of {} acknowledged writes are lost", lost.len(), record.acknowledged.len());
        assert_eq!(record.overlaps(), [], "two nodes took writes at the same time");
    }

    /// Change the dynamic configuration in the DCS, as `patronictl edit-config` does.
    pub async fn edit_config(&self, patch: Value) {
        let mut config = self.dcs.json("config").await.unwrap();
        settings::merge(&mut config, &patch);
        self.dcs.put("config", &config.to_string()).await;
    }

    /// Change the dynamic configuration through node `index`' REST API.
    pub async fn patch_config(&self, index: usize, patch: Value) {
        let answer = self[index].call("PATCH", "/config", &patch).await;
        assert_eq!(answer.status, 200, "PATCH /config {patch}: {}", answer.body);
    }

    /// Run patronictl with the first node's YAML; it must succeed.
    pub async fn ctl(&self, arguments: &[&str]) -> Output {
        let output = self.try_ctl(arguments).await;
        assert_eq!(output.code, Some(0), "patronictl {arguments:?}: {output:?}");
        output
    }

    /// Run patronictl with the first node's YAML.
    pub async fn try_ctl(&self, arguments: &[&str]) -> Output {
        self.ctl_with(arguments, "").await
    }

    /// As [`Self::try_ctl`], answering its questions with `input`.
    pub async fn ctl_with(&self, arguments: &[&str], input: &str) -> Output {
        process::run_with(ctl::command(&self[0].yaml(), arguments), input, ctl::LIMIT).await
    }
}
