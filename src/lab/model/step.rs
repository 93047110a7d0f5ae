//! What each kind of step may say.
//!
//! `on` is a role (`leader`, `sync_standby`, `replica`, `proxy`, `dcs`), a node's name, or an expression that yields one.
//! Roles are resolved when the step runs, never before.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Span, Text};

/// Run SQL. The result is `rows` (a list of lists; whole numbers are numbers, all else is text), `columns`, `count`,
/// `first` (the first row's first value), `node` (where it ran) and, for a statement that PostgreSQL refused, `sqlstate`
/// and `error`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlStep {
    /// Where: a role, a node, or `proxy`.
    pub on: String,
    /// The statement or statements; a template.
    pub run: String,
    /// The SQLSTATE with which PostgreSQL must refuse the statement (`25006`).
    #[serde(default)]
    pub expect_error: Option<String>,
    /// How many sessions are opened one after another, each running the statement; the rows of all are joined.
    #[serde(default)]
    pub sessions: Option<u32>,
}

/// An HTTP request. The result is `status`, `body` (JSON where it is JSON, text otherwise), `node`, and `error` where there
/// was no answer. An error status fails the step, unless `expect_status` asks for it or an expression reads `status`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpStep {
    /// A role or a node: its REST API is asked; on `proxy`, its statistics page.
    pub on: String,
    /// The path, with its query.
    pub path: String,
    /// The method (GET).
    #[serde(default)]
    pub method: HttpMethod,
    /// The status that must come back.
    #[serde(default)]
    pub expect_status: Option<u16>,
}

/// Methods of an HTTP step; those that only read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET.
    #[default]
    Get,
    /// HEAD.
    Head,
    /// OPTIONS.
    Options,
}

/// Read the DCS below the cluster's own path. The result is `value` (JSON where it is JSON), `exists`, `children`, `owner`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DcsStep {
    /// The key, such as `leader`, `sync` or `members/NAME`; a template.
    pub get: String,
}

/// Read HAProxy's statistics. The result is `servers` (each `name`, `status`, `check_status`, `check_code`, `node`), `up` (names), `down`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HaproxyStep {
    /// The haproxy node; `proxy` unless told.
    #[serde(default = "proxy")]
    pub on: String,
}

fn proxy() -> String {
    "proxy".to_owned()
}

/// Look at the cluster. The result is `cluster`: `leader`, `sync_standbys`, `replicas`, `timeline`, `members`
/// (each `node`, `member`, `role`, `state`, `timeline`, `sync_state`, `lag`), `disagreements` between the sources, and `proxy`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterStep {}

/// Run a program on a node. The result is `code`, `stdout`, `stderr`, `node`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecStep {
    /// A role or a node.
    pub on: String,
    /// The program and its arguments, each a template; no shell reads them.
    pub argv: Vec<String>,
}

/// Read a node's log. The result is `lines` (those that match), `count`, `node`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsStep {
    /// A role or a node.
    pub on: String,
    /// A regular expression that a line must match.
    #[serde(default)]
    pub matches: Option<String>,
    /// Whether lines from before this check count too.
    #[serde(default)]
    pub from_start: bool,
    /// At most so many lines, the last ones (50).
    #[serde(default)]
    pub last: Option<usize>,
}

/// Wait until expressions over `cluster` and `proxy` (as in a cluster step) hold; both are looked at anew each time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitStep {
    /// Each with the words that say what is not yet true while it does not hold.
    pub until: IndexMap<String, Condition>,
}

/// What is waited for. The words before it are English; `ru` has them in Russian.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Condition {
    /// An expression.
    Plain(String),
    /// An expression, with the words in Russian.
    Told(ToldCondition),
}

/// A condition with its words in Russian.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToldCondition {
    /// The expression.
    pub holds: String,
    /// What is not yet true while it does not hold, in Russian.
    pub ru: String,
}

impl Condition {
    /// The expression.
    pub fn holds(&self) -> &str {
        match self {
            Condition::Plain(holds) => holds,
            Condition::Told(told) => &told.holds,
        }
    }

    /// What is not yet true while it does not hold; `en` are the words that the lab wrote before it.
    pub fn not_yet(&self, en: &str) -> Text {
        match self {
            Condition::Plain(_) => Text::Same(en.to_owned()),
            Condition::Told(told) => Text::Each { ru: told.ru.clone(), en: en.to_owned() },
        }
    }
}

/// A workload step: start one, or stop one and judge what it recorded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::lab::schema::exactly_one)]
pub enum WorkloadStep {
    /// Start writers. They go on until they are stopped, through whatever happens.
    Start(WorkloadStart),
    /// Stop the named workload, read back what is stored, and judge. The result is `paths` (by name: `acked`, `acked_by`
    /// (counts by node), `acked_before_fault`, `acked_after_fault`, `rejected`, `rejected_by` (counts by SQLSTATE),
    /// `indeterminate`, `reads`, `gap_ms`, `gap_from`, `gap_to`, `gap_closed`, `read_only_ms` (the longest time in which
    /// the way led to read-only nodes alone)), `table`, `acked`, `acked_during_fault`, `missed_from` (the first id that
    /// the faulty node misses), `stored`, `lost`, `unexpected`, `duplicated` (lists of ids), `lost_count`, `recovered` (a
    /// count), `overlap` (times in which two nodes acknowledged at once) and `verdict`. With registers also `reads` (a
    /// count), `stale_reads`, `reads_that_went_back`, `phantom_reads` (lists of ids), `standby_reads`, `standby_stale` (counts),
    /// `standby_stale_ms`, and `linearizable` (none where that is not known, with `linearizable_why` in words). Of the clients
    /// themselves: `per_second` (operations) and `stalled_ms` (by how much a client was late at the most).
    Stop(String),
}

/// A workload to start.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadStart {
    /// Its name, by which it is stopped.
    pub name: String,
    /// The table that it writes; made when it is not there.
    #[serde(default = "table")]
    pub table: String,
    /// The pause between the beginnings of two operations of one client (20ms).
    #[serde(default)]
    pub every: Option<Span>,
    /// How long one operation may take before its outcome counts as indeterminate (2s).
    #[serde(default)]
    pub give_up: Option<Span>,
    /// The ways by which it goes: `proxy`; `direct` (to whichever node takes writes); `each` (to every postgres node, by
    /// clients that keep to that node; the way is called by the node's name).
    pub paths: Vec<String>,
    /// How many clients write on each way (1).
    #[serde(default = "one")]
    #[schemars(range(max = 1000))]
    pub clients: u32,
    /// How many clients read on each way (0). They read the registers.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub readers: u32,
    /// How many registers there are; every write sets one of them (4 where there are readers, otherwise 0).
    #[serde(default)]
    #[schemars(range(max = 1024))]
    pub keys: Option<u32>,
}

/// The registers of a workload with readers that says no number.
const KEYS: u32 = 4;

impl WorkloadStart {
    /// The ways that there are.
    pub const PATHS: [&str; 3] = ["proxy", "direct", "each"];

    /// How many registers it has.
    pub fn registers(&self) -> u32 {
        self.keys.unwrap_or(if self.readers > 0 { KEYS } else { 0 })
    }
}

fn one() -> u32 {
    1
}

fn table() -> String {
    "labrun_workload".to_owned()
}
