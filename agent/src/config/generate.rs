//! `--generate-config`: the configuration of a node whose PostgreSQL runs already, from what that PostgreSQL says. What
//! it cannot say, such as the password for replication, is left open.
//!
//! What the whole cluster shares goes where a new cluster gets it from, `bootstrap.dcs`. Commands and the places of
//! files are the node's own: who may change the dynamic configuration shall not thereby run programs.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::connect::CONNECT_OPTIONS;
use super::local::Credentials;
use super::sample::{OPEN, template, this_machine};
use super::{env, parameters::CMDLINE_OPTIONS};

/// What a running PostgreSQL says of itself.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// Parameters that somebody has set, and those of [`required`].
    pub parameters: Vec<(String, String)>,
    /// The lines of its pg_hba.conf and pg_ident.conf, where they lie in the data directory.
    pub hba: Vec<String>,
    pub ident: Vec<String>,
    /// Where its programs are.
    pub bin_dir: PathBuf,
    /// Who has asked, and at which port.
    pub superuser: Credentials,
    pub port: u16,
}

/// The parameters that are asked for in any case.
pub fn required() -> impl Iterator<Item = &'static str> {
    ["hba_file", "ident_file", "config_file", "data_directory"].into_iter().chain(CMDLINE_OPTIONS.iter().copied())
}

/// Those that stay with the node.
const LOCAL: [&str; 8] = [
    "archive_command",
    "restore_command",
    "archive_cleanup_command",
    "recovery_end_command",
    "ssl_passphrase_command",
    "hba_file",
    "ident_file",
    "config_file",
];
/// A standby's, which the agent sets itself.
const MANAGED: [&str; 4] =
    ["primary_conninfo", "primary_slot_name", "promote_trigger_file", "recovery_target_timeline"];

/// The YAML text; the environment goes first where it says something.
pub fn generate(running: &Running, environment: impl IntoIterator<Item = (String, String)>) -> String {
    let environment: Vec<_> = environment.into_iter().collect();
    let (host, address) = this_machine();
    let mut value = template(&host, &address);
    take_up(&mut value, running, &address);
    env::apply(&mut value, &environment);
    serde_saphyr::to_string(&value).unwrap_or_default()
}

fn take_up(value: &mut Value, running: &Running, address: &str) {
    let parameter =
        |name: &str| running.parameters.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
    if let Some(name) = parameter("cluster_name").filter(|name| !name.is_empty()) {
        value["scope"] = name.into();
    }
    let bootstrap = &mut value["bootstrap"];
    // There is nothing left to initialise; and rewinding is up to who runs this cluster.
    remove(bootstrap, "initdb");
    remove(&mut bootstrap["dcs"]["postgresql"], "use_pg_rewind");
    let own = ["data_directory", "cluster_name", "port", "listen_addresses"];
    let rest = running.parameters.iter().filter(|(name, _)| !own.contains(&&**name) && !MANAGED.contains(&&**name));
    let (local, shared): (Vec<_>, Vec<_>) = rest.partition(|(name, _)| LOCAL.contains(&&**name));
    for (name, text) in shared {
        bootstrap["dcs"]["postgresql"]["parameters"][name] = text.as_str().into();
    }

    let section = &mut value["postgresql"];
    section["data_dir"] = parameter("data_directory").unwrap_or(OPEN).into();
    section["bin_dir"] = running.bin_dir.display().to_string().into();
    let listen = (parameter("listen_addresses").unwrap_or("*"), parameter("port").unwrap_or("5432"));
    section["listen"] = format!("{}:{}", listen.0, listen.1).into();
    section["connect_address"] = format!("{address}:{}", running.port).into();
    let open = json!({"username": OPEN, "password": OPEN});
    section["authentication"] = json!({"superuser": superuser(&running.superuser), "replication": open});
    section["parameters"] =
        local.into_iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect::<Map<_, _>>().into();
    remove(section, "pg_hba");
    for (name, lines) in [("pg_hba", &running.hba), ("pg_ident", &running.ident)] {
        if !lines.is_empty() {
            section[name] = json!(lines);
        }
    }
}

fn remove(value: &mut Value, key: &str) {
    if let Value::Object(map) = value {
        map.shift_remove(key);
    }
}

fn superuser(user: &Credentials) -> Value {
    let mut section = json!({"username": user.username, "password": user.password.as_deref().unwrap_or(OPEN)});
    for option in CONNECT_OPTIONS {
        if let Some(text) = user.options.get(option) {
            section[option] = text.into();
        }
    }
    section
}

/// The lines that say something, of a file in the data directory; of one elsewhere none, since it is not ours to write.
pub fn lines_of(file: Option<&str>, data_dir: &Path, name: &str) -> std::io::Result<Vec<String>> {
    let path = data_dir.join(name);
    if file.map(Path::new) != Some(&path) {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path)?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Running {
        let set = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        Running {
            parameters: vec![
                set("data_directory", "/data"),
                set("port", "5433"),
                set("listen_addresses", "10.0.0.1"),
                set("cluster_name", "mine"),
                set("max_connections", "77"),
                set("work_mem", "8MB"),
                set("archive_command", "cp %p /a/%f"),
                set("hba_file", "/data/pg_hba.conf"),
                set("primary_conninfo", "host=h password=secret"),
            ],
            hba: vec!["local all all peer".into()],
            bin_dir: "/pg/bin".into(),
            superuser: Credentials {
                username: "admin".into(),
                password: Some("pass".into()),
                ..Credentials::default()
            },
            port: 6000,
            ..Running::default()
        }
    }

    #[test]
    fn what_runs_becomes_a_configuration_that_can_be_read() {
        let set = |name: &str, text: &str| (format!("PATRONI_{name}"), text.to_owned());
        let environment =
            [set("ZOOKEEPER_HOSTS", "zoo:2181"), set("NAME", "pg1"), set("RESTAPI_LISTEN", "10.0.0.1:8008")];
        let environment = environment.into_iter().chain([set("RESTAPI_CONNECT_ADDRESS", "10.0.0.1:8008")]);
        let text = generate(&running(), environment.chain([set("POSTGRESQL_CONNECT_ADDRESS", "10.0.0.1:6000")]));
        let (config, _) = super::super::read("generated", &text, []).unwrap();
        assert_eq!((config.scope.as_str(), config.data_dir.to_str()), ("mine", Some("/data")));
        assert_eq!((config.listen.host.as_str(), config.listen.port), ("10.0.0.1", 5433));
        let shared = &config.bootstrap.dcs["postgresql"]["parameters"];
        assert_eq!((&shared["max_connections"], &shared["work_mem"]), (&json!("77"), &json!("8MB")));
        assert!(shared.get("archive_command").is_none() && shared.get("port").is_none());
        assert_eq!(config.postgresql["parameters"]["archive_command"], "cp %p /a/%f");
        assert_eq!(config.postgresql["pg_hba"], json!(["local all all peer"]));
        let superuser = &config.authentication.superuser;
        assert_eq!((superuser.username.as_str(), superuser.password.as_deref()), ("admin", Some("pass")));
        assert_eq!(config.authentication.replication.password.as_deref(), Some(OPEN));
        assert!(!text.contains("secret") && !text.contains("initdb"), "{text}");
    }

    #[test]
    fn only_files_in_the_data_directory_are_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pg_hba.conf");
        std::fs::write(&path, "# head\n\n local all all peer \n#x\n").unwrap();
        let lines = |file: &str| lines_of(Some(file), dir.path(), "pg_hba.conf").unwrap();
        assert_eq!(lines(path.to_str().unwrap()), ["local all all peer"]);
        assert!(lines("/etc/pg_hba.conf").is_empty());
    }
}
