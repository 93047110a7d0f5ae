//! Promotion: the standby becomes a primary.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::config::{Config, Settings};

use super::sql::Connection;
use super::{Error, postmaster, program};

const LOOK: Duration = Duration::from_millis(10);

/// Whether it is a standby still, and the startup process where that only waits to ask for WAL again. It notices the
/// promotion while it waits for a receiver that was not started yet (the former primary has just gone), stops waiting
/// for that, and sleeps all the same until wal_retrieve_retry_interval (5 s) is over since it asked before: nothing
/// wakes it then but a signal. In PostgreSQL 10 to 12 that wait has the other name.
const STATE: &str = "SELECT pg_is_in_recovery()::text, (SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup' \
                     AND wait_event IN ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream'))";

/// Asks for the promotion as `pg_ctl promote` does, and waits until the server takes writes.
pub async fn promote(config: &Config, settings: &Settings, pid: i32) -> Result<(), Error> {
    if let Some(line) = &settings.hooks.pre_promote {
        let ended = program::call(line, &[], &[]).await;
        let status = ended.as_ref().map_or_else(ToString::to_string, |()| "0".into());
        tracing::info!("pre_promote script `{line}` exited with {status}");
        ended?;
    }
    let trigger = config.data_dir.join("promote");
    std::fs::write(&trigger, "").map_err(Error::file("write", &trigger))?;
    postmaster::signal(pid, Signal::SIGUSR1);
    let mut connection: Option<Connection> = None;
    loop {
        if !postmaster::is_alive(pid) {
            return Err(Error::Other("PostgreSQL ended while it was promoted: its log says why".into()));
        }
        connection = match connection.take() {
            Some(open) if !open.is_closed() => Some(open),
            _ => Connection::local(config, settings).await.ok(),
        };
        if let Some(open) = &connection {
            match open.rows(STATE).await.as_deref() {
                Ok([row]) if row.get(0) == Some("false") => return Ok(()),
                // It wakes the process, which then goes on with the promotion.
                Ok([row]) => {
                    let startup = row.get(1).and_then(|pid| pid.parse().ok());
                    startup.into_iter().for_each(|startup| postmaster::signal(startup, Signal::SIGHUP));
                }
                _ => connection = None,
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
