//! SQL with deadlines: nothing here waits longer than it says.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Config, Credentials, Settings};
use crate::decide::Upstream;
use crate::tls;

use super::Error;

/// To connect, and for any statement that has no deadline of its own.
const QUICK: Duration = Duration::from_secs(3);

/// A connection. It ends when dropped.
pub struct Connection {
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// To the PostgreSQL of this node, as the superuser.
    pub async fn local(config: &Config, settings: &Settings) -> Result<Connection, Error> {
        Connection::local_within(config, settings, QUICK).await
    }

    /// As [`Connection::local`], waiting up to `limit`.
    pub async fn local_within(config: &Config, settings: &Settings, limit: Duration) -> Result<Connection, Error> {
        let (host, port) = local_address(config, settings);
        connect(&Target::here(&host, port, &config.database), &config.authentication.superuser, limit).await
    }

    /// To one of its databases.
    pub async fn local_to(config: &Config, settings: &Settings, database: &str) -> Result<Connection, Error> {
        let (host, port) = local_address(config, settings);
        connect(&Target::here(&host, port, database), &config.authentication.superuser, QUICK).await
    }

    /// To whatever PostgreSQL is there.
    pub async fn to(host: &str, port: u16, database: &str, user: &Credentials) -> Result<Connection, Error> {
        connect(&Target { near: Near::Away, ..Target::here(host, port, database) }, user, QUICK).await
    }

    /// To another node, as the user that may read what pg_rewind reads.
    pub async fn remote(config: &Config, upstream: &Upstream) -> Result<Connection, Error> {
        let target = Target { near: Near::Away, ..Target::here(&upstream.host, upstream.port, &config.database) };
        connect(&target, super::rewind_user(config), QUICK).await
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The rows of a statement (the last one, if there are several), as texts.
    pub async fn rows(&self, statement: &str) -> Result<Vec<SimpleQueryRow>, Error> {
        self.rows_within(statement, QUICK).await
    }

    pub async fn rows_within(&self, statement: &str, limit: Duration) -> Result<Vec<SimpleQueryRow>, Error> {
        let answer = tokio::time::timeout(limit, self.client.simple_query(statement)).await;
        let messages = answer.map_err(|_| Error::Silent { what: "answer", limit })?.map_err(sql_error)?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The first field of the first row.
    pub async fn text(&self, statement: &str) -> Result<Option<String>, Error> {
        Ok(self.rows(statement).await?.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    pub async fn run(&self, statement: &str) -> Result<(), Error> {
        self.rows(statement).await.map(|_| ())
    }

    pub async fn run_within(&self, statement: &str, limit: Duration) -> Result<(), Error> {
        self.rows_within(statement, limit).await.map(|_| ())
    }
}

/// Where to connect to.
struct Target<'a> {
    host: &'a str,
    port: u16,
    database: &'a str,
    near: Near,
}

impl<'a> Target<'a> {
    fn here(host: &'a str, port: u16, database: &'a str) -> Target<'a> {
        Target { host, port, database, near: Near::Here }
    }
}

async fn connect(target: &Target<'_>, user: &Credentials, limit: Duration) -> Result<Connection, Error> {
    let mut failure = None;
    for mode in modes(target.host, user, target.near) {
        match attempt(target, user, *mode, limit).await {
            Err(error) if is_about_the_way(&error) => failure.get_or_insert(error),
            ended => return ended,
        };
    }
    Err(failure.unwrap_or_else(|| Error::Other("no way to connect".into())))
}

/// A server that does not let us in like this might in another way; one that is down, busy or silent would not.
fn is_about_the_way(error: &Error) -> bool {
    let Error::Sql(text) = error else { return false };
    !["57P0", "53", "Connection refused", "No such file"].iter().any(|start| text.starts_with(start))
}

/// Whether the server is this node's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Near {
    Here,
    Away,
}

/// How to connect, the first way first, by libpq's `sslmode`. Without one libpq prefers TLS; so do we, but not on
/// this node, where it would only cost time.
fn modes(host: &str, user: &Credentials, near: Near) -> &'static [SslMode] {
    if host.starts_with('/') {
        return &[SslMode::Disable];
    }
    match user.options.get("sslmode") {
        Some("disable") => &[SslMode::Disable],
        Some("require" | "verify-ca" | "verify-full") => &[SslMode::Require],
        Some("allow") => &[SslMode::Disable, SslMode::Require],
        None if near == Near::Here => &[SslMode::Disable, SslMode::Require],
        _ => &[SslMode::Prefer, SslMode::Disable],
    }
}

async fn attempt(target: &Target<'_>, user: &Credentials, mode: SslMode, limit: Duration) -> Result<Connection, Error> {
    let mut parameters = tokio_postgres::Config::new();
    // Of several hosts, which only a remote primary may have, the one that is the primary is meant.
    target.host.split(',').for_each(|host| {
        parameters.host(host.trim());
    });
    if target.host.contains(',') {
        parameters.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    }
    parameters
        .port(target.port)
        .dbname(target.database)
        .user(&user.username)
        .application_name("labrun-agent")
        .ssl_mode(mode)
        .channel_binding(match user.options.get("channel_binding") {
            Some("require") => ChannelBinding::Require,
            Some("disable") => ChannelBinding::Disable,
            _ => ChannelBinding::Prefer,
        })
        // Our own writes must not wait for a synchronous standby that may be gone.
        .options("-c statement_timeout=0 -c synchronous_commit=local -c search_path=pg_catalog")
        .connect_timeout(limit);
    if let Some(password) = &user.password {
        parameters.password(password);
    }
    if mode == SslMode::Disable {
        return drive(parameters.connect(NoTls), limit).await;
    }
    if user.options.get("sslnegotiation") == Some("direct") {
        parameters.ssl_negotiation(SslNegotiation::Direct).ssl_mode(SslMode::Require);
    }
    let tls = tls::postgres(&user.options).map_err(|error| Error::Sql(error.to_string()))?;
    drive(parameters.connect(MakeRustlsConnect::new(tls)), limit).await
}

async fn drive<S, T>(
    connecting: impl Future<Output = Result<(Client, tokio_postgres::Connection<S, T>), tokio_postgres::Error>>,
    limit: Duration,
) -> Result<Connection, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connected = tokio::time::timeout(limit, connecting).await;
    let (client, connection) =
        connected.map_err(|_| Error::Silent { what: "connection", limit })?.map_err(sql_error)?;
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Connection { client, driver })
}

/// The server's own words, which the library's error only has as its source.
fn sql_error(error: tokio_postgres::Error) -> Error {
    Error::Sql(match error.as_db_error() {
        Some(db) => format!("{}: {}", db.code().code(), db.message()),
        None => std::error::Error::source(&error).map_or_else(|| error.to_string(), |source| source.to_string()),
    })
}

/// Where this node's PostgreSQL can be reached from the node itself.
pub(super) fn local_address(config: &Config, settings: &Settings) -> (String, u16) {
    let port = config.listen.port;
    let directories = settings.parameters.get("unix_socket_directories").map(String::as_str).unwrap_or_default();
    // Only an absolute path is one for a client, too.
    let socket = directories.split(',').map(str::trim).find(|path| path.starts_with('/'));
    if let Some(path) = socket.filter(|_| settings.use_unix_socket) {
        return (path.to_owned(), port);
    }
    let first = config.listen.host.split(',').map(str::trim).find(|host| !host.is_empty()).unwrap_or("*");
    let host = match (first, first.parse::<IpAddr>()) {
        ("*", _) => "127.0.0.1".to_owned(),
        (_, Ok(IpAddr::V4(ip))) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        (_, Ok(IpAddr::V6(ip))) if ip.is_unspecified() => "::1".to_owned(),
        _ => first.to_owned(),
    };
    (host, port)
}

/// A text as a literal of SQL.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A name as an identifier of SQL.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_address_follows_from_listen() {
        let address = |listen: &str, use_socket: bool| {
            let text = include_str!("../../tests/data/postgres0.yml")
                .replace("listen: 0.0.0.0:5432", &format!("listen: '{listen}'"))
                .replace("unix_socket_directories: '.'", "unix_socket_directories: '., /run/x'");
            let config = crate::config::read("f", &text, []).unwrap().0;
            let mut settings = Settings::new(&config, &config.bootstrap.dcs);
            settings.use_unix_socket = use_socket;
            local_address(&config, &settings)
        };
        assert_eq!(address("0.0.0.0:5432", false), ("127.0.0.1".into(), 5432));
        assert_eq!(address("127.0.0.5,10.0.0.1:6000", false), ("127.0.0.5".into(), 6000));
        assert_eq!(address("*:1", false), ("127.0.0.1".into(), 1));
        assert_eq!(address("0.0.0.0:5432", true), ("/run/x".into(), 5432));
    }

    #[test]
    fn tls_is_used_as_libpq_would_but_not_needlessly_on_the_node_itself() {
        let user = |mode: &str| {
            let section = format!("username: postgres\n      sslmode: {mode}");
            let text = include_str!("../../tests/data/postgres0.yml").replace("username: postgres", &section);
            crate::config::read("f", &text, []).unwrap().0.authentication.superuser
        };
        assert_eq!(modes("h", &user("''"), Near::Here), [SslMode::Disable, SslMode::Require]);
        assert_eq!(modes("h", &user("''"), Near::Away), [SslMode::Prefer, SslMode::Disable]);
        assert_eq!(modes("h", &user("prefer"), Near::Here), [SslMode::Prefer, SslMode::Disable]);
        assert_eq!(modes("h", &user("allow"), Near::Away), [SslMode::Disable, SslMode::Require]);
        assert_eq!(modes("h", &user("disable"), Near::Away), [SslMode::Disable]);
        assert_eq!(modes("h", &user("verify-ca"), Near::Here), [SslMode::Require]);
        assert_eq!(modes("/run", &user("verify-ca"), Near::Here), [SslMode::Disable]);
    }

    #[test]
    fn only_a_refusal_is_worth_another_way() {
        let about = |text: &str| is_about_the_way(&Error::Sql(text.into()));
        assert!(about("28000: no pg_hba.conf entry for host, no encryption") && about("invalid peer certificate"));
        assert!(!about("57P03: the database system is starting up") && !about("Connection refused (os error 111)"));
        assert!(!is_about_the_way(&Error::Silent { what: "connection", limit: QUICK }));
    }

    #[test]
    fn literals_and_identifiers_are_quoted() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r" E'a\\b'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
