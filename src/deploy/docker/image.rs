//! Images: base images are there or fetched, those of postgres nodes are built from the lab's Dockerfile.

use std::collections::HashMap;
use std::path::Path;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::build::{self, Recipe};
use super::{DockerError, context, names};
use crate::deploy::{DeployError, DockerPlace, Progress};
use crate::engine::error::told;
use crate::engine::{Engine, EngineError};
use crate::images::STAND_INS;
use crate::lab::model::AgentKind;
use crate::topology::{ImagePlan, Plan};

/// Make sure of every image that the plan needs.
pub async fn ensure(
    engine: &Engine,
    place: &DockerPlace,
    plan: &Plan,
    agent: Option<&Path>,
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    for image in super::base_images(plan) {
        fetch(engine, image, progress).await?;
    }
    for image in &plan.images {
        build(engine, place, image, agent, progress).await?;
    }
    Ok(())
}

/// The id of an image, where there is one.
pub async fn id(engine: &Engine, image: &str) -> Result<Option<String>, EngineError> {
    match engine.docker().inspect_image(image).await.map_err(engine.failed(format!("look at the image {image}"))) {
        Ok(found) => Ok(found.id),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fetch an image from its registry, unless it is there.
async fn fetch(engine: &Engine, image: &str, progress: &dyn Progress) -> Result<(), DeployError> {
    if id(engine, image).await?.is_some() {
        return Ok(());
    }
    progress.stage(&format!("fetching {image}"));
    let options = CreateImageOptionsBuilder::new().from_image(&with_tag(image)).build();
    let mut stream = engine.docker().create_image(Some(options), None, None);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(info) => progress.waiting(&info.status.unwrap_or_default()),
            Err(error) => {
                let why = told(&error);
                return Err(match engine.failed(format!("fetch {image}"))(error) {
                    EngineError::Refused { .. } => {
                        let stand_in = STAND_INS.iter().any(|one| one.image == image);
                        DockerError::NoImage { image: image.to_owned(), why, stand_in }.into()
                    }
                    other => other.into(),
                });
            }
        }
    }
    Ok(())
}

/// Without a tag the engine would fetch all there are.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// Build an image, unless it is there and was made from the same.
async fn build(
    engine: &Engine,
    place: &DockerPlace,
    image: &ImagePlan,
    agent: Option<&Path>,
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    let tag = names::image(place, &image.name);
    let agent = agent.filter(|_| image.agent == AgentKind::Labrun);
    let base = engine.docker().inspect_image(&image.base).await;
    let base = base.map_err(engine.failed(format!("look at the image {}", image.base)))?;
    let context = context::pack(image, &base, agent)?;
    let recipe = digest(&[base.id.unwrap_or_default().as_bytes(), &context]);
    if is_from(engine, &tag, place, &recipe).await? {
        return Ok(());
    }
    progress.stage(&format!("building {tag} on {}", image.base));
    let labels = names::image_labels(place, &recipe);
    let recipe = Recipe { tag: &tag, dockerfile: "Dockerfile", labels, args: HashMap::new(), context, agent };
    build::run(engine, recipe, &mut |line| progress.waiting(line)).await?;
    Ok(())
}

/// Whether the image under this name is the deployment's, made from what has this digest.
async fn is_from(engine: &Engine, tag: &str, place: &DockerPlace, recipe: &str) -> Result<bool, EngineError> {
    let found = engine.docker().inspect_image(tag).await.map_err(engine.failed(format!("look at the image {tag}")));
    let labels = match found {
        Ok(found) => found.config.and_then(|config| config.labels).unwrap_or_default(),
        Err(error) if error.is_missing() => return Ok(false),
        Err(error) => return Err(error),
    };
    let is = |name: &str, value: &str| labels.get(name).is_some_and(|there| there == value);
    Ok(is(names::OWNER, &place.owner) && is(names::RECIPE, recipe))
}

/// The digest of what something is made from.
pub fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_means_its_latest() {
        for (image, meant) in
            [("x", "x:latest"), ("h:5/x", "h:5/x:latest"), ("x:1", "x:1"), ("x@sha256:a", "x@sha256:a")]
        {
            assert_eq!(with_tag(image), meant);
        }
    }
}
