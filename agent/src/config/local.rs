//! The node's own file as types.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::connect::ConnectOptions;
use super::log::{self, Log};
use super::reader::{Reader, scalar, strings};
use super::restapi::{self, PeerAccess, RestApi};
use super::scripts::CustomBootstrap;
use super::watchdog::WatchdogConfig;
use super::zookeeper::{self, ZooKeeper};
use super::{Error, Warning};

/// Everything that the node's file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub scope: String,
    pub name: String,
    pub namespace: String,
    pub restapi: RestApi,
    /// How the other nodes' REST is asked.
    pub peers: PeerAccess,
    pub zookeeper: ZooKeeper,
    pub log: Log,
    pub bootstrap: Bootstrap,
    /// Where PostgreSQL listens: hosts (comma separated, as PostgreSQL takes them) and the port.
    pub listen: Address,
    /// Where others reach it.
    pub connect_address: Address,
    pub proxy_address: Option<String>,
    pub data_dir: PathBuf,
    pub bin_dir: Option<PathBuf>,
    pub bin_name: IndexMap<String, String>,
    pub pgpass: PathBuf,
    pub database: String,
    pub authentication: Authentication,
    pub tags: IndexMap<String, Value>,
    pub watchdog: WatchdogConfig,
    /// The file's `postgresql` section, for whatever has no field here; it wins over the dynamic one.
    pub postgresql: Map<String, Value>,
}

/// A host (or several) and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bootstrap {
    /// The dynamic configuration of a new cluster.
    pub dcs: Map<String, Value>,
    pub initdb: Vec<ListOption>,
    pub pg_hba: Vec<String>,
    /// Whether there is a `bootstrap` section at all: without one the node does not bootstrap a cluster.
    pub allowed: bool,
    /// What makes a new cluster instead of initdb.
    pub custom: Option<CustomBootstrap>,
    /// Runs when the new cluster's superuser is there, with a connection string as its last argument.
    pub post_bootstrap: Option<String>,
}

/// An option of a list such as `initdb:`: `- data-checksums` or `- encoding: UTF8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOption {
    pub name: String,
    pub value: Option<String>,
}

impl ListOption {
    /// As a long option of a command line.
    pub fn argument(&self) -> String {
        match &self.value {
            Some(value) => format!("--{}={value}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

/// The users that the agent works as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    pub superuser: Credentials,
    pub replication: Credentials,
    /// Who pg_rewind reads as; the superuser unless named.
    pub rewind: Option<Credentials>,
}

/// A user name and its password, which never shows in `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    pub username: String,
    pub password: Option<String>,
    pub options: ConnectOptions,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Config {
    /// `conn_url` of the member key.
    pub fn conn_url(&self) -> String {
        format!("postgres://{}:{}/{}", bracketed(&self.connect_address.host), self.connect_address.port, self.database)
    }

    /// `api_url` of the member key.
    pub fn api_url(&self) -> String {
        let address = &self.restapi.connect_address;
        let scheme = if self.restapi.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{}/patroni", bracketed(&address.host), address.port)
    }

    /// The path of one of PostgreSQL's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        let file = self.bin_name.get(name).map_or(name, String::as_str);
        self.bin_dir.as_ref().map_or_else(|| PathBuf::from(file), |dir| dir.join(file))
    }
}

pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// `host:port`, `[v6]:port`, several hosts before one port, or a host alone.
pub(super) fn address(text: &str, default_port: u16) -> Option<Address> {
    let text = text.trim();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port))
            if !port.contains(']') && (!host.contains(':') || host.contains('[') || host.contains(',')) =>
        {
            (host, port.parse().ok()?)
        }
        _ => (text, default_port),
    };
    let bare = |host: &str| host.trim().trim_start_matches('[').trim_end_matches(']').to_owned();
    let hosts: Vec<_> = host.split(',').map(bare).collect();
    let is_host = |host: &String| !host.is_empty() && (!host.contains(':') || host.parse::<Ipv6Addr>().is_ok());
    hosts.iter().all(is_host).then(|| Address { host: hosts.join(","), port })
}

/// A list of options as it is written under `initdb:` or `basebackup:`.
pub(super) fn list_options(value: Option<&Value>) -> Vec<ListOption> {
    let pair = |(name, value): (&String, &Value)| ListOption { name: name.clone(), value: scalar(value) };
    match value {
        Some(Value::Array(items)) => items
            .iter()
            .flat_map(|item| match item {
                Value::Object(map) => map.iter().map(pair).collect(),
                other => scalar(other).map(|name| ListOption { name, value: None }).into_iter().collect::<Vec<_>>(),
            })
            .collect(),
        Some(Value::Object(map)) => map.iter().map(pair).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn from_value(r: &Reader, warnings: &mut Vec<Warning>) -> Result<Config, Error> {
    let scope = r.required(&["scope"])?;
    let name = r.required(&["name"])?;
    let zookeeper = zookeeper::zookeeper(r)?;
    let mut postgresql = r.map(&["postgresql"])?;
    // It has a field of its own, which does not show the passwords.
    postgresql.shift_remove("authentication");
    let data_dir = r.required(&["postgresql", "data_dir"])?;
    let (listen, connect_address) = addresses(r, "postgresql", 5432, "127.0.0.1")?;
    let (rest_listen, rest_connect) = addresses(r, "restapi", 8008, "127.0.0.1")?;
    let pgpass = match r.text(&["postgresql", "pgpass"])? {
        Some(path) => path.into(),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join("pgpass"),
    };
    for section in ["superuser", "replication"] {
        if r.get(&["postgresql", "authentication", section, "password"]).is_none() {
            let text = format!("`postgresql.authentication.{section}` has no password");
            let place = r.nearest(&["postgresql", "authentication", section]);
            let (file, line) = place.map_or((String::new(), 0), |(source, key)| (source.file.clone(), key.line));
            warnings.push(Warning { file, line, text });
        }
    }
    let (watchdog, wrong) = WatchdogConfig::from_map(&r.map(&["watchdog"])?);
    if let Some(text) = wrong {
        let place = r.nearest(&["watchdog", "mode"]);
        let (file, line) = place.map_or((String::new(), 0), |(source, key)| (source.file.clone(), key.line));
        warnings.push(Warning { file, line, text });
    }
    for (switch, priority) in [("nofailover", "failover_priority"), ("nosync", "sync_priority")] {
        let place = r.nearest(&["tags", switch]);
        let (file, line) = place.map_or((String::new(), 0), |(source, key)| (source.file.clone(), key.line));
        let conflict = conflict(r, switch, priority).map(|text| Warning { file, line, text });
        warnings.extend(conflict);
    }
    Ok(Config {
        scope,
        watchdog,
        name,
        namespace: r.text(&["namespace"])?.unwrap_or_else(|| "service".into()),
        restapi: restapi::restapi(r, rest_listen, rest_connect)?,
        peers: restapi::peers(r)?,
        zookeeper,
        log: log::log(r)?,
        bootstrap: bootstrap(r)?,
        listen,
        connect_address,
        proxy_address: r.text(&["postgresql", "proxy_address"])?,
        data_dir: std::path::absolute(&data_dir).unwrap_or_else(|_| data_dir.into()),
        bin_dir: r.text(&["postgresql", "bin_dir"])?.filter(|dir| !dir.is_empty()).map(PathBuf::from),
        bin_name: r
            .map(&["postgresql", "bin_name"])?
            .iter()
            .filter_map(|(k, v)| Some((k.clone(), scalar(v)?)))
            .collect(),
        pgpass: std::path::absolute(&pgpass).unwrap_or(pgpass),
        database: r.text(&["postgresql", "database"])?.unwrap_or_else(|| "postgres".into()),
        authentication: authentication(r)?,
        tags: r.map(&["tags"])?.into_iter().filter(|(name, value)| tag_is_published(name, value, r)).collect(),
        postgresql,
    })
}

/// The two tags say different things: the switch counts. In Patroni's words, which are Python's.
fn conflict(r: &Reader, switch: &str, priority: &str) -> Option<String> {
    let on = r.get(&["tags", switch])?;
    let on = match on {
        Value::Null => return None,
        Value::Bool(on) => *on,
        Value::String(text) => !text.is_empty(),
        other => other.as_f64() != Some(0.0),
    };
    let number = match r.get(&["tags", priority])? {
        Value::String(text) => text.trim().parse().ok()?,
        number => number.as_i64()?,
    };
    let said = if on { "True" } else { "False" };
    (on == (number > 0)).then(|| {
        format!(
            "Conflicting configuration between {switch}: {said} and {priority}: {number}. Defaulting to {switch}: {said}"
        )
    })
}

/// Patroni leaves out the boolean tags that are off; `nofailover` and `nosync` stay beside their priority.
fn tag_is_published(name: &str, value: &Value, r: &Reader) -> bool {
    let twin = match name {
        "nofailover" => "failover_priority",
        "nosync" => "sync_priority",
        "clonefrom" | "noloadbalance" | "nostream" => {
            return value != &Value::Bool(false) && !value.is_null();
        }
        _ => return true,
    };
    value != &Value::Bool(false) && !value.is_null() || r.get(&["tags", twin]).is_some()
}

/// `listen` and `connect_address` of a section; the latter follows from the former where that names one host.
fn addresses(r: &Reader, section: &str, port: u16, default: &str) -> Result<(Address, Address), Error> {
    if section == "restapi" && r.text(&[section, "listen"])?.is_some_and(|listen| !listen.contains(':')) {
        return Err(r.wrong(&[section, "listen"], "must be host:port"));
    }
    let listen = r.address(&[section, "listen"], port)?.unwrap_or(Address { host: default.into(), port });
    if let Some(connect) = r.address(&[section, "connect_address"], listen.port)? {
        return Ok((listen, connect));
    }
    let first = listen.host.split(',').next().unwrap_or_default().trim();
    if matches!(first, "*" | "0.0.0.0" | "::" | "") {
        let reason = format!("is missing, and does not follow from `listen: {}`", listen.host);
        return Err(r.wrong(&[section, "connect_address"], &reason));
    }
    let connect = Address { host: first.to_owned(), port: listen.port };
    Ok((listen, connect))
}

fn bootstrap(r: &Reader) -> Result<Bootstrap, Error> {
    Ok(Bootstrap {
        dcs: r.map(&["bootstrap", "dcs"])?,
        initdb: list_options(r.get(&["bootstrap", "initdb"])),
        pg_hba: strings(r.get(&["bootstrap", "pg_hba"])),
        allowed: r.get(&["bootstrap"]).is_some(),
        custom: CustomBootstrap::of(&r.map(&["bootstrap"])?),
        post_bootstrap: match r.text(&["bootstrap", "post_bootstrap"])? {
            Some(command) => Some(command),
            None => r.text(&["bootstrap", "post_init"])?,
        },
    })
}

fn authentication(r: &Reader) -> Result<Authentication, Error> {
    let user = |who: &str| {
        let path = ["postgresql", "authentication", who];
        let username = r.text(&[path[0], path[1], who, "username"])?;
        let password = r.text(&[path[0], path[1], who, "password"])?;
        let options = ConnectOptions::new(|name| r.text(&[path[0], path[1], who, name]))?;
        Ok::<_, Error>(username.map(|username| Credentials { username, password, options }))
    };
    let fallback = std::env::var("USER").unwrap_or_else(|_| "postgres".into());
    Ok(Authentication {
        superuser: user("superuser")?.unwrap_or(Credentials { username: fallback, ..Credentials::default() }),
        replication: user("replication")?
            .ok_or_else(|| r.wrong(&["postgresql", "authentication", "replication", "username"], "is missing"))?,
        rewind: user("rewind")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    const REFERENCE: &str = include_str!("../../tests/data/postgres0.yml");

    fn config(text: &str) -> Result<(Config, Vec<Warning>), Error> {
        read("postgres0.yml", text, [])
    }

    #[test]
    fn the_reference_file_is_read_whole_and_without_a_warning() {
        let (config, warnings) = config(REFERENCE).unwrap();
        assert_eq!(warnings, []);
        assert_eq!((config.scope.as_str(), config.name.as_str()), ("my_cluster", "postgresql0"));
        assert_eq!(config.conn_url(), "postgres://pg-master:5432/postgres");
        assert_eq!(config.api_url(), "http://pg-master:8008/patroni");
        assert_eq!(config.zookeeper.hosts, ["zoo:2181"]);
        assert_eq!(config.listen, Address { host: "0.0.0.0".into(), port: 5432 });
        assert_eq!(config.authentication.replication.password.as_deref(), Some("rep-pass"));
        assert_eq!(config.bootstrap.pg_hba.len(), 2);
        assert_eq!(config.bootstrap.dcs["ttl"], 30);
        // All four tags are off, so none is published.
        assert!(config.tags.is_empty());
        assert!(!format!("{config:?}").contains("rep-pass"), "a password shows");
        assert_eq!(config.program("initdb"), PathBuf::from("/usr/lib/postgresql/15/bin/initdb"));
    }

    #[test]
    fn errors_name_the_line_and_lost_indentation() {
        let without = REFERENCE.replace("scope: my_cluster", "scop: my_cluster");
        assert!(config(&without).unwrap_err().to_string().contains("`scope` is missing"));
        let lost: String = REFERENCE.lines().map(|line| line.trim_start().to_owned() + "\n").collect();
        // Every `listen:` now stands at the top level, twice.
        assert!(config(&lost).unwrap_err().to_string().contains("postgres0.yml"));
        let flat = "scope: a\nname: b\nzookeeper:\nhosts: ['z:2181']\n";
        let Error::Invalid(invalid) = config(flat).unwrap_err() else { panic!("another error") };
        assert_eq!(invalid.line, 3);
        assert!(invalid.help.unwrap().contains("indentation"));
        let wrong = REFERENCE.replace("connect_address: pg-master:8008", "connect_address: pg-master:port");
        assert!(config(&wrong).unwrap_err().to_string().contains("postgres0.yml:6"));
    }

    #[test]
    fn a_switch_and_a_priority_that_contradict_each_other_are_told() {
        let warned = |tags: &str| {
            let text = REFERENCE.split("tags:").next().unwrap().to_owned() + "tags:" + tags;
            let (_, warnings) = config(&text).unwrap();
            warnings.into_iter().map(|warning| warning.text).collect::<Vec<_>>()
        };
        assert_eq!(
            warned("\n  nofailover: true\n  failover_priority: 1\n  nosync: false\n  sync_priority: 0\n"),
            [
                "Conflicting configuration between nofailover: True and failover_priority: 1. \
                 Defaulting to nofailover: True",
                "Conflicting configuration between nosync: False and sync_priority: 0. Defaulting to nosync: False",
            ]
        );
        assert!(warned("\n  nofailover: false\n  failover_priority: 1\n  nosync: true\n").is_empty());
    }

    #[test]
    fn tags_keep_order_and_type_and_priorities_keep_their_twin() {
        let yaml = "\n  nofailover: false\n  clonefrom: true\n  failover_priority: 2\n  mytag: '1'\n  nosync: false\n";
        let text = REFERENCE.split("tags:").next().unwrap().to_owned() + "tags:" + yaml;
        let (config, _) = config(&text).unwrap();
        let tags = serde_json::to_string(&config.tags).unwrap();
        assert_eq!(tags, r#"{"nofailover":false,"clonefrom":true,"failover_priority":2,"mytag":"1"}"#);
    }

    #[test]
    fn connect_address_follows_from_listen_unless_that_is_everything() {
        let text = REFERENCE.replace("  connect_address: pg-master:5432\n", "");
        assert!(config(&text).unwrap_err().to_string().contains("postgresql.connect_address"));
        let text = text.replace("listen: 0.0.0.0:5432", "listen: 127.0.0.5,10.0.0.1:6000");
        assert_eq!(config(&text).unwrap().0.conn_url(), "postgres://127.0.0.5:6000/postgres");
    }

    #[test]
    fn options_are_lists_of_words_and_pairs() {
        let value = serde_json::json!(["data-checksums", {"encoding": "UTF8"}]);
        let options: Vec<_> = list_options(Some(&value)).iter().map(ListOption::argument).collect();
        assert_eq!(options, ["--data-checksums", "--encoding=UTF8"]);
    }
}
