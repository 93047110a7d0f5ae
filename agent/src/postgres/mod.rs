//! PostgreSQL on this node: its data directory, its processes, its configuration, what it says by SQL.
//!
//! On disk (all but the first two as Patroni has them, so that either can take over from the other):
//! * `<parent>/.<data_dir>.labrun`: the data directory is being made by this agent, see [`datadir`].
//! * `<data_dir>.failed`: what a bootstrap that failed has left.
//! * `<data_dir>/promote`: for the moment of a promotion, PostgreSQL's own trigger.
//! * `<data_dir>/postgresql.conf` (written by the agent) and `postgresql.base.conf` (what initdb wrote).
//! * `<data_dir>/pg_hba.conf`, `pg_ident.conf`, where the configuration sets them; `standby.signal`.
//! * `<data_dir>/patroni.dynamic.json`: the last dynamic configuration seen.
//! * the `pgpass` file that the configuration names: passwords for replication and pg_rewind, mode 0600.

mod accept;
pub mod archive;
mod branch;
pub mod chores;
pub mod clone;
pub mod conf;
mod conninfo;
mod control;
pub mod custom;
pub mod datadir;
mod durable;
pub mod initdb;
pub mod inquiry;
pub mod observe;
pub mod pending;
mod pgpass;
mod pidfd;
pub mod postmaster;
pub(crate) mod program;
pub mod promote;
pub mod rewind;
pub mod slots;
pub mod sql;
pub mod start;
pub mod stop;

use std::path::PathBuf;

use thiserror::Error;

use crate::config::{Config, Credentials};

pub use control::{Read as ControlRead, read as read_control};

/// Why something could not be done in or with PostgreSQL.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot run {}: {source}", program.display())]
    Program { program: PathBuf, source: std::io::Error },
    #[error("{program} failed ({status}): {output}")]
    Failed { program: String, status: String, output: String },
    #[error("SQL: {0}")]
    Sql(String),
    /// Not even an error came.
    #[error("SQL: no {what} within {} s", .limit.as_secs_f32())]
    Silent { what: &'static str, limit: std::time::Duration },
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// A program could not reach another node's PostgreSQL, and so has done nothing yet.
    pub(crate) fn is_about_connecting(&self) -> bool {
        matches!(self, Error::Failed { output, .. } if output.contains("connection to server") || output.contains("could not connect"))
    }

    /// An answer of PostgreSQL's with this SQLSTATE.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        matches!(self, Error::Sql(text) if text.starts_with(code))
    }

    fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { what, path, source }
    }
}

/// Work on files that may take its time (or, on a sick disk, for ever), off the loop's thread.
pub(crate) async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Other(error.to_string())),
    }
}

/// The users that the agent connects as.
pub(crate) fn rewind_user(config: &Config) -> &Credentials {
    config.authentication.rewind.as_ref().unwrap_or(&config.authentication.superuser)
}
