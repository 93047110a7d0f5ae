//! Faults: what is done to nodes, and how it is undone.
//!
//! The life of a fault: its target is resolved and recorded, it is journalled, injected, seen to have taken effect;
//! later it is undone, by a step or by the run's end, and that is seen too.

pub mod heal;
pub mod journal;

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use self::journal::{Entry, Journal, State};
use super::budget::seconds;
use super::say::{both, same};
use super::steps::target::{self, Target};
use super::steps::{Attempt, Seen, Stage, Trouble};
use super::world::World;
use super::{Observation, Source};
use crate::deploy::NodeStatus;
use crate::lab::expr;
use crate::lab::model::{FaultKind, FaultStep, Text};
use crate::observe::ClusterView;
use crate::wait::{self, Answer, until};

/// How long a fault may take to be seen.
const EFFECT_LIMIT: Duration = Duration::from_secs(60);

/// The faults of one run.
pub struct Faults {
    journal: Journal,
    run: String,
    injected: Mutex<Vec<Injected>>,
}

/// A fault that was injected in this run.
#[derive(Debug, Clone)]
pub struct Injected {
    /// What was done.
    pub kind: FaultKind,
    /// To whom, as it was then.
    pub target: Target,
    /// When, in µs since the run's start.
    pub at_us: u64,
    entry: Entry,
    undone: bool,
}

impl Faults {
    /// For the run `run` of the deployment in `deployment_dir`.
    pub fn new(deployment_dir: &Path, run: &str) -> Faults {
        let (journal, run) = (Journal::of(deployment_dir), run.to_owned());
        Faults { journal, run, injected: Mutex::new(Vec::new()) }
    }

    /// Inject the step's fault, and see that it took effect.
    pub async fn inject(&self, step: &FaultStep, stage: &Stage<'_>) -> Attempt {
        let selector = expr::render(&step.on, &stage.context())?;
        let target = target::resolve(&selector, stage.world).await?;
        let fault = self.plan(step.kind, target, stage).map_err(|error| {
            Trouble::Infra(format!("the fault is not injected, since it could not be journalled: {error}"))
        })?;
        let words = format!("{} {}", word(step.kind), fault.target.node);
        let done = act(step.kind, &fault.target.node, stage.world).await;
        done.map_err(|error| Trouble::Infra(format!("{words}: {error}")))?;
        let effect = took_effect(step.kind, &fault.target.node, stage.world).await;
        self.settle(&fault).map_err(|error| Trouble::Infra(format!("{words}: {error}")))?;
        let unmet = match effect {
            Ok(()) => None,
            // A node that was started and fails is the system under test; one that cannot be stopped is the machine.
            Err(why) if is_start(step.kind) => Some(why),
            Err(why) => return Err(Trouble::Infra(format!("{words}: {why}"))),
        };
        let took_ms = (stage.spine.now_us() - fault.at_us) / 1000;
        let observation = observation(&fault, took_ms, unmet.as_deref());
        Ok(Seen { observation, unmet: unmet.map(|why| same(why).into()) })
    }

    fn plan(&self, kind: FaultKind, target: Target, stage: &Stage<'_>) -> io::Result<Injected> {
        let mut injected = self.lock();
        let entry = Entry {
            id: format!("{}-{}", self.run, injected.len() + 1),
            state: State::Planned,
            kind,
            node: target.node.clone(),
            role: target.role.clone(),
            at: Timestamp::now().to_string(),
        };
        self.journal.write(&entry)?;
        let fault = Injected { kind, target, at_us: stage.spine.now_us(), entry, undone: false };
        injected.push(fault.clone());
        drop(injected);
        if !is_start(kind) || kind == FaultKind::Restart {
            stage.workloads.mark_fault(fault.at_us, &fault.target.node);
        }
        Ok(fault)
    }

    /// Journal how the fault stands now. Starting a node undoes what was done to it before.
    fn settle(&self, fault: &Injected) -> io::Result<()> {
        let mut injected = self.lock();
        if !is_start(fault.kind) {
            return self.journal.write(&Entry { state: State::Active, ..fault.entry.clone() });
        }
        for one in injected.iter_mut().filter(|one| one.target.node == fault.target.node && !one.undone) {
            self.journal.write(&Entry { state: State::Undone, ..one.entry.clone() })?;
            one.undone = true;
        }
        Ok(())
    }

    /// The faults that are in effect, newest first.
    pub fn in_effect(&self) -> Vec<Injected> {
        self.lock().iter().rev().filter(|fault| !fault.undone).cloned().collect()
    }

    /// Every fault that was injected, in order.
    pub fn injected(&self) -> Vec<Injected> {
        self.lock().clone()
    }

    /// Undo everything that is in effect, the newest first. Gives what was undone, and what could not be.
    pub async fn undo_all(&self, world: &dyn World) -> Vec<(Injected, Result<(), String>)> {
        let mut undone = Vec::new();
        for fault in self.in_effect() {
            let result = heal::undo(&self.journal, &fault.entry, world).await;
            if result.is_ok() {
                let mut injected = self.lock();
                injected.iter_mut().filter(|one| one.entry.id == fault.entry.id).for_each(|one| one.undone = true);
            }
            undone.push((fault, result));
        }
        undone
    }

    /// Why no election can be expected: the last fault did not hit the leader.
    pub fn wrong_target(&self, view: &ClusterView) -> Option<Text> {
        let injected = self.lock();
        let fault = injected.iter().rev().find(|fault| !is_start(fault.kind))?;
        let role = fault.target.role.as_deref().filter(|role| *role != "leader")?;
        let unchanged = view.leader.is_some() && view.leader == fault.target.lease_holder;
        let (was_ru, was) = match role {
            "sync_standby" => ("синхронной репликой", "a sync standby"),
            "replica" => ("репликой", "a replica"),
            other => (other, other),
        };
        let (node, fault) = (&fault.target.node, word(fault.kind));
        unchanged.then(|| {
            both(
                format!("выборов не было: {node} был {was_ru}, когда его настиг `{fault}`"),
                format!("no election happened: {node} was {was} when it was hit by `{fault}`"),
            )
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Injected>> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The word for a fault, as in a lab and as labrun's own command.
pub fn word(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Stop => "stop",
        FaultKind::Kill => "kill",
        FaultKind::Start => "start",
        FaultKind::Restart => "restart",
    }
}

/// Whether the node runs after it.
fn is_start(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Start | FaultKind::Restart)
}

async fn act(kind: FaultKind, node: &str, world: &dyn World) -> Result<(), crate::deploy::DeployError> {
    match kind {
        FaultKind::Stop => world.stop(node).await,
        FaultKind::Kill => world.kill(node).await,
        FaultKind::Start => world.start(node).await,
        FaultKind::Restart => {
            world.stop(node).await?;
            world.start(node).await
        }
    }
}

/// See that the node runs, or does not, as the fault wants it.
async fn took_effect(kind: FaultKind, node: &str, world: &dyn World) -> Result<(), String> {
    let wants_running = is_start(kind);
    let seen = until(
        EFFECT_LIMIT,
        |_, _| (),
        async || match world.status(node).await {
            Ok(NodeStatus::Running { .. }) if wants_running => Answer::Done(()),
            Ok(NodeStatus::Stopped) if !wants_running => Answer::Done(()),
            Ok(NodeStatus::Running { pid, .. }) => Answer::NotYet(format!("{node} still runs (pid {pid})")),
            Ok(NodeStatus::Stopped) => Answer::NotYet(format!("{node} does not run yet")),
            Ok(NodeStatus::Frozen) => Answer::NotYet(format!("{node} is frozen")),
            Ok(NodeStatus::Failing { last_exit, .. }) => Answer::NotYet(format!("{node} keeps failing: {last_exit}")),
            Err(error) => Answer::Never(error.to_string()),
        },
    )
    .await;
    seen.map_err(|unmet| match unmet {
        wait::Unmet::TimedOut { last, .. } => {
            format!("it did not take effect within {} s: {last}", EFFECT_LIMIT.as_secs())
        }
        wait::Unmet::Never(error) => error,
    })
}

fn observation(fault: &Injected, took_ms: u64, unmet: Option<&str>) -> Observation {
    let Target { node, role, member, timeline, lease_holder } = &fault.target;
    let kind = word(fault.kind);
    let mut was = Vec::new();
    was.extend(role.as_ref().map(|role| role.replace('_', " ")));
    was.extend(timeline.map(|timeline| format!("timeline {timeline}")));
    was.extend(lease_holder.as_ref().map(|holder| format!("the leader key was held by {holder}")));
    let was = if was.is_empty() { String::new() } else { format!(" ({})", was.join(", ")) };
    let effect = match unmet {
        None => format!("took effect after {}", seconds(took_ms)),
        Some(why) => why.to_owned(),
    };
    Observation {
        node: Some(node.clone()),
        role: role.clone(),
        source: Source::Fault { fault: kind.to_owned(), command: format!("labrun {kind} {node}") },
        output: format!("{kind} {node}{was}: {effect}"),
        value: json!({
            "kind": kind, "node": node, "role": role, "member": member, "timeline": timeline,
            "lease_holder": lease_holder, "at": fault.at_us / 1000, "took_ms": took_ms,
        }),
    }
}
