//! The lab format `labrun/v1` as types: what a `lab.yaml` and a file in `checks/` may say.
//!
//! These types are the single source of the format: serde reads them, and `labrun schema` derives the
//! JSON Schema from them. They say what was *written*; [`crate::lab::Lab`] says what was *meant*.

mod chaos;
mod check;
mod duration;
mod fault;
mod lab;
mod operate;
mod step;
mod text;
mod topology;

pub use chaos::ChaosStep;
pub use check::{CheckFile, Param, Step, StepAction};
pub use duration::{Budget, Deadline, Span};
pub use fault::{FaultKind, FaultStep};
pub use lab::{CheckUse, Experiment, LabFile, Part, Question};
pub use operate::{OperateStep, Operation};
pub use step::{
    ClusterStep, Condition, DcsStep, ExecStep, HaproxyStep, HttpMethod, HttpStep, LogsStep, SqlStep, ToldCondition,
    WaitStep, WorkloadStart, WorkloadStep,
};
pub use text::{Lang, Text};
pub use topology::{
    AgentKind, HaproxyDefaults, HaproxyNode, HaproxyPublish, HaproxySettings, NetworkKind, Node, NodeDefaults,
    PostgresDefaults, PostgresNode, PostgresPublish, Topology, ZookeeperDefaults, ZookeeperNode, ZookeeperPublish,
    ZookeeperSettings,
};

/// The only format version that this labrun reads.
pub const FORMAT: &str = "labrun/v1";
