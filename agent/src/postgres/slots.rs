//! Replication slots: made, dropped and moved on by SQL; a standby's logical ones by a copy of the primary's files.
//!
//! On disk: `<data_dir>/pg_replslot/<slot>/state`, put there while PostgreSQL is down.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::cluster::Lsn;
use crate::config::{Config, Settings, SlotKind};
use crate::decide::{LogicalSlot, Upstream};

use super::Error;
use super::sql::{Connection, literal};

/// A logical slot is made when all transactions that run have ended, and moved on by decoding what lies between.
const LONG: Duration = Duration::from_secs(600);

/// Creates, drops and advances physical slots. Each stands for itself: one that fails does not stop the others.
pub async fn physical(
    config: &Config,
    settings: &Settings,
    create: &[String],
    drop: &[String],
    advance: &[(String, u64)],
) -> Result<(), Error> {
    let connection = Connection::local(config, settings).await?;
    let mut result = Ok(());
    for name in drop {
        tracing::info!("Trying to drop unknown replication slot '{name}'");
        let dropped = connection.run(&drop_statement(name)).await;
        match &dropped {
            Ok(()) => tracing::info!("Dropped replication slot '{name}'"),
            Err(error) => tracing::error!("Failed to drop replication slot '{name}': {error}"),
        }
        result = result.and(dropped);
    }
    let created = create.iter().map(|name| {
        format!(
            "SELECT pg_create_physical_replication_slot({n}, true) \
             WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = {n})",
            n = literal(name)
        )
    });
    let advanced = advance.iter().map(|(name, position)| advance_statement(name, Lsn(*position)));
    for statement in created.chain(advanced) {
        result = result.and(connection.run(&statement).await);
    }
    result
}

fn drop_statement(name: &str) -> String {
    format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {} AND NOT active",
        literal(name)
    )
}

fn advance_statement(name: &str, position: Lsn) -> String {
    format!("SELECT pg_replication_slot_advance({}, '{position}')", literal(name))
}

/// Creates and advances logical slots, each in its own database.
pub async fn logical(
    config: &Config,
    settings: &Settings,
    create: &[LogicalSlot],
    advance: &[LogicalSlot],
) -> Result<(), Error> {
    let mut result = Ok(());
    for slot in create {
        let statement = format!(
            "SELECT pg_create_logical_replication_slot({n}, {}) \
             WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = {n})",
            literal(&slot.plugin),
            n = literal(&slot.name)
        );
        let created = in_its_database(config, settings, slot, &statement).await;
        if let Err(error) = &created {
            let (name, plugin) = (&slot.name, &slot.plugin);
            tracing::error!("Failed to create logical replication slot '{name}' plugin='{plugin}': {error}");
        }
        result = result.and(created);
    }
    for slot in advance {
        let moved = in_its_database(config, settings, slot, &advance_statement(&slot.name, slot.lsn)).await;
        if let Err(error) = &moved {
            tracing::error!("Failed to advance logical replication slot '{}': {error}", slot.name);
            // The WAL that it needs is not here, or it is invalidated: a new copy of the primary's will do.
            if error.has_code("58P01") || error.has_code("55000") {
                in_its_database(config, settings, slot, &drop_statement(&slot.name)).await?;
            }
        }
        result = result.and(moved);
    }
    result
}

async fn in_its_database(
    config: &Config,
    settings: &Settings,
    slot: &LogicalSlot,
    statement: &str,
) -> Result<(), Error> {
    let connection = Connection::local_to(config, settings, &slot.database).await?;
    connection.run_within(statement, LONG).await
}

/// A slot's file on the primary.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    name: String,
    data: Vec<u8>,
}

/// Reads the files of those slots from the primary that are there as the configuration has them.
pub async fn fetch(
    config: &Config,
    settings: &Settings,
    from: &Upstream,
    names: &[String],
) -> Result<Vec<State>, Error> {
    let connection = Connection::remote(config, from).await?;
    let list = names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
    // From PostgreSQL 17 on it keeps slots with `failover` in step itself.
    let statement = format!(
        "SELECT slot_name, datname, plugin, \
         encode(pg_read_binary_file('pg_replslot/' || slot_name || '/state'), 'hex') \
         FROM pg_get_replication_slots() AS s JOIN pg_database AS d ON datoid = d.oid \
         WHERE (to_jsonb(s) ->> 'failover') IS DISTINCT FROM 'true' AND NOT pg_is_in_recovery() \
         AND slot_name IN ({list})"
    );
    let mut states = Vec::new();
    for row in connection.rows(&statement).await? {
        let field = |i: usize| row.get(i).unwrap_or_default();
        let kind = SlotKind::Logical { database: field(1).into(), plugin: field(2).into() };
        let name = field(0).to_owned();
        if !settings.slots.iter().any(|slot| slot.name == name && slot.kind == kind) {
            tracing::warn!("Will not copy the logical slot \"{name}\": on the primary it is {kind:?}");
            continue;
        }
        let data = from_hex(field(3)).ok_or_else(|| Error::Other(format!("the state of slot {name} is unreadable")))?;
        states.push(State { name, data });
    }
    match states.is_empty() {
        true => Err(Error::Other(format!("none of {names:?} can be copied from the primary"))),
        false => Ok(states),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// Puts the files into place; PostgreSQL must be down. A slot appears as a whole or not at all.
pub fn put(data_dir: &Path, states: &[State]) -> Result<(), Error> {
    let slots = data_dir.join("pg_replslot");
    for state in states {
        let (dir, fresh) = (slots.join(&state.name), slots.join(format!("{}.tmp", state.name)));
        let put = write(data_dir, &fresh, &state.data).and_then(|()| {
            remove(&dir)?;
            std::fs::rename(&fresh, &dir)
        });
        put.map_err(Error::file("write the slot", dir))?;
    }
    File::open(&slots).and_then(|dir| dir.sync_all()).map_err(Error::file("sync", slots))
}

/// With the data directory's own permissions, which may let a group read.
fn write(data_dir: &Path, dir: &Path, data: &[u8]) -> std::io::Result<()> {
    let mode = std::fs::metadata(data_dir)?.mode() & 0o750;
    remove(dir)?;
    DirBuilder::new().mode(mode).create(dir)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o640).open(dir.join("state"))?;
    file.write_all(data)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slots_file_replaces_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let slots = dir.path().join("pg_replslot");
        std::fs::create_dir_all(slots.join("s.tmp")).unwrap();
        std::fs::create_dir_all(slots.join("s")).unwrap();
        std::fs::write(slots.join("s/old"), "").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(dir.path(), private).unwrap();
        put(dir.path(), &[State { name: "s".into(), data: vec![1, 2] }]).unwrap();
        assert_eq!(std::fs::read(slots.join("s/state")).unwrap(), [1, 2]);
        assert!(!slots.join("s/old").exists() && !slots.join("s.tmp").exists());
        assert_eq!(std::fs::metadata(slots.join("s/state")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn hexadecimal_text_is_read() {
        assert_eq!(from_hex("00ff1A"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex("0g"), None);
    }
}
