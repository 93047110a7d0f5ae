//! What the supervisor says about its service, for whoever looks from outside.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;

/// The file's name inside the node's folder.
pub const STATUS_FILE: &str = "supervisor.json";

/// Contents of `supervisor.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub node: String,
    pub state: State,
    /// The service's pid while it runs.
    pub service_pid: Option<i32>,
    /// How often the service was started again.
    pub restarts: u32,
    /// How the service ended the last time, if it ever did.
    pub last_exit: Option<LastExit>,
    /// When `state` was entered (RFC 3339, UTC).
    pub since: String,
}

/// The states a supervised service goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The service's process exists.
    Running,
    /// It ended and is started again after a pause.
    BackingOff,
    /// It was asked to stop.
    Stopping,
    /// It was stopped as asked; the supervisor is gone.
    Stopped,
    /// It ended by itself and is not to be restarted; the supervisor is gone.
    Exited,
}

/// How a process ended: exactly one of `code` and `signal` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    pub code: Option<i32>,
    pub signal: Option<String>,
    pub at: String,
}

impl Status {
    /// Reads the status of the node whose folder is `dir`; `None` if there is none or it is unreadable.
    pub fn read(dir: &Path) -> Option<Status> {
        serde_json::from_slice(&std::fs::read(dir.join(STATUS_FILE)).ok()?).ok()
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(STATUS_FILE);
        let fresh = dir.join(format!("{STATUS_FILE}.new"));
        let text = serde_json::to_vec(self).unwrap_or_default();
        std::fs::write(&fresh, text).map_err(Error::file("write", &fresh))?;
        std::fs::rename(&fresh, &path).map_err(Error::file("replace", path))
    }
}

pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
