//! Why the agent cannot start.

use miette::Diagnostic;
use thiserror::Error;

use crate::{config, exit};

#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] config::Error),

    #[error("labrun-agent must not run as root: PostgreSQL refuses to")]
    #[diagnostic(
        code(agent::root),
        help("run it as the user that owns the data directory, e.g. `runuser -u postgres -- labrun-agent …`")
    )]
    Root,

    #[error("{0}")]
    #[diagnostic(code(agent::port_busy), help("stop what holds the port, or change `restapi.listen`"))]
    PortBusy(String),

    #[error("{0}")]
    #[diagnostic(code(agent::foreign_data), help("nothing in the directory was touched"))]
    ForeignData(String),

    #[error("cannot find {0}: set `postgresql.bin_dir` to the directory of PostgreSQL's programs")]
    #[diagnostic(code(agent::program), help("on Debian they are in /usr/lib/postgresql/<version>/bin"))]
    Program(String),

    #[error(transparent)]
    #[diagnostic(code(agent::tls), help("`restapi:` and `ctl:` name the files of certificates and keys"))]
    Tls(#[from] crate::tls::Error),

    #[error("PostgreSQL's configuration cannot be read: {0}")]
    #[diagnostic(
        code(agent::inquiry),
        help("say by --dsn how a superuser connects to it, e.g. `--dsn 'host=/var/run/postgresql user=postgres'`")
    )]
    Inquiry(String),

    #[error("cannot start: {0}")]
    #[diagnostic(code(agent::system))]
    System(#[from] std::io::Error),
}

impl Error {
    /// The process's exit code for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Tls(_) => exit::CONFIG,
            Error::Root => exit::WRONG_USER,
            Error::PortBusy(_) => exit::PORT_BUSY,
            Error::ForeignData(_) => exit::FOREIGN_DATA,
            Error::Program(_) => exit::PROGRAM,
            Error::Inquiry(_) | Error::System(_) => exit::FAILURE,
        }
    }
}
