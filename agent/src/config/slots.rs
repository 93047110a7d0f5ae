//! Replication slots that the dynamic configuration speaks of: permanent ones and those of other people's.

use serde_json::{Map, Value};

/// One entry of `slots` (`permanent_slots`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermanentSlot {
    pub name: String,
    pub kind: SlotKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotKind {
    /// `only_in` restricts it to primary or to standby clusters (`cluster_type`).
    Physical {
        only_in: Option<ClusterType>,
    },
    Logical {
        database: String,
        plugin: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterType {
    Primary,
    Standby,
}

/// One entry of `ignore_slots`: a slot that fits it is never dropped. What is absent fits everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotMatcher {
    pub name: Option<String>,
    pub kind: Option<String>,
    pub database: Option<String>,
    pub plugin: Option<String>,
}

impl SlotMatcher {
    /// `kind` is `physical` or `logical`.
    pub fn fits(&self, name: &str, kind: &str, database: &str, plugin: &str) -> bool {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        fits(&self.name, name) && fits(&self.kind, kind) && fits(&self.database, database) && fits(&self.plugin, plugin)
    }
}

/// The permanent slots; what cannot be one is complained of and left out.
pub(super) fn permanent(dynamic: &Map<String, Value>) -> Vec<PermanentSlot> {
    let named = ["permanent_replication_slots", "permanent_slots", "slots"];
    let map = named.iter().find_map(|key| dynamic.get(*key)?.as_object().filter(|map| !map.is_empty()));
    map.into_iter().flatten().filter_map(|(name, value)| slot(name, value)).collect()
}

fn slot(name: &str, value: &Value) -> Option<PermanentSlot> {
    let valid = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_');
    if name.is_empty() || name.len() > 63 || !name.chars().all(valid) {
        tracing::error!("Invalid permanent replication slot name '{name}'");
        tracing::error!("Slot name may only contain lower case letters, numbers, and the underscore chars");
        return None;
    }
    let none = Map::new();
    let section = match value {
        Value::Object(section) => section,
        // What Python takes for nothing says nothing.
        Value::Null | Value::Bool(false) => &none,
        Value::Number(number) if number.as_f64() == Some(0.0) => &none,
        Value::String(text) if text.is_empty() => &none,
        Value::Array(items) if items.is_empty() => &none,
        _ => return bad(name, value),
    };
    let text = |key: &str| section.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let kind = match (section.get("type").and_then(Value::as_str), text("database").zip(text("plugin"))) {
        (None | Some("logical"), Some((database, plugin))) => SlotKind::Logical { database, plugin },
        (None | Some("physical"), _) => {
            let only_in = match section.get("cluster_type").and_then(Value::as_str) {
                Some("primary") => Some(ClusterType::Primary),
                Some("standby") => Some(ClusterType::Standby),
                _ => None,
            };
            SlotKind::Physical { only_in }
        }
        _ => return bad(name, value),
    };
    Some(PermanentSlot { name: name.to_owned(), kind })
}

fn bad(name: &str, value: &Value) -> Option<PermanentSlot> {
    tracing::error!("Bad value for slot '{name}' in permanent_slots: {value}");
    None
}

/// The slots that are not ours to drop.
pub(super) fn ignored(dynamic: &Map<String, Value>) -> Vec<SlotMatcher> {
    let matcher = |value: &Value| {
        let section = value.as_object()?;
        let text = |key: &str| section.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let own = |key: &str| text(key).map(str::to_owned);
        Some(SlotMatcher { name: own("name"), kind: own("type"), database: own("database"), plugin: own("plugin") })
    };
    let list = dynamic.get("ignore_slots").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(matcher).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn permanent_of(value: Value) -> Vec<(String, SlotKind)> {
        permanent(value.as_object().unwrap()).into_iter().map(|slot| (slot.name, slot.kind)).collect()
    }

    #[test]
    fn permanent_slots_are_physical_unless_they_name_a_database_and_a_plugin() {
        let physical = SlotKind::Physical { only_in: None };
        let logical = SlotKind::Logical { database: "d".into(), plugin: "p".into() };
        let slots = json!({"slots": {
            "a": null, "b": 0, "c": {"type": "physical"}, "d": {"database": "d", "plugin": "p"},
            "e": {"type": "physical", "cluster_type": "standby"},
            "f": {"type": "logical", "database": "d"}, "G": null, "h": 1,
        }});
        let standby = SlotKind::Physical { only_in: Some(ClusterType::Standby) };
        let expected = [("a", &physical), ("b", &physical), ("c", &physical), ("d", &logical), ("e", &standby)];
        assert_eq!(permanent_of(slots), expected.map(|(name, kind)| (name.to_owned(), kind.clone())));
        assert_eq!(permanent_of(json!({"slots": {"a": null}, "permanent_slots": {"b": null}}))[0].0, "b");
        assert_eq!(permanent_of(json!({"slots": null})), []);
    }

    #[test]
    fn a_matcher_fits_what_it_does_not_speak_of() {
        let list = json!({"ignore_slots": [{"type": "logical", "plugin": "p"}, {"name": "x"}]});
        let matchers = ignored(list.as_object().unwrap());
        assert!(matchers[0].fits("any", "logical", "d", "p") && !matchers[0].fits("any", "physical", "", ""));
        assert!(matchers[1].fits("x", "physical", "", "") && !matchers[1].fits("y", "logical", "d", "p"));
    }
}
