//! Where in the format a key may be written, for "`publish` is written under …".

use serde_json::Value;

/// How many places are told.
const MOST: usize = 3;
/// How deep the format is searched.
const DEPTH: usize = 8;

/// The paths of the mappings that have the key, the shortest first: `topology.nodes.NAME`, `parts[]`.
pub(super) fn of(root: &Value, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    search(root, root, key, "", DEPTH, &mut found);
    found.sort_by_key(|path: &String| (path.len(), path.clone()));
    found.dedup();
    found.truncate(MOST);
    found
}

fn search(root: &Value, schema: &Value, key: &str, path: &str, depth: usize, found: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    let mut into = |schema: &Value, path: String| search(root, schema, key, &path, depth - 1, found);
    if let Some(target) = schema["$ref"].as_str().and_then(|path| root.pointer(path.strip_prefix('#')?)) {
        into(target, path.to_owned());
    }
    for form in ["oneOf", "anyOf"].iter().flat_map(|name| schema[*name].as_array().into_iter().flatten()) {
        into(form, path.to_owned());
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        into(property, below(name));
    }
    if schema["additionalProperties"].is_object() {
        into(&schema["additionalProperties"], below("NAME"));
    }
    if schema["items"].is_object() {
        into(&schema["items"], format!("{path}[]"));
    }
    if schema["properties"].get(key).is_some() && !path.is_empty() {
        found.push(path.to_owned());
    }
}
