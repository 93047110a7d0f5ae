//! `--validate-config`: what else can be wrong with a configuration that can be read, as Patroni's validator sees it.
//! It looks at the machine, too: at addresses, programs and the data directory.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::reader::Reader;
use super::{Address, Config, Error, seconds};

/// How long a server may take to accept a connection.
const REACH: Duration = Duration::from_secs(2);

/// Hosts that mean another machine on each machine.
const NOWHERE: [&str; 5] = ["127.0.0.1", "0.0.0.0", "*", "::1", "localhost"];

/// Programs that the agent runs.
const PROGRAMS: [&str; 5] = ["postgres", "initdb", "pg_controldata", "pg_basebackup", "pg_rewind"];

/// Numbers of `bootstrap.dcs` and their least values.
const LEAST: [(&str, i64); 9] = [
    ("ttl", 20),
    ("loop_wait", 1),
    ("retry_timeout", 3),
    ("maximum_lag_on_failover", 0),
    ("maximum_lag_on_syncnode", -1),
    ("member_slots_ttl", 0),
    ("primary_start_timeout", 0),
    ("primary_stop_timeout", 0),
    ("synchronous_node_count", 1),
];

/// Everything that is wrong. Ports in use do not count where `ignore_listen_port`.
pub(super) fn check(r: &Reader, config: &Config, ignore_listen_port: bool) -> Vec<Error> {
    let mut wrong = Vec::new();
    for (section, connect, listen) in [
        ("restapi", &config.restapi.connect_address, &config.restapi.listen),
        ("postgresql", &config.connect_address, &config.listen),
    ] {
        if r.get(&[section, "connect_address"]).is_some() && NOWHERE.contains(&connect.host.as_str()) {
            let reason =
                format!("must not contain {}: other nodes would look for it on themselves", NOWHERE.join(", "));
            wrong.push(r.wrong(&[section, "connect_address"], &reason));
        }
        if !ignore_listen_port && is_in_use(listen) {
            wrong.push(r.wrong(&[section, "listen"], &format!("port {} is already in use", listen.port)));
        }
    }
    for host in config.zookeeper.hosts.iter().filter(|host| !reaches(host)) {
        wrong.push(r.wrong(&["zookeeper", "hosts"], &format!("{host} is not reachable")));
    }
    if config.authentication.replication.username.is_empty() || r.get(&SUPERUSER).is_none() {
        wrong.push(r.wrong(&SUPERUSER, "is missing"));
    }
    wrong.extend(numbers(r));
    wrong.extend(tags(r));
    wrong.extend(programs(r, config));
    wrong.extend(data_directory(config).map(|reason| r.wrong(&["postgresql", "data_dir"], &reason)));
    wrong
}

const SUPERUSER: [&str; 4] = ["postgresql", "authentication", "superuser", "username"];

fn is_in_use(address: &Address) -> bool {
    let hosts = address.host.split(',').map(|host| if host.trim() == "*" { "0.0.0.0" } else { host.trim() });
    hosts.into_iter().any(|host| connects(&format!("{host}:{}", address.port)))
}

fn reaches(host: &str) -> bool {
    connects(host)
}

fn connects(authority: &str) -> bool {
    let found = authority.to_socket_addrs().into_iter().flatten();
    found.into_iter().any(|address| TcpStream::connect_timeout(&address, REACH).is_ok())
}

fn numbers(r: &Reader) -> Vec<Error> {
    let mut wrong = Vec::new();
    for (key, least) in LEAST {
        let path = ["bootstrap", "dcs", key];
        let Some(value) = r.get(&path) else { continue };
        let number = value.as_i64().or_else(|| seconds(value).and_then(|seconds| i64::try_from(seconds).ok()));
        if number.is_none_or(|number| number < least) {
            wrong.push(r.wrong(&path, &format!("must be a number that is not below {least}, not `{value}`")));
        }
    }
    let mode = ["bootstrap", "dcs", "synchronous_mode"];
    let is_mode = |value: &Value| super::flag(Some(value)).is_some() || value == "quorum";
    if r.get(&mode).is_some_and(|value| !is_mode(value)) {
        wrong.push(r.wrong(&mode, "must be true, false or quorum"));
    }
    wrong
}

fn tags(r: &Reader) -> Vec<Error> {
    let mut wrong = Vec::new();
    for tag in ["nofailover", "noloadbalance", "clonefrom", "nosync", "nostream"] {
        if r.get(&["tags", tag]).is_some_and(|value| !value.is_boolean()) {
            wrong.push(r.wrong(&["tags", tag], "must be true or false"));
        }
    }
    for tag in ["failover_priority", "sync_priority"] {
        if r.get(&["tags", tag]).is_some_and(|value| value.as_u64().is_none()) {
            wrong.push(r.wrong(&["tags", tag], "must be a number that is not below 0"));
        }
    }
    for (flag, priority) in [("nofailover", "failover_priority"), ("nosync", "sync_priority")] {
        if r.get(&["tags", flag]).is_some() && r.get(&["tags", priority]).is_some() {
            wrong.push(r.wrong(&["tags", priority], &format!("must not stand beside `{flag}`")));
        }
    }
    wrong
}

fn programs(r: &Reader, config: &Config) -> Vec<Error> {
    let path: &[&str] = if config.bin_dir.is_some() { &["postgresql", "bin_dir"] } else { &["postgresql"] };
    let missing = PROGRAMS.iter().filter(|name| !is_there(&config.program(name)));
    missing.map(|name| r.wrong(path, &format!("has no program `{}`", config.program(name).display()))).collect()
}

fn is_there(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if program.components().count() > 1 {
        return runs(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| runs(&dir.join(program)))
}

/// What speaks against the data directory.
fn data_directory(config: &Config) -> Option<String> {
    let dir = &config.data_dir;
    if dir.exists() && !dir.is_dir() {
        return Some("is not a directory".into());
    }
    let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if is_empty {
        return None;
    }
    let Ok(version) = std::fs::read_to_string(dir.join("PG_VERSION")) else {
        return Some("doesn't look like a valid data directory".into());
    };
    if !dir.join("pg_wal").is_dir() {
        return Some("is not empty, but doesn't contain \"pg_wal\" directory".into());
    }
    let output = Command::new(config.program("postgres")).arg("--version").output().ok()?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let theirs = words.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let (version, major) = (version.trim(), theirs.split('.').next()?);
    (version != major)
        .then(|| format!("is of PostgreSQL {version}, but the programs in `bin_dir` are those of {major}"))
}
