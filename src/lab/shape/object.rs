//! Mappings: unknown, missing and repeated keys; and the keys that stand at the wrong level.

use std::ops::Range;

use serde_json::Value;

use super::{Shape, places};
use crate::lab::diagnostic::{Code, Diagnostic, listed, nearest};
use crate::lab::indentation;
use crate::lab::yaml::{Data, Entry, Node};

impl<'a> Shape<'a> {
    pub(super) fn object(&mut self, node: &Node, schema: &'a Value, owner: &Range<usize>) -> bool {
        let lost = self.lost_indentation(node, schema);
        let mut sound = lost.is_none();
        for (index, entry) in node.entries().iter().enumerate() {
            if lost.is_some_and(|header| index >= header) {
                self.dropped.insert(entry.key_span.start);
                continue;
            }
            sound &= self.entry(node, index, entry, schema);
        }
        if lost.is_none() {
            sound &= self.missing(node, schema, owner);
            sound &= self.one_action(node, schema, owner);
        }
        sound
    }

    fn entry(&mut self, node: &Node, index: usize, entry: &Entry, schema: &'a Value) -> bool {
        if let Some(first) = node.entries()[..index].iter().find(|other| other.key == entry.key) {
            let finding = Diagnostic::error(Code::Twice, format!("`{}` stands here twice", entry.key))
                .at(self.file, entry.key_span.clone(), "the second time")
                .at(self.file, first.key_span.clone(), "the first time");
            self.findings.push(finding);
            self.dropped.insert(entry.key_span.start);
            return false;
        }
        let Some(value_schema) = value_schema(schema, &entry.key) else {
            self.unknown_key(entry, schema);
            self.dropped.insert(entry.key_span.start);
            return false;
        };
        let sound = self.node(&entry.value, value_schema, &entry.key_span);
        if !sound && !is_required(schema, &entry.key) && !matches!(entry.value.data, Data::Map(_) | Data::List(_)) {
            self.dropped.insert(entry.key_span.start);
        }
        sound
    }

    fn unknown_key(&mut self, entry: &Entry, schema: &'a Value) {
        let known: Vec<&str> = properties(schema).map(|(name, _)| name).collect();
        let elsewhere = places::of(self.root, &entry.key);
        let help = match nearest(&entry.key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if !elsewhere.is_empty() => {
                format!("`{}` is written under {}", entry.key, listed(elsewhere.iter().map(String::as_str)))
            }
            None => format!("known here: {}", listed(known)),
        };
        let finding = Diagnostic::error(Code::UnknownKey, format!("`{}` is not known here", entry.key));
        self.add(finding.advice(help), entry.key_span.clone(), "not known here");
    }

    fn missing(&mut self, node: &Node, schema: &'a Value, owner: &Range<usize>) -> bool {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let missing: Vec<&str> = required.filter(|key| node.entry(key).is_none()).collect();
        if missing.is_empty() {
            return true;
        }
        let about = missing.iter().map(|key| match schema["properties"][*key]["description"].as_str() {
            Some(about) => format!("`{key}`: {}", about.split(". ").next().unwrap_or(about).trim_end_matches('.')),
            None => format!("`{key}`"),
        });
        let about = about.collect::<Vec<_>>().join("\n");
        let finding =
            Diagnostic::error(Code::MissingKey, format!("{} is missing here", listed(missing.iter().copied())));
        let span = if owner.is_empty() { first_key(node) } else { owner.clone() };
        self.add(finding.advice(about), span, &format!("has no {}", listed(missing)));
        false
    }

    /// Where exactly one of several keys must stand.
    fn one_action(&mut self, node: &Node, schema: &'a Value, owner: &Range<usize>) -> bool {
        let choices = schema["oneOf"].as_array().into_iter().flatten();
        let names: Vec<&str> = choices.filter_map(|choice| choice["required"][0].as_str()).collect();
        let written: Vec<&Entry> = node.entries().iter().filter(|entry| names.contains(&entry.key.as_str())).collect();
        let finding =
            match written.as_slice() {
                _ if names.is_empty() => return true,
                [_] => return true,
                [] => {
                    let span = if owner.is_empty() { first_key(node) } else { owner.clone() };
                    Diagnostic::error(Code::NotOneAction, "this does nothing".to_owned()).at(self.file, span, "")
                }
                [first, second, ..] => {
                    let both = format!("`{}` and `{}` stand in one step", first.key, second.key);
                    Diagnostic::error(Code::NotOneAction, both)
                        .at(self.file, second.key_span.clone(), "a second one")
                        .at(self.file, first.key_span.clone(), "the first one")
                }
            };
        self.findings.push(finding.advice(format!("write exactly one of {}", listed(names))));
        false
    }

    /// The place of a key with nothing under it behind which keys stand that belong under it: the indentation was lost.
    fn lost_indentation(&mut self, node: &Node, schema: &'a Value) -> Option<usize> {
        let entries = node.entries();
        let (header, child) = entries.windows(2).enumerate().find_map(|(index, pair)| {
            let [header, child] = pair else { return None };
            let empty = header.value.data == Data::Null;
            let known = || value_schema(schema, &child.key).is_some();
            let twice = || entries[..=index].iter().any(|other| other.key == child.key);
            let below = || {
                let inner = value_schema(schema, &header.key)?;
                Some(self.could_hold(inner, &child.key))
            };
            (empty && (!known() || twice()) && below() == Some(true)).then_some((index, index + 1))
        })?;
        let finding = indentation::lost(self.file, entries[header].key_span.clone(), entries[child].key_span.clone());
        self.findings.push(finding.advice(format!(
            "these keys belong under `{}:`: indent each level by two spaces more than the one above (copying through a \
             chat or a word processor often loses indentation)",
            entries[header].key
        )));
        Some(header)
    }

    /// Whether a mapping of this schema may have the key.
    fn could_hold(&self, schema: &'a Value, key: &str) -> bool {
        let schema = self.resolve(schema);
        let choices = ["oneOf", "anyOf"].iter().flat_map(|name| schema[*name].as_array().into_iter().flatten());
        value_schema(schema, key).is_some() || choices.into_iter().any(|choice| self.could_hold(choice, key))
    }
}

/// The schema of a key's value; none where the key is unknown.
fn value_schema<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    match (&schema["properties"][key], &schema["additionalProperties"]) {
        (Value::Null, Value::Bool(true)) => Some(&Value::Bool(true)),
        (Value::Null, Value::Object(_)) => Some(&schema["additionalProperties"]),
        (Value::Null, Value::Null) if schema["properties"].is_null() && schema["type"] == "object" => {
            Some(&Value::Bool(true))
        }
        (Value::Null, _) => None,
        (known, _) => Some(known),
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema["properties"].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn is_required(schema: &Value, key: &str) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|name| name == key))
}

/// Where a mapping begins.
fn first_key(node: &Node) -> Range<usize> {
    node.entries().first().map_or(node.span.clone(), |entry| entry.key_span.clone())
}
