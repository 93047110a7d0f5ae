//! The SQL of the pretended world: as much of it as the built-in checks and workloads speak.

use super::Quirk;
use super::cluster::Cluster;
use crate::observe::{SqlError, SqlOutput};

/// Run statements on the node at `place`.
pub fn run(cluster: &mut Cluster, place: usize, statements: &str) -> Result<SqlOutput, SqlError> {
    let mut last = SqlOutput::default();
    for statement in statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        last = one(cluster, place, statement)?;
    }
    Ok(last)
}

fn one(cluster: &mut Cluster, place: usize, statement: &str) -> Result<SqlOutput, SqlError> {
    let words: Vec<&str> = statement.split_whitespace().collect();
    match words[0] {
        "DROP" => write(cluster, place, |tables| {
            tables.remove(words[4]);
        }),
        "CREATE" => write(cluster, place, |tables| {
            tables.insert(words[2].to_owned(), Vec::new());
        }),
        // `UPDATE TABLE SET value = ID WHERE key = KEY`.
        "UPDATE" => write(cluster, place, |tables| {
            let rows = tables.get_mut(words[1]).into_iter().flatten();
            rows.filter(|row| row[0] == words[9]).for_each(|row| row[1] = words[5].to_owned());
        }),
        "INSERT" => insert(cluster, place, words[2], statement),
        "SELECT" => select(cluster, place, statement),
        _ => Err(refused("0A000", "not spoken here")),
    }
}

fn write(
    cluster: &mut Cluster,
    place: usize,
    change: impl Fn(&mut super::cluster::Tables),
) -> Result<SqlOutput, SqlError> {
    if cluster.nodes[place].in_recovery && !cluster.has(Quirk::ReplicaTakesWrites) {
        return Err(refused("25006", "cannot execute this in a read-only transaction"));
    }
    change(&mut cluster.nodes[place].tables);
    let other = 1 - place;
    if cluster.nodes[other].streaming && !cluster.has(Quirk::ReplicationStands) {
        change(&mut cluster.nodes[other].tables);
    }
    Ok(SqlOutput::default())
}

fn insert(cluster: &mut Cluster, place: usize, table: &str, statement: &str) -> Result<SqlOutput, SqlError> {
    if !cluster.nodes[place].in_recovery && !cluster.nodes[place].tables.contains_key(table) {
        return Err(refused("42P01", "no such table"));
    }
    let address = cluster.nodes[place].address.ip().to_string();
    let next = cluster.nodes[place].tables.get(table).map_or(0, Vec::len) + 1;
    let is_registers = table.ends_with("_registers");
    let mut rows = new_rows(statement, &address);
    if is_registers {
        rows.iter_mut().for_each(|row| row[1] = "0".to_owned());
    }
    let doubled = cluster.has(Quirk::DoublesWrites) && next.is_multiple_of(10) && !is_registers;
    let stored: Vec<Vec<String>> =
        rows.iter().cycle().take(rows.len() * if doubled { 2 } else { 1 }).cloned().collect();
    write(cluster, place, |tables| {
        tables.entry(table.to_owned()).or_default().extend(stored.clone());
    })?;
    if statement.contains("pg_walfile_name") {
        let node = &cluster.nodes[place];
        let file = format!("{:08X}0000000000000003", node.timeline);
        return Ok(output(vec![vec![address, node.address.port().to_string(), file]]));
    }
    Ok(output(rows))
}

/// The rows of one of the shapes of INSERT that checks use.
fn new_rows(statement: &str, address: &str) -> Vec<Vec<String>> {
    let quoted = |nth: usize| statement.split('\'').nth(nth).unwrap_or_default().to_owned();
    if statement.contains("generate_series") {
        let last = statement.split("generate_series(1, ").nth(1).and_then(|rest| rest.split(')').next());
        let last: usize = last.and_then(|number| number.parse().ok()).unwrap();
        return (1..=last).map(|n| vec![n.to_string(), format!("row {n}{}", quoted(3))]).collect();
    }
    let id = statement.split("VALUES (").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    if statement.contains("written_on") {
        return vec![vec![id.to_owned(), quoted(1), address.to_owned()]];
    }
    vec![vec![id.to_owned(), quoted(1)]]
}

fn select(cluster: &Cluster, place: usize, statement: &str) -> Result<SqlOutput, SqlError> {
    let node = &cluster.nodes[place];
    let in_recovery = if node.in_recovery { "t" } else { "f" }.to_owned();
    let (address, port) = (node.address.ip().to_string(), node.address.port().to_string());
    if statement.contains("_registers WHERE key = ") {
        return register(cluster, place, statement);
    }
    if statement.starts_with("SELECT host(") {
        let all = [address, port, in_recovery];
        let width = if statement.contains("pg_is_in_recovery") { 3 } else { 2 };
        return Ok(output(vec![all[..width].to_vec()]));
    }
    if statement.starts_with("SELECT pg_is_in_recovery") {
        return Ok(output(vec![vec![in_recovery]]));
    }
    let (_, from) = statement.split_once(" FROM ").unwrap();
    let table = from.split_whitespace().next().unwrap();
    match table {
        "pg_stat_replication" => Ok(output(streams(cluster, place))),
        "pg_stat_wal_receiver" => Ok(output(receiver(cluster, place))),
        "pg_replication_slots" => {
            let active =
                streams(cluster, place).into_iter().map(|row| vec![row[0].clone(), "physical".into(), "t".into()]);
            Ok(output(active.collect()))
        }
        _ => stored(node.tables.get(table), statement),
    }
}

/// The answer to a workload's read of one register.
fn register(cluster: &Cluster, place: usize, statement: &str) -> Result<SqlOutput, SqlError> {
    let node = &cluster.nodes[place];
    let (before, key) = statement.rsplit_once(" WHERE key = ").unwrap();
    let table = before.split_whitespace().last().unwrap();
    let rows = node.tables.get(table).ok_or_else(|| refused("42P01", "no such table"))?;
    let value = rows.iter().find(|row| row[0] == key).map(|row| row[1].clone());
    let file = (!node.in_recovery).then(|| format!("{:08X}0000000000000003", node.timeline));
    let in_recovery = if node.in_recovery { "t" } else { "f" };
    let (address, port) = (node.address.ip().to_string(), node.address.port().to_string());
    let row = vec![Some(address), Some(port), file, value, Some(in_recovery.to_owned())];
    Ok(SqlOutput { columns: vec![], rows: vec![row], count: 1 })
}

fn stored(rows: Option<&Vec<Vec<String>>>, statement: &str) -> Result<SqlOutput, SqlError> {
    let rows = rows.ok_or_else(|| refused("42P01", "no such table"))?;
    if statement.contains("count(*)") {
        let last = rows.iter().filter_map(|row| row[0].parse::<u64>().ok()).max().unwrap_or(0);
        return Ok(output(vec![vec![rows.len().to_string(), last.to_string()]]));
    }
    let width = statement.split(" FROM ").next().unwrap().matches(',').count() + 1;
    let mut rows: Vec<Vec<String>> = rows.iter().map(|row| row[..width.min(row.len())].to_vec()).collect();
    rows.sort_by_key(|row| row[0].parse::<u64>().unwrap_or(0));
    Ok(output(rows))
}

fn streams(cluster: &Cluster, place: usize) -> Vec<Vec<String>> {
    let other = 1 - place;
    if !cluster.nodes[other].streaming || cluster.nodes[place].in_recovery {
        return Vec::new();
    }
    let sync = if cluster.sync.contains(&other) { "sync" } else { "async" };
    let address = cluster.nodes[other].address.ip().to_string();
    vec![vec![cluster.member(other), address, "streaming".to_owned(), sync.to_owned(), "0/3000148".to_owned()]]
}

fn receiver(cluster: &Cluster, place: usize) -> Vec<Vec<String>> {
    let node = &cluster.nodes[place];
    let Some(leader) = cluster.lease.filter(|_| node.streaming) else { return Vec::new() };
    let elsewhere = cluster.has(Quirk::RejoinsElsewhere) && node.came_back;
    let from = match () {
        () if elsewhere => "10.9.9.9".to_owned(),
        () if cluster.has(Quirk::OtherHostNames) => cluster.own_host(leader),
        () => cluster.nodes[leader].address.ip().to_string(),
    };
    let (port, timeline) = (cluster.nodes[leader].address.port().to_string(), node.timeline.to_string());
    vec![vec!["streaming".to_owned(), from, port, timeline, cluster.member(place)]]
}

fn output(rows: Vec<Vec<String>>) -> SqlOutput {
    let columns = (1..=rows.first().map_or(0, Vec::len)).map(|n| format!("c{n}")).collect();
    let count = rows.len() as u64;
    let rows = rows.into_iter().map(|row| row.into_iter().map(Some).collect()).collect();
    SqlOutput { columns, rows, count }
}

fn refused(sqlstate: &str, message: &str) -> SqlError {
    SqlError::Refused { sqlstate: sqlstate.to_owned(), message: message.to_owned() }
}
