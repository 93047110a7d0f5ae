//! The JSON Schemas of what a run leaves: run.json, a line of events.jsonl, series.json. Derived from the types that are
//! written; committed in `schema/`.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::series::Series;
use super::{Run, Stamped};

/// Where the schemas are published.
const ID: &str = "https://labrun.dev/schema";

/// The schema of run.json.
pub fn run() -> Value {
    of::<Run>("run", "A run of a labrun lab (labrun-run/v1)")
}

/// The schema of a line of events.jsonl.
pub fn event() -> Value {
    of::<Stamped>("event", "An event of a labrun run")
}

/// The schema of series.json.
pub fn series() -> Value {
    of::<Series>("series", "A series of labrun runs (labrun-series/v1)")
}

/// As the type is written: what is none is there as `null`.
fn of<T: JsonSchema>(name: &str, title: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    plain(&mut schema);
    schema["$id"] = json!(format!("{ID}/{name}.schema.json"));
    schema["title"] = json!(title);
    schema
}

/// Formats that only Rust knows of are taken away.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let of_rust = |format: &str| format.starts_with("uint") || format.starts_with("int");
            if map.get("format").and_then(Value::as_str).is_some_and(of_rust) {
                map.remove("format");
            }
            map.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}
