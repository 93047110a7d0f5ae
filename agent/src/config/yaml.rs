//! YAML with the place of every key, within a budget that no YAML bomb passes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::Error;

/// A file larger than this is no configuration.
const LARGEST: usize = 1 << 20;

/// A YAML document: values with the line of each key.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) line: u64,
    /// Byte offset in the text, where known.
    pub(super) offset: Option<usize>,
}

/// The whole file.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) text: String,
    pub(super) root: Node,
}

pub(super) fn parse(file: &str, text: &str) -> Result<Tree, Error> {
    let fail = |reason: String| Error::Yaml { file: file.into(), reason };
    if text.len() > LARGEST {
        return Err(fail(format!("{} bytes are too many for a configuration", text.len())));
    }
    let mut budget = serde_saphyr::Budget::default();
    (budget.max_nodes, budget.max_events, budget.max_depth) = (20_000, 50_000, 40);
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = 20_000;
    let root: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| fail(error.to_string()))?;
    match root {
        Node::Map(_) => Ok(Tree { text: text.to_owned(), root }),
        _ => Err(fail("a mapping (`key: value`) is expected at the top".into())),
    }
}

/// A value alone: a list or mapping from the environment.
pub(super) fn value(text: &str) -> Option<Value> {
    serde_saphyr::from_str::<Node>(text).ok().map(|node| node.value())
}

impl Node {
    pub(super) fn value(&self) -> Value {
        match self {
            Node::Scalar(value) => value.clone(),
            Node::List(items) => items.iter().map(Node::value).collect(),
            Node::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), node.value())).collect(),
        }
    }

    pub(super) fn entries(&self) -> &[(Key, Node)] {
        match self {
            Node::Map(entries) => entries,
            _ => &[],
        }
    }
}

impl Tree {
    pub(super) fn value(&self) -> Value {
        self.root.value()
    }

    /// The key at `path`, or its nearest ancestor that is there, and how deep it stands.
    pub(super) fn nearest(&self, path: &[&str]) -> Option<(&Key, usize)> {
        let mut node = &self.root;
        let mut found = None;
        for (depth, name) in path.iter().enumerate() {
            let Some((key, child)) = node.entries().iter().find(|(key, _)| key.name == *name) else {
                break;
            };
            found = Some((key, depth));
            node = child;
        }
        found
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<Scalar>>()? {
            let location = key.referenced;
            let offset = location.span().byte_offset().map(|offset| offset as usize);
            map.push((Key { name: key.value.0, line: location.line(), offset }, entries.next_value()?));
        }
        Ok(Node::Map(map))
    }
}

/// A key: any scalar, as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        Ok(Scalar(String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_types_that_patroni_sees_and_keys_their_lines() {
        let tree = parse("f", "a: 1\nb:\n  on_: on\n  q: \"on\"\n  s: 1800s\nc: [x, 2.5, ~]\n").unwrap();
        let expected = serde_json::json!({"a": 1, "b": {"on_": true, "q": "on", "s": "1800s"}, "c": ["x", 2.5, null]});
        assert_eq!(tree.value(), expected);
        assert_eq!(tree.nearest(&["b", "q"]).unwrap().0.line, 4);
        assert_eq!(tree.nearest(&["b", "missing"]).unwrap().0.line, 2);
        assert!(tree.nearest(&["z"]).is_none());
        let (key, _) = tree.nearest(&["b", "s"]).unwrap();
        assert!(tree.text[key.offset.unwrap()..].starts_with("s: 1800s"));
    }

    #[test]
    fn tabs_duplicates_lists_and_bombs_are_errors_with_the_file_named() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &('b'..='k')
                .zip('a'..='j')
                .map(|(n, p)| format!("{n}: &{n} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n"))
                .collect::<String>();
        for text in ["a:\n\tb: 1\n", "a: 1\na: 2\n", "- 1\n", "a: b: c\n", &bomb] {
            let error = parse("pg.yml", text).unwrap_err().to_string();
            assert!(error.starts_with("pg.yml"), "{error}");
        }
    }
}
