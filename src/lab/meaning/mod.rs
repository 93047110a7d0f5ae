//! Whether a file of the right shape means something: names, needs, checks, parameters, expressions, ports,
//! Patroni's and HAProxy's settings. Every finding at once.

mod check;
mod fault;
mod names;
mod needs;
mod operate;
mod parts;
mod patroni;
mod text;
mod topology;
mod uses;
mod workload;

use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::{Code, Diagnostic, File};
use super::library::Library;
use super::model::LabFile;
use super::yaml::Node;

pub use check::CheckSource;
pub use parts::project_files;
pub use uses::Checks;

/// A typed file beside its tree, for findings with a place.
pub(super) struct Meaning<'a> {
    file: &'a Arc<File>,
    tree: &'a Node,
    findings: &'a mut Vec<Diagnostic>,
}

/// Looks at a lab: everything but the insides of the checks that it uses.
pub fn lab(
    lab: &LabFile,
    file: &Arc<File>,
    tree: &Node,
    library: &Library,
    checks: &Checks,
    findings: &mut Vec<Diagnostic>,
) {
    let mut meaning = Meaning { file, tree, findings };
    meaning.names(lab);
    meaning.needs(lab);
    meaning.topology(&lab.topology);
    meaning.patroni(&lab.topology);
    meaning.parts(lab, library);
    meaning.uses(lab, library, checks);
}

/// Looks at a check by itself.
pub fn check(source: &CheckSource, name: &str, findings: &mut Vec<Diagnostic>) {
    Meaning { file: &source.file, tree: &source.tree, findings }.check(&source.check, name);
}

impl Meaning<'_> {
    /// The place of the value at a path, or of the nearest thing that holds it. Numbers count list items.
    fn value(&self, path: &[&str]) -> Range<usize> {
        match self.tree.find(path) {
            Some(node) if !node.span.is_empty() && node.entries().is_empty() && node.items().is_empty() => {
                node.span.clone()
            }
            _ => self.key(path),
        }
    }

    /// The place of the last key of a path, or of the nearest thing that holds it.
    fn key(&self, path: &[&str]) -> Range<usize> {
        let Some((last, above)) = path.split_last() else { return 0..0 };
        let Some(holder) = self.tree.find(above) else { return self.key(above) };
        match (holder.entry(last), last.parse::<usize>()) {
            (Some(entry), _) => entry.key_span.clone(),
            (None, Ok(index)) if index < holder.items().len() => first(&holder.items()[index]),
            _ => self.key(above),
        }
    }

    fn error(&mut self, code: Code, message: impl Into<String>, place: Range<usize>) -> &mut Diagnostic {
        self.add(Diagnostic::error(code, message), place)
    }

    fn warning(&mut self, code: Code, message: impl Into<String>, place: Range<usize>) -> &mut Diagnostic {
        self.add(Diagnostic::warning(code, message), place)
    }

    fn add(&mut self, finding: Diagnostic, place: Range<usize>) -> &mut Diagnostic {
        let at = self.findings.len();
        self.findings.push(finding.at(self.file, place, ""));
        &mut self.findings[at]
    }
}

/// Where a value begins.
fn first(node: &Node) -> Range<usize> {
    match node.entries().first() {
        Some(entry) => entry.key_span.clone(),
        None => node.span.clone(),
    }
}

impl Diagnostic {
    /// With what to do, in place.
    fn with_help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// With words at its place.
    fn with_label(&mut self, label: impl Into<String>) -> &mut Self {
        if let Some((_, words)) = self.labels.first_mut() {
            *words = label.into();
        }
        self
    }

    /// With another place that matters.
    fn with_place(&mut self, place: Range<usize>, label: impl Into<String>) -> &mut Self {
        self.labels.push((place, label.into()));
        self
    }
}
