//! A new cluster: initdb, and the users that it needs.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Credentials, ListOption, Settings};

use super::sql::{self, Connection, identifier, literal};
use super::{Error, conf, conninfo, datadir, durable, program};

/// Options that the agent sets itself, or that would leave the data unsafe.
const NOT_ALLOWED: [&str; 5] = ["pgdata", "nosync", "pwfile", "sync-only", "version"];

/// Runs initdb in the data directory, which must be empty or unfinished.
pub async fn initdb(config: &Config, created: i64) -> Result<(), Error> {
    let dir = &config.data_dir;
    datadir::begin(dir, Some(created), false).await?;
    run(config).await?;
    datadir::mark_initialising(dir, created, false).await
}

async fn run(config: &Config) -> Result<(), Error> {
    let options = &config.bootstrap.initdb;
    if let Some(option) = options.iter().find(|option| NOT_ALLOWED.contains(&option.name.as_str())) {
        return Err(Error::Other(format!("{} option for initdb is not allowed", option.name)));
    }
    let superuser = &config.authentication.superuser;
    let password = PasswordFile::new(config, superuser)?;
    let mut command = program::command(&config.program("initdb"));
    command.arg("-D").arg(&config.data_dir).arg(format!("--username={}", superuser.username));
    if let Some(file) = &password {
        command.arg(format!("--pwfile={}", file.0.display()));
    }
    let flush = !options.iter().any(|option| option.name == "no-sync");
    if flush {
        command.arg("--no-sync");
    }
    command.args(options.iter().map(ListOption::argument));
    program::run(command).await?;
    if flush {
        durable::flush(&config.data_dir).await?;
    }
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

/// How long a connection, or a statement, may take in a new primary. Long: a bootstrap that fails is thrown away, and
/// right after initdb a slow disk is busiest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sets the superuser's password, runs `post_bootstrap` and creates the other users of the configuration, in a new,
/// running primary. Can be repeated after a crash half way.
pub async fn populate(config: &Config, settings: &Settings) -> Result<(), Error> {
    let connection = Connection::local_within(config, settings, PATIENCE).await?;
    // Passwords must not get into the server's log.
    let silence = "SET log_statement TO none; SET log_min_duration_statement TO -1; SET log_min_error_statement TO panic; \
                   SET pg_stat_statements.track_utility TO off; SET pgaudit.log TO none";
    connection.run_within(silence, PATIENCE).await?;
    let users = &config.authentication;
    if users.superuser.password.is_some() {
        create_user(&connection, &users.superuser, "SUPERUSER").await?;
    }
    if let Some(hook) = &config.bootstrap.post_bootstrap {
        post_bootstrap(config, settings, hook).await?;
    }
    create_user(&connection, &users.replication, "REPLICATION").await?;
    if let Some(rewind) = users.rewind.as_ref().filter(|rewind| rewind.username != users.superuser.username) {
        create_user(&connection, rewind, "").await?;
        connection.run_within(&rewind_grants(rewind), PATIENCE).await?;
    }
    Ok(())
}

async fn create_user(connection: &Connection, user: &Credentials, options: &str) -> Result<(), Error> {
    let exists = format!("SELECT 1 FROM pg_roles WHERE rolname = {}", literal(&user.username));
    let is_there = !connection.rows_within(&exists, PATIENCE).await?.is_empty();
    let verb = if is_there { "ALTER" } else { "CREATE" };
    let password = user.password.as_ref().map(|p| format!(" PASSWORD {}", literal(p))).unwrap_or_default();
    let name = identifier(&user.username);
    connection.run_within(&format!("{verb} ROLE {name} WITH LOGIN {options}{password}"), PATIENCE).await
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

/// Runs the hook with a connection string as its last argument, as Patroni does. The password is in a file.
async fn post_bootstrap(config: &Config, settings: &Settings, hook: &str) -> Result<(), Error> {
    let superuser = &config.authentication.superuser;
    let (host, port) = sql::local_address(config, settings);
    let mut pairs = vec![
        conninfo::pair("dbname", &config.database),
        conninfo::pair("user", &superuser.username),
        conninfo::pair("host", &host),
        conninfo::pair("port", &port.to_string()),
    ];
    pairs.extend(superuser.options.public().map(|(name, value)| conninfo::pair(name, value)));
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let line = |password: &String| format!("*:*:*:{}:{}\n", escaped(&superuser.username), escaped(password));
    let password = superuser.password.as_ref().map(line);
    let secret = PasswordFile::new(config, &Credentials { password, ..Credentials::default() })?;
    let path = secret.as_ref().map(|file| file.0.display().to_string());
    let mut environment = vec![("PGOPTIONS", "-c synchronous_commit=local -c statement_timeout=0")];
    environment.extend(path.as_ref().map(|path| ("PGPASSFILE", path.as_str())));
    match tokio::time::timeout(HOOK, program::call(hook, &[pairs.join(" ")], &environment)).await {
        Ok(result) => result,
        Err(_) => Err(Error::Other("post_bootstrap did not end within an hour".into())),
    }
}
