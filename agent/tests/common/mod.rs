//! Real servers for the tests: a ZooKeeper and nodes on loopback addresses of their own, in a folder that is
//! removed at the end, with every process that works in it.

#![allow(dead_code)]

pub mod node;
pub mod shared_memory;
pub mod zoo;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use labrun_agent::cluster::{Cluster, Paths};
use labrun_agent::supervise::processes_in;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};

pub use node::Node;
pub use zoo::Zoo;

/// What any condition may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until the condition gives a value; each look may take its time.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A ZooKeeper and nodes `pg1`, `pg2`, ... of one cluster.
pub struct Lab {
    pub dir: PathBuf,
    pub zoo: Zoo,
    pub nodes: Vec<Node>,
    folder: Option<tempfile::TempDir>,
}

/// Adjustments of the nodes' YAML.
#[derive(Clone)]
pub struct Setup {
    pub nodes: usize,
    pub synchronous: bool,
    /// What the ZooKeeper grants at most, whatever ttl asks for.
    pub session: Duration,
    /// Lines under `bootstrap.dcs`.
    pub dcs: String,
    /// Lines under `postgresql`.
    pub postgresql: String,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            nodes: 2,
            synchronous: true,
            session: Duration::from_secs(20),
            dcs: String::new(),
            postgresql: String::new(),
        }
    }
}

impl Lab {
    /// Starts the ZooKeeper; the nodes are prepared, not started.
    pub async fn new(test: &str, setup: Setup) -> Lab {
        shared_memory::isolate();
        let folder = tempfile::Builder::new().prefix("labrun-agent-").tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap();
        std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let net = Net::free(test);
        let zoo = Zoo::start(&dir.join("zoo"), &net.address(1), setup.session).await;
        let nodes = (1..=setup.nodes).map(|i| Node::new(&dir, i, &net, &zoo, &setup)).collect();
        give_away(&dir);
        Lab { dir, zoo, nodes, folder: Some(folder) }
    }

    /// Starts all nodes and waits for a leader that all others follow; in synchronous mode for a synchronous one.
    pub async fn start(&mut self) {
        self.nodes.iter_mut().for_each(Node::start);
        self.ready().await;
    }

    pub async fn ready(&self) {
        eventually("the cluster is ready", async || self.is_ready().await.then_some(())).await;
    }

    async fn is_ready(&self) -> bool {
        let cluster = self.cluster().await;
        let Some(leader) = cluster.leader_name() else { return false };
        let others = cluster.members.values().filter(|member| member.name != leader);
        let streaming = others.clone().all(|m| m.data.replication_state.as_deref() == Some("streaming"));
        let same = |m: &labrun_agent::cluster::Member| m.data.timeline;
        let timelines = cluster.members.values().all(|m| same(m) == cluster.leader_member().and_then(same));
        let running = self.nodes.iter().filter(|node| node.is_started()).count();
        let sync = cluster.sync();
        let synchronous = !sync.is_active() || running < 2 || (sync.is_leader(leader) && !sync.standbys.is_empty());
        let primary = cluster.leader_member().is_some_and(|m| m.data.role == "primary");
        cluster.members.len() == running && streaming && timelines && synchronous && primary
    }

    /// The cluster as the DCS has it.
    pub async fn cluster(&self) -> Cluster {
        self.zoo.cluster(&Paths::new("service", "test")).await
    }

    pub async fn leader_name(&self) -> Option<String> {
        self.cluster().await.leader_name().map(str::to_owned)
    }

    /// The index of the node that leads, and that of another.
    pub async fn roles(&self) -> (usize, usize) {
        let name = eventually("a leader", async || self.leader_name().await).await;
        let leader = self.nodes.iter().position(|node| node.name == name).unwrap();
        (leader, (leader + 1) % self.nodes.len())
    }

    /// Waits until `node` leads and takes writes.
    pub async fn leads(&self, node: usize) {
        let name = self.nodes[node].name.clone();
        eventually("the other node leads", async || (self.leader_name().await? == name).then_some(())).await;
        eventually("it takes writes", async || {
            self.nodes[node].sql("INSERT INTO ledger VALUES (DEFAULT)").await.ok().map(|_| ())
        })
        .await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("LABRUN_TEST_LOGS").is_some() {
            for node in &self.nodes {
                eprintln!("--- log of {}\n{}", node.name, node.log());
            }
        }
        kill_all(&self.dir);
        shared_memory::remove_left(&self.dir);
        drop(self.folder.take());
    }
}

/// Kills every process that works in the folder, and insists on its end.
pub fn kill_all(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left = processes_in(dir);
        if left.is_empty() {
            return;
        }
        for process in &left {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        // Our own children must be waited for, or they stay as zombies (which do not count as left).
        while let Ok(status) = nix::sys::wait::waitpid(Pid::from_raw(-1), Some(nix::sys::wait::WaitPidFlag::WNOHANG)) {
            if status == nix::sys::wait::WaitStatus::StillAlive {
                break;
            }
        }
        if Instant::now() > deadline && !std::thread::panicking() {
            panic!("processes remain: {left:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Loopback addresses 127.20.x.1 to .9 that nobody listens on.
pub struct Net(u8);

impl Net {
    /// Derived from the test and the process, so that tests that run side by side do not meet.
    fn free(test: &str) -> Net {
        for attempt in 0..200u32 {
            let mut hasher = DefaultHasher::new();
            (test, std::process::id(), attempt).hash(&mut hasher);
            let net = Net((hasher.finish() % 240) as u8 + 5);
            let busy = (1..10).any(|i| {
                [2181, 5432, 8008].iter().any(|port| std::net::TcpListener::bind((net.address(i), *port)).is_err())
            });
            if !busy {
                return net;
            }
        }
        panic!("no free loopback addresses");
    }

    pub fn address(&self, i: usize) -> String {
        format!("127.20.{}.{i}", self.0)
    }
}

/// As root, servers run as `postgres`, who must own the folder.
pub fn give_away(dir: &Path) {
    let Some(user) = unprivileged() else { return };
    let status = Command::new("chown").arg("-R").arg(format!("{}:{}", user.uid, user.gid)).arg(dir).status().unwrap();
    assert!(status.success());
}

fn unprivileged() -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    Some(User::from_name("postgres").unwrap().expect("as root, the tests need a user `postgres`"))
}

/// A command that runs in `cwd`, never as root, with its output appended to `log`.
pub fn server(program: &Path, cwd: &Path, log: &Path) -> Command {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(program);
    command.current_dir(cwd).stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.process_group(0);
    if let Some(user) = unprivileged() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).env("HOME", cwd).env("USER", "postgres");
    }
    command
}
