//! The agent's own log: one line an event on stderr, in Patroni's layout
//! (`2026-01-31 12:00:00,123 INFO: text`), so that whatever reads Patroni's log reads ours.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = jiff::Zoned::now();
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        write!(out, "{},{:03} {level}: ", now.strftime("%Y-%m-%d %H:%M:%S"), now.millisecond())?;
        context.format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

/// Starts logging at `level`. Libraries are heard from warnings up.
pub fn init(level: Level) {
    use tracing_subscriber::prelude::*;
    let filter =
        tracing_subscriber::filter::Targets::new().with_default(Level::ERROR).with_target("labrun_agent", level);
    let lines = tracing_subscriber::fmt::layer().event_format(Line).with_writer(std::io::stderr);
    // A line that cannot be written (a full disk) is lost; telling so on stderr would fail as well, and end the agent.
    let lines = lines.log_internal_errors(false);
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}
