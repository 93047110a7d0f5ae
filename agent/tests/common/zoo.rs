//! A ZooKeeper, and a client to look at it and to write into it.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use labrun_agent::cluster::{
    Cluster, DynamicConfig, Failover, History, Initialize, LeaderKey, Member, MemberData, Paths, Status, Sync,
    Versioned,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zookeeper_client as zk;

use super::{eventually, give_away, server};

pub struct Zoo {
    pub address: String,
    dir: PathBuf,
    process: Child,
    client: zk::Client,
}

impl Zoo {
    pub async fn start(dir: &Path, host: &str, session: Duration) -> Zoo {
        std::fs::create_dir_all(dir.join("data")).unwrap();
        let config = format!(
            "tickTime=500\ndataDir={}\nclientPort=2181\nclientPortAddress={host}\nminSessionTimeout=1000\n\
             maxSessionTimeout={}\nadmin.enableServer=false\nmaxClientCnxns=0\n",
            dir.join("data").display(),
            session.as_millis()
        );
        std::fs::write(dir.join("zoo.cfg"), config).unwrap();
        give_away(dir);
        let process = launch(dir);
        let address = format!("{host}:2181");
        let client = eventually("ZooKeeper answers", async || {
            zk::Client::connector()
                .with_session_timeout(Duration::from_secs(600))
                .with_connection_timeout(Duration::from_secs(2))
                .with_fail_eagerly()
                .connect(&address)
                .await
                .ok()
        })
        .await;
        Zoo { address, dir: dir.into(), process, client }
    }

    /// Stops it where it stands; connections stay open and nothing answers.
    pub fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    pub fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    pub fn crash(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.process = launch(&self.dir);
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32)
    }

    pub async fn get(&self, path: &str) -> Option<(String, zk::Stat)> {
        let (data, stat) = self.client.get_data(path).await.ok()?;
        Some((String::from_utf8_lossy(&data).into_owned(), stat))
    }

    pub async fn set(&self, path: &str, data: &str) {
        if self.client.set_data(path, data.as_bytes(), None).await.is_err() {
            let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
            self.client.create(path, data.as_bytes(), &options).await.unwrap();
        }
    }

    /// All keys of a cluster, read one after the other.
    pub async fn cluster(&self, paths: &Paths) -> Cluster {
        let mut cluster = Cluster::default();
        let key = async |name: &str| self.get(&paths.key(name)).await;
        if let Some((value, stat)) = key("initialize").await {
            cluster.initialize = Some(Initialize { value, created: stat.czxid, version: stat.version });
        }
        if let Some((name, stat)) = key("leader").await {
            cluster.leader = Some(LeaderKey { name, session: stat.ephemeral_owner, created: stat.czxid });
        }
        if let Some((data, stat)) = key("config").await {
            let value = DynamicConfig::parse(data.as_bytes()).unwrap();
            cluster.config = Some(Versioned { value, version: stat.version });
        }
        if let Some((data, stat)) = key("status").await {
            cluster.status = Some(Versioned { value: Status::parse(data.as_bytes()), version: stat.version });
        }
        if let Some((data, stat)) = key("sync").await {
            cluster.sync = Some(Versioned { value: Sync::parse(data.as_bytes()), version: stat.version });
        }
        if let Some((data, stat)) = key("failover").await {
            cluster.failover = Some(Versioned { value: Failover::parse(data.as_bytes()), version: stat.version });
        }
        if let Some((data, stat)) = key("history").await {
            cluster.history = Some(Versioned { value: History::parse(data.as_bytes()), version: stat.version });
        }
        for name in self.client.list_children(&paths.members()).await.unwrap_or_default() {
            if let Some((data, stat)) = self.get(&paths.member(&name)).await {
                let data = MemberData::parse(data.as_bytes());
                cluster.members.insert(name.clone(), Member { name, session: stat.ephemeral_owner, data });
            }
        }
        cluster
    }
}

fn launch(dir: &Path) -> Child {
    let mut command = server(Path::new("java"), dir, &dir.join("log"));
    command.args(["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no", "-cp"]);
    command.arg("/usr/share/java/zookeeper.jar").arg("org.apache.zookeeper.server.ZooKeeperServerMain").arg("zoo.cfg");
    command.spawn().expect("the tests need Java and ZooKeeper (Debian: zookeeper)")
}
