//! A project as a lab: the same topology and settings, with the parts and questions of the reference lab.

use serde_json::{Map, Value, json};

use super::haproxy::{Check, Haproxy};
use super::member::Member;
use super::project::{PortDirective, Service};
use super::submission::Submission;
use crate::lab::diagnostic::{Code, Diagnostic};
use crate::lab::library::builtin;
use crate::lab::patroni_keys::OWN;

/// The lab whose texts, parts and questions an imported one has.
const REFERENCE: &str = "labs/ha-postgres/lab.yaml";

/// A lab's text, and what of the project a lab cannot say.
#[derive(Debug)]
pub struct Imported {
    /// The text of `lab.yaml`.
    pub text: String,
    /// What was left out, in words.
    pub left_out: Vec<String>,
}

/// Writes the project as a lab of that name. The files must be readable as what they are.
pub fn to_lab(submission: &Submission, name: &str) -> Result<Imported, Diagnostic> {
    if let Some(finding) = submission.broken.first() {
        return Err(finding.clone());
    }
    if submission.members.is_empty() || submission.compose.is_none() {
        let message = "there is no compose file with a node of Patroni: nothing to make a lab from";
        return Err(Diagnostic::error(Code::PartMissing, message).advice("`labrun lint` tells what is missing"));
    }
    let mut left_out = Vec::new();
    let topology = json!({ "topology": topology(submission, &mut left_out) });
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, compact_list_indent: false };
    let yaml = serde_saphyr::to_string_with_options(&topology, options)
        .map_err(|error| Diagnostic::error(Code::NotYaml, format!("the topology cannot be written: {error}")))?;
    let reference = builtin(REFERENCE).unwrap_or_default();
    let (head, rest) = reference.split_once("\ntopology:\n").unwrap_or_default();
    let parts = rest.find("\nparts:\n").map_or("", |at| &rest[at..]);
    let head = head.replacen("\nname: ha-postgres\n", &format!("\nname: {name}\n"), 1);
    // The first lines say where the reference lab's schema lies and what it is.
    let head = head.find("\nlab: ").map_or(head.as_str(), |at| &head[at + 1..]);
    Ok(Imported { text: format!("{head}\n{}{parts}", yaml.trim_end().to_owned() + "\n"), left_out })
}

/// The project's nodes and settings, as a lab writes them. There must be a node of Patroni.
pub fn topology(submission: &Submission, left_out: &mut Vec<String>) -> Value {
    let fragments: Vec<Map<String, Value>> = submission.members.iter().map(fragment).collect();
    let first = fragments.first().cloned().unwrap_or_default();
    let shared = fragments.iter().skip(1).fold(first, |shared, other| common(&shared, other));
    let proxy = submission.proxies.first();
    let mut nodes = Map::new();
    // In the order of the compose file, as people know them.
    for service in &submission.project.services {
        let needs: Vec<&str> = service.depends_on.iter().map(|need| need.service.as_str()).collect();
        let member = submission.members.iter().position(|m| m.service.as_ref().is_some_and(|s| s.name == service.name));
        let node = if let Some(index) = member {
            postgres(submission, index, service, rest(&fragments[index], &shared))
        } else if submission.zookeepers.iter().any(|zoo| zoo.name == service.name) {
            json!({"kind": "zookeeper", "publish": {"client": host_port(service, super::client_port(service))}})
        } else if let Some((haproxy, _)) =
            proxy.filter(|(_, runs)| runs.as_ref().is_some_and(|r| r.name == service.name))
        {
            haproxy_node(haproxy, service, left_out)
        } else {
            left_out.push(format!("the service `{}`: neither ZooKeeper nor Patroni nor HAProxy", service.name));
            continue;
        };
        let mut node = without_nothing(node);
        if let (Value::Object(node), false) = (&mut node, needs.is_empty()) {
            node.insert("needs".to_owned(), json!(needs));
        }
        nodes.insert(service.name.clone(), node);
    }
    let tick = submission.zookeepers.first().and_then(|zoo| zoo.environment.get("ZOOKEEPER_TICK_TIME"));
    let zookeeper = json!({
        "image": submission.zookeepers.first().and_then(|zoo| zoo.image.clone()),
        "settings": {"tickTime": tick.and_then(|tick| tick.parse::<u32>().ok())},
    });
    let haproxy = json!({
        "image": proxy.and_then(|(_, service)| service.as_ref()?.image.clone()),
        "settings": proxy.map(|(haproxy, _)| settings(haproxy, left_out)),
    });
    let postgres = json!({"image": base_image(submission), "patroni": shared});
    without_nothing(json!({
        "defaults": {"zookeeper": zookeeper, "postgres": postgres, "haproxy": haproxy},
        "nodes": nodes,
    }))
}

fn postgres(submission: &Submission, index: usize, service: &Service, own: Map<String, Value>) -> Value {
    let member = &submission.members[index];
    let name = member.name().filter(|name| *name != service.name);
    json!({
        "kind": "postgres",
        "member": name,
        "publish": {"sql": host_port(service, member.sql_port()), "rest": host_port(service, member.rest_port())},
        "patroni": if own.is_empty() { Value::Null } else { Value::Object(own) },
    })
}

fn haproxy_node(haproxy: &Haproxy, service: &Service, left_out: &mut Vec<String>) -> Value {
    let entry = haproxy.pools.iter().find_map(|pool| pool.binds.first()).copied();
    let other = haproxy.binds.iter().map(|bind| bind.port).find(|port| Some(*port) != entry);
    if haproxy.pools.len() > 1 {
        left_out.push(format!(
            "{} of HAProxy's {} pools: a lab has one entry point",
            haproxy.pools.len() - 1,
            haproxy.pools.len()
        ));
    }
    json!({
        "kind": "haproxy",
        "publish": {
            "sql": entry.and_then(|port| host_port(service, port)),
            "stats": other.and_then(|port| host_port(service, port)),
        },
    })
}

fn settings(haproxy: &Haproxy, left_out: &mut Vec<String>) -> Value {
    let mut settings = json!(haproxy.settings);
    let pool = haproxy.pools.first();
    match pool.map(|pool| &pool.check) {
        Some(Check::Http { path, .. }) => settings["check_path"] = json!(path),
        _ => left_out.push("HAProxy's health check: a lab's always asks Patroni's REST API".to_owned()),
    }
    if let Some(pool) = pool {
        settings["shutdown_sessions"] = json!(pool.servers.iter().all(|server| server.cuts_sessions));
    }
    settings
}

/// The image that the nodes of Patroni are built from, or run.
fn base_image(submission: &Submission) -> Option<String> {
    let service = submission.members.iter().find_map(|member| member.service.as_ref())?;
    let built =
        submission.project.dockerfiles.iter().find(|file| service.dockerfile.as_deref() == Some(file.path.as_str()));
    built.and_then(|file| file.base.clone()).or_else(|| service.image.clone().filter(|_| service.build.is_none()))
}

/// The port of the host that leads to a port of the container.
fn host_port(service: &Service, container: u16) -> Option<u16> {
    let published = service.ports.iter().filter(|port| port.directive == PortDirective::Ports);
    let port = published.into_iter().find(|port| port.container.parse() == Ok(container))?;
    port.host.as_ref()?.parse().ok()
}

/// What a member's file says, without what labrun says itself.
fn fragment(member: &Member) -> Map<String, Value> {
    let Value::Object(mut all) = member.tree.to_value() else { return Map::new() };
    for path in OWN {
        let keys: Vec<&str> = path.split('.').collect();
        take(&mut all, &keys);
    }
    all
}

/// Removes a value, and the mapping that is empty without it.
fn take(map: &mut Map<String, Value>, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        map.shift_remove(*first);
    } else if let Some(Value::Object(below)) = map.get_mut(*first) {
        take(below, rest);
        if below.is_empty() {
            map.shift_remove(*first);
        }
    }
}

/// What two fragments have in common.
fn common(a: &Map<String, Value>, b: &Map<String, Value>) -> Map<String, Value> {
    let both = a.iter().filter_map(|(key, value)| {
        let same = match (value, b.get(key)?) {
            (Value::Object(a), Value::Object(b)) => Value::Object(common(a, b)),
            (a, b) if a == b => a.clone(),
            _ => return None,
        };
        Some((key.clone(), same))
    });
    both.collect()
}

/// What a fragment has beyond what all have.
fn rest(own: &Map<String, Value>, shared: &Map<String, Value>) -> Map<String, Value> {
    let more = own.iter().filter_map(|(key, value)| {
        let more = match (value, shared.get(key)) {
            (Value::Object(own), Some(Value::Object(shared))) => {
                let more = rest(own, shared);
                if more.is_empty() {
                    return None;
                }
                Value::Object(more)
            }
            (value, Some(shared)) if value == shared => return None,
            (value, _) => value.clone(),
        };
        Some((key.clone(), more))
    });
    more.collect()
}

/// Without nulls and without mappings that hold nothing else.
fn without_nothing(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let kept = map.into_iter().map(|(key, value)| (key, without_nothing(value)));
    Value::Object(kept.filter(|(_, value)| !value.is_null() && *value != json!({})).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::deploy::sketch;
    use crate::lab::diagnostic::File;
    use crate::lab::{self, Loaded};
    use crate::topology::Plan;

    /// The project of a lab, imported again.
    fn again(loaded: &Loaded) -> (Imported, Loaded) {
        let files = sketch(loaded, 0).unwrap().project;
        let files: Vec<_> =
            files.into_iter().map(|file| Arc::new(File { name: file.path, text: file.content })).collect();
        let imported = to_lab(&Submission::of(&files), "imported").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lab.yaml"), &imported.text).unwrap();
        let loaded = lab::load(&dir.path().display().to_string());
        let loaded = loaded.unwrap_or_else(|error| panic!("{:?}\n{}", error.diagnostics, imported.text));
        (imported, loaded)
    }

    /// What a plan says, without its name.
    fn said(plan: &Plan) -> Value {
        let mut said = serde_json::to_value(plan).unwrap();
        said["deployment"] = Value::Null;
        said["lab"] = Value::Null;
        said
    }

    #[test]
    fn what_is_exported_and_imported_again_is_the_same_lab() {
        let reference = lab::load("builtin:ha-postgres").unwrap();
        let (imported, loaded) = again(&reference);
        assert_eq!(imported.left_out, Vec::<String>::new());
        assert_eq!(loaded.lab.file.name, "imported");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert_eq!(said(&sketch(&loaded, 0).unwrap()), said(&sketch(&reference, 0).unwrap()));
        let parts = |loaded: &Loaded| loaded.lab.parts.iter().map(|part| part.id.clone()).collect::<Vec<_>>();
        assert_eq!(parts(&loaded), parts(&reference));
    }

    #[test]
    fn a_students_project_becomes_a_lab_and_what_a_lab_cannot_say_is_told() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects/reference");
        let submission = crate::import::read(&dir).unwrap();
        let imported = to_lab(&submission, "students").unwrap();
        assert_eq!(imported.left_out, Vec::<String>::new());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lab.yaml"), &imported.text).unwrap();
        let loaded = lab::load(&folder.path().display().to_string()).unwrap();
        assert_eq!(
            loaded.lab.file.topology.nodes.keys().collect::<Vec<_>>(),
            ["zoo", "pg-master", "pg-slave", "haproxy"]
        );
        // One node's own settings stay its own.
        let mut other = submission.clone();
        let text = other.members[1].file.text.replace("clonefrom: false", "clonefrom: true");
        other.members[1].tree = crate::lab::yaml::parse(&Arc::new(File { name: "x".into(), text })).unwrap();
        let text = to_lab(&other, "students").unwrap().text;
        assert_eq!((text.matches("clonefrom: true").count(), text.matches("clonefrom: false").count()), (1, 1));
    }

    #[test]
    fn what_cannot_be_read_is_not_imported() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects/flattened");
        let finding = to_lab(&crate::import::read(&dir).unwrap(), "x").unwrap_err();
        assert_eq!(finding.code, Code::IndentationLost);
        assert_eq!(to_lab(&Submission::default(), "x").unwrap_err().code, Code::PartMissing);
    }
}
