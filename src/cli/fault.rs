//! `labrun fault KIND NODE…`: a fault by hand. It is journalled as those of checks are, so that `labrun heal` undoes it.

use jiff::Timestamp;
use serde_json::json;

use super::node::resolve;
use super::{CliError, Globals, exit, output};
use crate::deploy::{Deployment, Lock};
use crate::lab::model::{FaultKind, Span};
use crate::verify::faults::act;
use crate::verify::faults::journal::{Deed, Entry, Journal, State};
use crate::verify::world::World;
use crate::verify::world::live::Live;

/// Inject a fault.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What: see `labrun faults`.
    #[arg(value_name = "FAULT")]
    kind: FaultKind,
    /// To whom: nodes or roles; `dcs` is every ZooKeeper server.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// The other end of the way, for cut and slow.
    #[arg(long, value_name = "NODE")]
    to: Vec<String>,
    /// Only what goes from NODE to the other end.
    #[arg(long)]
    one_way: bool,
    /// For slow: how much longer each packet takes (200ms).
    #[arg(long, value_name = "TIME", value_parser = |text: &str| Span::try_from(text.to_owned()))]
    delay: Option<Span>,
    /// For slow: how many of 100 packets are lost.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    loss: Option<u8>,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        let _lock = Lock::take(&deployment.dir, "labrun fault")?;
        let backend = deployment.backend();
        let world = Live::new(&deployment, backend.as_ref());
        let deed = self.deed(&deployment).await?;
        if let Some(why) = self.wrong(&deed).or_else(|| world.lacks(self.kind)) {
            return Err(CliError::NoFault { fault: deed.words(), why });
        }
        let failed = |why: String| CliError::NoFault { fault: deed.words(), why };
        let journal = Journal::of(&deployment.dir);
        let others = journal.pending().map_err(|error| failed(error.to_string()))?;
        let now = Timestamp::now();
        let id = format!("hand-{}", now.as_microsecond());
        let mut entry = Entry { id, state: State::Planned, deed: deed.clone(), role: None, at: now.to_string() };
        journal.write(&entry).map_err(|error| failed(error.to_string()))?;
        act::inject(&deed, &others, &world).await.map_err(|error| failed(error.words()))?;
        entry.state = if self.kind.is_start() { State::Undone } else { State::Active };
        journal.write(&entry).map_err(|error| failed(error.to_string()))?;
        match globals.json {
            true => output::json(&json!({"fault": entry}))?,
            false => output::line(&format!("in effect: {} (labrun heal undoes it)", deed.words()))?,
        }
        Ok(exit::OK)
    }

    async fn deed(&self, deployment: &Deployment) -> Result<Deed, CliError> {
        let delay_ms = self.delay.map_or(0, |delay| u64::try_from(delay.0.as_millis()).unwrap_or(u64::MAX));
        Ok(Deed {
            kind: self.kind,
            nodes: all(deployment, &self.nodes).await?,
            to: all(deployment, &self.to).await?,
            one_way: self.one_way,
            delay_ms,
            loss: self.loss.unwrap_or(0),
        })
    }

    /// Why these words make no fault, where they do not.
    fn wrong(&self, deed: &Deed) -> Option<String> {
        let words = match () {
            () if self.kind == FaultKind::Heal => "to undo faults: labrun heal",
            () if self.kind.is_of_edge() && deed.to.is_empty() => "it needs the other end: --to NODE",
            () if !self.kind.is_of_edge() && (!deed.to.is_empty() || self.one_way) => "it has no other end",
            () if self.kind == FaultKind::Slow && self.delay.is_none() && self.loss.is_none() => {
                "it needs --delay or --loss"
            }
            () if self.kind != FaultKind::Slow && (self.delay.is_some() || self.loss.is_some()) => {
                "only slow has --delay and --loss"
            }
            () if self.kind.is_of_edge() && deed.nodes.iter().any(|node| deed.to.contains(node)) => {
                "both ends of the way are one node"
            }
            () => return None,
        };
        Some(words.to_owned())
    }
}

/// Every node that the words mean now.
async fn all(deployment: &Deployment, asked: &[String]) -> Result<Vec<String>, CliError> {
    let mut nodes = Vec::new();
    for asked in asked {
        match asked.as_str() {
            "dcs" => nodes.extend(deployment.zookeeper_nodes().map(|node| node.name.clone())),
            one => nodes.push(resolve(deployment, one).await?),
        }
    }
    Ok(nodes)
}
