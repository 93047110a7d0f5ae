//! The shape of a JSON document: its keys, their order and their types, with every value left out; and the golden
//! documents, captured from Patroni, whose shapes are to be met.

use serde_json::Value;

use crate::harness::Cluster;

const KEYS: &str = include_str!("../golden/keys.txt");
const REST: &str = include_str!("../golden/rest.txt");

/// The shape of `value`. The members of a mapping from slots to positions come in no order.
pub fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if number.is_f64() => "float".to_owned(),
        Value::Number(_) => "int".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let member = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("slots", Value::Object(slots)) => {
                    let mut slots: Vec<_> = slots.iter().map(|(name, lsn)| format!("{name}:{}", shape(lsn))).collect();
                    slots.sort();
                    format!("slots:{{{}}}", slots.join(","))
                }
                _ => format!("{key}:{}", shape(value)),
            };
            format!("{{{}}}", map.iter().map(member).collect::<Vec<_>>().join(","))
        }
    }
}

/// The captured data of the key `name`.
pub fn golden_key(name: &str) -> Value {
    let line = KEYS.lines().find_map(|line| line.strip_prefix(&format!("{name}\t")));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{name} was not captured"))).unwrap()
}

/// The captured body of GET `path` on `node`.
pub fn golden_body(node: &str, path: &str) -> Value {
    let line = REST.lines().find_map(|line| line.strip_prefix(&format!("{node}\t{path}\t")));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{node} {path} was not captured"))).unwrap()
}

/// The shape of the key `name`, which must be there.
pub async fn key_shape(cluster: &Cluster, name: &str) -> Result<String, String> {
    Ok(shape(&cluster.dcs.json(name).await?))
}
