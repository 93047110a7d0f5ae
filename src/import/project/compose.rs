//! A compose file, as far as the control questions ask about it (Compose specification: `services`).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::Place;

/// A service.
#[derive(Debug, Clone, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where `build` stands; none for a service that only has an `image`.
    pub build: Option<Place>,
    /// The Dockerfile that it is built from, relative to the project.
    pub dockerfile: Option<String>,
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

#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    services: IndexMap<String, RawService>,
}

#[derive(Deserialize)]
struct RawService {
    #[serde(default)]
    build: Option<Spanned<Value>>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    pull_policy: Option<String>,
    #[serde(default)]
    container_name: Option<String>,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    command: Option<Value>,
    #[serde(default)]
    ports: Vec<Spanned<Value>>,
    #[serde(default)]
    expose: Vec<Spanned<Value>>,
    #[serde(default)]
    volumes: Vec<Spanned<Value>>,
}

/// The services of a compose file; none when it cannot be read.
pub fn services(path: &str, content: &str) -> Vec<Service> {
    let Ok(file) = serde_saphyr::from_str::<RawFile>(content) else { return Vec::new() };
    file.services.into_iter().map(|(name, raw)| service(path, name, raw)).collect()
}

fn service(path: &str, name: String, raw: RawService) -> Service {
    let place = |spanned: &Spanned<Value>| Place {
        file: path.to_owned(),
        line: usize::try_from(spanned.referenced.line()).unwrap_or(0),
    };
    let published = raw.ports.iter().filter_map(|port| published(&port.value, place(port)));
    let exposed = raw.expose.iter().filter_map(|port| {
        let container = scalar(&port.value)?;
        Some(Port { directive: PortDirective::Expose, container, host: None, host_ip: None, at: place(port) })
    });
    Service {
        name,
        build: raw.build.as_ref().map(&place),
        dockerfile: raw.build.as_ref().map(|build| dockerfile(&build.value)),
        image: raw.image,
        pull_policy: raw.pull_policy,
        container_name: raw.container_name,
        hostname: raw.hostname,
        command: raw.command.as_ref().map(words).unwrap_or_default(),
        ports: published.chain(exposed).collect(),
        volumes: raw.volumes.iter().filter_map(|spanned| volume(&spanned.value, place(spanned))).collect(),
    }
}

/// `build: DIR`, or `build: {context, dockerfile}`; the Dockerfile's path within the project.
fn dockerfile(build: &Value) -> String {
    let field = |name: &str| build.get(name).and_then(Value::as_str);
    let context = build.as_str().or(field("context")).unwrap_or(".");
    let file = field("dockerfile").unwrap_or("Dockerfile");
    match within_project(context).as_str() {
        "." => within_project(file),
        folder => format!("{folder}/{}", within_project(file)),
    }
}

/// The short syntax `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, or the long one with `published` and `target`.
fn published(port: &Value, at: Place) -> Option<Port> {
    let directive = PortDirective::Ports;
    if let Some(long) = port.as_object() {
        let field = |name: &str| long.get(name).and_then(scalar);
        let (host, host_ip) = (field("published"), field("host_ip"));
        return Some(Port { directive, container: field("target")?, host, host_ip, at });
    }
    let text = scalar(port)?;
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
fn volume(volume: &Value, at: Place) -> Option<Volume> {
    if let Some(long) = volume.as_object() {
        let field = |name: &str| long.get(name).and_then(Value::as_str);
        return Some(Volume { source: field("source").map(within_project), target: field("target")?.to_owned(), at });
    }
    let text = volume.as_str()?;
    let mut parts = text.splitn(3, ':');
    let first = parts.next()?;
    Some(match parts.next() {
        Some(target) => Volume { source: Some(within_project(first)), target: target.to_owned(), at },
        None => Volume { source: None, target: first.to_owned(), at },
    })
}

fn within_project(path: &str) -> String {
    let path = path.trim_end_matches('/');
    match path.strip_prefix("./").unwrap_or(path) {
        "" => ".".to_owned(),
        path => path.to_owned(),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn words(command: &Value) -> Vec<String> {
    match command {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(items) => items.iter().filter_map(scalar).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(yaml: &str) -> Vec<(PortDirective, String, Option<String>, Option<String>, usize)> {
        services("c.yml", &format!("services:\n  a:\n{yaml}"))
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
        let read = services("c.yml", yaml);
        assert_eq!(read[0].dockerfile.as_deref(), Some("img/Dockerfile"));
        assert_eq!(read[1].dockerfile.as_deref(), Some("D.file"));
        assert_eq!(read[1].command, ["patroni", "/p.yml"]);
        assert_eq!(read[0].mount_of("x/y.cfg").map(|volume| volume.target.as_str()), Some("/y.cfg"));
        assert_eq!(read[1].mount_of("x/y.cfg").map(|volume| volume.target.as_str()), Some("/x"));
        assert!(read[0].mount_of("x/other.cfg").is_none());
        assert_eq!(read[0].build, Some(Place { file: "c.yml".to_owned(), line: 3 }));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        assert!(services("c.yml", "services: [").is_empty());
        assert!(services("c.yml", "just words").is_empty());
    }
}
