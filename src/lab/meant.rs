//! The lab as it was meant: every name resolved, every check with its parameters.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::diagnostic::Diagnostic;
use super::library::Library;
use super::model::{CheckFile, FaultKind, LabFile, StepAction, Text};

/// A lab that was loaded and found sound.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The lab.
    pub lab: Lab,
    /// Where it was found: a path, or `builtin:NAME`.
    pub source: String,
    /// The lab file's text.
    pub source_text: String,
    /// SHA-256 of that text, in hex.
    pub sha256: String,
    /// The checks that it uses, by name.
    pub checks: IndexMap<String, Arc<CheckFile>>,
    /// The files beside it: templates and whatever else it brings.
    pub library: Library,
    /// What was found and is no error.
    pub warnings: Vec<Diagnostic>,
}

/// A sound lab.
#[derive(Debug, Clone)]
pub struct Lab {
    /// As it was written.
    pub file: LabFile,
    /// Its parts, in order; each only needs parts that stand before it.
    pub parts: Vec<Part>,
}

/// A part of the assignment.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name.
    pub id: String,
    /// Its heading.
    pub title: Text,
    /// The parts that must have passed, as places in [`Lab::parts`].
    pub needs: Vec<usize>,
    /// Its checks, in order; at least one.
    pub checks: Vec<Check>,
}

/// A check of the library with the parameters of its use.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its name among the lab's checks: later ones read its captures as `checks.ID.NAME`.
    pub id: String,
    /// What the library says.
    pub check: Arc<CheckFile>,
    /// Every parameter with its value, the default where the lab sets none; texts may be templates.
    pub params: IndexMap<String, Value>,
    /// What a pass is worth.
    pub points: u32,
}

impl Lab {
    /// The kinds of the faults that its checks may inject.
    pub fn faults(&self) -> impl Iterator<Item = FaultKind> {
        let checks = self.parts.iter().flat_map(|part| &part.checks);
        let steps = checks.flat_map(|check| check.check.steps.iter().chain(&check.check.finally));
        steps.flat_map(|step| match &step.action {
            StepAction::Fault(fault) => vec![fault.kind],
            StepAction::Chaos(chaos) => chaos.faults().into_iter().flatten().map(|(kind, _)| kind).collect(),
            _ => Vec::new(),
        })
    }

    /// The part of that name.
    pub fn part(&self, id: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.id == id)
    }
}
