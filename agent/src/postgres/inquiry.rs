//! Asking a PostgreSQL that runs what its configuration is, for `--generate-config`.
//!
//! It is found as libpq would find it: by the connection string, then by libpq's own variables, then by its defaults.

use std::path::Path;

use crate::config::generate::{Running, lines_of, required};
use crate::config::{CONNECT_OPTIONS, ConnectOptions, Credentials};

use super::Error;
use super::conninfo;
use super::sql::{Connection, literal};

/// What is needed to connect. `Debug` shows no password.
#[derive(Debug, Clone, Default)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: Credentials,
}

impl Address {
    /// From a connection string (`key=value`, or a URI) and the environment.
    pub fn new(dsn: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Address, Error> {
        let pairs = pairs(dsn)?;
        let get = |key: &str, name: &str| {
            let given = pairs.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.clone());
            given.or_else(|| variable(name)).filter(|value| !value.is_empty())
        };
        let login = || nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
        let username = get("user", "PGUSER").or_else(login).unwrap_or_default();
        let port = get("port", "PGPORT").unwrap_or_else(|| "5432".into());
        let options = ConnectOptions::of(|name| match name {
            // libpq has no variable for it.
            "sslpassword" => pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()),
            name => get(name, &format!("PG{}", name.to_uppercase().replace('_', ""))),
        });
        Ok(Address {
            host: get("host", "PGHOST").unwrap_or_else(|| default_host().into()),
            port: port.parse().map_err(|_| Error::Other(format!("`{port}` is no port")))?,
            database: get("dbname", "PGDATABASE").unwrap_or_else(|| username.clone()),
            user: Credentials { password: get("password", "PGPASSWORD"), username, options },
        })
    }
}

/// Debian's folder of sockets, or PostgreSQL's own.
fn default_host() -> &'static str {
    const DEBIAN: &str = "/var/run/postgresql";
    if Path::new(DEBIAN).is_dir() { DEBIAN } else { "/tmp" }
}

/// What a connection string may say beside [`CONNECT_OPTIONS`]. The latter half changes nothing here.
const KEYS: [&str; 10] = [
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "connect_timeout",
    "client_encoding",
    "options",
    "target_session_attrs",
];

fn pairs(dsn: &str) -> Result<Vec<(String, String)>, Error> {
    if !dsn.starts_with("postgres://") && !dsn.starts_with("postgresql://") {
        let pairs = conninfo::parse(dsn);
        let unknown = pairs.iter().find(|(key, _)| !KEYS.contains(&&**key) && !CONNECT_OPTIONS.contains(&&**key));
        return match unknown {
            None => Ok(pairs),
            Some((key, _)) => Err(Error::Other(format!("Failed to parse DSN string: `{key}` is none of its keys"))),
        };
    }
    let read: tokio_postgres::Config =
        dsn.parse().map_err(|error| Error::Other(format!("Failed to parse DSN string: {error}")))?;
    let host = read.get_hosts().first().map(|host| match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    });
    let password = read.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    let found = [
        ("host", host),
        ("port", read.get_ports().first().map(ToString::to_string)),
        ("user", read.get_user().map(str::to_owned)),
        ("password", password),
        ("dbname", read.get_dbname().map(str::to_owned)),
    ];
    Ok(found.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
}

/// What it says.
pub async fn ask(address: &Address) -> Result<Running, Error> {
    let connection = Connection::to(&address.host, address.port, &address.database, &address.user).await?;
    if connection.text("SELECT current_setting('is_superuser')").await?.as_deref() != Some("on") {
        return Err(Error::Other("The provided user does not have superuser privilege".into()));
    }
    let named: Vec<_> = required().map(literal).collect();
    let statement = format!(
        "SELECT name, current_setting(name) FROM pg_settings WHERE context <> 'internal' \
         AND source IN ('configuration file', 'command line', 'environment variable') \
         AND category <> 'Write-Ahead Log / Recovery Target' AND setting <> '(disabled)' \
         OR name IN ({}) ORDER BY name",
        named.join(",")
    );
    let rows = connection.rows(&statement).await?;
    let text = |row: &tokio_postgres::SimpleQueryRow, i: usize| row.get(i).unwrap_or_default().to_owned();
    let parameters: Vec<_> = rows.iter().map(|row| (text(row, 0), text(row, 1))).collect();
    let parameter = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
    let data_dir = Path::new(parameter("data_directory").unwrap_or_default()).to_path_buf();
    let read = |name: &str, file: Option<&str>| {
        lines_of(file, &data_dir, name).map_err(Error::file("read", data_dir.join(name)))
    };
    Ok(Running {
        hba: read("pg_hba.conf", parameter("hba_file"))?,
        ident: read("pg_ident.conf", parameter("ident_file"))?,
        bin_dir: program_folder(&data_dir)?,
        superuser: address.user.clone(),
        port: address.port,
        parameters,
    })
}

/// The folder of the program that the postmaster runs.
fn program_folder(data_dir: &Path) -> Result<std::path::PathBuf, Error> {
    let path = data_dir.join("postmaster.pid");
    let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let pid = text.lines().next().unwrap_or_default().trim();
    let program = Path::new("/proc").join(pid).join("exe");
    let program = std::fs::read_link(&program).map_err(Error::file("read", program))?;
    Ok(program.parent().unwrap_or(Path::new("")).to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_goes_before_libpqs_variables_and_those_before_its_defaults() {
        let variable = |name: &str| match name {
            "PGHOST" => Some("10.0.0.9".to_owned()),
            "PGPASSWORD" => Some("by variable".to_owned()),
            "PGSSLMODE" => Some("require".to_owned()),
            _ => None,
        };
        let address = Address::new("port=5433 user='the admin' sslrootcert=/ca", variable).unwrap();
        assert_eq!((address.host.as_str(), address.port, address.database.as_str()), ("10.0.0.9", 5433, "the admin"));
        assert_eq!(address.user.password.as_deref(), Some("by variable"));
        let options: Vec<_> = address.user.options.public().collect();
        assert_eq!(options, [("sslmode", "require"), ("sslrootcert", "/ca")]);
        let address = Address::new("postgresql://me:s%20p@h:1/db", |_| None).unwrap();
        let user = (address.user.username.as_str(), address.user.password.as_deref());
        assert_eq!((address.host.as_str(), address.port, address.database.as_str()), ("h", 1, "db"));
        assert_eq!(user, ("me", Some("s p")));
        assert_eq!(Address::new("", |_| None).unwrap().port, 5432);
        assert!(Address::new("what is this", |_| None).is_err());
        assert!(Address::new("port=x", |_| None).is_err() && Address::new("postgres://h:x/", |_| None).is_err());
        assert!(!format!("{address:?}").contains("s p"));
    }
}
