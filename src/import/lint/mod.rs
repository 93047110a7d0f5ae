//! What is wrong with a project, told without starting anything: coded findings with places in the project's own
//! files. A rule is a function over what was understood; each file of this folder has the rules of one subject.

mod access;
mod addresses;
mod compose;
mod keys;
mod recovery;
mod routing;

use std::path::Path;

use super::files;
use super::submission::Submission;
use crate::lab::diagnostic::{Code, Diagnostic};

/// What was found.
#[derive(Debug, Clone)]
pub struct Lint {
    /// Errors first, then by file and place.
    pub findings: Vec<Diagnostic>,
    /// How many files were read.
    pub files: usize,
}

impl Lint {
    /// Whether something is found that will not work; warnings are not counted.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| !finding.warning)
    }
}

/// Who holds a port of this machine, where somebody does.
pub type PortHolder<'a> = &'a dyn Fn(u16) -> Option<String>;

/// Reads and judges the project in a folder.
pub fn lint(dir: &Path, holder: PortHolder<'_>) -> Result<Lint, Diagnostic> {
    let (files, unread) = files::read(dir)?;
    let submission = Submission::of(&files);
    if submission.compose.is_none() && submission.members.is_empty() && submission.broken.is_empty() {
        let message = format!("{} holds neither a compose file nor a configuration of Patroni", dir.display());
        return Err(Diagnostic::error(Code::PartMissing, message)
            .advice("name the folder that holds docker-compose.yml, the Dockerfile, postgres0.yml and haproxy.cfg"));
    }
    let mut findings = unread;
    findings.extend(judge(&submission, holder));
    Ok(Lint { findings: arranged(findings), files: files.len() })
}

/// Every finding. Where a file cannot be read as what it is, that alone is told: all else would only follow from it.
pub fn judge(submission: &Submission, holder: PortHolder<'_>) -> Vec<Diagnostic> {
    if !submission.is_whole() {
        return submission.broken.clone();
    }
    let mut findings = submission.broken.clone();
    findings.extend(routing::judge(submission));
    for member in &submission.members {
        findings.extend(keys::judge(member));
    }
    findings.extend(addresses::judge(submission));
    findings.extend(access::judge(submission));
    findings.extend(recovery::judge(submission));
    findings.extend(compose::judge(submission, holder));
    findings
}

/// Errors before warnings, then by place; the same finding once.
fn arranged(mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let place = |finding: &Diagnostic| {
        let name = finding.file.as_ref().map(|file| file.name.clone());
        let at = finding.labels.first().map(|(span, _)| span.start);
        (finding.warning, name, at, finding.code, finding.message.clone())
    };
    findings.sort_by_key(place);
    findings.dedup_by(|a, b| place(a) == place(b));
    findings
}

#[cfg(test)]
mod tests;
