//! Taking down all that the engine has of a deployment, found by its label alone.

use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, RemoveVolumeOptions,
};

use super::names;
use crate::deploy::{DeployError, Progress};
use crate::engine::{Engine, EngineError};
use crate::wait::{Answer, Unmet, until};

/// How long the engine may take to let go of what is being removed.
const GONE_LIMIT: Duration = Duration::from_secs(60);

/// What an owner has in the engine: for each thing its id and how it is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    containers: Vec<(String, String)>,
    networks: Vec<(String, String)>,
    volumes: Vec<String>,
    images: Vec<(String, String)>,
}

impl Found {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Found::default()
    }

    /// Everything, in words.
    fn told(&self) -> Vec<String> {
        let named = |kind: &str, name: &str| format!("{kind} {name}");
        let containers = self.containers.iter().map(|(_, name)| named("container", name));
        let networks = self.networks.iter().map(|(_, name)| named("network", name));
        let volumes = self.volumes.iter().map(|name| named("volume", name));
        let images = self.images.iter().map(|(_, name)| named("image", name));
        containers.chain(networks).chain(volumes).chain(images).collect()
    }
}

/// What the owner has.
pub async fn find(engine: &Engine, owner: &str, project: &str) -> Result<Found, EngineError> {
    let (docker, filters) = (engine.docker(), names::owned_by(owner));
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.map_err(engine.failed("list containers"))?;
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await.map_err(engine.failed("list networks"))?;
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let volumes = docker.list_volumes(Some(options)).await.map_err(engine.failed("list volumes"))?;
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let images = docker.list_images(Some(options)).await.map_err(engine.failed("list images"))?;
    let first = |names: Option<Vec<String>>| {
        names.and_then(|names| names.into_iter().next()).unwrap_or_default().trim_start_matches('/').to_owned()
    };
    // An image that somebody built from one of ours has inherited the label, and is theirs by its name.
    let images = images.into_iter().filter(|image| image.repo_tags.iter().all(|tag| is_ours(tag, project)));
    let called = |id: &str, tags: &[String]| tags.first().map_or_else(|| short(id), |tag| bare(tag).to_owned());
    Ok(Found {
        containers: containers.into_iter().filter_map(|one| Some((one.id?, first(one.names)))).collect(),
        networks: networks.into_iter().filter_map(|one| Some((one.id?, one.name?))).collect(),
        volumes: volumes.volumes.unwrap_or_default().into_iter().map(|one| one.name).collect(),
        images: images.map(|image| (image.id.clone(), called(&image.id, &image.repo_tags))).collect(),
    })
}

fn is_ours(tag: &str, project: &str) -> bool {
    let below = bare(tag).strip_prefix(project);
    below.is_some_and(|rest| rest.starts_with('/')) || tag.starts_with("<none>")
}

/// A name without the registry that Podman writes before one that has none.
fn bare(tag: &str) -> &str {
    ["docker.io/", "localhost/"].iter().find_map(|registry| tag.strip_prefix(registry)).unwrap_or(tag)
}

/// The beginning of an id: enough to know an image.
fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}

/// Remove all that the owner has, prove that nothing is left, and say what was removed.
pub async fn remove(
    engine: &Engine,
    owner: &str,
    project: &str,
    progress: &dyn Progress,
) -> Result<Vec<String>, DeployError> {
    let found = find(engine, owner, project).await?;
    let removed = found.told();
    if !removed.is_empty() {
        progress.stage(&format!("removing {} containers, networks, volumes and images", removed.len()));
    }
    let gone = until::<(), DeployError, _, _, _>(
        GONE_LIMIT,
        |left, _| progress.waiting(left),
        || async {
            let refused = match remove_once(engine, owner, project).await {
                Ok(refused) => refused,
                Err(error) => return Answer::Never(error.into()),
            };
            match find(engine, owner, project).await {
                Ok(left) if left.is_empty() => Answer::Done(()),
                Ok(left) => {
                    let why = refused.map(|error| format!(" ({error})")).unwrap_or_default();
                    Answer::NotYet(format!("{}{why}", left.told().join(", ")))
                }
                Err(error) => Answer::Never(error.into()),
            }
        },
    );
    match gone.await {
        Ok(()) => Ok(removed),
        Err(Unmet::Never(error)) => Err(error),
        Err(Unmet::TimedOut { last, .. }) => {
            Err(DeployError::Left { deployment: project.to_owned(), left: format!("the engine still has {last}") })
        }
    }
}

/// Ask for the removal of each thing once. What is refused (in use, being removed) may go the next time; the last such
/// answer is given.
async fn remove_once(engine: &Engine, owner: &str, project: &str) -> Result<Option<EngineError>, EngineError> {
    let (docker, found) = (engine.docker(), find(engine, owner, project).await?);
    let mut refused = None;
    let mut sort = |answer: Result<(), EngineError>| match answer {
        Err(error) if error.is_missing() => Ok(()),
        Err(error @ EngineError::Refused { .. }) => {
            refused = Some(error);
            Ok(())
        }
        other => other,
    };
    for (id, name) in &found.containers {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let answer = docker.remove_container(id, Some(options)).await;
        sort(answer.map_err(engine.failed(format!("remove the container {name}"))))?;
    }
    for (id, name) in &found.networks {
        sort(docker.remove_network(id).await.map_err(engine.failed(format!("remove the network {name}"))))?;
    }
    for name in &found.volumes {
        let answer = docker.remove_volume(name, None::<RemoveVolumeOptions>).await;
        sort(answer.map_err(engine.failed(format!("remove the volume {name}"))))?;
    }
    for (id, name) in &found.images {
        let options = RemoveImageOptionsBuilder::new().force(true).noprune(false).build();
        let answer = docker.remove_image(id, Some(options), None).await;
        sort(answer.map(|_| ()).map_err(engine.failed(format!("remove the image {name}"))))?;
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_ours_by_its_name_whichever_registry_podman_writes_before_it() {
        for ours in ["lab/x:latest", "docker.io/lab/x:latest", "localhost/lab/x:1", "<none>:<none>"] {
            assert!(is_ours(ours, "lab"), "{ours}");
        }
        for theirs in ["lab2/x:1", "mine:1", "docker.io/library/lab:1", "quay.io/lab/x:1", "lab:1"] {
            assert!(!is_ours(theirs, "lab"), "{theirs}");
        }
        assert_eq!(bare("docker.io/lab/x:latest"), "lab/x:latest");
    }
}
