//! Patroni's YAML as it is, read into a [`Config`]: the node's own file, the `PATRONI_*` environment over
//! it, and, merged with the dynamic configuration of the DCS, the [`Settings`] in force.

mod connect;
mod env;
mod error;
mod keys;
mod local;
mod parameters;
mod scripts;
mod settings;
mod slots;
mod standby;
mod timing;
mod watchdog;
mod yaml;

pub use connect::{CONNECT_OPTIONS, ConnectOptions};
pub use env::is_patroni_variable;
pub use error::{Error, Invalid, Warning};
pub use local::{Address, Authentication, Bootstrap, Config, Credentials, ListOption, RestApi};
pub use parameters::{CMDLINE_OPTIONS, Parameters};
pub use scripts::{CustomBootstrap, Hooks, ReplicaMethod, ReplicaScript, RestoredRecovery, words};
pub use settings::{Settings, SyncMode};
pub use slots::{ClusterType, PermanentSlot, SlotKind, SlotMatcher};
pub use standby::StandbyCluster;
pub use watchdog::{WatchdogConfig, WatchdogDriver, WatchdogMode};

use std::path::Path;

/// Reads the file at `path`, lays the environment over it and checks it. Warnings do not stop anything.
pub fn load(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Vec<Warning>), Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.into(), source })?;
    read(&path.display().to_string(), &text, environment)
}

/// [`load`] from a text; `file` names it in messages.
pub fn read(
    file: &str,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Vec<Warning>), Error> {
    let tree = yaml::parse(file, text)?;
    let mut warnings = keys::check(file, &tree);
    let mut value = tree.value();
    env::apply(&mut value, environment);
    let config = local::from_value(file, &tree, &value, &mut warnings)?;
    Ok((config, warnings))
}
