//! A trial: a copy of one image of a deployment's own project, and one container of it, on which a control question is tried.
//!
//! The copy is a build's context in memory: edits are made to that, never to a file of the project. In the engine, all of it
//! labelled as the trial's own: the image `NAME-tried/…` and the container `NAME-tried-NODE`, which has no port, no volume and
//! no network, and runs nothing but `sleep`. Nothing of the cluster is touched, and nothing lies on disk.

mod folder;
mod in_engine;

use async_trait::async_trait;

use super::DeployError;

pub use folder::Folder;
pub use in_engine::{InEngine, Origin, leftovers};

/// What a trial is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The node (service) whose image it is.
    pub node: String,
    /// The image, as the project calls it.
    pub image: String,
    /// The Dockerfile, within the context of the build.
    pub dockerfile: String,
    /// The node's configuration, where the image holds it: its path in the context, and in the container.
    pub config: Option<(String, String)>,
    /// Whether the project has its image built at every `up`.
    pub always_built: bool,
}

/// What a build did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// The Dockerfile's instructions, and the label that marks the copy.
    pub all: usize,
    /// Those of them that were taken from the cache.
    pub cached: usize,
}

/// What is seen of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Its id.
    pub container: String,
    /// The id of its image.
    pub image: String,
    /// What the node's configuration in it says, where its image holds that.
    pub config: Option<String>,
    /// The environment that its image gives it.
    pub environment: Vec<String>,
}

/// A copy of a project on which something is tried.
#[async_trait]
pub trait Trial: Send + Sync {
    /// What it is about.
    fn subject(&self) -> &Subject;
    /// Write `line` at the end of a file of the copy.
    fn edit(&mut self, file: &str, line: &str) -> Result<(), DeployError>;
    /// Take every edit back.
    fn take_back(&mut self);
    /// Build the image.
    async fn build(&self) -> Result<Steps, DeployError>;
    /// Make the container anew from the image of that name, and start it.
    async fn renew(&self) -> Result<(), DeployError>;
    /// Restart the container.
    async fn restart(&self) -> Result<(), DeployError>;
    /// Look at the container.
    async fn look(&self) -> Result<Look, DeployError>;
    /// Remove all that the trial made, prove that nothing is left, and say what was removed.
    async fn remove(&self) -> Result<Vec<String>, DeployError>;
}
