//! The actions of steps, one file each. An action is tried once here; the runner repeats it where a step may wait.

mod cluster;
mod dcs;
mod exec;
mod haproxy;
mod http;
mod logs;
mod operate;
mod sql;
pub mod target;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::faults::Faults;
use super::scope::Scope;
use super::spine::Spine;
use super::workload::Workloads;
use super::world::World;
use super::{Observation, chaos};
use crate::lab::expr::{self, ExprError};
use crate::lab::model::{Step, StepAction, Text, WorkloadStep};
use crate::verify::say;

/// One try of an action, seen through.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// What came back.
    pub observation: Observation,
    /// What the action itself asked for and did not get (`expect_status`, `until`, an answer at all).
    pub unmet: Option<Unmet>,
}

/// What was asked for and not had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// In a few words, for whoever waits.
    pub words: Text,
    /// What more there is to say to whoever looks for the cause.
    pub detail: Option<Text>,
}

impl From<Text> for Unmet {
    fn from(words: Text) -> Unmet {
        Unmet { words, detail: None }
    }
}

impl Unmet {
    /// All of it.
    pub fn text(&self) -> Text {
        match &self.detail {
            Some(detail) => say::each(|lang| format!("{} ({})", self.words.get(lang), detail.get(lang))),
            None => self.words.clone(),
        }
    }
}

/// Why an action could not be tried.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// What it is aimed at is not there (yet): the system under test is not as it should be.
    NotThere(Text),
    /// An expression of the step has no value.
    NoValue(String),
    /// labrun or the machine failed.
    Infra(String),
}

/// What came of one try.
pub type Attempt = Result<Seen, Trouble>;

impl From<ExprError> for Trouble {
    fn from(error: ExprError) -> Trouble {
        Trouble::NoValue(error.to_string())
    }
}

/// What actions work with.
pub struct Stage<'a> {
    /// The world outside.
    pub world: &'a dyn World,
    /// The run's clock and events.
    pub spine: &'a Spine,
    /// The workloads of the run.
    pub workloads: &'a Workloads,
    /// The faults of the run.
    pub faults: &'a Faults,
    /// `part/check/step`.
    pub scope_name: &'a str,
    /// What expressions can read.
    pub scope: &'a Scope,
    /// Where each node's log ended when the check began.
    pub log_marks: &'a BTreeMap<String, u64>,
}

impl Stage<'_> {
    /// What the action's own templates can read.
    pub fn context(&self) -> Value {
        self.scope.context(&self.workloads.counts())
    }
}

/// Try the step's action once; it may take `limit`.
pub async fn attempt(step: &Step, stage: &Stage<'_>, limit: Duration) -> Attempt {
    let asked = names_read(step);
    match &step.action {
        StepAction::Sql(sql) => sql::run(sql, &asked, stage, limit).await,
        StepAction::Http(http) => http::run(http, &asked, stage).await,
        StepAction::Dcs(dcs) => dcs::run(dcs, stage).await,
        StepAction::Haproxy(haproxy) => haproxy::run(haproxy, stage).await,
        StepAction::Cluster(_) => cluster::run(stage).await,
        StepAction::Exec(exec) => exec::run(exec, &asked, stage, limit).await,
        StepAction::Logs(logs) => logs::run(logs, stage).await,
        StepAction::Fault(fault) => stage.faults.inject(fault, stage).await,
        StepAction::Operate(operate) => operate::run(operate, &asked, stage, limit).await,
        StepAction::Chaos(step) => Box::pin(chaos::run(step, stage)).await,
        StepAction::Wait(wait) => wait::run(wait, stage).await,
        StepAction::Workload(WorkloadStep::Start(start)) => stage.workloads.start(start, stage).await,
        StepAction::Workload(WorkloadStep::Stop(name)) => stage.workloads.stop(name, stage).await,
    }
}

/// The kind of an action, by the key that a lab writes.
pub fn kind(action: &StepAction) -> &'static str {
    match action {
        StepAction::Sql(_) => "sql",
        StepAction::Http(_) => "http",
        StepAction::Dcs(_) => "dcs",
        StepAction::Haproxy(_) => "haproxy",
        StepAction::Cluster(_) => "cluster",
        StepAction::Exec(_) => "exec",
        StepAction::Logs(_) => "logs",
        StepAction::Fault(_) => "fault",
        StepAction::Operate(_) => "operate",
        StepAction::Chaos(_) => "chaos",
        StepAction::Wait(_) => "wait",
        StepAction::Workload(_) => "workload",
    }
}

/// The first names of everything that the step's `require` and `expect` read. An author who asks about `sqlstate`,
/// `status` or `code` judges a refusal himself; otherwise a refusal is a failure.
fn names_read(step: &Step) -> BTreeSet<String> {
    let expressions = step.require.iter().chain(&step.expect);
    let names = expressions.filter_map(|expression| expr::check_expression(expression).ok()).flatten();
    names.map(|name| name.strip_prefix("result.").unwrap_or(&name).to_owned()).collect()
}

/// Text for a fact: long output is cut in the middle, since beginnings and ends tell most.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most / 2).collect();
    let tail: String = text.chars().skip(count - most / 2).collect();
    format!("{head}\n… {} characters left out …\n{tail}", count - most / 2 * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_output_keeps_its_beginning_and_end() {
        assert_eq!(bounded("абвгд", 5), "абвгд");
        assert_eq!(bounded("абвгдеж", 4), "аб\n… 3 characters left out …\nеж");
    }

    #[test]
    fn what_an_author_judges_himself_is_told_by_what_he_reads() {
        let step: Step = serde_json::from_value(serde_json::json!({
            "sql": {"on": "replica", "run": "insert into t values (1)"},
            "expect": ["result.sqlstate == '25006'", "count == 0"],
        }))
        .unwrap();
        assert!(names_read(&step).contains("sqlstate"));
        assert!(!names_read(&step).contains("code"));
    }
}
