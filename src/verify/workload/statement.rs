//! What a workload's clients say to PostgreSQL, and what the answers mean.

use std::collections::BTreeMap;

use crate::deploy::Deployment;
use crate::observe::{SqlError, SqlOutput};
use crate::topology::Service;
use crate::verify::history::{Outcome, Server};

/// The longest name of a table: a name for its registers is made from it, and PostgreSQL cuts names at 63 bytes.
const LONGEST_NAME: usize = 53;

/// The statements that make the workload's table anew, and its registers where it has any. There is no unique key on the
/// ids: a write that is stored twice must show.
pub fn prepare(table: &str, registers: u32) -> String {
    let rows = format!(
        "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} \
         (id bigint NOT NULL, path text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())"
    );
    if registers == 0 {
        return rows;
    }
    format!(
        "{rows}; DROP TABLE IF EXISTS {table}_registers; \
         CREATE TABLE {table}_registers (key int PRIMARY KEY, value bigint NOT NULL); \
         INSERT INTO {table}_registers SELECT key, 0 FROM generate_series(1, {registers}) AS key"
    )
}

/// The statements of one write, one transaction: its register is set to its id, and the id is stored. The server tells in
/// the same answer who it is, and on which timeline it writes.
pub fn write(table: &str, id: u64, path: &str, key: Option<u32>) -> String {
    let set = key.map(|key| format!("UPDATE {table}_registers SET value = {id} WHERE key = {key}; "));
    format!(
        "{}INSERT INTO {table} (id, path) VALUES ({id}, '{path}') RETURNING host(inet_server_addr()), \
         inet_server_port(), pg_walfile_name(pg_current_wal_insert_lsn())",
        set.unwrap_or_default()
    )
}

/// The statement of one read. A standby has no timeline that it writes on.
pub fn read(table: &str, key: u32) -> String {
    format!(
        "SELECT host(inet_server_addr()), inet_server_port(), CASE WHEN pg_is_in_recovery() THEN NULL \
         ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END, value, pg_is_in_recovery() \
         FROM {table}_registers WHERE key = {key}"
    )
}

/// The statement that reads back what is stored.
pub fn read_back(table: &str) -> String {
    format!("SELECT id FROM {table} ORDER BY id")
}

/// Whether `name` can stand in a statement as it is: a table, or a schema and a table, in lower case.
pub fn is_table_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    parts.len() <= 2
        && parts.iter().all(|part| {
            part.len() <= LONGEST_NAME
                && part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
}

/// Which node listens where, as the nodes themselves see it.
#[derive(Debug, Clone, Default)]
pub struct Addresses(BTreeMap<(String, u16), String>);

impl Addresses {
    /// The postgres nodes of `deployment`, by their own addresses and by those that this machine uses.
    pub fn of(deployment: &Deployment) -> Addresses {
        let mut known = BTreeMap::new();
        for node in &deployment.plan.nodes {
            if let Service::Postgres { sql_port, .. } = node.service {
                known.insert((node.address.to_string(), sql_port), node.name.clone());
            }
        }
        for node in deployment.postgres_nodes() {
            known.insert((node.main.ip().to_string(), node.main.port()), node.name.clone());
        }
        Addresses(known)
    }

    fn node(&self, address: &str, port: &str) -> String {
        let known = port.parse().ok().and_then(|port| self.0.get(&(address.to_owned(), port)));
        known.cloned().unwrap_or_else(|| format!("{address}:{port}"))
    }
}

/// What the answer to an operation that was sent means. Where it cannot be told for certain that it was refused, its
/// outcome is unknown: a lenient reading would only hide what goes wrong.
pub fn outcome(answer: Result<SqlOutput, SqlError>, addresses: &Addresses) -> Outcome {
    match answer {
        Ok(output) => acked(&output, addresses),
        Err(SqlError::Refused { sqlstate, message }) if is_certain(&sqlstate) => {
            Outcome::Rejected { sqlstate, error: message }
        }
        Err(error) => Outcome::Indeterminate { why: error.to_string() },
    }
}

/// What it means that no session could be opened: the operation was never sent. 08001 is the standard's code for that.
pub fn never_sent(error: &SqlError) -> Outcome {
    let sqlstate = match error {
        SqlError::Refused { sqlstate, .. } => sqlstate.clone(),
        _ => "08001".to_owned(),
    };
    Outcome::Rejected { sqlstate, error: error.to_string() }
}

/// Whether a refusal says that nothing was done. Not so: a session that was ended (57P01 and its like, 57014), a
/// broken connection (08), an internal error (XX), 40003 «statement completion unknown».
fn is_certain(sqlstate: &str) -> bool {
    let doubtful = ["57P", "57014", "08", "XX", "40003", "58"];
    !doubtful.iter().any(|class| sqlstate.starts_with(class))
}

fn acked(output: &SqlOutput, addresses: &Addresses) -> Outcome {
    let cell = |column: usize| output.rows.first().and_then(|row| row.get(column)).and_then(Option::as_deref);
    let (Some(address), Some(port)) = (cell(0), cell(1)) else {
        return Outcome::Indeterminate { why: "the server answered, but returned no row".to_owned() };
    };
    let timeline = cell(2).and_then(timeline_of_walfile);
    let by = Server { node: addresses.node(address, port), timeline, standby: cell(4) == Some("t") };
    Outcome::Acked { by, value: cell(3).and_then(|value| value.parse().ok()) }
}

/// The timeline in a WAL file's name: its first eight hexadecimal digits.
fn timeline_of_walfile(name: &str) -> Option<u64> {
    u64::from_str_radix(name.get(..8)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses(BTreeMap::from([(("127.60.1.11".to_owned(), 5432), "pg-master".to_owned())]))
    }

    fn row(cells: &[&str]) -> SqlOutput {
        let row = cells.iter().map(|cell| Some((*cell).to_owned())).collect();
        SqlOutput { columns: vec![], rows: vec![row], count: 1 }
    }

    #[test]
    fn an_acknowledgement_names_its_server_and_timeline() {
        let answer = Ok(row(&["127.60.1.11", "5432", "0000000A0000000000000003"]));
        let by = Server { node: "pg-master".into(), timeline: Some(10), standby: false };
        assert_eq!(outcome(answer, &addresses()), Outcome::Acked { by, value: None });
        let stranger = Ok(row(&["10.0.0.1", "5432", "000000010000000000000003"]));
        let Outcome::Acked { by, .. } = outcome(stranger, &addresses()) else { panic!("not acknowledged") };
        assert_eq!(by.node, "10.0.0.1:5432");
    }

    #[test]
    fn a_read_names_its_value_and_whether_a_standby_gave_it() {
        let mut answer = row(&["127.60.1.11", "5432", "", "17", "t"]);
        answer.rows[0][2] = None;
        let by = Server { node: "pg-master".into(), timeline: None, standby: true };
        assert_eq!(outcome(Ok(answer), &addresses()), Outcome::Acked { by, value: Some(17) });
    }

    #[test]
    fn only_a_certain_refusal_is_a_rejection() {
        let refused = |sqlstate: &str| {
            let error = SqlError::Refused { sqlstate: sqlstate.into(), message: "no".into() };
            outcome(Err(error), &addresses())
        };
        for certain in ["25006", "42P01", "53300", "23505"] {
            assert!(matches!(refused(certain), Outcome::Rejected { .. }), "{certain}");
        }
        for doubtful in ["57P01", "57P02", "57014", "08006", "XX000"] {
            assert!(matches!(refused(doubtful), Outcome::Indeterminate { .. }), "{doubtful}");
        }
        let late = SqlError::TimedOut { address: ([127, 0, 0, 1], 1).into(), ms: 2000 };
        assert!(matches!(outcome(Err(late), &addresses()), Outcome::Indeterminate { .. }));
    }

    #[test]
    fn a_write_without_a_session_was_certainly_not_done() {
        let error = SqlError::Broken { address: ([127, 0, 0, 1], 1).into(), why: "refused".into() };
        assert!(matches!(never_sent(&error), Outcome::Rejected { sqlstate, .. } if sqlstate == "08001"));
        let starting = SqlError::Refused { sqlstate: "57P03".into(), message: "starting up".into() };
        assert!(matches!(never_sent(&starting), Outcome::Rejected { sqlstate, .. } if sqlstate == "57P03"));
    }

    #[test]
    fn a_table_name_cannot_smuggle_a_statement_in() {
        assert!(is_table_name("labrun_workload") && is_table_name("public.w1"));
        let long = "t".repeat(54);
        for bad in ["", "a b", "t; drop table x", "\"t\"", "a.b.c", "1t", "T", &long] {
            assert!(!is_table_name(bad), "{bad}");
        }
    }
}
