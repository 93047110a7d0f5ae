//! The JSON Schemas of a lab and of a check, derived from the model: an editor completes and checks with them,
//! and [`super::shape`] walks them. Committed as `schema/lab.schema.json` and `schema/check.schema.json`.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::model::{CheckFile, LabFile};

/// Where the schemas are published.
const ID: &str = "https://labrun.dev/schema";

/// The schema of `lab.yaml`.
pub fn lab() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| of::<LabFile>("lab", "A labrun lab (labrun/v1)"));
    &SCHEMA
}

/// The schema of a file in `checks/`.
pub fn check() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| of::<CheckFile>("check", "A check of a labrun lab (labrun/v1)"));
    &SCHEMA
}

/// Each schema's committed file name, and its text.
pub fn files() -> [(&'static str, String); 2] {
    let text = |schema: &Value| format!("{schema:#}\n");
    [("lab.schema.json", text(lab())), ("check.schema.json", text(check()))]
}

/// The schema of a kind of file, tidied.
pub(crate) fn of<T: JsonSchema>(name: &str, title: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema["$id"] = json!(format!("{ID}/{name}.schema.json"));
    schema["title"] = json!(title);
    schema
}

/// Optional keys are left out, never written as `null`; and what only Rust knows of is taken away.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            drop_null(map);
            if map.get("default").is_some_and(|value| value.is_null() || value.is_object() || value.is_array()) {
                map.remove("default");
            }
            if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                map.remove("format");
            }
            for (key, value) in map.iter_mut() {
                match value {
                    // Here keys are names that a lab may write, not words of JSON Schema.
                    Value::Object(named) if key == "properties" || key == "$defs" => {
                        named.values_mut().for_each(tidy);
                    }
                    value => tidy(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn drop_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get("type") {
        let types: Vec<_> = types.iter().filter(|name| **name != "null").cloned().collect();
        if let [only] = types.as_slice() {
            map.insert("type".to_owned(), only.clone());
        }
    }
    if let Some(Value::Array(choices)) = map.get("anyOf") {
        let choices: Vec<_> = choices.iter().filter(|choice| **choice != json!({"type": "null"})).cloned().collect();
        if let [Value::Object(only)] = choices.as_slice() {
            map.remove("anyOf");
            let (only, described) = (only.clone(), map.contains_key("description"));
            map.extend(only.into_iter().filter(|(key, _)| !(described && key == "description")));
        }
    }
}

/// For a type of which exactly one of several keys must be written: the keys become plain properties, so that
/// unknown ones are refused and an editor completes all of them.
pub(super) fn exactly_one(schema: &mut Schema) {
    let Some(map) = schema.as_object_mut() else { return };
    let Some(Value::Array(choices)) = map.remove("oneOf") else { return };
    let mut required = Vec::new();
    let mut properties = map.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    for choice in &choices {
        for (key, value) in choice["properties"].as_object().into_iter().flatten() {
            let mut value = value.clone();
            if let (Some(about), Value::Object(value)) = (choice.get("description"), &mut value) {
                value.insert("description".to_owned(), about.clone());
            }
            properties.insert(key.clone(), value);
            required.push(json!({"required": [key]}));
        }
    }
    map.insert("type".to_owned(), json!("object"));
    map.insert("properties".to_owned(), Value::Object(properties));
    map.insert("oneOf".to_owned(), Value::Array(required));
    map.insert("additionalProperties".to_owned(), json!(false));
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    /// `LABRUN_WRITE_SCHEMA=1 cargo test schema` writes the files anew.
    #[test]
    fn the_committed_schemas_are_current() {
        for (name, text) in files() {
            let path = format!("{}/schema/{name}", env!("CARGO_MANIFEST_DIR"));
            if env::var_os("LABRUN_WRITE_SCHEMA").is_some() {
                fs::write(&path, &text).expect("write");
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == text, "{path} is not current: run `LABRUN_WRITE_SCHEMA=1 cargo test schema`");
        }
    }

    #[test]
    fn every_key_is_explained() {
        fn walk(value: &Value, path: &str) {
            for (key, property) in value["properties"].as_object().into_iter().flatten() {
                let plain = property.get("const").is_some();
                assert!(plain || property.get("description").is_some(), "{path}.{key} has no description");
            }
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"))),
                Value::Array(items) => items.iter().for_each(|item| walk(item, path)),
                _ => {}
            }
        }
        walk(lab(), "lab");
        walk(check(), "check");
    }

    #[test]
    fn nothing_may_be_null() {
        fn walk(value: &Value) -> bool {
            match value {
                Value::Null => true,
                Value::String(text) => text == "null",
                Value::Array(items) => items.iter().any(walk),
                Value::Object(map) => map.values().any(walk),
                _ => false,
            }
        }
        assert!(!walk(lab()) && !walk(check()));
    }
}
