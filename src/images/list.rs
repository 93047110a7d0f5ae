//! Which stand-ins are there.

use bollard::models::ImageInspect;
use serde::Serialize;

use super::host::Host;
use super::recipe::base_digest;
use super::{BASE, ImageError, RECIPE, STAND_IN, STAND_INS};
use crate::engine::Engine;

/// What the engine has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Missing,
    /// An image that labrun made for this name.
    Ours {
        /// Its id.
        id: String,
        /// The digest of what it was made from.
        recipe: String,
        /// Its size in bytes, with the layers that it shares.
        size: u64,
    },
    /// Another image.
    Foreign,
}

impl Known {
    /// Whether it is labrun's, made from what has this digest.
    pub fn is(&self, digest: &str) -> bool {
        matches!(self, Known::Ours { recipe, .. } if recipe == digest)
    }
}

/// What the engine has under that name.
pub async fn known(engine: &Engine, image: &str) -> Result<Known, ImageError> {
    match engine.docker().inspect_image(image).await {
        Ok(found) => Ok(meant(image, &found)),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(Known::Missing),
        Err(error) => Err(engine.failed(format!("look at the image {image}"))(error).into()),
    }
}

/// The label alone would not do: an image that was built from a stand-in has inherited it.
fn meant(image: &str, found: &ImageInspect) -> Known {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    let label = |name: &str| labels.and_then(|labels| labels.get(name));
    match (label(STAND_IN), label(RECIPE), &found.id) {
        (Some(name), Some(recipe), Some(id)) if name == image => {
            let size = found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            Known::Ours { id: id.clone(), recipe: recipe.clone(), size }
        }
        _ => Known::Foreign,
    }
}

/// How an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// labrun's, made from what it would be made from now.
    UpToDate,
    /// labrun's, made from something else.
    Outdated,
    /// Not labrun's: the official image, or somebody's own.
    Foreign,
    /// Not there.
    Missing,
}

/// A name, and what is under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The name.
    pub image: &'static str,
    /// What is in labrun's own.
    pub inside: &'static str,
    /// How it is.
    pub state: State,
    /// Its id, where it is labrun's.
    pub id: Option<String>,
    /// Its size in bytes, where it is labrun's.
    pub size: Option<u64>,
}

/// Every name that labrun has a stand-in for, and the base.
pub async fn list(engine: &Engine) -> Result<Vec<Listed>, ImageError> {
    let base = base_digest(&Host::this().gather()?);
    let names = STAND_INS.iter().map(|one| (one.image, one.inside, one.digest(&base)));
    let names: Vec<_> = std::iter::once((BASE, "Debian 12", base.clone())).chain(names).collect();
    let mut listed = Vec::new();
    for (image, inside, digest) in names {
        let there = known(engine, image).await?;
        let state = match &there {
            Known::Missing => State::Missing,
            Known::Foreign => State::Foreign,
            Known::Ours { recipe, .. } if *recipe == digest => State::UpToDate,
            Known::Ours { .. } => State::Outdated,
        };
        let (id, size) = match there {
            Known::Ours { id, size, .. } => (Some(id), Some(size)),
            _ => (None, None),
        };
        listed.push(Listed { image, inside, state, id, size });
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::ImageConfig;

    use super::*;

    fn image(labels: &[(&str, &str)]) -> ImageInspect {
        let labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<HashMap<_, _>>();
        let config = ImageConfig { labels: Some(labels), ..Default::default() };
        ImageInspect { id: Some("sha256:1".into()), size: Some(7), config: Some(config), ..Default::default() }
    }

    #[test]
    fn an_image_is_ours_only_under_the_name_that_it_was_made_for() {
        let ours = image(&[(STAND_IN, "postgres:15"), (RECIPE, "d")]);
        assert!(meant("postgres:15", &ours).is("d"));
        assert!(!meant("postgres:15", &ours).is("e"));
        assert_eq!(meant("my-postgres-patroni", &ours), Known::Foreign);
        assert_eq!(meant("postgres:15", &image(&[])), Known::Foreign);
        assert_eq!(meant("postgres:15", &ImageInspect::default()), Known::Foreign);
    }
}
