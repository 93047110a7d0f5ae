//! One build, whoever asked for it: its lines as they come, how many of its steps the cache had, and why it failed.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use bollard::body_full;
use bollard::errors::Error;
use bollard::query_parameters::BuildImageOptionsBuilder;
use futures_util::StreamExt;

use super::DockerError;
use super::names::Labels;
use crate::deploy::DeployError;
use crate::deploy::trial::Steps;
use crate::engine::Engine;

pub use super::context::pack;

/// How many lines of a build are kept to explain its failure.
const KEPT: usize = 25;

/// What is built.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// The image's name.
    pub tag: &'a str,
    /// The Dockerfile, within the context.
    pub dockerfile: &'a str,
    /// The image's labels.
    pub labels: Labels,
    /// The build's arguments.
    pub args: HashMap<String, String>,
    /// The context, as an archive.
    pub context: Vec<u8>,
    /// labrun's agent, where the context holds it.
    pub agent: Option<&'a Path>,
}

/// Build it, telling every line.
pub async fn run(
    engine: &Engine,
    recipe: Recipe<'_>,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<Steps, DeployError> {
    let Recipe { tag, dockerfile, labels, args, context, agent } = recipe;
    let options = BuildImageOptionsBuilder::new().t(tag).dockerfile(dockerfile).rm(true).forcerm(true);
    let options = options.labels(&labels).buildargs(&args).build();
    let (mut last, mut steps) = (VecDeque::new(), Steps::default());
    let mut stream = engine.docker().build_image(options, None, Some(body_full(context.into())));
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(info) => {
                for line in info.stream.as_deref().unwrap_or_default().lines().filter(|line| !line.trim().is_empty()) {
                    count(&mut steps, line);
                    keep(&mut last, line);
                    tell(line);
                }
            }
            Err(Error::DockerStreamError { error }) if !error.contains("no space left on device") => {
                return Err(failed(tag.to_owned(), error, last, agent).into());
            }
            Err(Error::DockerResponseServerError { status_code: 400, message }) => {
                return Err(failed(tag.to_owned(), message, last, agent).into());
            }
            Err(error) => return Err(engine.failed(format!("build {tag}"))(error).into()),
        }
    }
    Ok(steps)
}

/// `Step 3/9 : COPY …` and ` ---> Using cache` of Docker; `STEP 3/9: COPY …` and `--> Using cache …` of Podman.
fn count(steps: &mut Steps, line: &str) {
    if line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("step ")) {
        steps.all += 1;
    } else if line.trim_start_matches([' ', '-', '>']).starts_with("Using cache") {
        steps.cached += 1;
    }
}

fn keep(last: &mut VecDeque<String>, line: &str) {
    if last.len() == KEPT {
        last.pop_front();
    }
    last.push_back(format!("  {line}"));
}

fn failed(image: String, why: String, last: VecDeque<String>, agent: Option<&Path>) -> DockerError {
    let help = match agent {
        Some(agent) if why.contains("labrun-agent") => format!(
            "{} does not run in this image; a static one does: make build, or LABRUN_AGENT_STATIC=PATH",
            agent.display()
        ),
        _ => "see below which step failed; the Dockerfile's template is templates/config/ beside the lab".to_owned(),
    };
    DockerError::Build { image, why: why.trim().to_owned(), help, last: Vec::from(last).join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_those_from_the_cache_are_counted_in_dockers_words_and_in_podmans() {
        let counted = |lines: &[&str]| {
            let mut steps = Steps::default();
            lines.iter().for_each(|line| count(&mut steps, line));
            (steps.all, steps.cached)
        };
        let docker = ["Step 1/3 : FROM x", " ---> 4f", "Step 2/3 : COPY a /", " ---> Using cache", "Step 3/3 : USER y"];
        assert_eq!(counted(&docker), (3, 1));
        let podman = ["STEP 1/2: FROM x", "STEP 2/2: COPY a /", "--> Using cache 9c", "COMMIT z"];
        assert_eq!(counted(&podman), (2, 1));
    }

    #[test]
    fn an_agent_that_does_not_run_is_told_from_another_failure() {
        let why = "The command '/bin/sh -c labrun-agent --version' returned a non-zero code: 127";
        let error = failed("x".into(), why.into(), VecDeque::new(), Some(Path::new("/b/labrun-agent")));
        let DockerError::Build { help, .. } = error else { panic!("{error}") };
        assert!(help.contains("/b/labrun-agent") && help.contains("static"), "{help}");
    }
}
