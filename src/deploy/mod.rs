//! Bringing a plan up, and taking it down: the [`Backend`] trait, its peers, and the deployment's state file.

pub mod backend;
mod create;
pub mod deployment;
mod differences;
pub mod doctor;
pub mod error;
pub mod local;
pub mod lock;
mod placement;
mod ready;
mod remove;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;

pub use backend::{Backend, ExecOutput, NodeStatus, Progress};
pub use create::{Deployed, Request, all_run, deploy};
pub use deployment::{BackendKind, DeployedNode, Deployment, Endpoint, Options, Phase, Place, Programs};
pub use error::DeployError;
pub use local::Local;
pub use lock::Lock;
pub use placement::sketch;
pub use ready::until_ready;
pub use remove::destroy;
