//! The agent's own log: one line an event, in Patroni's layout (`2026-01-31 12:00:00,123 INFO: text`), so that whatever
//! reads Patroni's log reads ours; on stderr, or where `log:` says.

mod file;
mod line;

use std::io::Write;
use std::sync::{OnceLock, PoisonError, RwLock};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Registry, reload};

use crate::config::{Level as Wanted, Log};
use file::File;
use line::Line;

pub use file::{queued, records_lost};

/// How and where lines are written; replaced when the configuration is read.
struct State {
    line: Line,
    /// On stderr if there is none.
    file: Option<File>,
}

static STATE: RwLock<Option<State>> = RwLock::new(None);
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Errors with this target are critical: the agent ends for them.
pub const CRITICAL: &str = "labrun_agent::critical";

/// Libraries are heard from errors up.
fn filter(level: Level) -> Targets {
    Targets::new().with_default(Level::ERROR).with_target("labrun_agent", level)
}

/// Starts logging at `level`, on stderr.
pub fn init(level: Level) {
    use tracing_subscriber::prelude::*;
    let (filter, handle) = reload::Layer::new(filter(level));
    let lines = tracing_subscriber::fmt::layer().event_format(line::Formatter).with_writer(|| Sink);
    // A line that cannot be written (a full disk) is lost; telling so on stderr would fail as well, and end the agent.
    let lines = lines.log_internal_errors(false);
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Follows the configuration's `log:` section. A folder that cannot be written to leaves the log where it is.
pub fn configure(log: &Log) {
    let level = match log.level {
        Wanted::Debug => Level::DEBUG,
        Wanted::Info => Level::INFO,
        Wanted::Warning => Level::WARN,
        Wanted::Error | Wanted::Critical => Level::ERROR,
    };
    if let Some(handle) = FILTER.get() {
        let _ = handle.reload(filter(level));
    }
    let opened = log.dir.as_ref().map(|dir| File::open(dir, log)).transpose();
    match opened {
        Ok(file) => *STATE.write().unwrap_or_else(PoisonError::into_inner) = Some(State { line: Line::new(log), file }),
        Err(error) => {
            let dir = log.dir.as_deref().unwrap_or("".as_ref());
            tracing::error!("cannot write the log to {}: {error}", dir.display());
        }
    }
}

/// Where the formatter's lines go.
struct Sink;

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let state = STATE.read().unwrap_or_else(PoisonError::into_inner);
        match state.as_ref().and_then(|state| state.file.as_ref()) {
            Some(file) => file.write(line),
            None => std::io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
