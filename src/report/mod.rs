//! The report: a pure function of a [`Run`], in Russian or English, as Markdown with pictures and as one HTML page.
//!
//! Every sentence about the run names the facts that it stands on and links to them in the appendix; a sentence
//! whose facts are missing is not written ([`functions`]). On disk, in a run's folder:
//! ```text
//! report.md                the report in the language that was asked for
//! report.<lang>.md         the same, by its language
//! report.<lang>.html       one page, with everything in it: no network, no scripts
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
mod outage;
mod picture;
mod project;
mod redact;
mod render;
mod templates;
mod words;
mod write;

use std::path::{Path, PathBuf};

pub use functions::Withheld;
pub use render::{Report, render};
pub use templates::Templates;
pub use write::{Written, write};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ReportError {
    /// A template is wrong.
    #[error("the template {name}, line {line}: {message}")]
    #[diagnostic(code(LR0501), help("a lab's own templates lie in `templates/` beside its lab.yaml; without them labrun's are used"))]
    Template {
        /// Its path below `templates/`.
        name: String,
        /// The line; 0 where it is not known.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A template is too large.
    #[error("{path} has {bytes} bytes; a template may have {limit}")]
    #[diagnostic(code(LR0502))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// There are too many templates.
    #[error("{folder} holds more than {limit} templates")]
    #[diagnostic(code(LR0503))]
    TooMany {
        /// The folder.
        folder: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {source}")]
    #[diagnostic(code(LR0504))]
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
