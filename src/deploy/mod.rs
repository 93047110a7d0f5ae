//! Bringing a plan up, and taking it down: the [`Backend`] trait, its peers, and the deployment's state file.

pub mod backend;
pub mod deployment;
pub mod local;

pub use backend::{Backend, DeployError, ExecOutput, NodeStatus, Progress};
pub use deployment::{BackendKind, DeployedNode, Deployment, Endpoint, Phase};
