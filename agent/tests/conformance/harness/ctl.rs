//! patronictl, as PyPI installs it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::cast;
use super::process::Output;

/// A switchover may take patronictl twenty seconds and more.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The command line that runs patronictl with `yaml`.
pub fn command(yaml: &Path, arguments: &[&str]) -> Command {
    let program = cast::patroni_bin().expect("patronictl is found where Patroni is").join("patronictl");
    let mut command = Command::new(program);
    // A wide terminal, so that no table is folded.
    command.arg("-c").arg(yaml).args(arguments).env("COLUMNS", "400").env("LC_ALL", "C.UTF-8");
    command.env("PGPASSWORD", super::sql::SUPERUSER_PASSWORD);
    command
}

impl Output {
    /// Standard output as JSON (`-f json`).
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// Everything that was said.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}
