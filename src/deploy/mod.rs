//! Bringing a plan up, and taking it down: the [`Backend`] trait, its peers, and the deployment's state file.

mod answers;
mod attached;
pub mod backend;
mod containers;
mod create;
pub mod deployment;
mod differences;
mod docker;
pub mod doctor;
pub mod error;
pub mod local;
pub mod lock;
mod placement;
mod ready;
mod remove;
pub mod state;
mod tail;
#[cfg(test)]
pub(crate) mod testing;
pub mod trial;
mod waves;

pub use attached::Attached;
pub use backend::{Backend, Blow, ExecOutput, NodeStatus, Part, Processes, Progress, Rule, Way, whole_node};
pub use create::{Deployed, Request, all_run, deploy};
pub use deployment::{
    AttachedPlace, BackendKind, DeployedNode, Deployment, DockerPlace, Endpoint, Home, LocalPlace, NodeCommands,
    Options, Over, Phase, Place, Programs,
};
pub use docker::Docker;
pub use error::DeployError;
pub use local::Local;
pub use lock::Lock;
pub use placement::{sketch, sketch_for};
pub use ready::until_ready;
pub use remove::destroy;
