//! The password file that PostgreSQL's programs and the WAL receiver read; nobody else may.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use crate::config::{Config, Credentials};
use crate::decide::Upstream;

use super::{Error, rewind_user};

/// Writes the passwords for `upstream`: of the replication user and of the one that pg_rewind uses.
pub(super) fn write(config: &Config, upstream: &Upstream) -> Result<(), Error> {
    let path = &config.pgpass;
    let text: String = [&config.authentication.replication, rewind_user(config)]
        .into_iter()
        .filter_map(|user| line(upstream, user))
        .collect();
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
    let (host, port) = (escaped(&upstream.host), upstream.port);
    Some(format!("{host}:{port}:*:{}:{}\n", escaped(&user.username), escaped(password)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
