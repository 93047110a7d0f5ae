//! Starting PostgreSQL, as a primary or as a standby.

use std::time::{Duration, Instant};

use crate::config::{Config, Settings};
use crate::decide::StartAs;

use super::conf::{self, Wanted};
use super::postmaster::{self, Postmaster, Readiness};
use super::sql::Connection;
use super::{Error, control};

/// How often a starting PostgreSQL is looked at.
const LOOK: Duration = Duration::from_millis(15);
/// A standby that is not consistent yet counts as started after this time; it may wait for WAL for long.
const STANDBY_MAY_WAIT: Duration = Duration::from_secs(2);

/// What the next start needs.
pub async fn wanted(config: &Config, how: &StartAs, sync_names: &str) -> Wanted {
    match how {
        StartAs::Primary => Wanted { sync_names: sync_names.to_owned(), ..Wanted::default() },
        StartAs::Standby(upstream) => {
            let control = control::read(config).await;
            Wanted {
                sync_names: String::new(),
                standby: Some(upstream.clone()),
                at_least: control.map(|read| read.at_least).unwrap_or_default(),
                restored: None,
            }
        }
    }
}

/// Writes the configuration and starts the postmaster; it is not ready yet.
pub async fn spawn(config: &Config, settings: &Settings, wanted: &Wanted) -> Result<Postmaster, Error> {
    conf::write(config, settings, wanted).await?;
    // What a custom bootstrap has made brings the signals that it needs.
    if wanted.restored.is_none() {
        conf::set_standby_signal(&config.data_dir, wanted.standby.is_some())?;
    }
    postmaster::spawn(config, settings, wanted)
}

/// Waits until the postmaster accepts connections.
pub async fn ready(config: &Config, settings: &Settings, pid: i32) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        if !postmaster::is_alive(pid) {
            return Err(Error::Other("PostgreSQL ended while it was starting: its log says why".into()));
        }
        match postmaster::readiness(&config.data_dir) {
            Some(Readiness::Ready) => match Connection::local(config, settings).await {
                Ok(_) => return Ok(()),
                // Full, or not to be logged in to: it runs all the same.
                Err(error) if begun.elapsed() > STANDBY_MAY_WAIT => {
                    tracing::warn!("PostgreSQL has started, but the agent cannot log in: {error}");
                    return Ok(());
                }
                Err(_) => {}
            },
            Some(Readiness::Standby) if begun.elapsed() > STANDBY_MAY_WAIT => return Ok(()),
            _ => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}
