//! `labrun sql`: a client for the cluster, so that no psql is needed.

use std::io::{IsTerminal, Read};
use std::net::SocketAddr;
use std::time::Duration;

use super::node::resolve;
use super::{CliError, Globals, exit, output};
use crate::deploy::Deployment;
use crate::observe::table::table;
use crate::observe::{Sql, SqlOutput};
use crate::topology::Service;

/// Run SQL.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One or more statements, as one transaction; read from stdin where it is `-`.
    statements: String,
    /// Where: proxy, leader, sync_standby, replica, or a node [default: the proxy, else the leader]
    #[arg(long, value_name = "WHERE")]
    on: Option<String>,
    /// How long the connection, and then the statements, may take, in seconds.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        let statements = match self.statements.as_str() {
            "-" => from_stdin()?,
            _ => self.statements,
        };
        let usual = if deployment.proxy().is_some() { "proxy" } else { "leader" };
        let (node, address) = target(&deployment, self.on.as_deref().unwrap_or(usual)).await?;
        let limit = Duration::from_secs(self.timeout);
        let session = Sql::connect(address, deployment.credentials(), limit).await.map_err(CliError::Sql)?;
        let results = session.run_each(&statements).await.map_err(CliError::Sql)?;
        if globals.json {
            output::json(&serde_json::json!({"node": node, "address": address, "results": results}))?;
        } else {
            output::print(&results.iter().map(shown).collect::<Vec<_>>().join("\n"))?;
        }
        Ok(exit::OK)
    }
}

fn from_stdin() -> Result<String, CliError> {
    if std::io::stdin().is_terminal() {
        output::tell!("reading statements from the terminal; end with Ctrl-D");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|source| CliError::Io { what: "read stdin", source })?;
    Ok(text)
}

/// The node that is meant, and where it takes SQL.
async fn target(deployment: &Deployment, on: &str) -> Result<(String, SocketAddr), CliError> {
    let name = resolve(deployment, on).await?;
    let node = deployment.known(&name)?;
    if matches!(node.service, Service::Zookeeper { .. }) {
        return Err(CliError::NoOne { role: format!("a database on {name}"), why: ": it runs ZooKeeper".to_owned() });
    }
    Ok((name, node.main))
}

/// A result as psql would show it; NULL is shown as such.
fn shown(result: &SqlOutput) -> String {
    let rows = |count: u64| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    if result.columns.is_empty() {
        return if result.count == 0 { "OK\n".to_owned() } else { format!("OK, {}\n", rows(result.count)) };
    }
    let cells = |row: &Vec<Option<String>>| row.iter().map(|cell| cell.clone().unwrap_or("NULL".into())).collect();
    let table = table(&result.columns, &result.rows.iter().map(cells).collect::<Vec<_>>());
    format!("{table}({})\n", rows(result.rows.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_shown_and_a_count_without_rows() {
        let row = vec![Some("1".to_owned()), None];
        let result = SqlOutput { columns: vec!["id".into(), "name".into()], rows: vec![row], count: 1 };
        assert_eq!(shown(&result), " id | name\n----+------\n  1 | NULL\n(1 row)\n");
        assert_eq!(shown(&SqlOutput { count: 3, ..SqlOutput::default() }), "OK, 3 rows\n");
        assert_eq!(shown(&SqlOutput::default()), "OK\n");
    }
}
