//! SQL with deadlines, over the simple query protocol: several statements at once, every value as text.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::topology::Credentials;

/// A session with a PostgreSQL server, or with a proxy before one.
pub struct Sql {
    address: SocketAddr,
    client: Client,
    driver: tokio::task::JoinHandle<()>,
    limit: Duration,
}

/// The result of the last statement that returned rows, or the count of the last that did not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlOutput {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows; NULL is none.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows returned, or rows touched.
    pub count: u64,
}

/// Why a statement has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// PostgreSQL refused it. Whether the session is still alive depends on the SQLSTATE's class.
    #[error("{message} (SQLSTATE {sqlstate})")]
    Refused {
        /// The SQLSTATE.
        sqlstate: String,
        /// The message, with its detail and hint.
        message: String,
    },
    /// The session could not be opened, or broke: the outcome of a write is unknown.
    #[error("{address}: {why}")]
    Broken {
        /// The server.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// No answer came in time: the outcome of a write is unknown.
    #[error("{address}: no answer within {ms} ms")]
    TimedOut {
        /// The server.
        address: SocketAddr,
        /// The deadline.
        ms: u128,
    },
}

impl Sql {
    /// Open a session as the superuser, in the database `postgres`; this and every later statement may take `limit`.
    pub async fn connect(address: SocketAddr, credentials: &Credentials, limit: Duration) -> Result<Sql, SqlError> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(address.ip().to_string())
            .port(address.port())
            .user(&credentials.superuser)
            .password(&credentials.superuser_password)
            .dbname("postgres")
            .application_name("labrun")
            .connect_timeout(limit);
        let opened = tokio::time::timeout(limit, config.connect(NoTls)).await;
        let (client, connection) =
            opened.map_err(|_| timed_out(address, limit))?.map_err(|error| explain(address, &error))?;
        let driver = tokio::spawn(async move {
            // An error ends the session; the next statement on it reports that.
            let _ = connection.await;
        });
        Ok(Sql { address, client, driver, limit })
    }

    /// Run `statements` and give the last one's result.
    pub async fn run(&self, statements: &str) -> Result<SqlOutput, SqlError> {
        let address = self.address;
        let answer = tokio::time::timeout(self.limit, self.client.simple_query(statements)).await;
        let messages = answer.map_err(|_| timed_out(address, self.limit))?.map_err(|error| explain(address, &error))?;
        Ok(collect(messages))
    }

    /// Run `statements`, as one transaction, and give every one's result.
    pub async fn run_each(&self, statements: &str) -> Result<Vec<SqlOutput>, SqlError> {
        let address = self.address;
        let answer = tokio::time::timeout(self.limit, self.client.simple_query(statements)).await;
        let messages = answer.map_err(|_| timed_out(address, self.limit))?.map_err(|error| explain(address, &error))?;
        Ok(collect_each(messages))
    }
}

impl Drop for Sql {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Open a session, run `statements`, close it.
pub async fn once(
    address: SocketAddr,
    credentials: &Credentials,
    limit: Duration,
    statements: &str,
) -> Result<SqlOutput, SqlError> {
    Sql::connect(address, credentials, limit).await?.run(statements).await
}

fn collect(messages: Vec<SimpleQueryMessage>) -> SqlOutput {
    let mut output = SqlOutput::default();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                output.columns = columns.iter().map(|column| column.name().to_owned()).collect();
                output.rows.clear();
            }
            SimpleQueryMessage::Row(row) => {
                output.rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
            }
            SimpleQueryMessage::CommandComplete(count) => output.count = count,
            _ => {}
        }
    }
    output
}

fn collect_each(messages: Vec<SimpleQueryMessage>) -> Vec<SqlOutput> {
    let mut outputs = Vec::new();
    let mut of_one = Vec::new();
    for message in messages {
        let ends = matches!(message, SimpleQueryMessage::CommandComplete(_));
        of_one.push(message);
        if ends {
            outputs.push(collect(std::mem::take(&mut of_one)));
        }
    }
    outputs
}

fn timed_out(address: SocketAddr, limit: Duration) -> SqlError {
    SqlError::TimedOut { address, ms: limit.as_millis() }
}

fn explain(address: SocketAddr, error: &tokio_postgres::Error) -> SqlError {
    let Some(refusal) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        return SqlError::Broken { address, why: format!("{error}{cause}") };
    };
    let mut message = refusal.message().to_owned();
    for more in [refusal.detail(), refusal.hint()].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(more);
    }
    SqlError::Refused { sqlstate: refusal.code().code().to_owned(), message }
}
