//! What is wrong, and what is merely odd, in a configuration.

use std::fmt;
use std::path::PathBuf;

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// A configuration that the agent cannot work with.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    #[error("cannot read the configuration {}: {source}", path.display())]
    #[diagnostic(code(config::unreadable))]
    Unreadable { path: PathBuf, source: std::io::Error },

    #[error("{file}: {reason}")]
    #[diagnostic(code(config::yaml), help("check the indentation: nested keys are indented by blanks, never by tabs"))]
    Yaml { file: String, reason: String },

    #[error(transparent)]
    #[diagnostic(transparent)]
    Invalid(Box<Invalid>),
}

/// A value that is missing or cannot be used, with its place in the file.
#[derive(Debug, Error, Diagnostic)]
#[error("{file}:{line}: {reason}")]
#[diagnostic(code(config::invalid))]
pub struct Invalid {
    pub file: String,
    pub line: u64,
    pub reason: String,
    #[source_code]
    pub text: NamedSource<String>,
    #[label("here")]
    pub span: Option<SourceSpan>,
    #[help]
    pub help: Option<String>,
}

/// Something odd that does not stop the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub file: String,
    /// 1 is the first line; 0 where there is no line to name.
    pub line: u64,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}
