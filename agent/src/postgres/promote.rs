//! Promotion: the standby becomes a primary.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::config::{Config, Settings};

use super::sql::Connection;
use super::{Error, postmaster, program};

const LOOK: Duration = Duration::from_millis(10);

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
            match open.text("SELECT pg_is_in_recovery()").await {
                Ok(Some(answer)) if answer == "f" => return Ok(()),
                Ok(_) => {}
                Err(_) => connection = None,
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
