//! `doctor`: whether this machine can run labs, told before a deployment fails on it.

mod engine;
mod machine;
mod ports;
mod tools;

use std::path::Path;

use serde::Serialize;

use crate::topology::Plan;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about (`PostgreSQL`, `port 5000`).
    pub subject: String,
    /// How it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Labs run, something does not.
    Warning,
    /// Labs do not run.
    Error,
}

impl Finding {
    fn ok(subject: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { subject: subject.into(), level: Level::Ok, found: found.into(), remedy: None }
    }

    fn of(level: Level, subject: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { subject: subject.into(), level, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Everything: the programs and ports that `plan` needs, and the machine for an output in `output`.
pub fn examine(plan: &Plan, output: &Path) -> Vec<Finding> {
    let mut findings = tools::examine(plan);
    findings.extend(ports::published(plan, output));
    findings.push(ports::of_addresses(output));
    findings.extend(machine::examine(plan, output));
    findings
}

/// The same for containers: the engine, the images and the published ports.
pub async fn examine_engine(plan: &Plan, output: &Path) -> Vec<Finding> {
    let mut findings = engine::examine(plan).await;
    match engine::of_ports() {
        Some(elsewhere) => findings.push(elsewhere),
        None => findings.extend(ports::published(plan, output)),
    }
    findings
}
