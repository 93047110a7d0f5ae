//! Undoing faults: those of this run, and those that a labrun left behind that was killed.

use super::journal::{Entry, Journal, State};
use super::{is_start, took_effect};
use crate::lab::model::FaultKind;
use crate::verify::world::World;

/// Undo one fault, see that it is undone, and journal that. Undoing twice is fine.
pub async fn undo(journal: &Journal, entry: &Entry, world: &dyn World) -> Result<(), String> {
    let node = &entry.node;
    if !is_start(entry.kind) || entry.kind == FaultKind::Restart {
        world.start(node).await.map_err(|error| error.to_string())?;
        took_effect(FaultKind::Start, node, world).await?;
    }
    let undone = Entry { state: State::Undone, ..entry.clone() };
    journal.write(&undone).map_err(|error| format!("it is undone, but that could not be journalled: {error}"))
}

/// Undo every fault that the deployment's journal shows as not undone, the newest first. Gives the nodes.
pub async fn heal(world: &dyn World) -> Result<Vec<String>, String> {
    let journal = Journal::of(&world.deployment().dir);
    let pending = journal.pending().map_err(|error| format!("the journal of faults cannot be read: {error}"))?;
    let mut nodes: Vec<String> = Vec::new();
    for entry in pending.iter().rev() {
        undo(&journal, entry, world).await.map_err(|why| format!("{} cannot be started again: {why}", entry.node))?;
        if !nodes.contains(&entry.node) {
            nodes.push(entry.node.clone());
        }
    }
    Ok(nodes)
}
