//! A node of Patroni: its file, and what the container's environment puts over it (Patroni's documents, "Environment
//! Configuration Settings").

use std::ops::Range;
use std::sync::Arc;

use super::project::Service;
use crate::lab::diagnostic::File;
use crate::lab::yaml::Node;

/// A node of Patroni.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its file.
    pub file: Arc<File>,
    /// What stands in it.
    pub tree: Node,
    /// The service that runs it, where one does.
    pub service: Option<Service>,
}

/// A setting's value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value as text.
    pub text: String,
    /// Where it stands in the member's file; none where the environment sets it.
    pub span: Option<Range<usize>>,
}

/// Settings that the environment can set, each by its path.
const ENVIRONMENT: &[(&str, &[&str])] = &[
    ("PATRONI_NAME", &["name"]),
    ("PATRONI_SCOPE", &["scope"]),
    ("PATRONI_ZOOKEEPER_HOSTS", &["zookeeper", "hosts"]),
    ("PATRONI_RESTAPI_LISTEN", &["restapi", "listen"]),
    ("PATRONI_RESTAPI_CONNECT_ADDRESS", &["restapi", "connect_address"]),
    ("PATRONI_POSTGRESQL_LISTEN", &["postgresql", "listen"]),
    ("PATRONI_POSTGRESQL_CONNECT_ADDRESS", &["postgresql", "connect_address"]),
    ("PATRONI_POSTGRESQL_DATA_DIR", &["postgresql", "data_dir"]),
    ("PATRONI_SUPERUSER_USERNAME", &["postgresql", "authentication", "superuser", "username"]),
    ("PATRONI_SUPERUSER_PASSWORD", &["postgresql", "authentication", "superuser", "password"]),
    ("PATRONI_REPLICATION_USERNAME", &["postgresql", "authentication", "replication", "username"]),
    ("PATRONI_REPLICATION_PASSWORD", &["postgresql", "authentication", "replication", "password"]),
];

impl Member {
    /// A setting: the environment's, else the file's.
    pub fn setting(&self, path: &[&str]) -> Option<Setting> {
        let variable = ENVIRONMENT.iter().find(|(_, of)| *of == path).map(|(name, _)| *name);
        let set = variable.and_then(|name| self.service.as_ref()?.environment.get(name));
        if let Some(text) = set {
            return Some(Setting { text: text.clone(), span: None });
        }
        let node = self.tree.find(path)?;
        let text = node.scalar()?;
        Some(Setting { text, span: Some(node.span.clone()) })
    }

    /// A setting's value.
    pub fn text(&self, path: &[&str]) -> Option<String> {
        self.setting(path).map(|setting| setting.text)
    }

    /// Where to point at for a setting: its value, else the nearest key above it that stands there, else the start.
    pub fn place(&self, path: &[&str]) -> Range<usize> {
        for length in (1..=path.len()).rev() {
            let (last, above) = path[..length].split_last().unwrap_or((&"", &[]));
            let Some(entry) = self.tree.find(above).and_then(|node| node.entry(last)) else { continue };
            let value = &entry.value;
            let is_value = length == path.len() && value.scalar().is_some();
            return if is_value { value.span.clone() } else { entry.key_span.clone() };
        }
        0..0
    }

    /// The name that it has in the cluster.
    pub fn name(&self) -> Option<String> {
        self.text(&["name"])
    }

    /// `host:port` of ZooKeeper: a list, or a text with commas.
    pub fn zookeepers(&self) -> Vec<(String, Option<u16>, Range<usize>)> {
        let hosts = ["zookeeper", "hosts"];
        if let Some(node) = self.tree.find(&hosts).filter(|node| !node.items().is_empty()) {
            let set = self.setting(&hosts).is_some_and(|setting| setting.span.is_none());
            if !set {
                let items = node.items().iter();
                return items.filter_map(|item| Some(split(&item.scalar()?, item.span.clone()))).collect();
            }
        }
        let Some(setting) = self.setting(&hosts) else { return Vec::new() };
        let span = setting.span.unwrap_or(0..0);
        let parts = setting.text.split(',').map(|part| part.trim_matches(['\'', '"', ' ', '[', ']']));
        parts.filter(|part| !part.is_empty()).map(|part| split(part, span.clone())).collect()
    }

    /// The port that PostgreSQL listens on.
    pub fn sql_port(&self) -> u16 {
        self.listen("postgresql", 5432).1
    }

    /// The port that the REST API listens on.
    pub fn rest_port(&self) -> u16 {
        self.listen("restapi", 8008).1
    }

    /// The host and the port that a section listens on.
    pub fn listen(&self, section: &str, port: u16) -> (String, u16) {
        let text = self.text(&[section, "listen"]).unwrap_or_default();
        let (host, given, _) = split(&text, 0..0);
        (host, given.unwrap_or(port))
    }

    /// The host and the port under which others are told to reach a section.
    pub fn connect(&self, section: &str) -> Option<(String, Option<u16>)> {
        let (host, port, _) = split(&self.text(&[section, "connect_address"])?, 0..0);
        Some((host, port))
    }

    /// Whether a flag is on.
    pub fn flag(&self, path: &[&str]) -> Option<bool> {
        match self.text(path)?.to_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        }
    }
}

fn split(text: &str, span: Range<usize>) -> (String, Option<u16>, Range<usize>) {
    match text.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => (host.to_owned(), port.parse().ok(), span),
        _ => (text.to_owned(), None, span),
    }
}

/// Whether a text is, or was meant as, a configuration of Patroni: two of its sections stand at the margin.
pub fn is_one(text: &str) -> bool {
    let at_margin = |key: &str| text.lines().any(|line| line.trim_end().starts_with(&format!("{key}:")));
    let sections = ["restapi", "bootstrap", "postgresql", "zookeeper", "scope"];
    sections.iter().filter(|key| at_margin(key)).count() >= 2
}
