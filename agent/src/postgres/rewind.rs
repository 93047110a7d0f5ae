//! Coming back onto the leader's way: its timeline, crash recovery, pg_rewind.

use std::time::Duration;

use crate::cluster::History;
use crate::config::{Config, Settings};
use crate::decide::{LeaderTimeline, StartAs, Upstream};

use super::sql::Connection;
use super::{Error, archive, branch, conf, conninfo, datadir, durable, pending, pgpass, postmaster, program, start};

/// What a running leader says about its timeline and the former ones.
pub async fn leader_timeline(config: &Config, from: &Upstream, created: i64) -> Result<LeaderTimeline, Error> {
    let connection = Connection::remote(config, from).await?;
    let row = "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN NULL ELSE \
               substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";
    let rows = connection.rows(row).await?;
    let text = rows
        .first()
        .and_then(|row| row.get(1))
        .ok_or_else(|| Error::Other("the leader is not a primary yet".into()))?;
    let timeline = u32::from_str_radix(text, 16).map_err(|_| Error::Other(format!("`{text}` is no timeline")))?;
    let mut history = History::default();
    if timeline > 1 {
        let file = format!("SELECT convert_from(pg_read_binary_file('pg_wal/{timeline:08X}.history'), 'UTF8')");
        history = History::parse_file(&connection.text(&file).await?.unwrap_or_default());
    }
    let sockets = "SELECT 1 FROM pg_ls_dir('.', true, false) AS name WHERE name ~ '^[.]s[.]PGSQL[.][0-9]+$' LIMIT 1";
    let can_be_source = connection.text(sockets).await?.is_none();
    let shared = branch::is_shared(&config.data_dir, &connection, timeline, &history).await?;
    Ok(LeaderTimeline { upstream: from.clone(), created, timeline, history, can_be_source, shared })
}

/// Lets a single-user PostgreSQL finish crash recovery, with archiving switched to failure so that no WAL
/// that the leader never had is archived or recycled.
pub async fn crash_recover(config: &Config, settings: &Settings) -> Result<(), Error> {
    postmaster::wait_for_orphans(&config.data_dir).await;
    conf::write(config, settings, &conf::Wanted::default()).await?;
    archive::ready(config).await;
    conf::set_standby_signal(&config.data_dir, false)?;
    let _ = std::fs::remove_file(config.data_dir.join("postmaster.pid"));
    let mut command = program::command(&config.program("postgres"));
    command.arg("--single").arg("-D").arg(&config.data_dir);
    command.args(["-c", "archive_mode=on", "-c", "archive_command=false"]);
    let config_file = config.data_dir.join("postgresql.conf");
    command.arg("-c").arg(format!("config_file={}", config_file.display())).arg("template1");
    program::run(command).await.map(|_| ())
}

/// pg_rewind may copy a lot.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Its session must not wait for a synchronous standby.
const SESSION: &str = "-c statement_timeout=0 -c synchronous_commit=local";
/// The query by which pg_rewind lists the leader's files looks so costly to the planner that PostgreSQL (from 11 on)
/// would compile it, which takes several times as long as the query: 0.4 of 0.5 s.
const NOT_COMPILED: &str = " -c jit=off";

/// Rewinds the data directory, which must have stopped cleanly, to the leader's way.
pub async fn rewind(config: &Config, settings: &Settings, from: &Upstream) -> Result<(), Error> {
    pgpass::write(config, from)?;
    // As a standby's, it says how WAL is restored.
    let wanted = start::wanted(config, &StartAs::Standby(Some(from.clone())), "").await;
    conf::write(config, settings, &wanted).await?;
    archive::ready(config).await;
    let mut command = program::command(&config.program("pg_rewind"));
    command.arg("-D").arg(&config.data_dir).arg(format!("--source-server={}", conninfo::rewind(config, from)));
    let major = durable::major_version(&config.data_dir).unwrap_or_default();
    let compiles = if major >= 11 { NOT_COMPILED } else { "" };
    command.envs(pgpass::environment(config)).env("PGOPTIONS", format!("{SESSION}{compiles}"));
    let flush = major >= 12;
    if flush {
        command.arg("--no-sync");
    }
    // WAL back to the point where the two ways parted may be gone from here, and be in the archive.
    let restores = pending::after_a_start(config, "restore_command").await.is_some_and(|line| !line.is_empty());
    if restores && major >= 13 {
        command.arg("--restore-target-wal");
    }
    // Until it has ended well, the directory must not be started; if it is killed, not even by its next life.
    datadir::mark_rewinding(&config.data_dir).await?;
    let result = match tokio::time::timeout(LONGEST, program::run(command)).await {
        Ok(Ok(_)) if flush => durable::flush(&config.data_dir).await,
        Ok(result) => result.map(|_| ()),
        Err(_) => Err(Error::Other("pg_rewind did not end within a day".into())),
    };
    if result.is_ok() || result.as_ref().is_err_and(Error::is_about_connecting) {
        datadir::unmark(&config.data_dir).await?;
    }
    result
}
