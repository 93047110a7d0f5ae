//! A compose file, as far as a cluster of PostgreSQL and its control questions need it (Compose specification:
//! `services`).

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;

use super::Place;
use crate::lab::diagnostic::File;
use crate::lab::yaml::{Data, Entry, Node};

/// A service.
#[derive(Debug, Clone, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub at: Place,
    /// Where `build` stands; none for a service that only has an `image`.
    pub build: Option<Place>,
    /// The Dockerfile that it is built from, relative to the project.
    pub dockerfile: Option<String>,
    /// The folder that it is built in, relative to the project.
    pub context: Option<String>,
    /// The build's arguments, with a value.
    pub build_args: IndexMap<String, String>,
    /// Its image.
    pub image: Option<String>,
    /// `pull_policy`; `build` has the image built at every `up`.
    pub pull_policy: Option<String>,
    /// `container_name`.
    pub container_name: Option<String>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `command`, as words.
    pub command: Vec<String>,
    /// What stands under `ports` and under `expose`, in that order.
    pub ports: Vec<Port>,
    /// What stands under `volumes`.
    pub volumes: Vec<Volume>,
    /// What stands under `environment`, with a value.
    pub environment: IndexMap<String, String>,
    /// What it waits for.
    pub depends_on: Vec<Need>,
    /// The networks that it joins, where it names some.
    pub networks: Vec<String>,
}

/// A service that must come first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Its name.
    pub service: String,
    /// What must hold of it; `service_started` unless written.
    pub condition: Option<String>,
    /// Where it stands.
    pub at: Place,
}

/// A port of a container, under `ports` or under `expose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Under which of the two it stands.
    pub directive: PortDirective,
    /// The container's port (or range), as written.
    pub container: String,
    /// The host's port; none under `expose`, and none where the engine chooses one.
    pub host: Option<String>,
    /// The host's address that it is bound to, where one is given; every address otherwise.
    pub host_ip: Option<String>,
    /// Where it stands.
    pub at: Place,
}

/// The two ways to name a container's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortDirective {
    /// Published on the host.
    Ports,
    /// Named for other containers only.
    Expose,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// A path of the host (relative to the project, without `./`), or a volume's name.
    pub source: Option<String>,
    /// Where it appears in the container.
    pub target: String,
    /// Where it stands.
    pub at: Place,
}

impl Service {
    /// The volume by which the project's file `path` is mounted, itself or with the folder that it lies in.
    pub fn mount_of(&self, path: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| {
            volume.source.as_deref().is_some_and(|source| {
                source == path || source == "." || path.strip_prefix(source).is_some_and(|rest| rest.starts_with('/'))
            })
        })
    }
}

/// The services of a compose file.
pub fn services(file: &Arc<File>, tree: &Node) -> Vec<Service> {
    let services = tree.get("services").map(Node::entries).unwrap_or_default();
    services.iter().map(|entry| service(file, entry)).collect()
}

fn service(file: &Arc<File>, entry: &Entry) -> Service {
    let node = &entry.value;
    let text = |key: &str| node.get(key).and_then(Node::scalar);
    let items = |key: &str| node.get(key).map(Node::items).unwrap_or_default().iter();
    let published = items("ports").filter_map(|port| published(port, Place::of(file, &port.span)));
    let exposed = items("expose").filter_map(|port| {
        let (container, at) = (port.scalar()?, Place::of(file, &port.span));
        Some(Port { directive: PortDirective::Expose, container, host: None, host_ip: None, at })
    });
    Service {
        name: entry.key.clone(),
        at: Place::of(file, &entry.key_span),
        build: node.entry("build").map(|build| Place::of(file, &build.key_span)),
        dockerfile: node.get("build").map(dockerfile),
        context: node.get("build").map(context),
        build_args: node.get("build").and_then(|build| build.get("args")).map(environment).unwrap_or_default(),
        image: text("image"),
        pull_policy: text("pull_policy"),
        container_name: text("container_name"),
        hostname: text("hostname"),
        command: node.get("command").map(words).unwrap_or_default(),
        ports: published.chain(exposed).collect(),
        volumes: items("volumes").filter_map(|item| volume(item, Place::of(file, &item.span))).collect(),
        environment: node.get("environment").map(environment).unwrap_or_default(),
        depends_on: node.get("depends_on").map(|needs| depends_on(file, needs)).unwrap_or_default(),
        networks: match node.get("networks") {
            Some(networks) => names(networks),
            None => Vec::new(),
        },
    }
}

/// `build: DIR`, or `build: {context, dockerfile}`; the Dockerfile's path within the project.
fn dockerfile(build: &Node) -> String {
    let file = build.get("dockerfile").and_then(Node::text).unwrap_or("Dockerfile");
    match context(build).as_str() {
        "." => within_project(file),
        folder => format!("{folder}/{}", within_project(file)),
    }
}

fn context(build: &Node) -> String {
    within_project(build.text().or(build.get("context").and_then(Node::text)).unwrap_or("."))
}

/// The short syntax `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, or the long one with `published` and `target`.
fn published(port: &Node, at: Place) -> Option<Port> {
    let directive = PortDirective::Ports;
    if matches!(port.data, Data::Map(_)) {
        let field = |name: &str| port.get(name).and_then(Node::scalar);
        let (host, host_ip) = (field("published"), field("host_ip"));
        return Some(Port { directive, container: field("target")?, host, host_ip, at });
    }
    let text = port.scalar()?;
    let text = text.split_once('/').map_or(text.as_str(), |(ports, _)| ports);
    let (front, container) = text.rsplit_once(':').map_or((None, text), |(front, last)| (Some(front), last));
    let (host_ip, host) = match front {
        None => (None, None),
        Some(front) => match front.rsplit_once(':') {
            Some((ip, host)) => (Some(ip.trim_matches(['[', ']']).to_owned()), Some(host)),
            None => (None, Some(front)),
        },
    };
    let host = host.filter(|host| !host.is_empty()).map(str::to_owned);
    Some(Port { directive, container: container.to_owned(), host, host_ip, at })
}

/// The short syntax `[SOURCE:]TARGET[:MODE]`, or the long one with `source` and `target`.
fn volume(volume: &Node, at: Place) -> Option<Volume> {
    if matches!(volume.data, Data::Map(_)) {
        let field = |name: &str| volume.get(name).and_then(Node::text);
        return Some(Volume { source: field("source").map(within_project), target: field("target")?.to_owned(), at });
    }
    let text = volume.text()?;
    let mut parts = text.splitn(3, ':');
    let first = parts.next()?;
    Some(match parts.next() {
        Some(target) => Volume { source: Some(within_project(first)), target: target.to_owned(), at },
        None => Volume { source: None, target: first.to_owned(), at },
    })
}

/// `NAME: VALUE`, or a list of `NAME=VALUE`. A name without a value is taken from the caller's environment.
fn environment(node: &Node) -> IndexMap<String, String> {
    let listed = node.items().iter().filter_map(|item| {
        let (name, value) = item.text()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let mapped = node.entries().iter().filter_map(|entry| Some((entry.key.clone(), entry.value.scalar()?)));
    listed.chain(mapped).collect()
}

/// A list of names, or a mapping of names to conditions.
fn depends_on(file: &Arc<File>, node: &Node) -> Vec<Need> {
    let need = |service: &str, condition: Option<String>, span| Need {
        service: service.to_owned(),
        condition,
        at: Place::of(file, span),
    };
    let listed = node.items().iter().filter_map(|item| Some(need(item.text()?, None, &item.span)));
    let mapped = node
        .entries()
        .iter()
        .map(|entry| need(&entry.key, entry.value.get("condition").and_then(Node::scalar), &entry.key_span));
    listed.chain(mapped).collect()
}

/// A list of names, or the keys of a mapping.
fn names(node: &Node) -> Vec<String> {
    let listed = node.items().iter().filter_map(|item| item.text().map(str::to_owned));
    listed.chain(node.entries().iter().map(|entry| entry.key.clone())).collect()
}

fn within_project(path: &str) -> String {
    let path = path.trim_end_matches('/');
    match path.strip_prefix("./").unwrap_or(path) {
        "" => ".".to_owned(),
        path => path.to_owned(),
    }
}

fn words(command: &Node) -> Vec<String> {
    match &command.data {
        Data::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        _ => command.items().iter().filter_map(Node::scalar).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(text: &str) -> Vec<Service> {
        let file = Arc::new(File { name: "c.yml".to_owned(), text: text.to_owned() });
        super::services(&file, &crate::lab::yaml::parse(&file).expect("YAML"))
    }

    /// Directive, port of the container, port and address of the host, line.
    type Told = (PortDirective, String, Option<String>, Option<String>, usize);

    fn ports(yaml: &str) -> Vec<Told> {
        services(&format!("services:\n  a:\n{yaml}"))
            .remove(0)
            .ports
            .into_iter()
            .map(|port| (port.directive, port.container, port.host, port.host_ip, port.at.line))
            .collect()
    }

    #[test]
    fn ports_are_read_in_every_form() {
        use PortDirective::{Expose, Ports};
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            ports(concat!(
                "    ports:\n      - \"5433:5432\"\n      - 2181:2181\n      - 127.0.0.1:8009:8008/tcp\n      - 9000\n",
                "      - target: 80\n        published: \"8080\"\n    expose:\n      - \"8008\"\n      - 5432\n"
            )),
            [
                (Ports, "5432".to_owned(), some("5433"), None, 4),
                (Ports, "2181".to_owned(), some("2181"), None, 5),
                (Ports, "8008".to_owned(), some("8009"), some("127.0.0.1"), 6),
                (Ports, "9000".to_owned(), None, None, 7),
                (Ports, "80".to_owned(), some("8080"), None, 8),
                (Expose, "8008".to_owned(), None, None, 11),
                (Expose, "5432".to_owned(), None, None, 12),
            ]
        );
    }

    #[test]
    fn builds_and_mounts_are_read_in_both_forms() {
        let yaml = "services:\n  a:\n    build: ./img\n    volumes:\n      - data:/d\n      - ./x/y.cfg:/y.cfg:ro\n  b:\n    \
                    build:\n      context: .\n      dockerfile: D.file\n    command: [patroni, /p.yml]\n    volumes:\n      - \
                    type: bind\n        source: ./x\n        target: /x\n";
        let read = services(yaml);
        assert_eq!(read[0].dockerfile.as_deref(), Some("img/Dockerfile"));
        assert_eq!(read[1].dockerfile.as_deref(), Some("D.file"));
        assert_eq!(read[1].command, ["patroni", "/p.yml"]);
        assert_eq!(read[0].mount_of("x/y.cfg").map(|volume| volume.target.as_str()), Some("/y.cfg"));
        assert_eq!(read[1].mount_of("x/y.cfg").map(|volume| volume.target.as_str()), Some("/x"));
        assert!(read[0].mount_of("x/other.cfg").is_none());
        assert_eq!(read[0].build.as_ref().map(|at| (at.file.as_str(), at.line)), Some(("c.yml", 3)));
    }

    #[test]
    fn settings_are_read_in_both_forms() {
        let read = services(concat!(
            "services:\n  a:\n    environment: [A=1, B=x=y, C]\n    depends_on: [b]\n    networks: [n]\n",
            "  b:\n    environment:\n      A: 1\n      T: true\n    depends_on:\n      a:\n        condition: service_healthy\n",
            "    networks:\n      n: {}\n"
        ));
        let set = |service: &Service| format!("{:?}", service.environment);
        assert_eq!(set(&read[0]), r#"{"A": "1", "B": "x=y"}"#);
        assert_eq!(set(&read[1]), r#"{"A": "1", "T": "true"}"#);
        let needs =
            |service: &Service| (service.depends_on[0].service.clone(), service.depends_on[0].condition.clone());
        assert_eq!(needs(&read[0]), ("b".to_owned(), None));
        assert_eq!(needs(&read[1]), ("a".to_owned(), Some("service_healthy".to_owned())));
        assert_eq!((read[0].networks.len(), read[1].networks.len()), (1, 1));
        assert_eq!((read[0].at.line, read[1].at.line), (2, 6));
    }
}
