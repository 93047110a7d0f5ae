//! Undoing faults: those of this run, and those that a labrun left behind that was killed.

use super::act;
use super::journal::{Entry, Journal, State};
use crate::verify::world::World;

/// A fault that was undone, or could not be.
#[derive(Debug)]
pub struct Healed {
    /// The fault.
    pub entry: Entry,
    /// Why it is still in effect, where it is.
    pub trouble: Option<String>,
}

/// Undo one fault, see that it is undone, and journal that. `others` stay in effect. Undoing twice is fine.
pub async fn undo(journal: &Journal, entry: &Entry, others: &[Entry], world: &dyn World) -> Result<(), String> {
    act::undo(&entry.deed, others, world).await?;
    let undone = Entry { state: State::Undone, ..entry.clone() };
    journal.write(&undone).map_err(|error| format!("it is undone, but that could not be journalled: {error}"))
}

/// Undo every fault that the deployment's journal shows as not undone, the newest first. One that cannot be undone keeps
/// none of the others from it.
pub async fn heal(world: &dyn World) -> Result<Vec<Healed>, String> {
    let journal = Journal::of(&world.deployment().dir);
    let mut pending = journal.pending().map_err(|error| format!("the journal of faults cannot be read: {error}"))?;
    let mut healed = Vec::new();
    while let Some(entry) = pending.pop() {
        let trouble = undo(&journal, &entry, &pending, world).await.err();
        healed.push(Healed { entry, trouble });
    }
    Ok(healed)
}
