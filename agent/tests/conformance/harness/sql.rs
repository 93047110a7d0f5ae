//! Short-lived SQL sessions with a node, every one with a deadline.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

pub const PORT: u16 = 5432;
pub const SUPERUSER: &str = "postgres";
pub const SUPERUSER_PASSWORD: &str = "secret-of-the-superuser";

/// Open a session as the superuser.
pub async fn connect(address: Ipv4Addr, port: u16, limit: Duration) -> Result<Client, String> {
    let mut config = Config::new();
    config.host(address.to_string()).port(port).dbname("postgres");
    config.user(SUPERUSER).password(SUPERUSER_PASSWORD).connect_timeout(limit);
    match tokio::time::timeout(limit, config.connect(NoTls)).await {
        Ok(Ok((client, connection))) => {
            tokio::spawn(connection);
            Ok(client)
        }
        Ok(Err(error)) => Err(tell(&error)),
        Err(_) => Err(format!("no session within {limit:?}")),
    }
}

/// The server's own words, where it said any.
pub fn tell(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{}: {}", db.code().code(), db.message()))
}

/// The rows of `sql` as texts; a NULL is an empty text.
pub async fn rows(address: Ipv4Addr, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let limit = Duration::from_secs(10);
    let ask = async {
        let client = connect(address, PORT, limit).await?;
        client.simple_query(sql).await.map_err(|error| tell(&error))
    };
    let messages = match tokio::time::timeout(limit, ask).await {
        Ok(messages) => messages,
        Err(_) => Err(format!("no answer within {limit:?}")),
    };
    let messages = messages.map_err(|error| format!("{sql:?} on {address}: {error}"))?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|n| row.get(n).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}
