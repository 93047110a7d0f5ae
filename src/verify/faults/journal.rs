//! The journal of faults: written before a fault is injected, so that whoever comes later can undo it.
//!
//! On disk: `faults.jsonl` in the deployment's folder, one [`Entry`] a line, appended and synced. The last entry of an
//! id says how far that fault got. A line that is cut off (labrun was killed while writing it) is left out: what it
//! announced was not begun yet.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::lab::model::FaultKind;

/// The journal's file in a deployment's folder.
pub const FILE: &str = "faults.jsonl";

/// How far a fault got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// About to be injected; or labrun was killed while it was.
    Planned,
    /// Seen to have taken effect.
    Active,
    /// Undone, or nothing that needs undoing.
    Undone,
}

/// What is done, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// What.
    pub kind: FaultKind,
    /// To which nodes.
    pub nodes: Vec<String>,
    /// The nodes at the other end of the way, where one is hit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Only what goes from `nodes` to `to`.
    #[serde(default)]
    pub one_way: bool,
    /// How much longer packets take, in ms.
    #[serde(default)]
    pub delay_ms: u64,
    /// How many of 100 packets are lost.
    #[serde(default)]
    pub loss: u8,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The fault, unique in its deployment: `RUN-N`.
    pub id: String,
    /// How far it got.
    pub state: State,
    /// What was done, and to whom.
    #[serde(flatten)]
    pub deed: Deed,
    /// The role that the node had.
    pub role: Option<String>,
    /// When (RFC 3339).
    pub at: String,
}

impl Deed {
    /// A fault of one node.
    pub fn to_node(kind: FaultKind, node: &str) -> Deed {
        Deed { kind, nodes: vec![node.to_owned()], to: Vec::new(), one_way: false, delay_ms: 0, loss: 0 }
    }

    /// `pause pg-master`, `cut zoo -> pg-master`.
    pub fn words(&self) -> String {
        let nodes = self.nodes.join(", ");
        let arrow = if self.one_way { "->" } else { "<->" };
        let to = if self.to.is_empty() { String::new() } else { format!(" {arrow} {}", self.to.join(", ")) };
        format!("{} {nodes}{to}", self.kind.word())
    }
}

/// The journal of one deployment.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal in the deployment's folder.
    pub fn of(deployment_dir: &Path) -> Journal {
        Journal { path: deployment_dir.join(FILE) }
    }

    /// Append an entry; it is on the disk when this returns.
    pub fn write(&self, entry: &Entry) -> io::Result<()> {
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_data()?;
        match self.path.parent() {
            Some(folder) if is_new => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// The faults that are not undone, oldest first. No journal means no fault.
    pub fn pending(&self) -> io::Result<Vec<Entry>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(pending(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn pending(text: &str) -> Vec<Entry> {
    let mut open: Vec<Entry> = Vec::new();
    for entry in text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
        open.retain(|other| other.id != entry.id);
        if entry.state != State::Undone {
            open.push(entry);
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, state: State) -> Entry {
        let deed = Deed::to_node(FaultKind::Stop, "pg-master");
        Entry { id: id.into(), state, deed, role: Some("leader".into()), at: "2026-11-23T06:12:40Z".to_owned() }
    }

    #[test]
    fn what_is_not_undone_is_pending_also_when_it_was_only_planned() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::of(folder.path());
        assert_eq!(journal.pending().unwrap(), []);
        for entry in [
            entry("r-1", State::Planned),
            entry("r-1", State::Active),
            entry("r-2", State::Planned),
            entry("r-1", State::Undone),
        ] {
            journal.write(&entry).unwrap();
        }
        assert_eq!(journal.pending().unwrap(), [entry("r-2", State::Planned)]);
    }

    #[test]
    fn a_line_that_was_cut_off_is_left_out() {
        let whole = serde_json::to_string(&entry("r-1", State::Active)).unwrap();
        let text = format!("{whole}\n{}", &whole[..20]);
        assert_eq!(pending(&text).len(), 1);
    }
}
