//! Reading values by their path, and saying where an unusable one stands.

use std::path::PathBuf;

use miette::{NamedSource, SourceSpan};
use serde_json::{Map, Value};

use super::Error;
use super::error::Invalid;
use super::local::Address;
use super::yaml::{Key, Tree};

/// One file of the configuration.
pub(super) struct Source {
    pub(super) file: String,
    pub(super) tree: Tree,
}

/// A text that does not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The values of all files and of the environment, merged.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a [Source],
    pub(super) value: &'a Value,
}

impl Reader<'_> {
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self.value, |value, name| value.get(name)).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, path: &[&str]) -> Result<Option<String>, Error> {
        match self.get(path) {
            None => Ok(None),
            Some(value) => scalar(value).map(Some).ok_or_else(|| self.wrong(path, "must be a text")),
        }
    }

    pub(super) fn required(&self, path: &[&str]) -> Result<String, Error> {
        self.text(path)?.filter(|text| !text.is_empty()).ok_or_else(|| self.wrong(path, "is missing"))
    }

    pub(super) fn map(&self, path: &[&str]) -> Result<Map<String, Value>, Error> {
        match self.get(path) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => Err(self.wrong(path, "must be a mapping (`key: value`, indented)")),
        }
    }

    /// A text for each key of a mapping.
    pub(super) fn texts(&self, path: &[&str]) -> Result<Vec<(String, String)>, Error> {
        let map = self.map(path)?;
        let pairs = map.iter().map(|(key, value)| Some((key.clone(), scalar(value)?)));
        pairs.collect::<Option<_>>().ok_or_else(|| self.wrong(path, "must map names to texts"))
    }

    pub(super) fn path(&self, path: &[&str]) -> Result<Option<PathBuf>, Error> {
        Ok(self.text(path)?.filter(|text| !text.is_empty()).map(PathBuf::from))
    }

    pub(super) fn secret(&self, path: &[&str]) -> Result<Option<Secret>, Error> {
        Ok(self.text(path)?.filter(|text| !text.is_empty()).map(Secret))
    }

    pub(super) fn flag(&self, path: &[&str]) -> Result<Option<bool>, Error> {
        let Some(value) = self.get(path) else { return Ok(None) };
        super::settings::flag(Some(value)).map(Some).ok_or_else(|| self.wrong(path, "must be true or false"))
    }

    pub(super) fn number(&self, path: &[&str]) -> Result<Option<u64>, Error> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| self.wrong(path, &format!("must be a number, not `{text}`")))
    }

    pub(super) fn address(&self, path: &[&str], default_port: u16) -> Result<Option<Address>, Error> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        super::local::address(&text, default_port)
            .map(Some)
            .ok_or_else(|| self.wrong(path, &format!("must be host:port, not `{text}`")))
    }

    /// The key at `path` or its nearest ancestor, in the last file that has it: that one is in force.
    pub(super) fn nearest(&self, path: &[&str]) -> Option<(&Source, &Key)> {
        let found = self.sources.iter().filter_map(|source| Some((source, source.tree.nearest(path)?)));
        found.max_by_key(|(_, (_, depth))| *depth).map(|(source, (key, _))| (source, key))
    }

    pub(super) fn wrong(&self, path: &[&str], reason: &str) -> Error {
        let place = self.nearest(path);
        let last = path.last().copied().unwrap_or_default();
        let at_top = |source: &Source| source.tree.root.entries().iter().any(|(key, _)| key.name == last);
        let misplaced = path.len() > 1 && self.sources.iter().any(at_top);
        let source = place.map(|(source, _)| source).or(self.sources.first());
        let file = source.map_or("the environment", |source| source.file.as_str());
        let text = source.map(|source| source.tree.text.clone()).unwrap_or_default();
        Error::Invalid(Box::new(Invalid {
            file: file.into(),
            line: place.map_or(1, |(_, key)| key.line),
            reason: format!("`{}` {reason}", path.join(".")),
            text: NamedSource::new(file, text).with_language("YAML"),
            span: place.and_then(|(_, key)| Some(SourceSpan::from((key.offset?, key.name.len())))),
            help: misplaced.then(|| format!("`{last}` stands at the top level: has the indentation been lost?")),
        }))
    }
}

pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(on) => Some(on.to_string()),
        _ => None,
    }
}

/// A list, or a text with commas.
pub(super) fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
        Some(Value::String(text)) => {
            text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}
