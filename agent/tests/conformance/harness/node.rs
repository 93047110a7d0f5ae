//! One PostgreSQL node: its folder, its agent program, and everything that can be done to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;

use labrun_agent::supervise::processes_in;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::process::{self, Running};
use super::rest::{Answer, Ask};
use super::wait::{ensure, until};
use super::{Program, cast, settings, sql};

pub const REST_PORT: u16 = 8008;

/// A node of a cluster.
pub struct Node {
    pub name: String,
    pub address: Ipv4Addr,
    pub dir: PathBuf,
    program: Mutex<Program>,
    /// labrun-agent's executable, where the unprivileged user can run it.
    labrun: PathBuf,
    settings: Mutex<Value>,
    environment: Vec<(String, String)>,
    agent: Mutex<Option<Running>>,
}

impl Node {
    pub fn new(name: &str, address: Ipv4Addr, dir: PathBuf, program: Program, labrun: &Path, settings: Value) -> Node {
        let node = Node {
            name: name.to_owned(),
            address,
            dir,
            program: Mutex::new(program),
            labrun: labrun.to_owned(),
            settings: Mutex::new(settings),
            environment: Vec::new(),
            agent: Mutex::new(None),
        };
        node.reconfigure(&Value::Object(serde_json::Map::new()));
        node
    }

    /// Set a variable in the agent's environment.
    pub fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    // ---- the agent's process

    pub fn program(&self) -> Program {
        *self.program.lock().unwrap()
    }

    /// From the next start on be played by `program`.
    pub fn play(&self, program: Program) {
        *self.program.lock().unwrap() = program;
    }

    /// Start the agent.
    pub fn start(&self) {
        let mut command = match self.program() {
            Program::Labrun => Command::new(&self.labrun),
            Program::Patroni => Command::new(cast::patroni_bin().unwrap().join("patroni")),
        };
        command.arg(self.yaml()).envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut agent = self.agent.lock().unwrap();
        assert!(agent.is_none(), "{}'s agent is started already", self.name);
        *agent = Some(Running::start(command, &self.dir, &self.log_path()));
    }

    /// The agent's process id.
    pub fn agent_pid(&self) -> i32 {
        self.agent.lock().unwrap().as_ref().unwrap_or_else(|| panic!("{}'s agent is not started", self.name)).pid()
    }

    /// Send a signal to the agent alone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.agent_pid()), signal).unwrap();
    }

    /// Wait until the agent has ended by itself.
    pub async fn ended(&self) -> ExitStatus {
        let status = until(&format!("{}'s agent ends", self.name), async || {
            let mut agent = self.agent.lock().unwrap();
            agent.as_mut().unwrap().ended().ok_or_else(|| "it runs".to_owned())
        })
        .await;
        self.agent.lock().unwrap().take();
        status
    }

    /// Stop the agent by SIGTERM: it must end, and nothing of the node may remain.
    pub async fn stop(&self) {
        self.signal(Signal::SIGTERM);
        self.ended().await;
        until(&format!("nothing of {} remains", self.name), async || {
            let left = processes_in(&self.dir);
            ensure(left.is_empty(), || format!("{left:?}"))
        })
        .await;
    }

    /// SIGKILL to everything on the node at once, the agent first.
    pub fn kill(&self) {
        let agent = self.agent.lock().unwrap().take();
        drop(agent);
        process::kill_all(&self.dir).unwrap();
    }

    /// SIGKILL to the agent alone.
    pub fn kill_agent(&self) {
        let agent = self.agent.lock().unwrap().take();
        drop(agent.expect("the agent runs"));
    }

    // ---- PostgreSQL's processes

    /// The postmaster's process id, by its own pidfile.
    pub fn postmaster(&self) -> Option<i32> {
        std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
    }

    /// Send a signal to the postmaster alone.
    pub fn signal_postmaster(&self, signal: Signal) {
        kill(Pid::from_raw(self.postmaster().expect("PostgreSQL runs")), signal).unwrap();
    }

    /// Send a signal to every PostgreSQL process: those that live in the data directory.
    pub fn signal_postgres(&self, signal: Signal) {
        process::signal_all(&self.data(), signal);
    }

    // ---- files

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn yaml(&self) -> PathBuf {
        self.dir.join("postgres.yml")
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.join("agent.log")
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Change the node's YAML; the agent sees it when it starts or reloads.
    pub fn reconfigure(&self, patch: &Value) {
        let mut value = self.settings.lock().unwrap();
        settings::merge(&mut value, patch);
        settings::write(&self.yaml(), &value);
    }

    /// A program of PostgreSQL's, to be run on this node's files.
    pub fn postgres_program(&self, name: &str) -> Command {
        let mut command = Command::new(cast::postgres_bin().join(name));
        command.current_dir(&self.dir);
        command
    }

    /// PostgreSQL's own log, where [`settings::own_log`] is laid over the YAML.
    pub fn postgres_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("postgres.log")).unwrap_or_default()
    }

    /// When the postmaster was started, by PostgreSQL itself.
    pub async fn started_at(&self) -> Result<String, String> {
        self.value("select pg_postmaster_start_time()").await
    }

    // ---- clients

    pub fn rest_address(&self) -> SocketAddr {
        SocketAddr::from((self.address, REST_PORT))
    }

    /// GET `path`.
    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        Ask::new("GET", path).send(self.rest_address()).await
    }

    /// The status code of GET `path`.
    pub async fn code(&self, path: &str) -> Result<u16, String> {
        Ok(self.get(path).await?.status)
    }

    /// GET `/patroni` as JSON.
    pub async fn status(&self) -> Result<Value, String> {
        Ok(self.get("/patroni").await?.json())
    }

    /// Send `body` as JSON and wait long for the answer.
    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        Ask::new(method, path).body(&body).patient().send(self.rest_address()).await.unwrap()
    }

    /// The rows that `sql` gives.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        sql::rows(self.address, sql).await
    }

    /// The one value that `sql` gives; empty for NULL.
    pub async fn value(&self, sql: &str) -> Result<String, String> {
        let rows = self.rows(sql).await?;
        rows.into_iter().next().and_then(|row| row.into_iter().next()).ok_or_else(|| format!("{sql:?} gives no row"))
    }

    /// Run `sql`, which must work.
    pub async fn execute(&self, sql: &str) {
        self.rows(sql).await.unwrap();
    }

    /// Whether PostgreSQL answers and is not in recovery.
    pub async fn is_primary(&self) -> Result<(), String> {
        let recovering = self.value("select pg_is_in_recovery()").await?;
        ensure(recovering == "f", || format!("{} is in recovery", self.name))
    }
}
