//! What the engine's objects of a deployment are called, and the labels by which they are found again.
//!
//! One label decides what is a deployment's own: `org.labrun.deployment`, with the machine and the folder of the
//! deployment. Compose's own labels stand beside it, so that `docker compose -p NAME ps` and `logs` see the project.

use std::collections::HashMap;
use std::path::Path;

use crate::deploy::{Deployment, DockerPlace};

/// Whose it is.
pub const OWNER: &str = "org.labrun.deployment";
/// What it was made from.
pub const RECIPE: &str = "org.labrun.recipe";
const PROJECT: &str = "com.docker.compose.project";

/// The labels of an object.
pub type Labels = HashMap<String, String>;

/// The owner's mark of the deployment in `dir`.
pub fn owner(dir: &Path) -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", machine.trim(), dir.display())
}

/// A filter of the engine's lists: what the owner has.
pub fn owned_by(owner: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{OWNER}={owner}")])])
}

/// A node's container: the lab's own name, unless the deployment has another name than its lab.
pub fn container(place: &DockerPlace, lab: &str, node: &str) -> String {
    if place.project == lab { node.to_owned() } else { format!("{}-{node}", place.project) }
}

/// The deployment's network, as compose would call it.
pub fn network(place: &DockerPlace) -> String {
    format!("{}_default", place.project)
}

/// A volume, as compose would call it.
pub fn volume(place: &DockerPlace, name: &str) -> String {
    format!("{}_{name}", place.project)
}

/// An image that the deployment builds.
pub fn image(place: &DockerPlace, name: &str) -> String {
    format!("{}/{name}:latest", place.project)
}

fn labels(place: &DockerPlace, more: &[(&str, &str)]) -> Labels {
    let own = [(OWNER, place.owner.as_str()), (PROJECT, place.project.as_str())];
    own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The labels of the network.
pub fn network_labels(place: &DockerPlace) -> Labels {
    labels(place, &[("com.docker.compose.network", "default")])
}

/// The labels of a volume.
pub fn volume_labels(place: &DockerPlace, name: &str) -> Labels {
    labels(place, &[("com.docker.compose.volume", name)])
}

/// The labels of an image that was built.
pub fn image_labels(place: &DockerPlace, recipe: &str) -> Labels {
    labels(place, &[(RECIPE, recipe)])
}

/// The labels of a node's container.
pub fn container_labels(deployment: &Deployment, place: &DockerPlace, node: &str, recipe: &str) -> Labels {
    let project = deployment.dir.join("project");
    let (folder, file) = (project.display().to_string(), project.join("docker-compose.yml").display().to_string());
    labels(
        place,
        &[
            (RECIPE, recipe),
            ("com.docker.compose.service", node),
            ("com.docker.compose.oneoff", "False"),
            ("com.docker.compose.container-number", "1"),
            ("com.docker.compose.config-hash", recipe),
            ("com.docker.compose.project.working_dir", &folder),
            ("com.docker.compose.project.config_files", &file),
            ("com.docker.compose.version", env!("CARGO_PKG_VERSION")),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Address;

    #[test]
    fn containers_have_the_labs_names_unless_the_deployment_has_another() {
        let place = |project: &str| DockerPlace {
            engine: Address::Unix("/x".into()),
            project: project.into(),
            owner: owner(Path::new("/out/lab")),
            block: [10, 1, 2],
            publish_on: None,
        };
        assert_eq!(container(&place("lab"), "lab", "zoo"), "zoo");
        assert_eq!(container(&place("mine"), "lab", "zoo"), "mine-zoo");
        assert_eq!(volume(&place("lab"), "zoo-data"), "lab_zoo-data");
        assert!(place("lab").owner.ends_with(":/out/lab"));
    }
}
