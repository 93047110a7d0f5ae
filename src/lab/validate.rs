//! `labrun validate`: everything that can be said of a lab or a check without deploying it.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::diagnostic::{Diagnostic, File, LabError};
use super::library::{self, Library};
use super::load::{arrange, load_found, read_check};
use super::yaml;

/// What was found of one file or folder.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// As it was asked for.
    pub source: String,
    /// What it is.
    pub kind: Kind,
    /// In a few words what it holds, where it is sound.
    pub summary: Option<String>,
    /// Errors, then warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A lab.
    Lab,
    /// A check.
    Check,
}

impl Validation {
    /// Whether there are no errors; warnings are allowed.
    pub fn is_sound(&self) -> bool {
        self.diagnostics.iter().all(|finding| finding.warning)
    }

    /// The same as an error, to be shown; none where nothing was found.
    pub fn error(&self) -> Option<LabError> {
        let found = !self.diagnostics.is_empty();
        found.then(|| LabError { lab: self.source.clone(), diagnostics: self.diagnostics.clone() })
    }
}

/// Looks at a lab (its file, its folder or the name of a built-in one) with every check beside it, used or not; or
/// at the file of a single check.
pub fn validate(source: &str) -> Validation {
    let found = match library::find(source) {
        Ok(found) => found,
        Err(finding) => return Validation::new(source, Kind::Lab, None, vec![finding]),
    };
    if is_check(&found.file) {
        return check(source, &found.file);
    }
    let main = found.file.name.clone();
    let (summary, mut diagnostics) = match load_found(source, &found.file, found.library.clone()) {
        Ok(loaded) => {
            let file = &loaded.lab.file;
            let checks = file.parts.iter().map(|part| part.checks.len()).sum();
            let counts = [
                counted(file.topology.nodes.len(), "node"),
                counted(file.parts.len(), "part"),
                counted(checks, "check"),
                counted(file.questions.len(), "question"),
            ];
            let summary = format!("lab {}: {}", file.name, counts.join(", "));
            (Some(summary), loaded.warnings)
        }
        Err(error) => (None, error.diagnostics),
    };
    own_checks(&found.library, &mut diagnostics);
    arrange(&mut diagnostics, &main);
    Validation::new(source, Kind::Lab, summary, diagnostics)
}

impl Validation {
    fn new(source: &str, kind: Kind, summary: Option<String>, diagnostics: Vec<Diagnostic>) -> Self {
        let sound = diagnostics.iter().all(|finding| finding.warning);
        Self { source: source.to_owned(), kind, summary: summary.filter(|_| sound), diagnostics }
    }
}

/// `1 node`, `2 nodes`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Whether a file is a check: whether it says so by its first key.
fn is_check(file: &Arc<File>) -> bool {
    yaml::parse(file).is_ok_and(|tree| tree.get("check").is_some() && tree.get("lab").is_none())
}

fn check(source: &str, file: &Arc<File>) -> Validation {
    let mut findings = Vec::new();
    let name = Path::new(source).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let check = read_check(file, &name, &mut findings);
    arrange(&mut findings, &file.name);
    let summary =
        check.map(|source| format!("check {}: {}", source.check.name, counted(source.check.steps.len(), "step")));
    Validation::new(source, Kind::Check, summary, findings)
}

/// The checks in the lab's own folder.
fn own_checks(library: &Library, findings: &mut Vec<Diagnostic>) {
    for name in library.own_names("checks", ".yaml") {
        let path = format!("checks/{name}.yaml");
        match library.file(&path) {
            Ok(Some(file)) => {
                read_check(&file, &name, findings);
            }
            Ok(None) => {}
            Err(finding) => findings.push(finding),
        }
    }
}
