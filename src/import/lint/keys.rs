//! Keys of Patroni's YAML: each where Patroni reads it.

use crate::import::member::Member;
use crate::lab::diagnostic::{Code, Diagnostic};
use crate::lab::patroni_keys::{SECTIONS, advice, is_of_another_cluster};
use crate::lab::yaml::Data;

pub(super) fn judge(member: &Member) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for place in SECTIONS {
        let path: Vec<&str> = place.path.split('.').filter(|key| !key.is_empty()).collect();
        let Some(node) = member.tree.find(&path) else { continue };
        if !matches!(node.data, Data::Map(_) | Data::Null) {
            let finding =
                Diagnostic::error(Code::UnreadKey, format!("`{}` must be a mapping, not {}", place.path, node.kind()));
            findings.push(finding.at(&member.file, member.place(&path), "keys belong under it, indented"));
            continue;
        }
        for entry in node.entries() {
            let key = entry.key.as_str();
            // That the cluster's DCS is ZooKeeper is told elsewhere.
            let other = is_of_another_cluster(place.path, key);
            if place.keys.contains(&key) || other || is_custom_method(member, place.path, key) {
                continue;
            }
            let shown = if path.is_empty() { "at the top level".to_owned() } else { format!("under `{}`", place.path) };
            findings.push(
                Diagnostic::error(Code::UnreadKey, format!("Patroni does not read `{key}` {shown}: it has no effect"))
                    .at(&member.file, entry.key_span.clone(), "not read here")
                    .advice(advice(place.path, key)),
            );
        }
    }
    findings
}

/// Whether a key is the section of a method that the file itself names.
fn is_custom_method(member: &Member, path: &str, key: &str) -> bool {
    match path {
        "bootstrap" => member.text(&["bootstrap", "method"]).as_deref() == Some(key),
        "postgresql" => {
            let methods = member.tree.find(&["postgresql", "create_replica_methods"]);
            methods.is_some_and(|methods| methods.items().iter().any(|method| method.text() == Some(key)))
        }
        _ => false,
    }
}
