//! The report: a pure function of a [`Run`], in Russian or English, as Markdown with pictures and as one HTML page.
//!
//! Every sentence about the run names the facts that it stands on and links to them in the appendix; a sentence
//! whose facts are missing is not written ([`functions`]). On disk, in a run's folder:
//! ```text
//! report.md                the report in the language that was asked for
//! report.<lang>.md         the same, by its language
//! report.<lang>.html       one page, with everything in it: no network, no scripts
//! junit.xml, results.tap   the checks for other programs; summary.md what a GitHub job shows
//! images/<name>.<lang>.svg its pictures
//! facts/<id>.txt           what each fact's command printed; facts/SHA256SUMS checks them
//! project/                 the compose project, to be taken away
//! ```

mod commands;
mod context;
mod draw;
mod evidence;
pub mod format;
pub mod functions;
mod html;
mod markdown;
pub mod outputs;
pub mod pages;
mod picture;
mod redact;
mod render;
mod stored;
mod templates;
mod words;
mod write;

use std::path::{Path, PathBuf};

pub use functions::Withheld;
pub use render::{Report, render};
pub use stored::{find_run, read_run, read_series};
pub use templates::Templates;
pub use write::{Written, put, write};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ReportError {
    /// A template is wrong.
    #[error("the template {name}, line {line}: {message}")]
    #[diagnostic(
        code(LR0601),
        help("a lab's own templates lie in `templates/` beside its lab.yaml; without them labrun's are used")
    )]
    Template {
        /// Its path below `templates/`.
        name: String,
        /// The line; 0 where it is not known.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A template beside the lab cannot be used.
    #[error("{message}")]
    #[diagnostic(code(LR0602))]
    Unreadable {
        /// What is wrong.
        message: String,
        /// What to do.
        #[help]
        advice: Option<String>,
    },
    /// There is no such run.
    #[error("there is no run {wanted}: {known}")]
    #[diagnostic(code(LR0604))]
    NoRun {
        /// As it was asked for, and where it was looked for.
        wanted: String,
        /// Those that there are.
        known: String,
    },
    /// A run cannot be read back.
    #[error("{path} is no run: {why}")]
    #[diagnostic(
        code(LR0605),
        help("an interrupted write leaves no such file; was it edited, or made by another labrun?")
    )]
    BadRun {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {source}")]
    #[diagnostic(code(LR0603))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl ReportError {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        ReportError::Io { what, path: path.to_owned(), source }
    }

    fn template(name: &str, error: &minijinja::Error) -> Self {
        let message = match error.kind() {
            minijinja::ErrorKind::OutOfFuel => "it takes too long".to_owned(),
            _ => error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
        };
        let mut name = error.name().unwrap_or(name).to_owned();
        let (mut line, mut message) = (error.line().unwrap_or(0), message);
        // An error within an included template is wrapped by the one that includes it; the innermost says most.
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            if let Some(inner) = inner.downcast_ref::<minijinja::Error>() {
                name = inner.name().unwrap_or(&name).to_owned();
                line = inner.line().unwrap_or(line);
                message = inner.detail().map_or_else(|| inner.kind().to_string(), str::to_owned);
            }
            cause = inner.source();
        }
        ReportError::Template { name, line, message }
    }
}
