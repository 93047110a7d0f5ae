//! A copy of a running node by pg_basebackup.

use crate::config::{Config, Settings};
use crate::decide::Upstream;

use super::{Error, conninfo, datadir, pgpass, program};

/// Options that the agent sets itself.
const OWN: [&str; 8] = ["pgdata", "format", "wal-method", "xlog-method", "gzip", "version", "compress", "dbname"];

/// Fills the data directory, which must be empty or unfinished. On failure it is empty again.
pub async fn clone(config: &Config, settings: &Settings, from: &Upstream) -> Result<(), Error> {
    let dir = &config.data_dir;
    datadir::make(dir)?;
    datadir::empty_unfinished(dir)?;
    datadir::mark_unfinished(dir)?;
    let finished = basebackup(config, settings, from).await;
    if finished.is_err() {
        datadir::empty_unfinished(dir)?;
    }
    datadir::unmark(dir)?;
    finished
}

async fn basebackup(config: &Config, settings: &Settings, from: &Upstream) -> Result<(), Error> {
    pgpass::write(config, from)?;
    let mut command = program::command(&config.program("pg_basebackup"));
    command.arg(format!("--pgdata={}", config.data_dir.display())).args(["-X", "stream"]);
    command.arg(format!("--dbname={}", conninfo::replication(config, from)));
    let options = settings.basebackup.iter().filter(|option| !OWN.contains(&option.name.as_str()));
    // A new replica is worth a checkpoint at once, unless the configuration thinks otherwise.
    if !settings.basebackup.iter().any(|option| option.name == "checkpoint") {
        command.arg("--checkpoint=fast");
    }
    command.args(options.map(|option| option.argument())).arg("--no-password");
    program::run(command).await.map(|_| ())
}
