//! A check of the library: named, parametrised, reusable steps.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ChaosStep, ClusterStep, DcsStep, Deadline, ExecStep, FaultStep, HaproxyStep, HttpStep, LogsStep, OperateStep,
    SqlStep, Text, WaitStep, WorkloadStep,
};

/// A file of `checks/`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckFile {
    /// The format version: `labrun/v1`.
    pub check: String,
    /// The check's name: the file's name without its ending.
    pub name: String,
    /// What the report calls it.
    pub title: Text,
    /// What a pass proves, in one sentence; shown by the report beside the verdict.
    pub proves: Text,
    /// The parameters that a lab may set.
    #[serde(default)]
    pub params: IndexMap<String, Param>,
    /// The steps, in order. The first that does not pass decides the check's verdict.
    pub steps: Vec<Step>,
    /// Steps that are always run at the end, whatever happened; they undo and tidy up.
    #[serde(default)]
    pub finally: Vec<Step>,
}

/// A parameter of a check.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// What it is for.
    pub about: Text,
    /// Its value when a lab does not set it; without one the parameter is required.
    #[serde(default)]
    pub default: Option<Value>,
}

/// One step: exactly one action, what must hold before it means anything, what must hold after it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::lab::schema::exactly_one)]
pub struct Step {
    /// A name for this step within its check.
    #[serde(default)]
    pub id: Option<String>,
    /// What the step does, for the terminal and the report.
    #[serde(default)]
    pub title: Text,
    /// An expression; where it is false the step is left out.
    #[serde(default)]
    pub when: Option<String>,
    /// What is done or asked.
    #[serde(flatten)]
    pub action: StepAction,
    /// The action is repeated until `expect` holds, at most this long. Without it, `expect` must hold at once.
    #[serde(default)]
    pub within: Option<Deadline>,
    /// `expect` must hold at every look during this time, and `never` at none of them (always, never).
    #[serde(default)]
    pub during: Option<Deadline>,
    /// `expect` must hold without a break for this time, and begin to in time for `within` (stable).
    #[serde(default)]
    pub stable_for: Option<Deadline>,
    /// Values taken from the result: a name for each expression. Later steps read them by that name.
    #[serde(default)]
    pub capture: IndexMap<String, String>,
    /// Expressions that must hold for the step to mean anything; where one does not, the verdict is `inconclusive`.
    #[serde(default)]
    pub require: Vec<String>,
    /// Expressions that must hold; where one does not, the verdict is `fail`.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Expressions that may hold at no look while `during` lasts; where one does, the verdict is `fail`.
    #[serde(default)]
    pub never: Vec<String>,
    /// How much of the check's points this step's pass is worth when a later step does not pass, in per cent.
    #[serde(default)]
    pub credit: Option<u32>,
    /// What to tell the reader when `expect` does not hold: a template over the same values.
    #[serde(default)]
    pub hint: Option<Text>,
}

/// The action of a step, written as the key of the same name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    /// Run SQL.
    Sql(SqlStep),
    /// Ask the REST API of an agent, or another HTTP endpoint of a node.
    Http(HttpStep),
    /// Read the DCS.
    Dcs(DcsStep),
    /// Read HAProxy's statistics.
    Haproxy(HaproxyStep),
    /// Look at the whole cluster at once: DCS, REST and `pg_stat_replication` side by side.
    Cluster(ClusterStep),
    /// Run a program on a node.
    Exec(ExecStep),
    /// Read a node's log.
    Logs(LogsStep),
    /// Do something to a node.
    Fault(FaultStep),
    /// Ask an agent to do something: a switchover, a restart, a new configuration.
    Operate(OperateStep),
    /// Draw faults from a seed, and inject one after another.
    Chaos(ChaosStep),
    /// Wait until the cluster is as it should be.
    Wait(WaitStep),
    /// Start, or stop and judge, a workload.
    Workload(WorkloadStep),
}

impl StepAction {
    /// Whether an action may be done again because an expectation does not hold yet. What changes the deployment, and a
    /// workload's start, is done once.
    pub fn is_repeatable(&self) -> bool {
        !matches!(
            self,
            StepAction::Fault(_)
                | StepAction::Operate(_)
                | StepAction::Chaos(_)
                | StepAction::Workload(WorkloadStep::Start(_))
        )
    }

    /// Whether an action may be broken off in the middle. One fault is seen through, so that it is known what there is to
    /// undo; many are not waited for.
    pub fn can_be_broken_off(&self) -> bool {
        self.is_repeatable() || matches!(self, StepAction::Chaos(_))
    }

    /// The fields of the step's result: what its expressions can read by name.
    pub fn result(&self) -> &'static [&'static str] {
        match self {
            StepAction::Sql(_) => &["rows", "columns", "count", "first", "node", "sqlstate", "error"],
            StepAction::Http(_) => &["status", "body", "node", "error"],
            StepAction::Dcs(_) => &["value", "exists", "children", "owner"],
            StepAction::Haproxy(_) => &["servers", "up", "down"],
            StepAction::Cluster(_) | StepAction::Wait(_) => &["cluster", "proxy"],
            StepAction::Exec(_) => &["code", "stdout", "stderr", "node"],
            StepAction::Logs(_) => &["lines", "count", "node"],
            StepAction::Fault(_) => {
                &["kind", "node", "nodes", "to", "role", "member", "timeline", "lease_holder", "at", "took_ms"]
            }
            StepAction::Operate(_) => {
                &["operation", "node", "role", "member", "to", "status", "body", "error", "at", "took_ms"]
            }
            StepAction::Chaos(_) => &["seed", "plan", "injected", "skipped", "count"],
            StepAction::Workload(WorkloadStep::Start(_)) => &["name", "table", "paths"],
            StepAction::Workload(WorkloadStep::Stop(_)) => &[
                "table",
                "paths",
                "acked",
                "acked_during_fault",
                "stored",
                "lost",
                "lost_count",
                "unexpected",
                "duplicated",
                "recovered",
                "overlap",
                "missed_from",
                "verdict",
                "reads",
                "stale_reads",
                "reads_that_went_back",
                "phantom_reads",
                "standby_reads",
                "standby_stale",
                "standby_stale_ms",
                "linearizable",
                "linearizable_why",
                "per_second",
                "stalled_ms",
            ],
        }
    }
}
