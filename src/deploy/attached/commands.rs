//! Nodes that only commands of their administrator can act on.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::deploy::{DeployError, Deployment, ExecOutput, NodeCommands, NodeStatus, answers};
use crate::lab::model::FaultKind;

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Start it.
    Start,
    /// Stop it cleanly.
    Stop,
    /// Kill everything on it.
    Kill,
    /// Freeze it.
    Freeze,
    /// Let it go on.
    Thaw,
}

impl Act {
    /// Its name in a file of endpoints.
    pub fn name(self) -> &'static str {
        match self {
            Act::Start => "start",
            Act::Stop => "stop",
            Act::Kill => "kill",
            Act::Freeze => "freeze",
            Act::Thaw => "thaw",
        }
    }

    fn words(self, commands: &NodeCommands) -> &[String] {
        match self {
            Act::Start => &commands.start,
            Act::Stop => &commands.stop,
            Act::Kill => &commands.kill,
            Act::Freeze => &commands.freeze,
            Act::Thaw => &commands.thaw,
        }
    }
}

/// Do it by its command, or refuse.
pub async fn act(commands: &BTreeMap<String, NodeCommands>, node: &str, act: Act) -> Result<(), DeployError> {
    let own = commands.get(node).cloned().unwrap_or_default();
    let [program, words @ ..] = act.words(&own) else {
        return Err(DeployError::NoCommand { node: node.to_owned(), act: act.name() });
    };
    let ran = run(program, words, LIMIT).await?;
    match ran.code {
        Some(0) => Ok(()),
        code => {
            let ended = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            let said = if ran.stderr.trim().is_empty() { ran.stdout } else { ran.stderr };
            Err(DeployError::process(format!("{} {node}", act.name()), format!("{ended}: {}", said.trim())))
        }
    }
}

async fn run(program: &str, words: &[String], limit: Duration) -> Result<ExecOutput, DeployError> {
    let failed = |why: String| DeployError::process(format!("run {program}"), why);
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.map_err(|_| failed(format!("it has not ended after {} s", limit.as_secs())))?;
    let output = output.map_err(|error| failed(error.to_string()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(ExecOutput { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// What a node does, by whether it answers.
pub async fn status(deployment: &Deployment, node: &str) -> Result<NodeStatus, DeployError> {
    let node = deployment.known(node)?;
    match answers::not_yet(node).await {
        None => Ok(NodeStatus::Running { pid: 0, restarts: 0 }),
        Some(_) => Ok(NodeStatus::Stopped),
    }
}

/// What the node's log has after its first `offset` bytes; nothing where no command prints it.
pub async fn logs(
    commands: &BTreeMap<String, NodeCommands>,
    node: &str,
    offset: u64,
) -> Result<(String, u64), DeployError> {
    let own = commands.get(node).cloned().unwrap_or_default();
    let [program, words @ ..] = own.log.as_slice() else { return Ok((String::new(), 0)) };
    let text = run(program, words, LIMIT).await?.stdout;
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    // A log that was begun anew in the meantime is shorter: then all of it is new.
    let new = text.get(from..).unwrap_or(&text);
    Ok((new.to_owned(), text.len() as u64))
}

/// What needs the inside of a node.
pub fn inside(node: &str, what: &str) -> DeployError {
    DeployError::process(format!("{what} on {node}"), "of a file of endpoints only the ports of its nodes are known")
}

/// Why this kind of fault cannot be done, where it cannot.
pub fn lacks(kind: FaultKind) -> Option<String> {
    let only_nodes = kind.is_of_network() || kind.is_of_postgres();
    only_nodes.then(|| "commands reach nodes as a whole, not their parts and not the ways between them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(stop: &[&str]) -> BTreeMap<String, NodeCommands> {
        let stop = stop.iter().map(|word| (*word).to_owned()).collect();
        BTreeMap::from([("db1".to_owned(), NodeCommands { stop, ..NodeCommands::default() })])
    }

    #[tokio::test]
    async fn what_has_a_command_is_done_and_all_else_is_refused() {
        act(&with(&["sh", "-c", "exit 0"]), "db1", Act::Stop).await.unwrap();
        let failed = act(&with(&["sh", "-c", "echo no >&2; exit 3"]), "db1", Act::Stop).await.unwrap_err();
        assert_eq!(failed.to_string(), "stop db1: exit code 3: no");
        let refused = act(&with(&["true"]), "db1", Act::Kill).await.unwrap_err();
        assert_eq!(refused.to_string(), "db1 cannot be acted on: its description has no command to kill it");
        assert!(act(&BTreeMap::new(), "db2", Act::Stop).await.is_err());
        assert_eq!(logs(&BTreeMap::new(), "db2", 0).await.unwrap(), (String::new(), 0));
        let printing = |text: &str| {
            let log = ["printf", text].map(str::to_owned).to_vec();
            BTreeMap::from([("db1".to_owned(), NodeCommands { log, ..NodeCommands::default() })])
        };
        assert_eq!(logs(&printing("one two"), "db1", 4).await.unwrap(), ("two".to_owned(), 7));
        assert_eq!(logs(&printing("new"), "db1", 4).await.unwrap(), ("new".to_owned(), 3));
    }
}
