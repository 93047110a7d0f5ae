//! A trial in an engine: what is asked of that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerCreateBody, HostConfig, ImageInspect};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder,
};

use super::{Folder, Look, Steps, Subject, Trial};
use crate::deploy::docker::{build, names, remains};
use crate::deploy::{DeployError, Progress};
use crate::engine::{Engine, EngineError};
use crate::topology::ImagePlan;

/// How long a build may take: its layers are in the cache, or it is not worth the wait.
const BUILD_LIMIT: Duration = Duration::from_secs(120);
/// What stands behind the owner's mark of a deployment on what its trials make.
const MARK: &str = "#tried";

/// What the image is built from.
#[derive(Debug)]
pub enum Origin {
    /// An image that labrun builds.
    Plan {
        /// The image.
        image: ImagePlan,
        /// The one that it is built on.
        base: Box<ImageInspect>,
        /// labrun's agent, where the image has it.
        agent: Option<PathBuf>,
    },
    /// Somebody's own folder.
    Folder {
        /// The folder.
        folder: Folder,
        /// The build's arguments.
        args: HashMap<String, String>,
    },
}

/// A trial in an engine.
#[derive(Debug)]
pub struct InEngine {
    engine: Engine,
    /// The project's name, unlike that of any other.
    project: String,
    owner: String,
    subject: Subject,
    origin: Origin,
    /// What is written at the ends of files: (file, line).
    edits: Vec<(String, String)>,
}

impl InEngine {
    /// A trial of the deployment that is `owner`'s and called `name`. What an earlier one that was killed has left goes first.
    pub async fn new(
        engine: &Engine,
        owner: &str,
        name: &str,
        subject: Subject,
        origin: Origin,
    ) -> Result<InEngine, DeployError> {
        let (owner, project) = (format!("{owner}{MARK}"), project_of(name));
        let trial = InEngine { engine: engine.clone(), project, owner, subject, origin, edits: Vec::new() };
        trial.remove().await?;
        Ok(trial)
    }

    fn container(&self) -> String {
        format!("{}-{}", self.project, self.subject.node)
    }

    /// The image's own name, without its registry and tag.
    fn image(&self) -> String {
        let last = self.subject.image.rsplit('/').next().unwrap_or_default();
        let last = last.split([':', '@']).next().filter(|name| !name.is_empty()).unwrap_or("image");
        format!("{}/{}:latest", self.project, last.to_lowercase())
    }

    /// One label alone: each is a step of the build.
    fn labels(&self) -> names::Labels {
        HashMap::from([(names::OWNER.to_owned(), self.owner.clone())])
    }

    /// The context with its edits.
    fn context(&self) -> Result<(Vec<u8>, Option<&Path>), DeployError> {
        match &self.origin {
            Origin::Folder { folder, .. } => {
                let mut folder = folder.clone();
                for (file, line) in &self.edits {
                    folder.append(file, line);
                }
                let packed = folder.pack().map_err(DeployError::io("pack", &self.subject.dockerfile))?;
                Ok((packed, None))
            }
            Origin::Plan { image, base, agent } => {
                let mut image = image.clone();
                for (name, line) in &self.edits {
                    let edited = image.files.iter_mut().filter(|file| file.path == *name);
                    edited.for_each(|file| file.content.push_str(&format!("\n{line}\n")));
                }
                Ok((build::pack(&image, base, agent.as_deref())?, agent.as_deref()))
            }
        }
    }

    /// Runs nothing, so that a restart takes no time, and reaches nobody.
    fn body(&self) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(self.image()),
            entrypoint: Some(vec!["sleep".to_owned(), "86400".to_owned()]),
            labels: Some(self.labels()),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..Default::default() }),
            ..Default::default()
        }
    }
}

/// The name of a deployment's trials.
fn project_of(name: &str) -> String {
    format!("{name}-tried")
}

/// Remove what a trial that was killed has left of the deployment that is `owner`'s and called `name`.
pub async fn leftovers(
    engine: &Engine,
    owner: &str,
    name: &str,
    progress: &dyn Progress,
) -> Result<Vec<String>, DeployError> {
    remains::remove(engine, &format!("{owner}{MARK}"), &project_of(name), progress).await
}

#[async_trait]
impl Trial for InEngine {
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn edit(&mut self, file: &str, line: &str) -> Result<(), DeployError> {
        let there = match &self.origin {
            Origin::Folder { folder, .. } => folder.holds(file),
            Origin::Plan { image, .. } => image.files.iter().any(|there| there.path == file),
        };
        let missing = || DeployError::process(format!("edit the copy of {file}"), "the project has no such file");
        there.then(|| self.edits.push((file.to_owned(), line.to_owned()))).ok_or_else(missing)
    }

    fn take_back(&mut self) {
        self.edits.clear();
    }

    async fn build(&self) -> Result<Steps, DeployError> {
        let (context, agent) = self.context()?;
        let args = match &self.origin {
            Origin::Folder { args, .. } => args.clone(),
            Origin::Plan { .. } => HashMap::new(),
        };
        let tag = self.image();
        let recipe = build::Recipe {
            tag: &tag,
            dockerfile: &self.subject.dockerfile,
            labels: self.labels(),
            args,
            context,
            agent,
        };
        let late = || DeployError::process(format!("build {tag}"), format!("it takes more than {BUILD_LIMIT:?}"));
        tokio::time::timeout(BUILD_LIMIT, build::run(&self.engine, recipe, &mut |_| {})).await.map_err(|_| late())?
    }

    async fn renew(&self) -> Result<(), DeployError> {
        let (docker, name) = (self.engine.docker(), self.container());
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = docker.remove_container(&name, Some(options)).await;
        match removed.map_err(self.engine.failed(format!("remove {name}"))) {
            Err(error) if !error.is_missing() => return Err(error.into()),
            _ => {}
        }
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let made = docker.create_container(Some(options), self.body()).await;
        made.map_err(self.engine.failed(format!("make the container {name}")))?;
        Ok(self.engine.container(&name).start().await?)
    }

    async fn restart(&self) -> Result<(), DeployError> {
        let name = self.container();
        // `sleep` as the first process hears no SIGTERM: nothing is waited for.
        let options = RestartContainerOptionsBuilder::new().t(0).build();
        let restarted = self.engine.docker().restart_container(&name, Some(options)).await;
        Ok(restarted.map_err(self.engine.failed(format!("restart {name}")))?)
    }

    async fn look(&self) -> Result<Look, DeployError> {
        let name = self.container();
        let container = self.engine.container(&name);
        let seen = container.inspect().await?;
        let config = match &self.subject.config {
            Some((_, path)) => Some(container.file(path).await.ok_or_else(|| EngineError::Refused {
                what: format!("read {path} in {name}"),
                status: 404,
                why: "there is no such text".to_owned(),
            })?),
            None => None,
        };
        Ok(Look {
            container: seen.id.unwrap_or_default(),
            image: seen.image.unwrap_or_default(),
            config,
            environment: seen.config.and_then(|config| config.env).unwrap_or_default(),
        })
    }

    async fn remove(&self) -> Result<Vec<String>, DeployError> {
        remains::remove(&self.engine, &self.owner, &self.project, &Unheard).await
    }
}

/// Nobody waits for it to be told.
struct Unheard;

impl Progress for Unheard {
    fn stage(&self, _: &str) {}
    fn waiting(&self, _: &str) {}
}
