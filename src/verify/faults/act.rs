//! What each kind of fault does, how it is seen to have taken effect, and how it is undone.

use std::time::Duration;

use super::journal::{Deed, Entry};
use super::rules::rules;
use crate::deploy::{Blow, NodeStatus, Part, Rule};
use crate::lab::model::FaultKind;
use crate::verify::world::World;
use crate::wait::{Answer, Unmet, until};

/// How long a fault, or its undoing, may take to be seen.
const EFFECT_LIMIT: Duration = Duration::from_secs(60);

/// Do it, and see that it took effect. `others` are the faults that are in effect beside it.
pub async fn inject(deed: &Deed, others: &[Entry], world: &dyn World) -> Result<(), Failed> {
    if deed.kind.is_of_network() {
        return shape(others.iter().map(|entry| &entry.deed).chain([deed]), world).await;
    }
    for node in &deed.nodes {
        inject_one(deed.kind, node, world).await?;
    }
    match deed.kind {
        FaultKind::Start | FaultKind::Restart => keep_shape(others, world).await,
        _ => Ok(()),
    }
}

/// A node that was started may have come with a network of its own, in which the faults that are in effect must be again.
async fn keep_shape(others: &[Entry], world: &dyn World) -> Result<(), Failed> {
    match others.iter().any(|entry| entry.deed.kind.is_of_network()) {
        true => shape(others.iter().map(|entry| &entry.deed), world).await,
        false => Ok(()),
    }
}

/// Why a fault did not come about.
#[derive(Debug)]
pub enum Failed {
    /// There is nothing there that could be hit: the system under test is not as it should be.
    NotThere(String),
    /// It was done, and what should follow was not seen.
    NotSeen(String),
    /// It could not be done.
    NotDone(String),
}

impl Failed {
    /// What there is to say.
    pub fn words(self) -> String {
        let (Failed::NotThere(words) | Failed::NotSeen(words) | Failed::NotDone(words)) = self;
        words
    }
}

impl From<crate::deploy::DeployError> for Failed {
    fn from(error: crate::deploy::DeployError) -> Failed {
        Failed::NotDone(error.to_string())
    }
}

async fn inject_one(kind: FaultKind, node: &str, world: &dyn World) -> Result<(), Failed> {
    match kind {
        FaultKind::Stop => world.stop(node).await?,
        FaultKind::Kill => world.kill(node).await?,
        FaultKind::Start => world.start(node).await?,
        FaultKind::Restart => {
            world.stop(node).await?;
            world.start(node).await?;
        }
        FaultKind::Crash => return crash(node, world).await,
        FaultKind::Hang => return hold(node, Part::Postgres, world).await,
        FaultKind::Freeze => return hold(node, Part::Agent, world).await,
        FaultKind::Pause => return hold(node, Part::Node, world).await,
        FaultKind::Isolate | FaultKind::Cut | FaultKind::Slow | FaultKind::Heal => {}
    }
    runs(node, kind.is_start(), world).await.map_err(Failed::NotSeen)
}

/// See that the node runs, or does not.
async fn runs(node: &str, wanted: bool, world: &dyn World) -> Result<(), String> {
    seen(|| async {
        match world.status(node).await {
            Ok(NodeStatus::Running { .. }) if wanted => Answer::Done(()),
            Ok(NodeStatus::Stopped) if !wanted => Answer::Done(()),
            Ok(NodeStatus::Running { pid, .. }) => Answer::NotYet(format!("{node} still runs (pid {pid})")),
            Ok(NodeStatus::Stopped) => Answer::NotYet(format!("{node} does not run yet")),
            Ok(NodeStatus::Frozen) => Answer::NotYet(format!("{node} is frozen")),
            Ok(NodeStatus::Failing { last_exit, .. }) => Answer::NotYet(format!("{node} keeps failing: {last_exit}")),
            Err(error) => Answer::Never(error.to_string()),
        }
    })
    .await
}

async fn crash(node: &str, world: &dyn World) -> Result<(), Failed> {
    let before = world.processes(node, Part::Postmaster).await?.pids;
    if before.is_empty() {
        return Err(Failed::NotThere(format!("no PostgreSQL runs on {node}")));
    }
    world.strike(node, Part::Postmaster, Blow::Kill).await?;
    // The agent may have started another one already.
    let gone = seen(|| async {
        match world.processes(node, Part::Postmaster).await {
            Ok(now) if !now.pids.iter().any(|pid| before.contains(pid)) => Answer::Done(()),
            Ok(_) => Answer::NotYet(format!("the postmaster {before:?} still lives")),
            Err(error) => Answer::Never(error.to_string()),
        }
    });
    gone.await.map_err(Failed::NotSeen)
}

/// Stop all processes of a part: one may fork while the others are being stopped.
async fn hold(node: &str, part: Part, world: &dyn World) -> Result<(), Failed> {
    if world.processes(node, part).await?.pids.is_empty() {
        return Err(Failed::NotThere(format!("nothing of {part:?} runs on {node}").to_lowercase()));
    }
    let held = seen(|| async {
        if let Err(error) = world.strike(node, part, Blow::Stop).await {
            return Answer::Never(error.to_string());
        }
        match world.processes(node, part).await {
            Ok(now) if now.stopped == now.pids.len() => Answer::Done(()),
            Ok(now) => Answer::NotYet(format!("{} of {} processes are stopped", now.stopped, now.pids.len())),
            Err(error) => Answer::Never(error.to_string()),
        }
    });
    held.await.map_err(Failed::NotSeen)
}

/// Let all processes of a part go on.
async fn release(node: &str, part: Part, world: &dyn World) -> Result<(), String> {
    seen(|| async {
        if let Err(error) = world.strike(node, part, Blow::Continue).await {
            return Answer::Never(error.to_string());
        }
        match world.processes(node, part).await {
            Ok(now) if now.stopped == 0 => Answer::Done(()),
            Ok(now) => Answer::NotYet(format!("{} of {} processes are stopped", now.stopped, now.pids.len())),
            Err(error) => Answer::Never(error.to_string()),
        }
    })
    .await
}

/// Make the network what these faults make it, and see that it is so.
async fn shape<'a>(deeds: impl Iterator<Item = &'a Deed>, world: &dyn World) -> Result<(), Failed> {
    let all: Vec<String> = world.deployment().nodes.iter().map(|node| node.name.clone()).collect();
    let wanted: Vec<Rule> = world.shape(&rules(deeds, &all)).await?;
    let in_force = seen(|| async {
        match world.shaped().await {
            Ok(now) if now == wanted => Answer::Done(()),
            Ok(now) => Answer::NotYet(format!("the network has {} rules instead of {}", now.len(), wanted.len())),
            Err(error) => Answer::Never(error.to_string()),
        }
    });
    in_force.await.map_err(Failed::NotSeen)
}

/// Undo it, and see that it is undone. `others` are the faults that stay in effect. Undoing twice is fine.
pub async fn undo(deed: &Deed, others: &[Entry], world: &dyn World) -> Result<(), String> {
    if deed.kind.is_of_network() {
        return shape(others.iter().map(|entry| &entry.deed), world).await.map_err(Failed::words);
    }
    for node in &deed.nodes {
        match deed.kind {
            FaultKind::Hang => release(node, Part::Postgres, world).await?,
            FaultKind::Freeze => release(node, Part::Agent, world).await?,
            FaultKind::Pause => release(node, Part::Node, world).await?,
            kind if kind.starts_what_it_hit() => {
                world.start(node).await.map_err(|error| error.to_string())?;
                runs(node, true, world).await?;
            }
            _ => {}
        }
    }
    match deed.kind.starts_what_it_hit() {
        true => keep_shape(others, world).await.map_err(Failed::words),
        false => Ok(()),
    }
}

/// Ask until it is so, within the limit.
async fn seen<Fut>(look: impl FnMut() -> Fut) -> Result<(), String>
where
    Fut: Future<Output = Answer<(), String>>,
{
    until(EFFECT_LIMIT, |_, _| (), look).await.map_err(|unmet| match unmet {
        Unmet::TimedOut { last, .. } => format!("it did not take effect within {} s: {last}", EFFECT_LIMIT.as_secs()),
        Unmet::Never(error) => error,
    })
}
