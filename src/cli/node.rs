//! `labrun stop|start|kill|restart NODE…`, and what a role means.

use super::{CliError, Globals, exit, output};
use crate::deploy::{DeployError, Deployment, Lock};
use crate::lab::model::FaultKind;
use crate::observe::Observer;
use crate::verify::faults::journal::{self, Entry, Journal, State};

/// Act on nodes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes, or roles: leader, sync_standby, replica, proxy, dcs.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SIGTERM and wait.
    Stop,
    /// Start the supervisor.
    Start,
    /// SIGKILL.
    Kill,
    /// Stop, then start.
    Restart,
}

impl Act {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Act::Stop => ("stop", "is stopped"),
            Act::Start => ("start", "is started"),
            Act::Kill => ("kill", "is killed"),
            Act::Restart => ("restart", "is restarted"),
        }
    }
}

impl Args {
    pub async fn run(self, globals: &Globals, act: Act) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        let (verb, done) = act.words();
        let _lock = Lock::take(&deployment.dir, &format!("labrun {verb}"))?;
        // A role means whoever has it now, before anything is done.
        let mut nodes = Vec::new();
        for asked in &self.nodes {
            nodes.push(resolve(&deployment, asked).await?);
        }
        let backend = deployment.backend();
        for node in &nodes {
            if matches!(act, Act::Stop | Act::Restart) {
                backend.stop(&deployment, node).await?;
            }
            if act == Act::Kill {
                backend.kill(&deployment, node).await?;
            }
            if matches!(act, Act::Start | Act::Restart) {
                backend.start(&deployment, node).await?;
                undone(&deployment, node)?;
            }
            if !globals.json {
                output::line(&format!("{node} {done}"))?;
            }
        }
        if globals.json {
            output::json(&serde_json::json!({"action": verb, "nodes": nodes}))?;
        }
        Ok(exit::OK)
    }
}

/// A node that was started by hand is healed of what ended it.
fn undone(deployment: &Deployment, node: &str) -> Result<(), CliError> {
    let journal = Journal::of(&deployment.dir);
    let kept = |error| DeployError::io("write", deployment.dir.join(journal::FILE))(error);
    for entry in journal.pending().map_err(kept)? {
        let ended = entry.deed.kind.is_start() || matches!(entry.deed.kind, FaultKind::Stop | FaultKind::Kill);
        if ended && entry.deed.nodes == [node] {
            journal.write(&Entry { state: State::Undone, ..entry }).map_err(kept)?;
        }
    }
    Ok(())
}

/// The node that `asked` means: a node's name, or a role that somebody has now.
pub async fn resolve(deployment: &Deployment, asked: &str) -> Result<String, CliError> {
    if deployment.node(asked).is_some() {
        return Ok(asked.to_owned());
    }
    let found = match asked {
        "proxy" => deployment.proxy().map(|node| node.name.clone()),
        "dcs" => deployment.zookeeper_nodes().next().map(|node| node.name.clone()),
        "leader" | "sync_standby" | "replica" => {
            let view = Observer::new(deployment).look().await;
            let found = match asked {
                "leader" => view.leader.clone(),
                "sync_standby" => view.sync_standbys.first().cloned(),
                _ => view.replicas.first().cloned(),
            };
            let why = view.troubles.first().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            return found.ok_or_else(|| CliError::NoOne { role: asked.to_owned(), why });
        }
        _ => return Ok(deployment.known(asked)?.name.clone()),
    };
    found.ok_or_else(|| CliError::NoOne { role: asked.to_owned(), why: ": the lab has no such node".to_owned() })
}
