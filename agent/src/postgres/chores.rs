//! Quick things in a running PostgreSQL.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::Lsn;
use crate::config::{Config, Settings};
use crate::decide::Upstream;

use super::conf::{self, Wanted};
use super::sql::Connection;
use super::{Error, control, postmaster};

/// How often, and how long, a changed setting is looked for.
const LOOK: Duration = Duration::from_millis(10);
const TAKES_EFFECT: Duration = Duration::from_secs(5);
const RELOAD: Duration = Duration::from_secs(1);
/// How long the checkpointer must have been idle since; and how long it may be busy at most.
const CHECKPOINTER_IDLE: Duration = Duration::from_millis(200);
const CHECKPOINTER_BUSY: Duration = Duration::from_secs(2);

/// Sets `synchronous_standby_names`. The answer is a WAL position from which on every commit obeys it; none on a
/// standby, which commits nothing.
///
/// A commit waits if the checkpointer has told the shared memory that there are synchronous standbys, which
/// it does when it reads the configuration: at once if it is idle. A session that sees the new value shows
/// only that the signal was sent. So the position is taken when the checkpointer has been idle for a while
/// after that, or after the 2 s that Patroni waits. Every commit that was acknowledged before is flushed by then.
pub async fn set_sync_names(config: &Config, settings: &Settings, names: &str, pid: i32) -> Result<Option<Lsn>, Error> {
    let (standby, at_least) = (standby(config), at_least(config).await);
    let wanted = Wanted { sync_names: names.to_owned(), standby, at_least, ..Wanted::default() };
    let connection = Connection::local(config, settings).await?;
    if conf::write(config, settings, &wanted).await? || connection.text(CURRENT_NAMES).await?.as_deref() != Some(names)
    {
        postmaster::signal(pid, Signal::SIGHUP);
    }
    let begun = Instant::now();
    while connection.text(CURRENT_NAMES).await?.as_deref() != Some(names) {
        if begun.elapsed() > TAKES_EFFECT {
            return Err(Error::Other(format!("synchronous_standby_names = '{names}' takes no effect")));
        }
        tokio::time::sleep(LOOK).await;
    }
    if connection.text("SELECT pg_is_in_recovery()").await?.as_deref() == Some("t") {
        return Ok(None);
    }
    checkpointer_has_read(&connection).await?;
    let position = connection.text("SELECT pg_current_wal_flush_lsn()").await?.unwrap_or_default();
    position.parse().map(Some).map_err(|_| Error::Other(format!("`{position}` is no WAL position")))
}

const CURRENT_NAMES: &str = "SELECT current_setting('synchronous_standby_names')";

async fn checkpointer_has_read(connection: &Connection) -> Result<(), Error> {
    let begun = Instant::now();
    let mut idle_since: Option<Instant> = None;
    while begun.elapsed() < CHECKPOINTER_BUSY {
        let waits = "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
        let idle = connection.text(waits).await?.as_deref() == Some("CheckpointerMain");
        idle_since = if idle { idle_since.or_else(|| Some(Instant::now())) } else { None };
        if idle_since.is_some_and(|since| since.elapsed() >= CHECKPOINTER_IDLE) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The recovery settings that are in the file now stay in it.
pub(crate) fn standby(config: &Config) -> Option<Option<Upstream>> {
    let text = std::fs::read_to_string(config.data_dir.join("postgresql.conf")).unwrap_or_default();
    if !text.contains("recovery_target_timeline") {
        return None;
    }
    let line = text.lines().find_map(|line| line.strip_prefix("primary_conninfo = '")).unwrap_or_default();
    let conninfo = line.trim_end_matches('\'').replace("\\'", "'").replace("\\\\", "\\");
    Some(super::conninfo::upstream(config, &conninfo))
}

/// `synchronous_standby_names` as the file has them.
pub fn sync_names_in_file(config: &Config) -> String {
    let text = std::fs::read_to_string(config.data_dir.join("postgresql.conf")).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix("synchronous_standby_names = '"));
    value.unwrap_or_default().trim_end_matches('\'').replace("\\'", "'").replace("\\\\", "\\")
}

/// Has PostgreSQL read its files again, and waits until a session has, for a second at most.
pub async fn reload(config: &Config, settings: &Settings, pid: i32) {
    let connection = Connection::local(config, settings).await;
    let loaded = async |connection: &Connection| connection.text("SELECT pg_conf_load_time()").await.ok().flatten();
    let before = match &connection {
        Ok(connection) => loaded(connection).await,
        Err(_) => None,
    };
    postmaster::signal(pid, Signal::SIGHUP);
    let Ok(connection) = connection else { return };
    let begun = Instant::now();
    while begun.elapsed() < RELOAD && loaded(&connection).await == before {
        tokio::time::sleep(LOOK).await;
    }
}

/// Writes the files for changed settings, with what the agent manages as it is. True if something changed.
pub async fn rewrite(config: &Config, settings: &Settings) -> Result<bool, Error> {
    let wanted = Wanted { sync_names: sync_names_in_file(config), standby: standby(config), ..Wanted::default() };
    conf::write(config, settings, &wanted).await
}

async fn at_least(config: &Config) -> Vec<(&'static str, u64)> {
    if !super::datadir::standby_signal(&config.data_dir) {
        return Vec::new();
    }
    control::read(config).await.map(|read| read.at_least).unwrap_or_default()
}

/// How long a checkpoint may take.
const CHECKPOINT: Duration = Duration::from_secs(3600);

pub async fn checkpoint(config: &Config, settings: &Settings) -> Result<(), Error> {
    Connection::local(config, settings).await?.run_within("CHECKPOINT", CHECKPOINT).await
}

/// A standby that pauses for want of room goes down with it.
pub async fn resume_replay(config: &Config, settings: &Settings) -> Result<(), Error> {
    tracing::info!("Resuming paused WAL replay for PostgreSQL 14+");
    Connection::local(config, settings).await?.run("SELECT pg_wal_replay_resume()").await
}

/// Points the standby at another upstream; from PostgreSQL 13 on that needs no restart.
pub async fn follow(config: &Config, settings: &Settings, upstream: Option<Upstream>, pid: i32) -> Result<(), Error> {
    let wanted = Wanted { standby: Some(upstream), at_least: at_least(config).await, ..Wanted::default() };
    conf::write(config, settings, &wanted).await?;
    postmaster::signal(pid, Signal::SIGHUP);
    let connection = Connection::local(config, settings).await?;
    let expected = wanted.standby.flatten();
    let begun = Instant::now();
    loop {
        let now = connection.text("SELECT current_setting('primary_conninfo')").await?.unwrap_or_default();
        if super::conninfo::upstream(config, &now) == expected {
            return Ok(());
        }
        if begun.elapsed() > TAKES_EFFECT {
            return Err(Error::Other("primary_conninfo takes no effect".into()));
        }
        tokio::time::sleep(LOOK).await;
    }
}
