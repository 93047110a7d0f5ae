//! From a lab's file to a sound [`Loaded`] lab, or to everything that is wrong with it.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::diagnostic::{Code, Diagnostic, File, LabError};
use super::library::{self, Library};
use super::meaning::{self, CheckSource, Checks};
use super::meant::{Check, Lab, Loaded, Part};
use super::model::{self, CheckUse, LabFile};
use super::yaml::{self, Node};
use super::{schema, shape};

/// Loads a lab: from a file, a folder that holds a `lab.yaml`, or by the name of one that comes with labrun.
pub fn load(source: &str) -> Result<Loaded, LabError> {
    let found = library::find(source).map_err(|finding| LabError::one(source, finding))?;
    load_found(source, &found.file, found.library)
}

/// Loads a lab whose file was read.
pub(super) fn load_found(source: &str, file: &Arc<File>, library: Library) -> Result<Loaded, LabError> {
    let mut findings = Vec::new();
    let loaded = build(file, library, &mut findings);
    arrange(&mut findings, &file.name);
    match loaded {
        Some(loaded) if findings.iter().all(|finding| finding.warning) => Ok(Loaded { warnings: findings, ..loaded }),
        _ => Err(LabError { lab: source.to_owned(), diagnostics: findings }),
    }
}

/// Errors before warnings, the main file before others, then by place; the same finding once.
pub(super) fn arrange(findings: &mut Vec<Diagnostic>, main: &str) {
    findings.sort_by_key(|finding| {
        let name = finding.file.as_ref().map(|file| file.name.clone());
        let place = finding.labels.first().map(|(span, _)| span.start);
        (finding.warning, name.as_deref() != Some(main), name, place, finding.code)
    });
    findings.dedup_by_key(|finding| (finding.code, finding.place(), finding.message.clone()));
}

fn build(file: &Arc<File>, library: Library, findings: &mut Vec<Diagnostic>) -> Option<Loaded> {
    let (tree, lab) = read::<LabFile>(file, schema::lab(), findings)?;
    let mut checks = Checks::new();
    for used in lab.parts.iter().flat_map(|part| &part.checks) {
        if !checks.contains_key(&used.uses) {
            find_check(&used.uses, &library, &mut checks, findings);
        }
    }
    meaning::lab(&lab, file, &tree, &library, &checks, findings);
    if findings.iter().any(|finding| !finding.warning) {
        return None;
    }
    let checks: IndexMap<_, _> =
        checks.into_iter().map(|(name, found)| Some((name, found?.check))).collect::<Option<_>>()?;
    let sha256 = Sha256::digest(&file.text).iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = lab.parts.iter().map(|part| mean(&lab, part, &checks)).collect::<Option<_>>()?;
    let (source, source_text) = (file.name.clone(), file.text.clone());
    Some(Loaded { lab: Lab { file: lab, parts }, source, source_text, sha256, checks, library, warnings: Vec::new() })
}

/// Reads the check of that name, where there is one.
fn find_check(name: &str, library: &Library, checks: &mut Checks, findings: &mut Vec<Diagnostic>) {
    match library.file(&format!("checks/{name}.yaml")) {
        Ok(Some(file)) => {
            let check = read_check(&file, name, findings);
            checks.insert(name.to_owned(), check);
        }
        // That it is not there is told at its use.
        Ok(None) => {}
        Err(finding) => {
            findings.push(finding);
            checks.insert(name.to_owned(), None);
        }
    }
}

/// A check from its file; none where it is not sound.
pub(super) fn read_check(file: &Arc<File>, name: &str, findings: &mut Vec<Diagnostic>) -> Option<CheckSource> {
    let (tree, check) = read(file, schema::check(), findings)?;
    let source = CheckSource { check: Arc::new(check), file: Arc::clone(file), tree: Arc::new(tree) };
    meaning::check(&source, name, findings);
    Some(source)
}

/// The tree of a file, and what can be made of it. Findings of its shape do not keep the rest from being looked at.
fn read<T: DeserializeOwned>(file: &Arc<File>, schema: &Value, findings: &mut Vec<Diagnostic>) -> Option<(Node, T)> {
    let tree = yaml::parse(file).map_err(|finding| findings.push(finding)).ok()?;
    let before = findings.len();
    let kept = shape::check(file, &tree, schema, findings);
    match serde_json::from_value(kept) {
        Ok(typed) => Some((tree, typed)),
        // What is wrong with its shape was told already, unless the schema knows less than the type.
        Err(_) if findings.len() > before => None,
        Err(error) => {
            findings.push(Diagnostic::error(Code::WrongType, error.to_string()).at(file, 0..0, ""));
            None
        }
    }
}

fn mean(lab: &LabFile, part: &model::Part, checks: &IndexMap<String, Arc<model::CheckFile>>) -> Option<Part> {
    let place = |id: &String| lab.parts.iter().position(|other| other.id == *id);
    Some(Part {
        id: part.id.clone(),
        title: part.title.clone(),
        needs: part.needs.iter().map(place).collect::<Option<_>>()?,
        checks: part.checks.iter().map(|used| resolve(used, checks.get(&used.uses)?)).collect::<Option<_>>()?,
    })
}

/// The check with the parameters of this use; none where one is missing.
fn resolve(used: &CheckUse, check: &Arc<model::CheckFile>) -> Option<Check> {
    let value = |name: &String| used.with.get(name).cloned().or_else(|| check.params.get(name)?.default.clone());
    Some(Check {
        id: used.id.clone().unwrap_or_else(|| used.uses.clone()),
        check: Arc::clone(check),
        params: check.params.keys().map(|name| Some((name.clone(), value(name)?))).collect::<Option<_>>()?,
        points: used.points,
    })
}
