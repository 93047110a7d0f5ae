//! What can go wrong while a node is supervised, with the exit code of each.

use std::net::SocketAddr;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use super::ports::Holder;
use crate::exit;

/// An error of the supervisor. Each says what failed and where; `help` says what to do.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    #[error("cannot read the node file {}: {source}", path.display())]
    #[diagnostic(code(supervise::spec_unreadable))]
    Unreadable { path: PathBuf, source: std::io::Error },

    #[error("the node file {} is not what it should be: {source}", path.display())]
    #[diagnostic(code(supervise::spec_invalid))]
    Invalid { path: PathBuf, source: serde_json::Error },

    #[error("the node file {} is not what it should be: {reason}", path.display())]
    #[diagnostic(code(supervise::spec_meaning))]
    Meaning { path: PathBuf, reason: String },

    #[error("node {node} is already supervised by process {pid}")]
    #[diagnostic(code(supervise::already_running), help("stop that process first"))]
    AlreadyRunning { node: String, pid: i32 },

    #[error("cannot listen on {listen}: {source}{}", held_by(holder))]
    #[diagnostic(code(supervise::port_busy), help("stop what holds the port, or publish the node on another one"))]
    PortBusy { listen: SocketAddr, source: std::io::Error, holder: Option<Holder> },

    #[error("cannot start {}: {source}", program.display())]
    #[diagnostic(code(supervise::program), help("is the program installed, and may this user execute it?"))]
    Program { program: PathBuf, source: std::io::Error },

    #[error("cannot become user {user}: {reason}")]
    #[diagnostic(code(supervise::user))]
    User { user: String, reason: String },

    #[error("cannot {what} {}: {source}", path.display())]
    #[diagnostic(code(supervise::file))]
    File { what: &'static str, path: PathBuf, source: std::io::Error },

    #[error("cannot {what}: {why}")]
    #[diagnostic(code(supervise::network), help("is iproute2 installed, and may this user make network namespaces?"))]
    Network { what: String, why: String },

    #[error("cannot {what}: {source}")]
    #[diagnostic(code(supervise::system))]
    System { what: &'static str, source: std::io::Error },
}

fn held_by(holder: &Option<Holder>) -> String {
    holder.as_ref().map_or_else(String::new, |h| format!(" (held by process {}, {})", h.pid, h.command))
}

impl Error {
    /// The process's exit code for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Unreadable { .. } | Error::Invalid { .. } | Error::Meaning { .. } => exit::CONFIG,
            Error::AlreadyRunning { .. } => exit::ALREADY_RUNNING,
            Error::PortBusy { .. } => exit::PORT_BUSY,
            Error::Program { .. } => exit::PROGRAM,
            Error::User { .. } => exit::WRONG_USER,
            Error::File { .. } | Error::Network { .. } | Error::System { .. } => exit::FAILURE,
        }
    }

    pub(super) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { what, path, source }
    }

    pub(super) fn system(what: &'static str) -> impl FnOnce(nix::Error) -> Error {
        move |errno| Error::System { what, source: errno.into() }
    }
}
