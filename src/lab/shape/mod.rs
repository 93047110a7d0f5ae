//! Whether a file has the shape of the format: its tree against the JSON Schema, every finding at once.
//!
//! Only what the schemas of [`super::schema`] use is understood: `$ref`, `type`, `properties`, `required`,
//! `additionalProperties`, `items`, `const`, `oneOf`, `anyOf`, `minimum`, `maximum`, `pattern`.

mod choice;
mod object;
mod places;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::diagnostic::{Code, Diagnostic, File};
use super::model::Span;
use super::yaml::{Data, Node};

/// Checks a tree against a schema. Returns the value without what could be left out of it, so that the meaning of
/// the rest can be looked at too.
pub fn check(file: &Arc<File>, tree: &Node, schema: &Value, findings: &mut Vec<Diagnostic>) -> Value {
    let mut shape = Shape { file, root: schema, findings, dropped: HashSet::new() };
    shape.node(tree, schema, &(0..0));
    let dropped = shape.dropped;
    kept(tree, &dropped)
}

struct Shape<'a> {
    file: &'a Arc<File>,
    root: &'a Value,
    findings: &'a mut Vec<Diagnostic>,
    /// Entries that are unknown, stand there twice, or hold what an optional key may not: by where their key begins.
    dropped: HashSet<usize>,
}

impl<'a> Shape<'a> {
    /// The schema that a reference leads to.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        while let Some(path) = schema["$ref"].as_str() {
            match path.strip_prefix('#').and_then(|path| self.root.pointer(path)) {
                Some(target) => schema = target,
                None => return schema,
            }
        }
        schema
    }

    /// Checks one value. `owner` is the key or the list item that holds it, where it has no place of its own.
    fn node(&mut self, node: &Node, schema: &'a Value, owner: &Range<usize>) -> bool {
        let schema = self.resolve(schema);
        if choice::is_choice(schema) {
            return self.choice(node, schema, owner);
        }
        match (schema["type"].as_str(), &node.data) {
            (None, _) => true,
            (Some("object"), Data::Map(_)) => self.object(node, schema, owner),
            (Some("array"), Data::List(items)) => {
                let unsound = items.iter().filter(|item| !self.node(item, &schema["items"], &item.span)).count();
                unsound == 0
            }
            (Some("string"), Data::Text(text)) => self.text(node, text, schema),
            (Some("boolean"), Data::Bool(_)) => true,
            (Some("integer"), Data::Number(number)) if !number.is_f64() => self.integer(node, number.as_i64(), schema),
            (Some(wanted), _) => {
                self.wrong_type(node, wanted, owner);
                false
            }
        }
    }

    fn text(&mut self, node: &Node, text: &str, schema: &'a Value) -> bool {
        if let Some(only) = schema["const"].as_str() {
            if only == text {
                return true;
            }
            let finding = Diagnostic::error(Code::UnknownValue, format!("this is `{text}`, and must be `{only}`"));
            self.add(finding, node.span.clone(), "");
            return false;
        }
        if schema["pattern"] == Span::PATTERN && Span::try_from(text.to_owned()).is_err() {
            let finding = Diagnostic::error(Code::UnknownValue, format!("`{text}` is not a length of time"));
            self.add(
                finding.advice("write a whole number and `ms`, `s` or `m`: `500ms`, `10s`, `2m`"),
                node.span.clone(),
                "",
            );
            return false;
        }
        true
    }

    fn integer(&mut self, node: &Node, number: Option<i64>, schema: &'a Value) -> bool {
        let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
        let number = number.unwrap_or(i64::MAX);
        if least.is_none_or(|least| least <= number) && most.is_none_or(|most| number <= most) {
            return true;
        }
        let bounds = match (least, most) {
            (Some(least), Some(most)) => format!("it must lie between {least} and {most}"),
            (Some(least), None) => format!("it must be at least {least}"),
            (None, most) => format!("it must be at most {}", most.unwrap_or(i64::MAX)),
        };
        let finding = Diagnostic::error(Code::UnknownValue, format!("{number} is out of bounds: {bounds}"));
        self.add(finding, node.span.clone(), "");
        false
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str, owner: &Range<usize>) {
        let article = match wanted {
            "object" => "a mapping",
            "array" => "a list",
            "string" => "a text",
            "integer" => "a whole number",
            "boolean" => "`true` or `false`",
            other => other,
        };
        let help = match (wanted, &node.data) {
            ("object", Data::Null) => Some("indent what belongs under it, or write `{}`"),
            ("array", Data::Null) => Some("indent its items (`- …`) under it, or write `[]`"),
            ("array", Data::Text(_)) => Some("write it as a list of one: in square brackets"),
            ("string", Data::Bool(_) | Data::Number(_)) => Some("put it in quotes, so that it is a text"),
            ("boolean", Data::Text(_)) => Some("write true or false, without quotes"),
            ("integer", Data::Text(_)) => Some("write the bare number, without quotes or a unit"),
            _ => None,
        };
        let finding =
            Diagnostic::error(Code::WrongType, format!("here stands {}, but {article} is wanted", node.kind()));
        let span = if node.span.is_empty() || node.data == Data::Null { owner.clone() } else { node.span.clone() };
        self.add(finding.maybe_advice(help.map(str::to_owned)), span, &format!("{article} is wanted"));
    }

    fn add(&mut self, finding: Diagnostic, span: Range<usize>, label: &str) {
        self.findings.push(finding.at(self.file, span, label));
    }
}

fn kept(node: &Node, dropped: &HashSet<usize>) -> Value {
    match &node.data {
        Data::List(items) => Value::Array(items.iter().map(|item| kept(item, dropped)).collect()),
        Data::Map(entries) => {
            let mut map = Map::new();
            for entry in entries.iter().filter(|entry| !dropped.contains(&entry.key_span.start)) {
                map.entry(entry.key.clone()).or_insert_with(|| kept(&entry.value, dropped));
            }
            Value::Object(map)
        }
        _ => node.to_value(),
    }
}
