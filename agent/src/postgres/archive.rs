//! WAL of a PostgreSQL that is down and that its archiver has not come to.
//!
//! Before a former primary is rewound, its finished WAL files that still wait for the archiver are archived: pg_rewind
//! removes them, and a new leader that ran as a standby without `archive_mode = always` may have recycled its own.
//! Before a primary becomes the leader of a standby cluster, so is the file with its shutdown checkpoint, which is not
//! finished and would else never be: whoever restores from that archive and is promoted would branch off before the
//! end of this node's WAL, which would then have to be rewound.
//!
//! On disk: `pg_wal/archive_status/NAME.ready` becomes `NAME.done`, as the archiver itself does it. Commands run as
//! PostgreSQL runs them: by the shell, in the data directory. That none overwrites what is archived is up to their
//! author.

use std::path::Path;

use crate::config::Config;
use crate::decide::ControlState;

use super::{control, pending, program};

const STATUS: &str = "pg_wal/archive_status";

/// Archives what is marked as ready. What fails stays so; nothing depends on it here.
pub(super) async fn ready(config: &Config) {
    let waiting = waiting(&config.data_dir);
    if waiting.is_empty() {
        return;
    }
    let Some(line) = command(config).await else { return };
    for name in waiting {
        if !store(config, &line, &name).await {
            continue;
        }
        let status = config.data_dir.join(STATUS);
        if let Err(error) = std::fs::rename(status.join(format!("{name}.ready")), status.join(format!("{name}.done"))) {
            tracing::warn!("{name} is archived, but cannot be marked so: {error}");
        }
    }
}

/// Archives the file with the shutdown checkpoint, if this is a primary that was stopped cleanly.
pub async fn shutdown_checkpoint(config: &Config) {
    let Ok(read) = control::read(config).await else { return };
    if read.control.state != ControlState::ShutDown {
        return;
    }
    let (Some(name), Some(line)) = (read.redo_file, command(config).await) else {
        tracing::info!("Not archiving latest checkpoint WAL file. Archiving is not configured.");
        return;
    };
    store(config, &line, &name).await;
}

/// The command that is in force, if there is one.
async fn command(config: &Config) -> Option<String> {
    let mode = pending::after_a_start(config, "archive_mode").await?;
    // A module takes the command's place (from PostgreSQL 15 on).
    let module = pending::after_a_start(config, "archive_library").await.is_some_and(|name| !name.is_empty());
    if module || !matches!(mode.as_str(), "on" | "always") {
        return None;
    }
    pending::after_a_start(config, "archive_command").await.filter(|line| !matches!(line.as_str(), "" | "(disabled)"))
}

async fn store(config: &Config, line: &str, name: &str) -> bool {
    let line = expand(line, name);
    tracing::info!("Trying to archive {name}: {line}");
    match program::shell(&line, &config.data_dir).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("Failed to archive WAL segment {name}: {error}");
            false
        }
    }
}

/// The finished files that wait and are there, in order.
fn waiting(data_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data_dir.join(STATUS)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".ready")?.to_owned()));
    let segment = |name: &String| {
        let name = name.strip_suffix(".partial").unwrap_or(name);
        name.len() == 24 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
    };
    let there = |name: &String| data_dir.join("pg_wal").join(name).is_file();
    let mut names: Vec<_> = names.filter(segment).filter(there).collect();
    names.sort();
    names
}

/// `%p` is the file's path in the data directory, `%f` its name, `%%` a percent sign; anything else stays.
fn expand(line: &str, name: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let mut rest = chars.clone();
        match (c, rest.next()) {
            ('%', Some('p')) => text += &format!("pg_wal/{name}"),
            ('%', Some('f')) => text += name,
            ('%', Some('%')) => text.push('%'),
            _ => {
                text.push(c);
                continue;
            }
        }
        chars = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "000000010000000000000001";
    const SECOND: &str = "000000010000000000000002";

    #[test]
    fn placeholders_are_filled_as_postgresql_does() {
        assert_eq!(expand("cp %p /a/%f # %% %x %", FIRST), format!("cp pg_wal/{FIRST} /a/{FIRST} # % %x %"));
    }

    #[test]
    fn finished_files_that_wait_and_are_there_are_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let wal = dir.path().join("pg_wal");
        std::fs::create_dir_all(wal.join("archive_status")).unwrap();
        let partial = format!("{SECOND}.partial");
        for name in [SECOND, FIRST, &partial, "00000002.history", "000000010000000000000009"] {
            std::fs::write(wal.join(format!("archive_status/{name}.ready")), "").unwrap();
        }
        std::fs::write(wal.join("archive_status/000000010000000000000003.done"), "").unwrap();
        for name in [SECOND, FIRST, &partial, "00000002.history", "000000010000000000000003"] {
            std::fs::write(wal.join(name), "").unwrap();
        }
        assert_eq!(waiting(dir.path()), [FIRST, SECOND, &partial]);
        assert!(waiting(Path::new("/nowhere")).is_empty());
    }
}
