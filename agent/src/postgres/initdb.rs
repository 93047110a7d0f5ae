//! A new cluster: initdb, and the users that it needs.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Credentials, Settings};

use super::sql::{Connection, identifier, literal};
use super::{Error, conf, datadir, program};

/// Runs initdb in the data directory, which must be empty or unfinished. On failure it is empty again.
pub async fn initdb(config: &Config, created: i64) -> Result<(), Error> {
    let dir = &config.data_dir;
    datadir::make(dir)?;
    datadir::empty_unfinished(dir)?;
    datadir::mark_unfinished(dir)?;
    let finished = run(config).await;
    if finished.is_err() {
        datadir::empty_unfinished(dir)?;
        datadir::unmark(dir)?;
    }
    finished?;
    datadir::mark_initialising(dir, created, false)
}

async fn run(config: &Config) -> Result<(), Error> {
    let superuser = &config.authentication.superuser;
    let password = PasswordFile::new(config, superuser)?;
    let mut command = program::command(&config.program("initdb"));
    command.arg("-D").arg(&config.data_dir).arg(format!("--username={}", superuser.username));
    if let Some(file) = &password {
        command.arg(format!("--pwfile={}", file.0.display()));
    }
    command.args(config.bootstrap.initdb.iter().map(|option| option.argument()));
    program::run(command).await?;
    if !config.bootstrap.pg_hba.is_empty() && !config.postgresql.contains_key("pg_hba") {
        conf::append_hba(&config.data_dir, &config.bootstrap.pg_hba)?;
    }
    Ok(())
}

/// The superuser's password for initdb: beside the data directory, private, removed when done with.
struct PasswordFile(PathBuf);

impl PasswordFile {
    fn new(config: &Config, user: &Credentials) -> Result<Option<PasswordFile>, Error> {
        let Some(password) = &user.password else { return Ok(None) };
        let name = config.data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = config.data_dir.with_file_name(format!(".{name}.labrun-pw"));
        let _ = std::fs::remove_file(&path);
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let guard = PasswordFile(path.clone());
        let written = file.and_then(|mut file| file.write_all(password.as_bytes()));
        written.map_err(Error::file("write", &path))?;
        Ok(Some(guard))
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Creates the users of the configuration in a new, running primary and runs `post_bootstrap`. Can be
/// repeated after a crash half way.
pub async fn populate(config: &Config, settings: &Settings, created: i64) -> Result<(), Error> {
    let connection = Connection::local(config, settings).await?;
    // Passwords must not get into the server's log.
    connection
        .run("SET log_statement TO none; SET log_min_duration_statement TO -1; SET log_min_error_statement TO panic")
        .await?;
    let users = &config.authentication;
    create_user(&connection, &users.replication, "REPLICATION").await?;
    if let Some(rewind) = users.rewind.as_ref().filter(|rewind| rewind.username != users.superuser.username) {
        create_user(&connection, rewind, "NOREPLICATION").await?;
        connection.run(&rewind_grants(rewind)).await?;
    }
    if let Some(hook) = &config.bootstrap.post_bootstrap {
        post_bootstrap(config, hook).await?;
    }
    datadir::mark_initialising(&config.data_dir, created, true)
}

async fn create_user(connection: &Connection, user: &Credentials, options: &str) -> Result<(), Error> {
    let exists = format!("SELECT 1 FROM pg_roles WHERE rolname = {}", literal(&user.username));
    let verb = if connection.text(&exists).await?.is_some() { "ALTER" } else { "CREATE" };
    let password = user.password.as_ref().map(|p| format!(" PASSWORD {}", literal(p))).unwrap_or_default();
    let name = identifier(&user.username);
    connection.run(&format!("{verb} ROLE {name} WITH LOGIN {options}{password}")).await
}

/// What a pg_rewind user that is no superuser needs (PostgreSQL's documentation of pg_rewind).
fn rewind_grants(user: &Credentials) -> String {
    let name = identifier(&user.username);
    [
        "pg_ls_dir(text, boolean, boolean)",
        "pg_stat_file(text, boolean)",
        "pg_read_binary_file(text)",
        "pg_read_binary_file(text, bigint, bigint, boolean)",
        "pg_read_binary_file(text, boolean)",
    ]
    .iter()
    .filter(|function| **function != "pg_read_binary_file(text, boolean)")
    .map(|function| format!("GRANT EXECUTE ON function pg_catalog.{function} TO {name};"))
    .collect()
}

/// How long the hook may take.
const HOOK: Duration = Duration::from_secs(3600);

/// Runs the hook with a connection string as its last argument, as Patroni does.
async fn post_bootstrap(config: &Config, hook: &str) -> Result<(), Error> {
    let mut words = hook.split_whitespace();
    let name = words.next().unwrap_or_default();
    let address = &config.listen;
    let superuser = &config.authentication.superuser;
    let host = address
        .host
        .split(',')
        .next()
        .unwrap_or("127.0.0.1")
        .replace(['*'], "127.0.0.1")
        .replace("0.0.0.0", "127.0.0.1");
    let url = format!("postgres://{}@{host}:{}/{}", superuser.username, address.port, config.database);
    let mut command = program::command(Path::new(name));
    command.args(words).arg(url);
    let secret = PasswordFile::new(
        config,
        &Credentials {
            username: String::new(),
            password: superuser
                .password
                .clone()
                .map(|p| format!("*:*:*:{}:{}", superuser.username, p.replace('\\', "\\\\").replace(':', "\\:"))),
        },
    )?;
    if let Some(file) = &secret {
        command.env("PGPASSFILE", &file.0);
    }
    match tokio::time::timeout(HOOK, program::run(command)).await {
        Ok(result) => result.map(|_| ()),
        Err(_) => Err(Error::Other("post_bootstrap did not end within an hour".into())),
    }
}
