//! One PostgreSQL node: its YAML, its agent (ours or Patroni), its database.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use labrun_agent::api::peers;
use labrun_agent::config::PeerAccess;
use labrun_agent::supervise::{pids_in, processes_in};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, NoTls, SimpleQueryMessage, Socket};

use super::{Net, Setup, Zoo, eventually, give_away, server};

pub struct Node {
    pub name: String,
    pub address: String,
    /// Everything of the node works in here.
    pub dir: PathBuf,
    pub data_dir: PathBuf,
    /// The agent's program.
    pub program: PathBuf,
    agent: Option<Child>,
}

impl Node {
    pub fn new(lab: &Path, i: usize, net: &Net, zoo: &Zoo, setup: &Setup) -> Node {
        let name = format!("pg{i}");
        let dir = lab.join(&name);
        std::fs::create_dir_all(&dir).unwrap();
        let node = Node {
            address: net.address(i + 1),
            data_dir: dir.join("data"),
            program: env!("CARGO_BIN_EXE_labrun-agent").into(),
            agent: None,
            name,
            dir,
        };
        let yaml = node.yaml(zoo, setup);
        std::fs::write(node.config(), yaml).unwrap();
        node
    }

    fn yaml(&self, zoo: &Zoo, setup: &Setup) -> String {
        let Node { name, address, dir, data_dir, .. } = self;
        let (dir, data_dir, zoo) = (dir.display(), data_dir.display(), &zoo.address);
        let bin_dir = bin_dir();
        let (bin_dir, synchronous) = (bin_dir.display(), setup.synchronous);
        let (dcs, postgresql) = (indented(&setup.dcs, 4), indented(&setup.postgresql, 2));
        format!(
            "scope: test
name: {name}
restapi:
  listen: {address}:8008
  connect_address: {address}:8008
zookeeper:
  hosts: ['{zoo}']
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 5
    retry_timeout: 5
    synchronous_mode: {synchronous}
{dcs}    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters:
        wal_log_hints: 'on'
        max_connections: 40
        shared_buffers: 16MB
        fsync: 'off'
        max_wal_size: 256MB
  initdb:
    - no-sync
    - auth-host: md5
  pg_hba:
    - host replication replicator 127.20.0.0/16 md5
    - host all all 127.20.0.0/16 md5
postgresql:
  listen: {address}:5432
  connect_address: {address}:5432
  data_dir: {data_dir}
  bin_dir: {bin_dir}
  pgpass: {dir}/pgpass
  authentication:
    replication:
      username: replicator
      password: rep-pass
    superuser:
      username: postgres
      password: secret
  basebackup:
    - no-sync
{postgresql}  parameters:
    unix_socket_directories: '.'
    dynamic_shared_memory_type: mmap
"
        )
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join("node.yml")
    }

    /// Changes the YAML by replacing a text that must be there.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "no `{from}` in the YAML");
        std::fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    pub fn start(&mut self) {
        assert!(self.agent.is_none(), "{} runs", self.name);
        give_away(&self.dir);
        let child = server(&self.program, &self.dir, &self.dir.join("log")).arg(self.config()).spawn().unwrap();
        self.agent = Some(child);
    }

    pub fn is_started(&self) -> bool {
        self.agent.is_some()
    }

    pub fn agent_pid(&self) -> i32 {
        self.agent.as_ref().unwrap().id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.agent_pid()), signal).unwrap();
    }

    /// Waits until the agent has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().unwrap();
        eventually(&format!("the agent of {} ends", self.name), async || agent.try_wait().unwrap()).await
    }

    /// Ends the agent, cleanly: PostgreSQL stops, too.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Kills the agent alone; PostgreSQL lives on.
    pub async fn kill_agent(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }

    pub fn postmaster(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.data_dir.join("postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// Kills the whole node at once, as if its power had failed.
    pub async fn kill(&mut self) {
        // The agent first, lest it sees PostgreSQL die.
        self.signal(Signal::SIGKILL);
        for pid in pids_in(&self.dir) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        self.ended().await;
        eventually("the node is dead", async || pids_in(&self.dir).is_empty().then_some(())).await;
    }

    /// The pids of PostgreSQL's processes whose title has these words.
    pub fn backends(&self, words: &str) -> Vec<i32> {
        processes_in(&self.data_dir).into_iter().filter(|p| p.command.contains(words)).map(|p| p.pid).collect()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Runs SQL as the superuser; the first column of the rows.
    pub async fn sql(&self, statement: &str) -> Result<Vec<String>, String> {
        tokio::time::timeout(Duration::from_secs(5), self.query(statement)).await.map_err(|_| "no answer".to_owned())?
    }

    /// A connection as the superuser.
    pub async fn connect(&self) -> Result<(Client, Connection<Socket, NoTlsStream>), tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host(&self.address).port(5432).user("postgres").password("secret").dbname("postgres");
        config.connect(NoTls).await
    }

    async fn query(&self, statement: &str) -> Result<Vec<String>, String> {
        let (client, connection) = self.connect().await.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(connection);
        let answer = client.simple_query(statement).await;
        driver.abort();
        let rows = answer
            .map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned()))?;
        let texts = rows.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// The first value of a query that must work.
    pub async fn value(&self, statement: &str) -> String {
        self.sql(statement).await.unwrap().into_iter().next().unwrap_or_default()
    }

    /// The code of a REST route; 0 if nothing answers.
    pub async fn code(&self, route: &str) -> u16 {
        self.get(route).await.map_or(0, |(code, _)| code)
    }

    pub async fn get(&self, route: &str) -> Option<(u16, String)> {
        let url = format!("http://{}:8008{route}", self.address);
        let access = peers::Access::new(&PeerAccess::default()).unwrap();
        let answer = peers::call(&access, "GET", &url, None).await?;
        Some((answer.code, String::from_utf8_lossy(&answer.body).into_owned()))
    }
}

fn indented(lines: &str, by: usize) -> String {
    lines.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// The newest PostgreSQL of the machine.
pub fn bin_dir() -> PathBuf {
    let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("the tests need PostgreSQL (Debian: postgresql)")
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|dir| dir.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().expect("the tests need PostgreSQL (Debian: postgresql)")
}
