//! From a lab's file to a sound [`Loaded`] lab, or to everything that is wrong with it.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::diagnostic::{Code, Diagnostic, File, LabError};
use super::library::{self, Library};
use super::meant::{Check, Lab, Loaded, Part};
use super::model::{CheckFile, CheckUse, LabFile};
use super::yaml::{self, Node};

/// Loads a lab: from a file, a folder that holds a `lab.yaml`, or by the name of one that comes with labrun.
pub fn load(source: &str) -> Result<Loaded, LabError> {
    let found = library::find(source).map_err(|finding| LabError::one(source, finding))?;
    let mut findings = Vec::new();
    let loaded = build(&found.file, found.library, &mut findings);
    findings.sort_by_key(|finding: &Diagnostic| finding.warning);
    match loaded {
        Some(loaded) if findings.iter().all(|finding| finding.warning) => Ok(Loaded { warnings: findings, ..loaded }),
        _ => Err(LabError { lab: source.to_owned(), diagnostics: findings }),
    }
}

fn build(file: &Arc<File>, library: Library, findings: &mut Vec<Diagnostic>) -> Option<Loaded> {
    let (_, lab): (Node, LabFile) = read(file, findings)?;
    let mut checks = IndexMap::new();
    for used in lab.parts.iter().flat_map(|part| &part.checks) {
        if !checks.contains_key(&used.uses) {
            let Some(file) = library.file(&format!("checks/{}.yaml", used.uses)).ok().flatten() else {
                findings.push(Diagnostic::warning(Code::UnknownCheck, format!("there is no check `{}`", used.uses)));
                continue;
            };
            let (_, check): (Node, CheckFile) = read(&file, findings)?;
            checks.insert(used.uses.clone(), Arc::new(check));
        }
    }
    let sha256 = Sha256::digest(&file.text).iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = lab.parts.iter().map(|part| mean(&lab, part, &checks)).collect::<Option<_>>()?;
    let lab = Lab { file: lab, parts };
    let (source, source_text) = (file.name.clone(), file.text.clone());
    Some(Loaded { lab, source, source_text, sha256, checks, library, warnings: Vec::new() })
}

/// The tree of a file, and the same as its type.
fn read<T: DeserializeOwned>(file: &Arc<File>, findings: &mut Vec<Diagnostic>) -> Option<(Node, T)> {
    let tree = yaml::parse(file).map_err(|finding| findings.push(finding)).ok()?;
    let typed = serde_json::from_value(tree.to_value()).map_err(|error| {
        findings.push(Diagnostic::error(Code::WrongType, error.to_string()).at(file, 0..0, ""));
    });
    Some((tree, typed.ok()?))
}

fn mean(lab: &LabFile, part: &super::model::Part, checks: &IndexMap<String, Arc<CheckFile>>) -> Option<Part> {
    let place = |id: &String| lab.parts.iter().position(|other| other.id == *id);
    Some(Part {
        id: part.id.clone(),
        title: part.title.clone(),
        needs: part.needs.iter().map(place).collect::<Option<_>>()?,
        checks: part.checks.iter().filter_map(|used| resolve(used, checks.get(&used.uses)?)).collect(),
    })
}

/// The check with the parameters of this use; none where one is missing.
fn resolve(used: &CheckUse, check: &Arc<CheckFile>) -> Option<Check> {
    let value = |name: &String| used.with.get(name).cloned().or_else(|| check.params.get(name)?.default.clone());
    Some(Check {
        id: used.id.clone().unwrap_or_else(|| used.uses.clone()),
        check: Arc::clone(check),
        params: check.params.keys().map(|name| Some((name.clone(), value(name)?))).collect::<Option<_>>()?,
        points: used.points,
    })
}
