//! A copy of a project in memory: an engine that builds, keeps images by name, and makes containers from them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::deploy::DeployError;
use crate::deploy::trial::{Look, Steps, Subject, Trial};

const CONFIG: &str = "name: a\n";

/// The copy, and what has become of it. Clones are the same copy.
#[derive(Debug, Clone)]
pub struct Copy {
    subject: Subject,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    config: String,
    environment: Vec<String>,
    /// What images hold, in the order in which they were built.
    images: Vec<(String, Vec<String>)>,
    /// The one that has the name.
    named: usize,
    containers: u32,
    of_image: usize,
    builds: u32,
    fails_at_build: Option<u32>,
    removed: bool,
}

impl Copy {
    /// Of a node with its configuration in its image; its n-th build may fail.
    pub fn new(fails_at_build: Option<u32>) -> Copy {
        let subject = Subject {
            node: "pg-master".into(),
            image: "my-postgres-patroni".into(),
            dockerfile: "Dockerfile".into(),
            config: Some(("postgres0.yml".into(), "/postgres0.yml".into())),
            always_built: false,
        };
        let state = State { config: CONFIG.into(), fails_at_build, ..State::default() };
        Copy { subject, state: Arc::new(Mutex::new(state)) }
    }

    /// Whether it was removed after all that was done to it.
    pub fn is_removed(&self) -> bool {
        self.state.lock().unwrap().removed
    }
}

#[async_trait]
impl Trial for Copy {
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn edit(&mut self, file: &str, line: &str) -> Result<(), DeployError> {
        let mut state = self.state.lock().unwrap();
        match file {
            "Dockerfile" => state.environment.extend(line.strip_prefix("ENV ").map(str::to_owned)),
            _ => state.config.push_str(&format!("{line}\n")),
        }
        Ok(())
    }

    fn take_back(&mut self) {
        let mut state = self.state.lock().unwrap();
        state.environment.clear();
        state.config = CONFIG.to_owned();
    }

    async fn build(&self) -> Result<Steps, DeployError> {
        let mut state = self.state.lock().unwrap();
        state.removed = false;
        state.builds += 1;
        if state.fails_at_build == Some(state.builds) {
            return Err(DeployError::process("build it", "exit code 9"));
        }
        let content = (state.config.clone(), state.environment.clone());
        let known = state.images.iter().position(|image| *image == content);
        let cached = if known.is_some() { 8 } else { 5 };
        state.named = known.unwrap_or(state.images.len());
        if known.is_none() {
            state.images.push(content);
        }
        Ok(Steps { all: 9, cached })
    }

    async fn renew(&self) -> Result<(), DeployError> {
        let mut state = self.state.lock().unwrap();
        state.containers += 1;
        state.of_image = state.named;
        Ok(())
    }

    async fn restart(&self) -> Result<(), DeployError> {
        Ok(())
    }

    async fn look(&self) -> Result<Look, DeployError> {
        let state = self.state.lock().unwrap();
        let (config, environment) = state.images[state.of_image].clone();
        let (container, image) = (format!("container{}", state.containers), format!("sha256:image{}", state.of_image));
        Ok(Look { container, image, config: Some(config), environment })
    }

    async fn remove(&self) -> Result<Vec<String>, DeployError> {
        self.state.lock().unwrap().removed = true;
        Ok(vec!["container".to_owned()])
    }
}
