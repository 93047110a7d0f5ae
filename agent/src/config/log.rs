//! `log:`: how much is logged, in which words, and where to.

use std::path::PathBuf;

use super::Error;
use super::reader::{Reader, scalar};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub level: Level,
    /// `%(asctime)s %(levelname)s: %(message)s` unless set.
    pub format: Option<String>,
    /// As `strftime` takes it; with milliseconds if it is not set.
    pub dateformat: Option<String>,
    /// One JSON object a line instead of `format`; the names are those of Python's log records.
    pub json: Option<Json>,
    /// To `patroni.log` in there, which is rotated; to the standard error output if `None`.
    pub dir: Option<PathBuf>,
    /// Bytes after which a file is rotated.
    pub file_size: u64,
    /// How many old files are kept.
    pub file_num: u32,
    /// Permissions of the file.
    pub mode: Option<u32>,
    /// Lines that may wait to be written to it.
    pub max_queue_size: usize,
}

/// Fields of a JSON line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Json {
    /// A record's field and the name it gets.
    pub fields: Vec<(String, String)>,
    pub static_fields: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: Level::Info,
            format: None,
            dateformat: None,
            json: None,
            dir: None,
            file_size: 25_000_000,
            file_num: 4,
            mode: None,
            max_queue_size: 1000,
        }
    }
}

pub(super) fn log(r: &Reader) -> Result<Log, Error> {
    let default = Log::default();
    let file_num = r.number(&["log", "file_num"])?.map_or(default.file_num, |number| number.min(1000) as u32);
    Ok(Log {
        level: level(r)?.unwrap_or(default.level),
        format: r.get(&["log", "format"]).and_then(scalar),
        dateformat: r.text(&["log", "dateformat"])?.filter(|format| !format.is_empty()),
        json: json(r)?,
        dir: r.path(&["log", "dir"])?,
        file_size: r.number(&["log", "file_size"])?.unwrap_or(default.file_size),
        file_num,
        mode: mode(r)?,
        max_queue_size: r
            .number(&["log", "max_queue_size"])?
            .map_or(default.max_queue_size, |n| n.clamp(1, 100_000) as usize),
    })
}

fn level(r: &Reader) -> Result<Option<Level>, Error> {
    let Some(text) = r.text(&["log", "level"])? else { return Ok(None) };
    Ok(Some(match text.to_ascii_uppercase().as_str() {
        "DEBUG" | "NOTSET" => Level::Debug,
        "INFO" => Level::Info,
        "WARNING" | "WARN" => Level::Warning,
        "ERROR" => Level::Error,
        "CRITICAL" | "FATAL" => Level::Critical,
        _ => return Err(r.wrong(&["log", "level"], "must be DEBUG, INFO, WARNING, ERROR or CRITICAL")),
    }))
}

/// Permissions are written in octal, whatever YAML makes of the digits.
fn mode(r: &Reader) -> Result<Option<u32>, Error> {
    let path = ["log", "mode"];
    let Some(text) = r.text(&path)? else { return Ok(None) };
    let mode = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o777);
    mode.map(Some).ok_or_else(|| r.wrong(&path, "must be permissions such as 0644"))
}

fn json(r: &Reader) -> Result<Option<Json>, Error> {
    match r.text(&["log", "type"])?.as_deref() {
        None | Some("plain") => return Ok(None),
        Some("json") => {}
        Some(_) => return Err(r.wrong(&["log", "type"], "must be plain or json")),
    }
    let same = |name: &str| (name.to_owned(), name.to_owned());
    let fields = match r.get(&["log", "format"]) {
        Some(serde_json::Value::Array(items)) => items
            .iter()
            .flat_map(|item| match item {
                serde_json::Value::Object(map) => {
                    map.iter().filter_map(|(field, name)| Some((field.clone(), scalar(name)?))).collect::<Vec<_>>()
                }
                other => scalar(other).map(|name| same(&name)).into_iter().collect(),
            })
            .collect(),
        Some(serde_json::Value::String(format)) => {
            format.split("%(").skip(1).filter_map(|part| part.split_once(')')).map(|(name, _)| same(name)).collect()
        }
        _ => Vec::new(),
    };
    let usual = ["asctime", "levelname", "message"].map(same).to_vec();
    let fields = if fields.is_empty() { usual } else { fields };
    Ok(Some(Json { fields, static_fields: r.texts(&["log", "static_fields"])? }))
}
