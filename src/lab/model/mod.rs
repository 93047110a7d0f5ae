//! The lab format `labrun/v1` as types: what a `lab.yaml` and a file in `checks/` may say.
//!
//! These types are the single source of the format: serde reads them, and `labrun schema` derives the
//! JSON Schema from them. They say what was *written*; [`crate::lab::Lab`] says what was *meant*.

mod check;
mod duration;
mod lab;
mod step;
mod text;
mod topology;

pub use check::{CheckFile, Param, Step, StepAction};
pub use duration::{Budget, Deadline, Span};
pub use lab::{CheckUse, LabFile, Part, Question};
pub use step::{
    ClusterStep, Condition, DcsStep, ExecStep, FaultKind, FaultStep, HaproxyStep, HttpMethod, HttpStep, LogsStep,
    SqlStep, ToldCondition, WaitStep, WorkloadStart, WorkloadStep,
};
pub use text::{Lang, Text};
pub use topology::{
    AgentKind, HaproxyDefaults, HaproxyNode, HaproxyPublish, HaproxySettings, Node, NodeDefaults, PostgresDefaults,
    PostgresNode, PostgresPublish, Topology, ZookeeperDefaults, ZookeeperNode, ZookeeperPublish, ZookeeperSettings,
};

/// The only format version that this labrun reads.
pub const FORMAT: &str = "labrun/v1";
