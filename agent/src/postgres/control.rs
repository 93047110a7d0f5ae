//! The control file, read by pg_controldata.

use crate::cluster::Lsn;
use crate::config::Config;
use crate::decide::{Control, ControlState};

use super::{Error, program};

/// What pg_controldata tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Read {
    pub system_identifier: u64,
    pub control: Control,
    /// wal_log_hints or data checksums.
    pub can_rewind: bool,
    /// Settings that a standby must not have lower than its primary had.
    pub at_least: Vec<(&'static str, u64)>,
    /// The WAL file from which on the last checkpoint replays; of a shutdown checkpoint the one that it is in.
    pub redo_file: Option<String>,
}

/// Names of those settings in pg_controldata's output and in the configuration.
const AT_LEAST: [(&str, &str); 5] = [
    ("max_connections setting", "max_connections"),
    ("max_worker_processes setting", "max_worker_processes"),
    ("max_wal_senders setting", "max_wal_senders"),
    ("max_prepared_xacts setting", "max_prepared_transactions"),
    ("max_locks_per_xact setting", "max_locks_per_transaction"),
];

pub async fn read(config: &Config) -> Result<Read, Error> {
    let mut command = program::command(&config.program("pg_controldata"));
    command.arg(&config.data_dir).env("LC_ALL", "C");
    let text = program::run(command).await?;
    let mut read = parse(&text).ok_or_else(|| Error::Other("pg_controldata prints nothing that is known".into()))?;
    read.control.backup_label = config.data_dir.join("backup_label").exists();
    Ok(read)
}

fn parse(text: &str) -> Option<Read> {
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim())
    };
    let number = |name: &str| field(name).and_then(|value| value.parse::<u64>().ok());
    let lsn = |name: &str| field(name).and_then(|value| value.parse::<Lsn>().ok()).unwrap_or_default();
    let state = match field("Database cluster state")? {
        "shut down" => ControlState::ShutDown,
        "shut down in recovery" => ControlState::ShutDownInRecovery,
        "in archive recovery" => ControlState::InArchiveRecovery,
        "in production" | "shutting down" | "in crash recovery" | "starting up" => ControlState::Unclean,
        _ => ControlState::Unknown,
    };
    let checksums = number("Data page checksum version").is_some_and(|version| version > 0);
    Some(Read {
        system_identifier: number("Database system identifier")?,
        control: Control {
            state,
            timeline: number("Latest checkpoint's TimeLineID")? as u32,
            checkpoint: lsn("Latest checkpoint location"),
            min_recovery: lsn("Minimum recovery ending location"),
            min_recovery_timeline: number("Min recovery ending loc's timeline").unwrap_or(0) as u32,
            backup_label: false,
        },
        can_rewind: checksums || field("wal_log_hints setting") == Some("on"),
        redo_file: field("Latest checkpoint's REDO WAL file").map(str::to_owned),
        at_least: AT_LEAST.iter().filter_map(|(printed, name)| Some((*name, number(printed)?))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "pg_control version number:            1300
Database system identifier:           7711250164351395772
Database cluster state:               shut down
Latest checkpoint location:           0/2000060
Latest checkpoint's REDO location:    0/2000028
Latest checkpoint's REDO WAL file:    000000030000000000000002
Latest checkpoint's TimeLineID:       3
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
wal_log_hints setting:                on
max_connections setting:              100
Data page checksum version:           0
";

    #[test]
    fn the_fields_that_matter_are_read() {
        let read = parse(TEXT).unwrap();
        assert_eq!(read.system_identifier, 7711250164351395772);
        assert_eq!((read.control.state, read.control.timeline), (ControlState::ShutDown, 3));
        assert_eq!(read.control.checkpoint, "0/2000060".parse().unwrap());
        assert!(read.can_rewind);
        assert_eq!(read.redo_file.as_deref(), Some("000000030000000000000002"));
        assert_eq!(read.at_least, [("max_connections", 100)]);
        assert!(!parse(&TEXT.replace("hints setting:                on", "hints setting: off")).unwrap().can_rewind);
        assert_eq!(parse("nothing"), None);
    }

    #[test]
    fn states_are_told_apart() {
        let state = |text: &str| parse(&TEXT.replace("shut down\n", &format!("{text}\n"))).unwrap().control.state;
        assert_eq!(state("in production"), ControlState::Unclean);
        assert_eq!(state("shut down in recovery"), ControlState::ShutDownInRecovery);
        assert_eq!(state("something new"), ControlState::Unknown);
    }
}
