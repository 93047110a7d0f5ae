//! What a supervised node is: the contents of NODE.json.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Error;

/// One node to keep running. Written by the runner, read by `labrun-agent supervise`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The node's name, for messages.
    pub node: String,
    /// The service's program, an absolute path.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    #[serde(default)]
    pub args: Vec<String>,
    /// Set on top of the supervisor's own environment.
    #[serde(default)]
    pub env: IndexMap<String, String>,
    /// The node's own folder, absolute and existing; the service starts there.
    pub cwd: PathBuf,
    /// Where stdout and stderr of the service go, raw; relative to `cwd` unless absolute.
    pub log: PathBuf,
    /// At this size (bytes) the log moves to `<log>.1`, whose former contents are dropped.
    #[serde(default = "default_log_limit")]
    pub log_limit: u64,
    /// The user to become when started as root; ignored otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The network that the node is plugged into; the machine's own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<super::network::Network>,
    /// Whether the service is started again when it ends by itself.
    #[serde(default)]
    pub restart: Restart,
    /// Addresses that are forwarded into the node.
    #[serde(default)]
    pub publish: Vec<Publish>,
    /// The signal that asks the service to stop: `TERM`, `INT`, `QUIT`, `USR1`, ... with or without `SIG`.
    #[serde(default = "default_stop_signal")]
    pub stop_signal: String,
    /// How long the service may take to stop before everything of the node is killed, in seconds.
    #[serde(default = "default_stop_timeout")]
    pub stop_timeout_s: u64,
}

/// When to start the service again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// Always, after 0.2 s, doubling to 5 s; from 0.2 s again once it has been up for 10 s.
    #[default]
    Always,
    /// Never: when the service ends, so does the supervisor.
    Never,
}

/// One published port: plain TCP from `listen` to `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    pub listen: SocketAddr,
    pub to: SocketAddr,
}

fn default_log_limit() -> u64 {
    16 << 20
}
fn default_stop_signal() -> String {
    "TERM".into()
}
fn default_stop_timeout() -> u64 {
    30
}

impl Spec {
    /// Reads and checks NODE.json.
    pub fn load(path: &Path) -> Result<Spec, Error> {
        let text = std::fs::read(path).map_err(|source| Error::Unreadable { path: path.into(), source })?;
        let spec: Spec =
            serde_json::from_slice(&text).map_err(|source| Error::Invalid { path: path.into(), source })?;
        spec.check().map_err(|reason| Error::Meaning { path: path.into(), reason })?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), String> {
        if self.node.is_empty() {
            return Err("`node` is empty".into());
        }
        for (key, path) in [("program", &self.program), ("cwd", &self.cwd)] {
            if !path.is_absolute() {
                return Err(format!("`{key}` must be an absolute path, not {}", path.display()));
            }
        }
        self.signal()?;
        Ok(())
    }

    /// `stop_signal` as a signal.
    pub(super) fn signal(&self) -> Result<nix::sys::signal::Signal, String> {
        let name = self.stop_signal.to_ascii_uppercase();
        let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
        name.parse().map_err(|_| format!("`stop_signal`: there is no signal {}", self.stop_signal))
    }

    /// The log as an absolute path.
    pub fn log_path(&self) -> PathBuf {
        self.cwd.join(&self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"node":"zoo","program":"/bin/true","cwd":"/tmp","log":"zoo.log"}"#;

    #[test]
    fn defaults_are_those_of_the_doc() {
        let spec: Spec = serde_json::from_str(SMALL).unwrap();
        assert_eq!(spec.restart, Restart::Always);
        assert_eq!(spec.stop_timeout_s, 30);
        assert_eq!(spec.signal(), Ok(nix::sys::signal::Signal::SIGTERM));
        assert_eq!(spec.log_path(), PathBuf::from("/tmp/zoo.log"));
        assert_eq!(serde_json::from_str::<Spec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    }

    #[test]
    fn a_relative_program_an_unknown_key_and_an_unknown_signal_are_refused() {
        let relative: Spec = serde_json::from_str(&SMALL.replace("/bin/true", "true")).unwrap();
        assert!(relative.check().unwrap_err().contains("absolute"));
        let misspelt = SMALL.replace("\"node\"", "\"nodes\":1,\"node\"");
        assert!(serde_json::from_str::<Spec>(&misspelt).unwrap_err().to_string().contains("nodes"));
        let mut spec: Spec = serde_json::from_str(SMALL).unwrap();
        spec.stop_signal = "SOMETHING".into();
        assert!(spec.check().unwrap_err().contains("SOMETHING"));
    }
}
