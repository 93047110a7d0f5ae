//! A world for tests: two PostgreSQL nodes, ZooKeeper and HAProxy in memory, on a clock that tests can pause.
//!
//! It behaves as the reference lab does, or wrongly in one of the ways of [`Quirk`].

mod cluster;
pub mod copy;
mod sql;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::cluster::Cluster;
use self::copy::Copy;
use super::{Dial, Session, World};
use crate::deploy::trial::Trial;
use crate::deploy::{
    Blow, DeployError, DeployedNode, Deployment, ExecOutput, Home, LocalPlace, NodeStatus, Options, Part, Phase, Place,
    Processes, Programs, Rule,
};
use crate::lab::Loaded;
use crate::lab::model::{FaultKind, HttpMethod, Operation, Text};
use crate::observe::http::Answer;
use crate::observe::{ClusterView, DcsKey, ObserveError, ProxyView, SqlError, SqlOutput};
use crate::topology::{PlanOptions, PlanPlace, Service, plan};

/// A way in which the world is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quirk {
    /// The standby is down from the beginning.
    StandbyDown,
    /// The leader key does not live with a session.
    LastingLeaderKey,
    /// Both nodes act as primary.
    TwoPrimaries,
    /// HAProxy's health check passes on the replica too.
    ProxyHasBoth,
    /// HAProxy's statistics are right, and every fifth session goes to the replica all the same.
    ProxyStrays,
    /// HAProxy never sees the new leader.
    ProxyStays,
    /// Nobody takes the lease over.
    NoElection,
    /// The new leader stays on the old timeline.
    TimelineStays,
    /// The new leader lacks the last writes of the old one.
    LosesWrites,
    /// Every tenth write is stored twice.
    DoublesWrites,
    /// The stopped leader goes on taking writes.
    OldLeaderLivesOn,
    /// What is written on the leader does not reach the replica.
    ReplicationStands,
    /// The replica takes writes.
    ReplicaTakesWrites,
    /// A node that comes back never becomes synchronous.
    RejoinsAsync,
    /// A node that comes back has not the rows that it missed.
    RejoinsStale,
    /// A node that comes back stays on its old timeline.
    RejoinsOnOldTimeline,
    /// No mistake: nodes reach each other by names that only they themselves have, in the DCS.
    OtherHostNames,
    /// A node that comes back streams from somewhere else.
    RejoinsElsewhere,
    /// Stopping a node fails.
    StopFails,
    /// Stopping a node has no effect.
    StopHasNoEffect,
}

/// The world.
pub struct Pretended {
    deployment: Deployment,
    cluster: Arc<Mutex<Cluster>>,
    copy: Option<Copy>,
}

impl Pretended {
    /// The reference lab, deployed in `dir`, with its quirks.
    pub fn new(loaded: &Loaded, dir: &Path, quirks: &[Quirk]) -> Pretended {
        let deployment = deployment(loaded, dir);
        let names = deployment.postgres_nodes().map(|node| (node.name.clone(), node.main));
        let cluster = Cluster::new(names.collect(), quirks);
        Pretended { deployment, cluster: Arc::new(Mutex::new(cluster)), copy: None }
    }

    /// Its nodes run in containers, and there is a copy of their project.
    pub fn in_containers(&mut self, copy: Copy) {
        let nodes = self.deployment.nodes.iter_mut();
        nodes.for_each(|node| node.home = Home::Container(node.name.clone()));
        self.copy = Some(copy);
    }

    /// The cluster, as it is by now.
    pub fn cluster_now(&self) -> MutexGuard<'_, Cluster> {
        let mut cluster = self.cluster.lock().unwrap();
        cluster.settle();
        cluster
    }
}

fn deployment(loaded: &Loaded, dir: &Path) -> Deployment {
    let options = PlanOptions {
        deployment: "pretended".to_owned(),
        block: Ipv4Addr::new(127, 60, 1, 0),
        place: PlanPlace::Local { nodes_dir: "/srv/nodes".into(), postgres_bin: "/usr/bin".into() },
        port_offset: 0,
        publish: false,
    };
    let plan = plan(loaded, &options).unwrap();
    let node = |node: &crate::topology::NodePlan| {
        let (main, side) = match node.service {
            Service::Zookeeper { client_port } => (client_port, None),
            Service::Postgres { sql_port, rest_port, .. } => (sql_port, Some(rest_port)),
            Service::Haproxy { sql_port, stats_port } => (sql_port, Some(stats_port)),
        };
        let at = |port: u16| SocketAddr::from((node.address, port));
        let home = Home::Dir(dir.to_owned());
        let (name, service) = (node.name.clone(), node.service.clone());
        DeployedNode { name, service, main: at(main), side: side.map(at), published: vec![], home }
    };
    Deployment {
        format: "labrun-deployment/v1".to_owned(),
        name: "pretended".to_owned(),
        dir: dir.to_owned(),
        lab_source: loaded.source.clone(),
        lab_sha256: loaded.sha256.clone(),
        phase: Phase::Ready,
        created: "2026-11-23T06:12:40Z".to_owned(),
        ready_after_ms: Some(1),
        options: Options::default(),
        place: Place::Local(LocalPlace {
            run_dir: dir.to_owned(),
            user: None,
            block: [127, 60, 1],
            own_network: true,
            programs: Programs::default(),
        }),
        nodes: plan.nodes.iter().map(node).collect(),
        plan,
    }
}

struct Wire(Arc<Mutex<Cluster>>, String);

#[async_trait]
impl Dial for Wire {
    async fn open(&self, node: &str, _: Duration) -> Result<Box<dyn Session>, SqlError> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut cluster = self.0.lock().unwrap();
        cluster.settle();
        let through_proxy = node == self.1;
        let place = if through_proxy { cluster.route() } else { cluster.place(node) };
        match place.filter(|place| cluster.takes_sessions(*place)) {
            Some(place) => Ok(Box::new(Open { cluster: Arc::clone(&self.0), place, through_proxy })),
            None => Err(refused(node)),
        }
    }
}

struct Open {
    cluster: Arc<Mutex<Cluster>>,
    place: usize,
    through_proxy: bool,
}

#[async_trait]
impl Session for Open {
    async fn run(&self, statements: &str) -> Result<SqlOutput, SqlError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut cluster = self.cluster.lock().unwrap();
        cluster.settle();
        let cut = self.through_proxy && cluster.cuts_sessions(self.place);
        if cut || !cluster.takes_sessions(self.place) {
            return Err(refused("the server"));
        }
        sql::run(&mut cluster, self.place, statements)
    }
}

fn refused(node: &str) -> SqlError {
    SqlError::Broken { address: ([127, 60, 1, 1], 5432).into(), why: format!("{node}: connection refused") }
}

#[async_trait]
impl World for Pretended {
    fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    fn dial(&self) -> Arc<dyn Dial> {
        Arc::new(Wire(Arc::clone(&self.cluster), "haproxy".to_owned()))
    }

    async fn cluster(&self) -> ClusterView {
        self.cluster_now().view()
    }

    async fn statistics(&self, _: &str) -> Result<ProxyView, ObserveError> {
        Ok(self.cluster_now().proxy_view())
    }

    async fn http(&self, node: &str, _: HttpMethod, path: &str) -> Result<Answer, ObserveError> {
        let cluster = self.cluster_now();
        let down = || ObserveError::Unreachable { what: node.to_owned(), why: "refused".to_owned() };
        let place = cluster.place(node).filter(|place| cluster.nodes[*place].up).ok_or_else(down)?;
        let ok = match path {
            "/primary" => cluster.is_leader(place),
            "/sync" => cluster.sync.contains(&place),
            _ => true,
        };
        Ok(Answer { status: if ok { 200 } else { 503 }, body: json!({"patroni": {"version": "4.1.5"}}).to_string() })
    }

    async fn operate(
        &self,
        node: &str,
        operation: Operation,
        body: &Value,
        limit: Duration,
    ) -> Result<Answer, ObserveError> {
        let mut cluster = self.cluster_now();
        let down = || ObserveError::Unreachable { what: node.to_owned(), why: "refused".to_owned() };
        let place = cluster.place(node).filter(|place| cluster.nodes[*place].up).ok_or_else(down)?;
        let (status, words) = cluster.operate(place, operation);
        cluster.asked.push((operation, body.clone(), limit));
        Ok(Answer { status, body: words.to_owned() })
    }

    async fn dcs(&self, key: &str) -> Result<(Option<DcsKey>, Vec<String>), ObserveError> {
        Ok((self.cluster_now().key(key), vec![]))
    }

    async fn exec(&self, _: &str, argv: &[String], _: Duration) -> Result<ExecOutput, DeployError> {
        let code = if argv[0] == "false" { 1 } else { 0 };
        Ok(ExecOutput { code: Some(code), stdout: argv.join(" "), stderr: String::new() })
    }

    async fn logs(&self, node: &str, offset: u64) -> Result<(String, u64), DeployError> {
        let log = format!("INFO: I am {node}\nINFO: promoted self to leader by acquiring session lock\n");
        Ok((log.get(offset as usize..).unwrap_or_default().to_owned(), log.len() as u64))
    }

    async fn status(&self, node: &str) -> Result<NodeStatus, DeployError> {
        Ok(self.cluster_now().status(node))
    }

    async fn stop(&self, node: &str) -> Result<(), DeployError> {
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.cluster_now().stop(node)
    }

    async fn kill(&self, node: &str) -> Result<(), DeployError> {
        self.cluster_now().stop(node)
    }

    async fn start(&self, node: &str) -> Result<(), DeployError> {
        self.cluster_now().start(node);
        Ok(())
    }

    fn lacks(&self, _: FaultKind) -> Option<String> {
        None
    }

    async fn processes(&self, node: &str, _: Part) -> Result<Processes, DeployError> {
        let stopped = usize::from(self.cluster_now().held.contains(node));
        Ok(Processes { pids: vec![7], stopped })
    }

    async fn strike(&self, node: &str, _: Part, blow: Blow) -> Result<(), DeployError> {
        let mut cluster = self.cluster_now();
        match blow {
            Blow::Kill => cluster.stop(node)?,
            Blow::Stop => drop(cluster.held.insert(node.to_owned())),
            Blow::Continue => drop(cluster.held.remove(node)),
        }
        Ok(())
    }

    async fn shape(&self, rules: &[Rule]) -> Result<Vec<Rule>, DeployError> {
        self.cluster_now().rules = rules.to_vec();
        Ok(rules.to_vec())
    }

    async fn shaped(&self) -> Result<Vec<Rule>, DeployError> {
        Ok(self.cluster_now().rules.clone())
    }

    async fn trial(&self) -> Result<Box<dyn Trial>, Text> {
        self.copy.clone().map(|copy| Box::new(copy) as Box<dyn Trial>).ok_or_else(|| Text::Same("no copy".to_owned()))
    }

    async fn zookeeper_mode(&self, _: &str) -> Option<String> {
        Some("standalone".to_owned())
    }
}
