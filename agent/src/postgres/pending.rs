//! Which parameters wait for a restart: those whose configured value differs from the one in force and that only a
//! start takes up, and those that PostgreSQL itself says so of.

use indexmap::IndexMap;

use crate::config::{Config, Parameters, Settings, Shape};
use crate::decide::ParameterChange;

use super::sql::{Connection, literal};
use super::{Error, program};

/// Settings that the agent changes by itself (Patroni leaves out the same).
const OWN: [&str; 18] = [
    "hot_standby",
    "archive_cleanup_command",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "standby_mode",
    "trigger_file",
];

struct Row {
    name: String,
    setting: String,
    shape: Shape,
    only_a_start_changes_it: bool,
    flagged: bool,
}

/// Asks the running server; the values of `settings` are those that a restart would bring.
pub async fn look(config: &Config, settings: &Settings) -> Result<IndexMap<String, ParameterChange>, Error> {
    let connection = Connection::local(config, settings).await?;
    let parameters = settings.accepted.get().unwrap_or(&settings.parameters);
    let mut changes = IndexMap::new();
    for row in rows(&connection, parameters).await? {
        if let Some(change) = change(config, parameters, &row).await {
            changes.insert(row.name, change);
        }
    }
    Ok(changes)
}

async fn rows(connection: &Connection, parameters: &Parameters) -> Result<Vec<Row>, Error> {
    let named: Vec<_> = parameters.keys().map(|name| literal(name)).collect();
    let own: Vec<_> = OWN.iter().map(|name| literal(name)).collect();
    let statement = format!(
        "SELECT name, setting, unit, vartype, (context = 'postmaster')::text, pending_restart::text FROM pg_settings \
         WHERE lower(name) NOT IN ({}) AND (pending_restart OR context = 'postmaster' AND lower(name) IN ({})) \
         ORDER BY name",
        own.join(","),
        named.join(","),
    );
    let rows = connection.rows(&statement).await?;
    let text = |row: &tokio_postgres::SimpleQueryRow, i: usize| row.get(i).unwrap_or_default().to_owned();
    let read = |row: &tokio_postgres::SimpleQueryRow| Row {
        name: text(row, 0),
        setting: text(row, 1),
        shape: Shape { vartype: text(row, 3), unit: row.get(2).map(str::to_owned) },
        only_a_start_changes_it: text(row, 4) == "true",
        flagged: text(row, 5) == "true",
    };
    Ok(rows.iter().map(read).collect())
}

async fn change(config: &Config, parameters: &Parameters, row: &Row) -> Option<ParameterChange> {
    let old_value = row.shape.readable(&row.setting);
    let wanted = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(&row.name)).map(|(_, value)| value);
    match wanted {
        Some(wanted) if row.only_a_start_changes_it => {
            let differs = !row.shape.is_same(&row.setting, wanted);
            differs.then(|| ParameterChange { old_value, new_value: row.shape.readable(wanted) })
        }
        _ if row.flagged => {
            let new = after_a_start(config, &row.name).await;
            let new_value = new.map_or("?".to_owned(), |value| row.shape.readable(&value));
            Some(ParameterChange { old_value, new_value })
        }
        _ => None,
    }
}

/// The value that the files give to a start.
pub(super) async fn after_a_start(config: &Config, name: &str) -> Option<String> {
    let mut command = program::command(&config.program("postgres"));
    let file = config.data_dir.join("postgresql.conf");
    command.arg("-D").arg(&config.data_dir).args(["-C", name]).arg(format!("--config-file={}", file.display()));
    program::run(command).await.ok().map(|value| value.trim().to_owned())
}
