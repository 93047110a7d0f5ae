//! Values of which there are several forms: one of some words, a mapping told by its `kind`, a text or a mapping.

use std::ops::Range;

use serde_json::Value;

use super::Shape;
use crate::lab::diagnostic::{Code, Diagnostic, listed, nearest};
use crate::lab::yaml::{Data, Node};

/// Whether a schema offers several forms (not merely several keys, of which one must be written).
pub(super) fn is_choice(schema: &Value) -> bool {
    forms(schema).next().is_some_and(|form| form.get("type").is_some() || form.get("$ref").is_some() || is_choice(form))
}

fn forms(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["oneOf"].as_array().or(schema["anyOf"].as_array()).into_iter().flatten()
}

impl<'a> Shape<'a> {
    pub(super) fn choice(&mut self, node: &Node, schema: &'a Value, owner: &Range<usize>) -> bool {
        let forms: Vec<&'a Value> = self.flattened(schema);
        if let Some(tag) = tag_of(&forms) {
            return self.tagged(node, tag, &forms, owner);
        }
        let fitting: Vec<&'a Value> = forms.iter().copied().filter(|form| fits(form, &node.data)).collect();
        match fitting.as_slice() {
            [] => {
                let wanted = words(&forms);
                let finding =
                    Diagnostic::error(Code::WrongType, format!("here stands {}, but {wanted} is wanted", node.kind()));
                let quotes = matches!(node.data, Data::Bool(_) | Data::Number(_))
                    .then(|| "put it in quotes, so that it is a text".to_owned());
                let span = if node.data == Data::Null { owner.clone() } else { node.span.clone() };
                self.add(finding.maybe_advice(quotes), span, &format!("{wanted} is wanted"));
                false
            }
            [only] if only.get("const").is_none() => self.node(node, only, owner),
            several => self.word(node, several),
        }
    }

    /// The forms, with those of nested choices among them.
    fn flattened(&self, schema: &'a Value) -> Vec<&'a Value> {
        let mut all = Vec::new();
        for form in forms(schema) {
            let form = self.resolve(form);
            if is_choice(form) { all.extend(self.flattened(form)) } else { all.push(form) }
        }
        all
    }

    /// A mapping whose form is told by one of its keys.
    fn tagged(&mut self, node: &Node, tag: &str, forms: &[&'a Value], owner: &Range<usize>) -> bool {
        let values: Vec<&str> = forms.iter().filter_map(|form| form["properties"][tag]["const"].as_str()).collect();
        let Data::Map(_) = node.data else {
            self.wrong_type(node, "object", owner);
            return false;
        };
        let Some(entry) = node.entry(tag) else {
            let finding = Diagnostic::error(Code::MissingKey, format!("`{tag}` is missing here"));
            self.add(finding.advice(format!("`{tag}` is one of {}", listed(values))), owner.clone(), "");
            return false;
        };
        let form = forms.iter().find(|form| form["properties"][tag]["const"].as_str() == entry.value.text());
        match form.filter(|_| entry.value.text().is_some()) {
            Some(form) => self.object(node, form, owner),
            None => self.word(&entry.value, &forms.iter().map(|form| &form["properties"][tag]).collect::<Vec<_>>()),
        }
    }

    /// One of several words, or a text of a form (a length of time) beside them.
    fn word(&mut self, node: &Node, forms: &[&'a Value]) -> bool {
        let words: Vec<&str> = forms.iter().filter_map(|form| form["const"].as_str()).collect();
        let given = node.text().unwrap_or_default();
        if words.contains(&given) {
            return true;
        }
        let near = nearest(given, words.iter().copied()).map(|near| format!("did you mean `{near}`? "));
        let beside = forms.iter().copied().find(|form| form.get("const").is_none());
        if let Some(form) = beside.filter(|_| near.is_none()) {
            let before = self.findings.len();
            let sound = self.node(node, form, &node.span.clone());
            if let Some(finding) = self.findings[before..].first_mut() {
                let help = finding.help.take().unwrap_or_default();
                finding.help = Some(format!("{help}; or one of {}", listed(words)));
            }
            return sound;
        }
        let finding = Diagnostic::error(Code::UnknownValue, format!("`{given}` is not one of the values known here"));
        let help = format!("{}known here: {}", near.unwrap_or_default(), listed(words));
        self.add(finding.advice(help), node.span.clone(), "not known here");
        false
    }
}

/// The key that tells mappings apart: one that every form has, with a value of its own.
fn tag_of<'a>(forms: &[&'a Value]) -> Option<&'a str> {
    let (first, rest) = forms.split_first()?;
    let properties = first["properties"].as_object()?;
    let constant = |form: &Value, key: &str| form["properties"][key].get("const").is_some();
    let tag = properties.keys().find(|key| constant(first, key) && rest.iter().all(|form| constant(form, key)))?;
    Some(tag)
}

fn fits(form: &Value, data: &Data) -> bool {
    match form["type"].as_str() {
        Some("object") => matches!(data, Data::Map(_)),
        Some("array") => matches!(data, Data::List(_)),
        Some("string") => matches!(data, Data::Text(_)),
        Some("boolean") => matches!(data, Data::Bool(_)),
        Some("integer") => matches!(data, Data::Number(_)),
        _ => true,
    }
}

/// The forms in words: "a text or a mapping of `ru`, `en`".
fn words(forms: &[&Value]) -> String {
    let mut words: Vec<String> = Vec::new();
    for form in forms {
        let word = match form["type"].as_str() {
            Some("object") => match form["properties"].as_object() {
                Some(keys) => format!("a mapping of {}", listed(keys.keys().map(String::as_str))),
                None => "a mapping".to_owned(),
            },
            Some("array") => "a list".to_owned(),
            Some("integer") => "a whole number".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            _ => "a text".to_owned(),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" or ")
}
