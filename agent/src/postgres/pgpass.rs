//! The files in which PostgreSQL's programs and the WAL receiver find passwords; nobody else may read them. Beside the
//! password file there is a service file (`<pgpass>.service`), if keys have passwords.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, Credentials};
use crate::decide::Upstream;

use super::{Error, rewind_user};

/// Sections of the service file.
pub(super) const REPLICATION: &str = "replication";
pub(super) const REWIND: &str = "rewind";

/// Writes the passwords for `upstream`: of the replication user and of the one that pg_rewind uses.
pub(super) fn write(config: &Config, upstream: &Upstream) -> Result<(), Error> {
    let users = [(REPLICATION, &config.authentication.replication), (REWIND, rewind_user(config))];
    let text: String = users.into_iter().filter_map(|(_, user)| line(upstream, user)).collect();
    replace(&config.pgpass, &text)?;
    let section = |(name, user): (&str, &Credentials)| {
        user.options.key_password().map(|password| format!("[{name}]\nsslpassword={password}\n"))
    };
    match users.into_iter().filter_map(section).collect::<String>() {
        text if text.is_empty() => Ok(()),
        text => replace(&service_file(config), &text),
    }
}

/// What tells a program where to look.
pub(super) fn environment(config: &Config) -> [(&'static str, String); 2] {
    let text = |path: &Path| path.display().to_string();
    [("PGPASSFILE", text(&config.pgpass)), ("PGSERVICEFILE", text(&service_file(config)))]
}

fn service_file(config: &Config) -> PathBuf {
    let mut name = config.pgpass.clone().into_os_string();
    name.push(".service");
    name.into()
}

fn replace(path: &Path, text: &str) -> Result<(), Error> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    // Replaced as a whole: a WAL receiver that reads it meanwhile sees the old or the new one.
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(Error::file("write", &fresh))?;
    std::fs::rename(&fresh, path).map_err(Error::file("replace", path))
}

fn line(upstream: &Upstream, user: &Credentials) -> Option<String> {
    let password = user.password.as_ref()?;
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let (port, user) = (upstream.port, escaped(&user.username));
    let hosts = upstream.host.split(',').map(escaped);
    Some(hosts.map(|host| format!("{host}:{port}:*:{user}:{}\n", escaped(password))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn passwords_of_keys_are_in_a_private_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let with_key = "username: replicator\n      sslpassword: 'of the key'";
        let text = include_str!("../../tests/data/postgres0.yml").replace("username: replicator", with_key);
        let mut config = crate::config::read("f", &text, []).unwrap().0;
        config.pgpass = dir.path().join("pgpass0");
        write(&config, &Upstream { host: "h".into(), port: 1 }).unwrap();
        let [_, (name, file)] = environment(&config);
        assert_eq!(name, "PGSERVICEFILE");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[replication]\nsslpassword=of the key\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_file_is_private_and_special_characters_are_escaped() {
        let dir = tempfile::tempdir().unwrap();
        let text = include_str!("../../tests/data/postgres0.yml").replace("rep-pass", "'a:b\\c'");
        let mut config = crate::config::read("f", &text, []).unwrap().0;
        config.pgpass = dir.path().join("pgpass0");
        let upstream = Upstream { host: "::1".into(), port: 5433 };
        write(&config, &upstream).unwrap();
        let written = std::fs::read_to_string(&config.pgpass).unwrap();
        assert_eq!(written, "\\:\\:1:5433:*:replicator:a\\:b\\\\c\n\\:\\:1:5433:*:postgres:postgres\n");
        let mode = std::fs::metadata(&config.pgpass).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
