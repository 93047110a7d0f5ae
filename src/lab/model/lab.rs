//! `lab.yaml`: texts, topology, parts with checks, control questions.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Text, Topology};

/// One lab.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabFile {
    /// The format version: `labrun/v1`.
    pub lab: String,
    /// The lab's name: lower-case letters, digits and dashes. Deployments and run folders are named after it.
    pub name: String,
    /// The report's first heading.
    pub title: Text,
    /// The topic line of the report.
    #[serde(default)]
    pub topic: Text,
    /// What the lab is for; the report's «goal» section.
    #[serde(default)]
    pub goal: Text,
    /// Values for expressions, as `vars.NAME`.
    #[serde(default)]
    pub vars: IndexMap<String, Value>,
    /// The nodes and their settings.
    pub topology: Topology,
    /// The parts of the assignment, in order.
    pub parts: Vec<Part>,
    /// The control questions.
    #[serde(default)]
    pub questions: Vec<Question>,
}

/// One part of the assignment: a section of the report and the checks that back it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The part's name in `--only` and in other parts' `needs`.
    pub id: String,
    /// The section's heading.
    pub title: Text,
    /// What the part is about, one paragraph of Markdown.
    #[serde(default)]
    pub text: Text,
    /// Parts that must have passed; otherwise this one is `skipped` and names the cause.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Files of the rendered project that the report prints in this part.
    #[serde(default)]
    pub files: Vec<String>,
    /// The checks, in order.
    pub checks: Vec<CheckUse>,
}

/// The use of a check from the library with parameters of its own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckUse {
    /// The check's name: a file of `checks/` without its ending.
    #[serde(rename = "use")]
    pub uses: String,
    /// The name by which later checks read this one's captures (`checks.ID.NAME`); the check's name by default.
    #[serde(default)]
    pub id: Option<String>,
    /// Values for the check's parameters: any YAML, strings may hold expressions.
    #[serde(default)]
    pub with: IndexMap<String, Value>,
    /// What a pass is worth.
    #[serde(default = "one")]
    pub points: u32,
}

fn one() -> u32 {
    1
}

/// A control question, answered by a template over the facts of the deployment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The question's name.
    pub id: String,
    /// What is asked.
    pub ask: Text,
    /// The template: `templates/questions/ANSWER.LANG.md.j2`, or such a file beside the lab.
    pub answer: String,
    /// What is tried on the deployment's own project, for the answer to show. Only containers are made from images: on other
    /// backends nothing is tried, and the answer stands alone.
    #[serde(default, rename = "try", skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Experiment>,
}

/// What can be tried for a control question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Experiment {
    /// A copy of the project is restarted, and brought up again.
    Restart,
    /// The same after a change to a node's configuration.
    EditConfig,
    /// The same after a change to the Dockerfile.
    EditDockerfile,
    /// A node's ports are asked from the host, and from the container of another node.
    Ports,
}
