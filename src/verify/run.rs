//! A run: one verification, whole. It is what `run.json` holds, and all that a report is made from.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::outage::{NoElection, Phase};
use super::{Fact, Verdict};
use crate::lab::model::{Experiment, LabFile, Text};
use crate::topology::{ConfigFile, Service, Timing};

/// The format of run.json.
pub const RUN_FORMAT: &str = "labrun-run/v1";

/// One verification.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// `labrun-run/v1`.
    pub format: String,
    /// The run's name: its start in UTC, `20261123T061240Z`.
    pub id: String,
    /// labrun's version.
    pub labrun_version: String,
    /// The deployment's name.
    pub deployment: String,
    /// The backend (`local`).
    pub backend: String,
    /// When it started (RFC 3339).
    pub started: String,
    /// How long it took, in ms.
    pub took_ms: u64,
    /// From the start of `deploy` to the ready predicate, in ms, where this labrun knows it.
    pub ready_after_ms: Option<u64>,
    /// The lab as it was read.
    pub lab: LabFile,
    /// SHA-256 of the lab file, in hex.
    pub lab_sha256: String,
    /// The nodes as deployed.
    pub nodes: Vec<NodeFacts>,
    /// Versions of the programs by name (`postgres`, `zookeeper`, `haproxy`, `labrun-agent`), as observed.
    pub versions: BTreeMap<String, String>,
    /// The constants that deadlines are derived from.
    pub timing: Timing,
    /// The files of the rendered compose project (passwords are those of the lab file, a teaching value).
    pub project: Vec<ConfigFile>,
    /// The verdict of the whole.
    pub verdict: Verdict,
    /// Points reached and points that could be reached (`infra_error` counts in neither).
    pub points: (u32, u32),
    /// The parts, in order.
    pub parts: Vec<PartResult>,
    /// Everything that was observed.
    pub facts: Vec<Fact>,
    /// Who held which role when.
    pub timeline: Vec<RoleChange>,
    /// The outages that workloads measured.
    pub outages: Vec<Outage>,
    /// The control questions that the lab wants tried, and what came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// What a reader must know of the run as a whole: that only one part was run, that it was interrupted, that
    /// nodes were started again which an earlier run had left stopped.
    #[serde(default)]
    pub notes: Vec<Text>,
}

/// A node, for the report.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// What runs on it.
    pub service: Service,
    /// Its address.
    pub address: String,
    /// Published ports: (host port, node port).
    pub published: Vec<(u16, u16)>,
}

/// What a part came to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PartResult {
    /// The part's id.
    pub id: String,
    /// Its heading.
    pub title: Text,
    /// Its verdict.
    pub verdict: Verdict,
    /// For anything but a pass: why, naming the cause.
    pub reason: Option<Text>,
    /// Its checks.
    pub checks: Vec<CheckResult>,
}

/// What a check came to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckResult {
    /// Its name among the lab's checks.
    pub id: String,
    /// The library's name for it.
    pub uses: String,
    /// What the report calls it.
    pub title: Text,
    /// What a pass proves.
    pub proves: Text,
    /// Its verdict.
    pub verdict: Verdict,
    /// For anything but a pass: why.
    pub reason: Option<Text>,
    /// Points reached, and what a pass is worth.
    pub points: (u32, u32),
    /// Its parameters, resolved.
    pub params: IndexMap<String, Value>,
    /// What its steps captured, by name.
    pub captures: IndexMap<String, Value>,
    /// Its steps, as far as they were run.
    pub steps: Vec<StepResult>,
    /// When it began and ended, in ms since the run's start.
    pub span_ms: (u64, u64),
}

/// What a step came to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepResult {
    /// Its name within the check.
    pub id: String,
    /// What it does.
    pub title: Text,
    /// The kind of action (`sql`).
    pub action: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// For anything but a pass: why; with what was expected and what was observed.
    pub reason: Option<Text>,
    /// The deadline that it had, in ms, and how that was derived.
    pub deadline: Option<(u64, String)>,
    /// The facts that it recorded.
    pub facts: Vec<String>,
    /// When it began and ended, in ms since the run's start.
    pub span_ms: (u64, u64),
    /// Where a stepping session tried it again: the tries that do not count, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
}

/// A try of a step that was tried again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Earlier {
    /// What it came to.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<Text>,
    /// The facts that it recorded.
    pub facts: Vec<String>,
    /// When it began and ended, in ms since the run's start.
    pub span_ms: (u64, u64),
}

impl StepResult {
    /// All tries so far, where this one does not count either.
    pub fn as_earlier(self) -> Vec<Earlier> {
        let StepResult { verdict, reason, facts, span_ms, mut earlier, .. } = self;
        earlier.push(Earlier { verdict, reason, facts, span_ms });
        earlier
    }
}

/// A control question that was tried. Its verdict says whether that could be done, and counts for nothing else.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tried {
    /// The question's id.
    pub question: String,
    /// What was tried.
    pub experiment: Experiment,
    /// `pass` where it was tried to its end, `skipped` where it cannot be tried here.
    pub verdict: Verdict,
    /// For anything but a pass: why.
    pub reason: Option<Text>,
    /// Its steps, as far as they were done.
    pub steps: Vec<StepResult>,
    /// When it began and ended, in ms since the run's start.
    pub span_ms: (u64, u64),
}

impl Tried {
    /// Not tried yet.
    pub fn of(question: &str, experiment: Experiment) -> Tried {
        let (question, verdict) = (question.to_owned(), Verdict::Skipped);
        Tried { question, experiment, verdict, reason: None, steps: Vec::new(), span_ms: (0, 0) }
    }
}

/// A change of a node's role, as the DCS and the nodes showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleChange {
    /// When, in ms since the run's start.
    pub at_ms: u64,
    /// The node.
    pub node: String,
    /// Its new role: `leader`, `sync_standby`, `replica`, `down`; `primary` for one that takes writes without holding the
    /// leader key.
    pub role: String,
    /// The timeline that it is on, where known.
    pub timeline: Option<u64>,
}

/// What one path of a workload saw of one fault.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outage {
    /// The workload.
    pub workload: String,
    /// The path: `proxy` or `direct`.
    pub path: String,
    /// The fact that holds the judged history.
    pub fact: String,
    /// The longest gap between two acknowledged writes, in ms.
    pub gap_ms: u64,
    /// The acknowledged writes on both sides of it, in ms since the run's start.
    pub gap: (u64, u64),
    /// Whether there was an acknowledged write on both sides. An open gap is a lower bound: none was
    /// acknowledged any more while the clients wrote.
    #[serde(default = "closed")]
    pub closed: bool,
    /// When the fault was injected, in ms since the run's start, where one was.
    pub fault_at_ms: Option<u64>,
    /// What the fault was (`stop`), where one was.
    #[serde(default)]
    pub fault: String,
    /// Whether the fault hit another node than the leader, which kept its key, and writes went on within a second: then the
    /// gap is no outage.
    #[serde(default)]
    pub unhurt: bool,
    /// Marks within it, in order of time: a name (`fault`, `detected`, `lock_free`, `lock_taken`, `promoted`, `proxy_up`,
    /// `first_ack`) and ms since the run's start. What was not seen has no mark.
    pub marks: Vec<(String, u64)>,
    /// Who showed each mark (`REST · pg-master`), by its name.
    #[serde(default)]
    pub seen_by: BTreeMap<String, String>,
    /// The gap cut at the marks; the phases add up to it.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// The phase that took longest.
    #[serde(default)]
    pub dominant: Option<String>,
    /// What would shorten that one.
    #[serde(default)]
    pub advice: Option<Text>,
    /// Why nobody took the leader key over, where nobody did.
    #[serde(default)]
    pub no_election: Option<NoElection>,
    /// Writes that were acknowledged, refused, and those whose outcome is unknown.
    pub counts: (u64, u64, u64),
}

fn closed() -> bool {
    true
}
