//! Faults: what is done to nodes and to the ways between them, and how it is undone.
//!
//! The life of a fault: its target is resolved and recorded, it is journalled, injected, seen to have taken effect;
//! later it is undone, by a step or by the run's end, and that is seen too.

pub mod act;
pub mod heal;
pub mod journal;
pub mod rules;
mod shown;
pub mod table;

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use self::act::Failed;
use self::journal::{Deed, Entry, Journal, State};
use super::say::{both, same};
use super::steps::target::{self, Target};
use super::steps::{Attempt, Seen, Stage, Trouble};
use super::workload::Workloads;
use super::world::World;
use crate::lab::expr;
use crate::lab::model::{FaultKind, FaultStep, Text};
use crate::observe::ClusterView;

/// The faults of one run.
pub struct Faults {
    journal: Journal,
    run: String,
    injected: Mutex<Vec<Injected>>,
    marked: Mutex<Vec<Struck>>,
}

/// What befell a node, and when: a fault, or an operation that takes its role away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// In a word: `stop`, `switchover`.
    pub word: &'static str,
    /// The node.
    pub node: String,
    at_us: u64,
}

/// A fault that was injected in this run.
#[derive(Debug, Clone)]
pub struct Injected {
    /// The first whom it hit, as it was then.
    pub target: Target,
    /// When, in µs since the run's start.
    pub at_us: u64,
    entry: Entry,
    undone: bool,
}

impl Injected {
    /// What was done, and to whom.
    pub fn deed(&self) -> &Deed {
        &self.entry.deed
    }
}

impl Faults {
    /// For the run `run` of the deployment in `deployment_dir`.
    pub fn new(deployment_dir: &Path, run: &str) -> Faults {
        let (journal, run) = (Journal::of(deployment_dir), run.to_owned());
        Faults { journal, run, injected: Mutex::new(Vec::new()), marked: Mutex::new(Vec::new()) }
    }

    /// Inject the step's fault, and see that it took effect.
    pub async fn inject(&self, step: &FaultStep, stage: &Stage<'_>) -> Attempt {
        let (deed, target) = aim(step, stage).await?;
        let words = deed.words();
        if let Some(why) = stage.world.lacks(step.kind) {
            return Err(Trouble::Infra(format!("{words}: {why}")));
        }
        let at_us = stage.spine.now_us();
        if step.kind == FaultKind::Heal {
            return self.heal(&deed, target, at_us, stage).await;
        }
        let fault = self.plan(deed, target, stage).map_err(|error| {
            Trouble::Infra(format!("the fault is not injected, since it could not be journalled: {error}"))
        })?;
        let others = self.pending_beside(&fault.entry.id).map_err(Trouble::Infra)?;
        let done = act::inject(fault.deed(), &others, stage.world).await;
        self.settle(&fault).map_err(|error| Trouble::Infra(format!("{words}: {error}")))?;
        let unmet = match done {
            Ok(()) => None,
            // A node that was started and fails is the system under test; one that cannot be stopped is the machine.
            Err(Failed::NotSeen(why)) if step.kind.is_start() => Some(why),
            Err(Failed::NotThere(why)) => return Err(Trouble::NotThere(same(format!("{words}: {why}")))),
            Err(failed) => return Err(Trouble::Infra(format!("{words}: {}", failed.words()))),
        };
        let took_ms = (stage.spine.now_us() - fault.at_us) / 1000;
        let observation = shown::observation(&fault, took_ms, unmet.as_deref());
        Ok(Seen { observation, unmet: unmet.map(|why| same(why).into()) })
    }

    /// Undo what is in effect and touches one of the nodes.
    async fn heal(&self, deed: &Deed, target: Target, at_us: u64, stage: &Stage<'_>) -> Attempt {
        let touches = |other: &Deed| {
            let mut nodes = other.nodes.iter().chain(&other.to);
            nodes.any(|node| deed.nodes.contains(node))
        };
        let mut undone = Vec::new();
        // By the journal, so that what was done by hand, or in an earlier process, is undone as well.
        let pending = self.pending_beside("").map_err(Trouble::Infra)?;
        for entry in pending.iter().rev().filter(|entry| touches(&entry.deed)) {
            let words = entry.deed.words();
            let done = self.undo(entry, stage.world).await;
            done.map_err(|why| Trouble::Infra(format!("`{words}` could not be undone: {why}")))?;
            undone.push(words);
        }
        // Tidying up everything is fine where all is tidy; undoing something that is not there is a mistake.
        let everything = deed.nodes.len() == stage.world.deployment().nodes.len();
        if undone.is_empty() && !everything {
            let nodes = deed.nodes.join(", ");
            return Err(Trouble::NotThere(both(
                format!("на {nodes} ничего не действует, и отменять нечего"),
                format!("nothing is in effect on {nodes}, so there is nothing to undo"),
            )));
        }
        let took_ms = (stage.spine.now_us() - at_us) / 1000;
        let observation = shown::healed(deed, &target, &undone, at_us, took_ms);
        Ok(Seen { observation, unmet: None })
    }

    fn plan(&self, deed: Deed, target: Target, stage: &Stage<'_>) -> io::Result<Injected> {
        let mut injected = self.lock();
        let entry = Entry {
            id: format!("{}-{}", self.run, injected.len() + 1),
            state: State::Planned,
            deed,
            role: target.role.clone(),
            at: Timestamp::now().to_string(),
        };
        self.journal.write(&entry)?;
        let fault = Injected { target, at_us: stage.spine.now_us(), entry, undone: false };
        injected.push(fault.clone());
        drop(injected);
        if fault.deed().kind.hits() {
            stage.workloads.mark_fault(fault.at_us, &fault.target.node);
        }
        Ok(fault)
    }

    /// The faults in effect but this one; also those of an earlier run that could not be undone.
    fn pending_beside(&self, id: &str) -> Result<Vec<Entry>, String> {
        let pending = self.journal.pending().map_err(|error| format!("the journal cannot be read: {error}"))?;
        Ok(pending.into_iter().filter(|entry| entry.id != id).collect())
    }

    /// Journal how the fault stands now. Starting a node undoes what ended it before.
    fn settle(&self, fault: &Injected) -> io::Result<()> {
        if !fault.deed().kind.is_start() {
            return self.journal.write(&Entry { state: State::Active, ..fault.entry.clone() });
        }
        let started = |entry: &Entry| {
            let Deed { kind, nodes, .. } = &entry.deed;
            let ended = kind.is_start() || matches!(kind, FaultKind::Stop | FaultKind::Kill | FaultKind::Crash);
            ended && nodes.iter().all(|node| fault.deed().nodes.contains(node))
        };
        for entry in self.journal.pending()?.into_iter().filter(started) {
            self.mark_undone(&entry.id);
            self.journal.write(&Entry { state: State::Undone, ..entry })?;
        }
        Ok(())
    }

    fn mark_undone(&self, id: &str) {
        self.lock().iter_mut().filter(|one| one.entry.id == id).for_each(|one| one.undone = true);
    }

    /// The faults that are in effect, newest first.
    pub fn in_effect(&self) -> Vec<Injected> {
        self.lock().iter().rev().filter(|fault| !fault.undone).cloned().collect()
    }

    /// Every fault that was injected, in order.
    pub fn injected(&self) -> Vec<Injected> {
        self.lock().clone()
    }

    /// An operation takes the node's role away now. There is nothing to undo, but an outage begins with it.
    pub fn mark(&self, word: &'static str, node: &str, at_us: u64, workloads: &Workloads) {
        let struck = Struck { word, node: node.to_owned(), at_us };
        self.marked.lock().unwrap_or_else(PoisonError::into_inner).push(struck);
        workloads.mark_fault(at_us, node);
    }

    /// What befell a node at that time, in µs since the run's start.
    pub fn at(&self, at_us: u64) -> Option<Struck> {
        let injected = self.lock().iter().find(|fault| fault.at_us == at_us).map(|fault| Struck {
            word: fault.deed().kind.word(),
            node: fault.target.node.clone(),
            at_us,
        });
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        injected.or_else(|| marked.iter().find(|struck| struck.at_us == at_us).cloned())
    }

    /// Undo everything that is in effect, the newest first. Gives what was undone, and what could not be.
    pub async fn undo_all(&self, world: &dyn World) -> Vec<(Injected, Result<(), String>)> {
        let mut undone = Vec::new();
        for fault in self.in_effect() {
            let result = self.undo(&fault.entry, world).await;
            undone.push((fault, result));
        }
        undone
    }

    async fn undo(&self, entry: &Entry, world: &dyn World) -> Result<(), String> {
        let others = self.pending_beside(&entry.id)?;
        heal::undo(&self.journal, entry, &others, world).await?;
        self.mark_undone(&entry.id);
        Ok(())
    }

    /// Why no election can be expected: the last fault did not hit the leader.
    pub fn wrong_target(&self, view: &ClusterView) -> Option<Text> {
        let injected = self.lock();
        let fault = injected.iter().rev().find(|fault| fault.deed().kind.hits() && !fault.deed().kind.is_start())?;
        let role = fault.target.role.as_deref().filter(|role| *role != "leader")?;
        let unchanged = view.leader.is_some() && view.leader == fault.target.lease_holder;
        let (was_ru, was) = match role {
            "sync_standby" => ("синхронной репликой", "a sync standby"),
            "replica" => ("репликой", "a replica"),
            other => (other, other),
        };
        let (node, fault) = (&fault.target.node, fault.deed().kind.word());
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

/// The deed that a step means now, and the first whom it hits.
async fn aim(step: &FaultStep, stage: &Stage<'_>) -> Result<(Deed, Target), Trouble> {
    let context = stage.context();
    let on = resolve_all(&expr::render(&step.on, &context)?, stage.world).await?;
    let to = match &step.to {
        Some(to) => resolve_all(&expr::render(to, &context)?, stage.world).await?,
        None => Vec::new(),
    };
    let names = |targets: &[Target]| targets.iter().map(|target| target.node.clone()).collect::<Vec<_>>();
    let deed = Deed {
        kind: step.kind,
        nodes: names(&on),
        to: names(&to),
        one_way: step.one_way,
        delay_ms: step.delay.map_or(0, |delay| u64::try_from(delay.0.as_millis()).unwrap_or(u64::MAX)),
        loss: step.loss.unwrap_or(0),
    };
    if step.kind.is_of_edge() && deed.nodes == deed.to {
        return Err(Trouble::NotThere(both(
            format!("оба конца связи сейчас один узел: {}", deed.nodes.join(", ")),
            format!("both ends of the way are one node now: {}", deed.nodes.join(", ")),
        )));
    }
    let first = on.into_iter().next().ok_or_else(|| Trouble::NoValue("no node was named".to_owned()))?;
    Ok((deed, first))
}

/// Every node that a fault's target means: `dcs` is all of ZooKeeper, and `all` everything.
async fn resolve_all(selector: &str, world: &dyn World) -> Result<Vec<Target>, Trouble> {
    let deployment = world.deployment();
    let names: Vec<String> = match selector {
        "dcs" => deployment.zookeeper_nodes().map(|node| node.name.clone()).collect(),
        "all" => deployment.nodes.iter().map(|node| node.name.clone()).collect(),
        one => return Ok(vec![target::resolve(one, world).await?]),
    };
    Ok(names.into_iter().map(Target::without_role).collect())
}
