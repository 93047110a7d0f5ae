//! A new cluster made by a program of the user's own (`bootstrap.<method>`), such as a restore to a point in time.
//!
//! Nobody knows the superuser's password in what it makes. So PostgreSQL is first started with access rules that
//! trust this node alone, until the password is set; then it gets the rules that it should have.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use crate::config::{Config, CustomBootstrap, RestoredRecovery, Settings};

use super::conf::{self, Wanted};
use super::sql::{self, Connection};
use super::{Error, control, datadir, postmaster, program};

const LOOK: Duration = Duration::from_millis(100);

/// The rules that the program's data directory came with.
const RULES: &str = "pg_hba.conf";
const RULES_KEPT: &str = "pg_hba.conf.backup";

/// Runs the program; the data directory must be empty or unfinished.
pub async fn make(config: &Config, custom: &CustomBootstrap, created: i64) -> Result<(), Error> {
    let dir = &config.data_dir;
    tracing::info!("Running custom bootstrap script: {}", custom.command);
    let arguments = arguments(config, custom);
    datadir::make_by(dir, Some(created), false, program::call(&custom.command, &arguments, &[])).await?;
    if !datadir::looks_complete(dir) {
        return Err(Error::Other(format!("{} has made no data directory of PostgreSQL's", custom.command)));
    }
    conf::restore_missing(dir)?;
    datadir::remove_promote_trigger(dir)?;
    set_signals(dir, &custom.recovery)?;
    if !config.bootstrap.pg_hba.is_empty() && !config.postgresql.contains_key("pg_hba") {
        conf::append_hba(dir, &config.bootstrap.pg_hba)?;
    }
    std::fs::copy(dir.join(RULES), dir.join(RULES_KEPT)).map_err(Error::file("copy", dir.join(RULES)))?;
    datadir::mark_initialising(dir, created, false).await
}

fn arguments(config: &Config, custom: &CustomBootstrap) -> Vec<String> {
    let mut arguments = Vec::new();
    if !custom.no_params {
        arguments.push(format!("--scope={}", config.scope));
        arguments.push(format!("--datadir={}", config.data_dir.display()));
    }
    arguments.extend(custom.arguments.iter().map(|(key, value)| format!("--{key}={value}")));
    arguments
}

fn set_signals(dir: &Path, recovery: &RestoredRecovery) -> Result<(), Error> {
    match recovery {
        RestoredRecovery::Kept => Ok(()),
        RestoredRecovery::Removed => conf::set_standby_signal(dir, false),
        RestoredRecovery::Replaced(recovery) => {
            let standby = recovery.get("standby_mode").is_some_and(|mode| mode == "on");
            conf::set_standby_signal(dir, standby)?;
            let signal = dir.join("recovery.signal");
            if !standby {
                std::fs::write(&signal, "").map_err(Error::file("write", signal))?;
            }
            Ok(())
        }
    }
}

/// What PostgreSQL is first started with.
pub async fn wanted(config: &Config, settings: &Settings, custom: &CustomBootstrap) -> Wanted {
    let restored = Some(conf::Restored { recovery: custom.recovery.clone(), rules: trusting(config, settings) });
    // A recovery refuses to run with less than the WAL's primary had.
    let at_least = match custom.recovery {
        RestoredRecovery::Removed => Vec::new(),
        _ => control::read(config).await.map(|read| read.at_least).unwrap_or_default(),
    };
    Wanted { restored, at_least, ..Wanted::default() }
}

/// Access rules that trust the superuser and the replication user from this node.
fn trusting(config: &Config, settings: &Settings) -> Vec<String> {
    let (host, port) = sql::local_address(config, settings);
    let mut places = vec![("local", String::new())];
    if !host.starts_with('/') {
        let addresses = (host.as_str(), port).to_socket_addrs().into_iter().flatten();
        let masked = |ip: std::net::IpAddr| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 });
        places.extend(addresses.map(|address| ("host", masked(address.ip()))));
    }
    let users = &config.authentication;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (superuser, replication) = (quoted(&users.superuser.username), quoted(&users.replication.username));
    let lines = places.iter().flat_map(|(kind, address)| {
        [
            format!("{kind}\treplication\t{replication}\t{address}\ttrust"),
            format!("{kind}\tall\t{superuser}\t{address}\ttrust"),
        ]
    });
    lines.collect()
}

/// Waits for the end of the recovery that the program prepared.
pub async fn recovered(config: &Config, settings: &Settings, pid: i32) -> Result<(), Error> {
    loop {
        if !postmaster::is_alive(pid) {
            return Err(Error::Other("PostgreSQL ended in its recovery: its log says why".into()));
        }
        if let Ok(connection) = Connection::local(config, settings).await
            && connection.text("SELECT pg_is_in_recovery()").await?.as_deref() == Some("f")
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Puts the lasting access rules and settings into place. True if PostgreSQL must be restarted to obey them.
pub async fn close(config: &Config, settings: &Settings, custom: &CustomBootstrap) -> Result<bool, Error> {
    let dir = &config.data_dir;
    if settings.pg_hba.is_none() {
        std::fs::copy(dir.join(RULES_KEPT), dir.join(RULES)).map_err(Error::file("restore", dir.join(RULES)))?;
    }
    conf::set_standby_signal(dir, false)?;
    conf::write(config, settings, &Wanted::default()).await?;
    Ok(settings.parameters.contains_key("hba_file") || custom.recovery != RestoredRecovery::Removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_told_scope_and_data_directory_unless_it_wants_no_parameters() {
        let text = include_str!("../../tests/data/postgres0.yml");
        let config = crate::config::read("f", text, []).unwrap().0;
        let mut custom = CustomBootstrap {
            command: "/x".into(),
            no_params: false,
            arguments: vec![("extra".into(), "word".into())],
            recovery: RestoredRecovery::Removed,
        };
        let told = arguments(&config, &custom);
        assert_eq!(told[0], "--scope=my_cluster");
        assert!(told[1].starts_with("--datadir=") && told[2] == "--extra=word");
        custom.no_params = true;
        assert_eq!(arguments(&config, &custom), ["--extra=word"]);
        let settings = Settings::new(&config, &config.bootstrap.dcs);
        let rules = trusting(&config, &settings);
        assert!(rules.contains(&"host\tall\t\"postgres\"\t127.0.0.1/32\ttrust".to_owned()), "{rules:?}");
        assert_eq!(rules.len(), 4);
    }

    #[test]
    fn signals_say_what_recovery_comes_next() {
        let dir = tempfile::tempdir().unwrap();
        let has = |name: &str| dir.path().join(name).exists();
        std::fs::write(dir.path().join("recovery.signal"), "").unwrap();
        set_signals(dir.path(), &RestoredRecovery::Kept).unwrap();
        assert!(has("recovery.signal"));
        set_signals(dir.path(), &RestoredRecovery::Removed).unwrap();
        assert!(!has("recovery.signal"));
        set_signals(dir.path(), &RestoredRecovery::Replaced(Default::default())).unwrap();
        assert!(has("recovery.signal") && !has("standby.signal"));
    }
}
