//! Patroni's YAML as it is, read into a [`Config`]: the node's own files, the `PATRONI_*` environment over
//! them, and, merged with the dynamic configuration of the DCS, the [`Settings`] in force.

mod check;
mod connect;
mod env;
mod error;
pub mod generate;
pub mod keys;
mod local;
mod log;
mod parameters;
mod reader;
mod restapi;
mod sample;
mod scripts;
mod settings;
mod slots;
mod standby;
mod timing;
mod units;
mod watchdog;
mod yaml;
mod zookeeper;

pub use connect::{CONNECT_OPTIONS, ConnectOptions};
pub use env::is_patroni_variable;
pub use error::{Error, Invalid, Warning};
pub use local::{Address, Authentication, Bootstrap, Config, Credentials, ListOption};
pub use log::{Json, Level, Log};
pub use parameters::{CMDLINE_OPTIONS, Parameters};
pub use reader::Secret;
pub use restapi::{Identity, PeerAccess, RestApi, ServerTls, VerifyClient};
pub use sample::sample;
pub use scripts::{CustomBootstrap, Hooks, ReplicaMethod, ReplicaScript, RestoredRecovery, words};
pub use settings::{Settings, SyncMode};
pub(crate) use settings::{flag, seconds};
pub use slots::{ClusterType, PermanentSlot, SlotKind, SlotMatcher};
pub use standby::StandbyCluster;
pub use units::Shape;
pub use watchdog::{WatchdogConfig, WatchdogDriver, WatchdogMode};
pub use zookeeper::{ZooKeeper, ZooKeeperTls};

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use reader::{Reader, Source};

/// Reads the file at `path`, or all `*.yml` and `*.yaml` of a directory in alphabetical order, lays the environment
/// over them and checks the whole. Without a file there is `PATRONI_CONFIGURATION`, or the environment alone.
/// Warnings do not stop anything.
pub fn load(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Vec<Warning>), Error> {
    texts(path, environment)?.config()
}

/// As [`load`], and everything that is wrong with what could be loaded, on this machine. Ports in use do not count
/// where `ignore_listen_port`.
pub fn validate(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    ignore_listen_port: bool,
) -> Result<(Vec<Error>, Vec<Warning>), Error> {
    let merged = texts(path, environment)?;
    let (config, warnings) = merged.config()?;
    Ok((check::check(&merged.reader(), &config, ignore_listen_port), warnings))
}

/// The values of the files with the environment over them, as YAML; passwords included.
pub fn print(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<String, Error> {
    let value = texts(path, environment)?.value;
    let unwritable = |error: serde_saphyr::ser::Error| Error::Yaml { file: "output".into(), reason: error.to_string() };
    serde_saphyr::to_string(&value).map_err(unwritable)
}

fn texts(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Merged, Error> {
    let environment: Vec<_> = environment.into_iter().collect();
    let whole = environment.iter().find(|(name, _)| name == env::WHOLE).map(|(_, text)| text.as_str());
    if let Some(text) = whole.filter(|_| !path.exists()) {
        return merged(&[(env::WHOLE.to_owned(), text.to_owned())], &[]);
    }
    if !path.exists() && environment.iter().any(|(name, _)| name == "PATRONI_SCOPE") {
        return merged(&[], &environment);
    }
    let mut texts = Vec::new();
    for file in files(path)? {
        let text = std::fs::read_to_string(&file);
        let text = text.map_err(|source| Error::Unreadable { path: file.clone(), source })?;
        texts.push((file.display().to_string(), text));
    }
    merged(&texts, &environment)
}

/// [`load`] from a text; `file` names it in messages.
pub fn read(
    file: &str,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Vec<Warning>), Error> {
    let environment: Vec<_> = environment.into_iter().collect();
    merged(&[(file.to_owned(), text.to_owned())], &environment)?.config()
}

/// A directory's files; a file itself.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |source| Error::Unreadable { path: path.into(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|ext| ext == "yml" || ext == "yaml") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// All files and the environment in one.
struct Merged {
    sources: Vec<Source>,
    value: Value,
    warnings: Vec<Warning>,
}

impl Merged {
    fn reader(&self) -> Reader<'_> {
        Reader { sources: &self.sources, value: &self.value }
    }

    fn config(&self) -> Result<(Config, Vec<Warning>), Error> {
        let mut warnings = self.warnings.clone();
        let config = local::from_value(&self.reader(), &mut warnings)?;
        Ok((config, warnings))
    }
}

fn merged(texts: &[(String, String)], environment: &[(String, String)]) -> Result<Merged, Error> {
    let mut value = Value::Object(Map::new());
    let (mut sources, mut warnings) = (Vec::new(), Vec::new());
    for (file, text) in texts {
        let tree = yaml::parse(file, text)?;
        warnings.extend(keys::check(file, &tree));
        if let (Value::Object(whole), Value::Object(part)) = (&mut value, tree.value()) {
            crate::cluster::json::merge(whole, &part);
        }
        sources.push(Source { file: file.clone(), tree });
    }
    for name in env::apply(&mut value, environment) {
        warnings.push(Warning { file: name, line: 0, text: "cannot be read; it is ignored".into() });
    }
    Ok(Merged { sources, value, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = include_str!("../../tests/data/postgres0.yml");

    #[test]
    fn the_files_of_a_directory_are_merged_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("10-base.yml"), REFERENCE).unwrap();
        let second = "name: other\npostgresql:\n  database: x\n  bin_dir:\nscop: a\n";
        std::fs::write(dir.path().join("20-own.yaml"), second).unwrap();
        std::fs::write(dir.path().join("30-not.txt"), "{").unwrap();
        let (config, warnings) = load(dir.path(), []).unwrap();
        assert_eq!((config.name.as_str(), config.scope.as_str()), ("other", "my_cluster"));
        // What a later file leaves empty is taken away, as in Patroni.
        assert_eq!((config.database.as_str(), config.bin_dir), ("x", None));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].file.ends_with("20-own.yaml") && warnings[0].line == 5, "{warnings:?}");
        std::fs::write(dir.path().join("40.yml"), "restapi:\n  listen: a:b:c:d\n").unwrap();
        let error = load(dir.path(), []).unwrap_err().to_string();
        assert!(error.contains("40.yml:2"), "{error}");
    }

    #[test]
    fn without_a_file_the_environment_is_enough() {
        let variable = (env::WHOLE.to_owned(), REFERENCE.to_owned());
        assert_eq!(load(Path::new("/nowhere/x.yml"), [variable]).unwrap().0.name, "postgresql0");
        assert!(matches!(load(Path::new("/nowhere/x.yml"), []), Err(Error::Unreadable { .. })));
        let set = |name: &str, text: &str| (format!("PATRONI_{name}"), text.to_owned());
        let variables = [
            set("NAME", "n"),
            set("SCOPE", "s"),
            set("ZOOKEEPER_HOSTS", "z"),
            set("POSTGRESQL_DATA_DIR", "/d"),
            set("REPLICATION_USERNAME", "r"),
        ];
        let (config, _) = load(Path::new("/nowhere/x.yml"), variables).unwrap();
        assert_eq!((config.zookeeper.hosts, config.bootstrap.allowed), (vec!["z:2181".to_owned()], false));
    }
}
