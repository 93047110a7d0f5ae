//! The compose project as containers: each node's service of the project with the lab's own choice of agent.
//!
//! Nodes with Patroni are built from the project's own Dockerfile, nodes with labrun's agent from one beside it.

use serde_json::{Value, json};

use super::project::{self, built_image};
use super::render::Renderer;
use super::site::{REST_PORT, Site};
use super::{ConfigFile, ContainerPlan, ImagePlan, PlanError};
use crate::lab::model::{AgentKind, Node};
use crate::lab::settings;

/// The name of labrun's agent in the context of a build.
pub const AGENT_FILE: &str = "labrun-agent";
/// Where the official images of HAProxy read their configuration.
const HAPROXY_CONFIG: &str = "/usr/local/etc/haproxy/haproxy.cfg";

/// The images that are built: one for every base image and agent in it.
pub fn images(site: &Site<'_>, renderer: &Renderer<'_>) -> Result<Vec<ImagePlan>, PlanError> {
    let mut images: Vec<ImagePlan> = Vec::new();
    for (name, node) in site.nodes() {
        let Node::Postgres(node) = node else { continue };
        let (base, agent) = (settings::postgres_image(site.defaults(), node), settings::agent(site.defaults(), node));
        let config = project::postgres(site, name, node, renderer)?;
        match images.iter_mut().find(|image| image.base == base && image.agent == agent) {
            Some(image) => image.files.push(config),
            None => images.push(ImagePlan {
                name: image_name(site, base, agent),
                base: base.to_owned(),
                agent,
                files: vec![config],
            }),
        }
    }
    for image in &mut images {
        let template = if image.agent == AgentKind::Patroni { "Dockerfile" } else { "Dockerfile.labrun" };
        let configs: Vec<&str> = image.files.iter().map(|file| file.path.as_str()).collect();
        let content = renderer.file(template, &json!({"image": image.base, "files": configs}))?;
        image.files.insert(0, ConfigFile { path: "Dockerfile".to_owned(), content, secret: false });
    }
    Ok(images)
}

/// `my-postgres-patroni` as in the project, and the like for labrun's agent.
fn image_name(site: &Site<'_>, base: &str, agent: AgentKind) -> String {
    let index = project::base_images(site).iter().position(|other| *other == base).unwrap_or(0);
    let name = built_image(index);
    if agent == AgentKind::Patroni { name } else { name.replacen("patroni", "labrun", 1) }
}

/// A node's files and its container.
pub fn node(
    site: &Site<'_>,
    name: &str,
    node: &Node,
    renderer: &Renderer<'_>,
) -> Result<(Vec<ConfigFile>, ContainerPlan), PlanError> {
    let service = project::service(site, &project::base_images(site), name, node);
    let mut plan = of_service(&service);
    let files = match node {
        Node::Zookeeper(_) => Vec::new(),
        Node::Haproxy(node) => {
            let config = project::haproxy(site, name, node, renderer)?;
            plan.files = vec![(config.path.clone(), HAPROXY_CONFIG.to_owned())];
            vec![config]
        }
        Node::Postgres(node) => {
            let (base, agent) =
                (settings::postgres_image(site.defaults(), node), settings::agent(site.defaults(), node));
            let config = project::postgres(site, name, node, renderer)?;
            plan.image = image_name(site, base, agent);
            if agent == AgentKind::Labrun {
                plan.command = vec![AGENT_FILE.to_owned(), format!("/{}", config.path)];
                plan.health = vec!["CMD".to_owned(), "bash".to_owned(), "-c".to_owned(), health_by_bash()];
            }
            vec![config]
        }
    };
    Ok((files, plan))
}

/// What curl does in Patroni's image.
fn health_by_bash() -> String {
    format!(
        "exec 3<>/dev/tcp/127.0.0.1/{REST_PORT} && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"
    )
}

/// A service of the project as a container. A file of the project that it mounts is none of its volumes.
fn of_service(service: &Value) -> ContainerPlan {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let texts = |key: &str| service[key].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let environment = service["environment"].as_object().into_iter().flatten();
    let volumes = texts("volumes").into_iter().filter(|volume| !volume.starts_with('.'));
    ContainerPlan {
        image: text(&service["image"]),
        environment: environment.map(|(name, value)| format!("{name}={}", text(value))).collect(),
        volumes: volumes
            .filter_map(|volume| volume.split_once(':').map(|(name, path)| (name.to_owned(), path.to_owned())))
            .collect(),
        files: Vec::new(),
        command: service["command"].as_str().into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect(),
        health: texts("health"),
    }
}
