//! Writing data to stdout, and words for people to stderr.

use std::fmt;
use std::io::Write;

use serde::Serialize;

use super::CliError;
use crate::lab::Loaded;

/// Print text as it is. A reader that has gone away ends the command quietly.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|source| CliError::Io { what: "write to stdout", source })
}

/// Print one line.
pub fn line(text: &str) -> Result<(), CliError> {
    print(&format!("{text}\n"))
}

/// Print a value as JSON, for people too.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::Io { what: "write JSON", source: std::io::Error::other(error) })?;
    line(&text)
}

/// Say a line on stderr. Where it cannot be written (a full disk, a reader that has gone away), nobody could be
/// told that either, and what the command does matters more: `eprintln!` would end it.
pub fn tell_line(words: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// [`tell_line`] with the arguments of `format!`.
macro_rules! tell {
    ($($words:tt)*) => { $crate::cli::output::tell_line(format_args!($($words)*)) };
}
pub(super) use tell;

/// Say on stderr what was found in a lab and is no error.
pub fn warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tell!("{:?}", miette::Report::new(warning.clone()));
    }
}
