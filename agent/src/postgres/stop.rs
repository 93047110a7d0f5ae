//! Stopping PostgreSQL.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::config::{Config, Settings};
use crate::decide::StopMode;

use super::sql::Connection;
use super::{pidfd, postmaster, program};

/// What a checkpoint before the stop may take.
const CHECKPOINT: Duration = Duration::from_secs(60);
/// The postmaster kills its children itself after 5 s of an immediate stop; then it is killed.
const IMMEDIATE: Duration = Duration::from_secs(8);
/// Between two rounds of killing.
const AGAIN: Duration = Duration::from_millis(10);

/// Stops the postmaster and returns when it is gone. `limit` turns a clean stop into an immediate one.
pub async fn stop(config: &Config, settings: &Settings, pid: i32, mode: StopMode, limit: Option<Duration>) {
    if mode == (StopMode::Fast { checkpoint: true }) {
        checkpoint(config, settings).await;
    }
    if let StopMode::Fast { .. } = mode {
        before_stop(settings).await;
        postmaster::signal(pid, Signal::SIGINT);
        if gone(pid, limit).await {
            return;
        }
        tracing::warn!("PostgreSQL has not stopped in time; ending it at once");
    }
    if mode != StopMode::Kill {
        postmaster::signal(pid, Signal::SIGQUIT);
        if gone(pid, Some(IMMEDIATE)).await {
            return;
        }
    }
    tracing::warn!("PostgreSQL does not react; killing it");
    postmaster::signal(pid, Signal::SIGKILL);
    let dir = config.data_dir.canonicalize().unwrap_or_else(|_| config.data_dir.clone());
    // What the postmaster started meanwhile is seen the next time.
    while postmaster::kill_all(&dir) | postmaster::is_alive(pid) {
        tokio::time::sleep(AGAIN).await;
    }
}

/// The user's hook runs to its end first. Not before an immediate stop, which is for a lease that may be over:
/// nothing may delay that. (Patroni runs the hook even then.)
async fn before_stop(settings: &Settings) {
    let Some(line) = &settings.hooks.before_stop else { return };
    match program::call(line, &[], &[]).await {
        Ok(()) => tracing::info!("before_stop script `{line}` exited with 0"),
        Err(error) => tracing::warn!("before_stop script `{line}`: {error}"),
    }
}

/// Less is left to write when the clients are gone.
async fn checkpoint(config: &Config, settings: &Settings) {
    if let Ok(connection) = Connection::local(config, settings).await {
        let _ = connection.run_within("CHECKPOINT", CHECKPOINT).await;
    }
}

/// Waits for the end; false if it did not come within `limit`. A zombie counts as gone.
async fn gone(pid: i32, limit: Option<Duration>) -> bool {
    match limit {
        Some(limit) => tokio::time::timeout(limit, pidfd::end_of(pid)).await.is_ok(),
        None => {
            pidfd::end_of(pid).await;
            true
        }
    }
}
