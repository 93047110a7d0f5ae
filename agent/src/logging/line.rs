//! A line of the log: Python's format strings over the fields of its log records, or JSON.

use std::fmt::{self, Write as _};
use std::sync::PoisonError;

use jiff::Zoned;
use serde_json::{Map, Value};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Json, Log};

const FORMAT: &str = "%(asctime)s %(levelname)s: %(message)s";

/// How lines look.
pub(super) struct Line {
    parts: Vec<Part>,
    json: Option<Json>,
    dateformat: Option<String>,
}

enum Part {
    Text(String),
    Field { name: String, width: usize, left: bool },
}

/// What is known about an event.
struct Record<'a> {
    metadata: &'a Metadata<'a>,
    message: String,
    at: Zoned,
}

impl Line {
    pub(super) fn new(log: &Log) -> Line {
        let format = log.format.as_deref().unwrap_or(FORMAT);
        Line { parts: parts(format), json: log.json.clone(), dateformat: log.dateformat.clone() }
    }

    fn write(&self, record: &Record) -> String {
        if let Some(json) = &self.json {
            let mut line = Map::new();
            for (field, name) in &json.fields {
                line.insert(name.clone(), self.field(record, field).into());
            }
            let fixed = json.static_fields.iter();
            line.extend(fixed.map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
            return crate::cluster::json::spaced(&line);
        }
        let mut text = String::new();
        for part in &self.parts {
            let _ = match part {
                Part::Text(words) => text.write_str(words),
                Part::Field { name, width, left: true } => write!(text, "{:<width$}", self.field(record, name)),
                Part::Field { name, width, left: false } => write!(text, "{:>width$}", self.field(record, name)),
            };
        }
        text
    }

    /// A field of Python's log records; one that has no counterpart is empty.
    fn field(&self, record: &Record, name: &str) -> String {
        let (metadata, at) = (record.metadata, &record.at);
        let file = metadata.file().unwrap_or_default();
        match name {
            "asctime" => match &self.dateformat {
                Some(format) => at.strftime(format).to_string(),
                None => format!("{},{:03}", at.strftime("%Y-%m-%d %H:%M:%S"), at.millisecond()),
            },
            "levelname" => level(metadata).0.into(),
            "levelno" => level(metadata).1.into(),
            "message" => record.message.clone(),
            "name" => metadata.target().replace("::", "."),
            "module" => metadata.target().rsplit("::").next().unwrap_or_default().into(),
            "filename" => file.rsplit('/').next().unwrap_or_default().into(),
            "pathname" => file.into(),
            "lineno" => metadata.line().unwrap_or(0).to_string(),
            "process" => std::process::id().to_string(),
            "processName" => "MainProcess".into(),
            "threadName" => "MainThread".into(),
            "thread" => "1".into(),
            "created" => format!("{}.{:06}", at.timestamp().as_second(), at.timestamp().subsec_microsecond()),
            "msecs" => at.millisecond().to_string(),
            _ => String::new(),
        }
    }
}

fn level(metadata: &Metadata) -> (&'static str, &'static str) {
    match *metadata.level() {
        Level::ERROR if metadata.target() == super::CRITICAL => ("CRITICAL", "50"),
        Level::ERROR => ("ERROR", "40"),
        Level::WARN => ("WARNING", "30"),
        Level::INFO => ("INFO", "20"),
        Level::DEBUG | Level::TRACE => ("DEBUG", "10"),
    }
}

/// `%(name)-10s` and the like; `%%` is a percent sign, and what is no field is text.
fn parts(format: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        text += &rest[..at];
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("%%") {
            text.push('%');
            rest = after;
            continue;
        }
        match field(rest) {
            Some((part, after)) => {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(part);
                rest = after;
            }
            None => {
                text.push('%');
                rest = &rest[1..];
            }
        }
    }
    parts.push(Part::Text(text + rest));
    parts
}

fn field(text: &str) -> Option<(Part, &str)> {
    let (name, rest) = text.strip_prefix("%(")?.split_once(')')?;
    let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
    let flags = &rest[..end];
    let width = flags.trim_start_matches(['-', '+', ' ', '#', '0']).split('.').next()?;
    let width = if width.is_empty() { 0 } else { width.parse().ok().filter(|width| *width <= 100)? };
    Some((Part::Field { name: name.into(), width, left: flags.starts_with('-') }, &rest[end + 1..]))
}

/// Hands each event to the [`Line`] in force.
pub(super) struct Formatter;

impl<S, N> FormatEvent<S, N> for Formatter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut message = String::new();
        context.format_fields(Writer::new(&mut message), event)?;
        let record = Record { metadata: event.metadata(), message, at: Zoned::now() };
        let state = super::STATE.read().unwrap_or_else(PoisonError::into_inner);
        let line = match state.as_ref() {
            Some(state) => state.line.write(&record),
            None => Line::new(&Log::default()).write(&record),
        };
        writeln!(out, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Callsite;

    fn line(log: Log) -> String {
        let at: Zoned = "2026-01-31T12:00:00.123[UTC]".parse().unwrap();
        let callsite = tracing::callsite!(
            name: "x",
            kind: tracing::metadata::Kind::EVENT,
            target: module_path!(),
            level: Level::INFO,
            fields: message
        );
        let metadata = callsite.metadata();
        Line::new(&log).write(&Record { metadata, message: "a 100% text".into(), at })
    }

    #[test]
    fn the_usual_line_is_patronis() {
        assert_eq!(line(Log::default()), "2026-01-31 12:00:00,123 INFO: a 100% text");
    }

    #[test]
    fn formats_are_pythons() {
        let with = |format: &str| line(Log { format: Some(format.into()), ..Log::default() });
        assert_eq!(with("%(levelname)-8s|%(levelname)8s|%(message)s"), "INFO    |    INFO|a 100% text");
        assert_eq!(with("100%% %(levelno)d %x %(nosuch)s"), "100% 20 %x ");
        assert_eq!(with("%(name)s %(filename)s"), "labrun_agent.logging.line.tests line.rs");
        let log = Log { dateformat: Some("%H:%M".into()), format: Some("%(asctime)s".into()), ..Log::default() };
        assert_eq!(line(log), "12:00");
    }

    #[test]
    fn json_lines_have_renamed_and_fixed_fields() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let json = Json {
            fields: vec![pair("levelname", "level"), pair("message", "message")],
            static_fields: vec![pair("app", "db")],
        };
        assert_eq!(
            line(Log { json: Some(json), ..Log::default() }),
            r#"{"level": "INFO", "message": "a 100% text", "app": "db"}"#
        );
    }
}
