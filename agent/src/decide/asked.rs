//! What people have asked this node for: a restart, now or at a time, and a new copy of the data.
//!
//! A request stays in the [`View`](super::View) until it is done or dropped. Filters are Patroni's: `role`,
//! `postgres_version`, `restart_pending`; `timeout` bounds the start that follows.

use std::time::Duration;

use serde_json::{Map, Value};

use super::View;

/// The requests that are open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    pub restart: Option<Restart>,
    pub scheduled_restart: Option<ScheduledRestart>,
    pub reinitialize: Option<Reinitialize>,
}

/// Names one of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    ScheduledRestart,
    Reinitialize,
}

/// A restart that is wanted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// How long PostgreSQL may take before another node takes over; `primary_start_timeout` if `None`.
    pub timeout: Option<Duration>,
}

/// A restart that is wanted at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledRestart {
    /// What the member key tells of it: the request's own keys in their order.
    pub published: Map<String, Value>,
    /// Seconds since 1970.
    pub at: i64,
    /// The start of PostgreSQL that the request was made under: after another one it is void.
    pub start_time: Option<String>,
    pub filter: Filter,
}

/// The data directory is to be replaced by a new copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reinitialize {
    /// Copy the leader, whatever other member is willing.
    pub from_leader: bool,
    /// The old data has been given up.
    pub discarded: bool,
}

/// Which nodes a restart is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub role: Option<String>,
    /// Only an older PostgreSQL than this (150002 for 15.2).
    pub below_version: Option<u32>,
    pub pending_only: bool,
    pub timeout: Option<Duration>,
}

impl Filter {
    /// Why this node is not meant; `None` if it is.
    pub fn excludes(&self, view: &View) -> Option<&'static str> {
        let version = view.pg.server.as_ref().map_or(0, |server| server.version);
        if self.role.as_deref().is_some_and(|role| role != super::role(view).as_str()) {
            return Some("host role mismatch");
        }
        if self.below_version.is_some_and(|below| below <= version) {
            return Some("postgres version mismatch");
        }
        (self.pending_only && view.pg.pending_restart.is_empty()).then_some("pending restart flag is not set")
    }
}
