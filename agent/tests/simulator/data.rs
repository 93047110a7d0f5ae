//! A data directory: what outlives PostgreSQL, the agent and the machine's power.

use std::collections::BTreeMap;

use labrun_agent::cluster::Lsn;
use labrun_agent::decide::{Control, ControlState, DataDir, Phase};

use crate::wal::{Spot, Wal};

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Empty,
    /// A copy, or an initdb for the initialize key of that transaction, that has not ended.
    Unfinished {
        created: Option<i64>,
    },
    /// A new cluster that is not announced yet.
    Initialising(Phase),
    Complete,
}

#[derive(Debug, Clone)]
pub struct Data {
    pub content: Content,
    pub system_identifier: u64,
    /// The end of the WAL on disk.
    pub tip: Spot,
    pub state: ControlState,
    /// The last checkpoint record, as the control file has it; a replay begins there.
    pub checkpoint: Spot,
    /// The control file's minRecoveryPoint: before that has been replayed, the pages are not consistent.
    pub min_recovery: Spot,
    /// A copy or a rewound directory that was not started yet.
    pub backup_label: bool,
    pub standby_signal: bool,
    /// The node that `primary_conninfo` names.
    pub upstream: Option<usize>,
    /// `synchronous_standby_names` as it lies on disk.
    pub sync_names: String,
    /// Physical slots and from where on they keep WAL.
    pub slots: BTreeMap<String, Lsn>,
    /// The newest timeline that a history file in pg_wal tells of.
    pub newest_timeline: u32,
    /// The agent's marker that pg_rewind has begun and not ended.
    pub rewinding: bool,
    /// pg_rewind was interrupted in the middle of it: a mix of two servers' pages.
    pub torn: bool,
}

impl Data {
    pub fn empty(wal: &Wal) -> Data {
        Data {
            content: Content::Empty,
            system_identifier: 0,
            tip: wal.root(),
            state: ControlState::Unknown,
            checkpoint: wal.root(),
            min_recovery: wal.root(),
            backup_label: false,
            standby_signal: false,
            upstream: None,
            sync_names: String::new(),
            slots: BTreeMap::new(),
            newest_timeline: 0,
            rewinding: false,
            torn: false,
        }
    }

    /// What initdb leaves behind.
    pub fn initdb(wal: &mut Wal, system_identifier: u64, phase: Phase) -> Data {
        let first = wal.initdb();
        Data {
            content: Content::Initialising(phase),
            system_identifier,
            tip: first,
            state: ControlState::ShutDown,
            checkpoint: first,
            min_recovery: first,
            newest_timeline: 1,
            ..Data::empty(wal)
        }
    }

    /// What the agent sees of it.
    pub fn seen(&self) -> DataDir {
        let system_identifier = self.system_identifier;
        match self.content {
            Content::Empty => DataDir::Empty,
            Content::Unfinished { .. } => DataDir::Unfinished,
            Content::Initialising(phase) => DataDir::Initialising { system_identifier, phase },
            Content::Complete if self.rewinding => DataDir::Rewinding { system_identifier },
            Content::Complete => DataDir::Present { system_identifier },
        }
    }

    /// What pg_controldata says.
    pub fn control(&self, wal: &Wal) -> Option<Control> {
        let recovering = matches!(self.state, ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery);
        let point = if recovering { self.min_recovery } else { wal.root() };
        self.is_usable().then(|| Control {
            state: self.state,
            timeline: wal.timeline(self.checkpoint),
            checkpoint: wal.start(self.checkpoint),
            min_recovery: wal.end(point),
            min_recovery_timeline: wal.timeline(point),
            backup_label: self.backup_label,
        })
    }

    /// The initialize key that an interrupted bootstrap was allowed by, as the agent's marker has it.
    pub fn bootstrap_of(&self) -> Option<i64> {
        match self.content {
            Content::Unfinished { created } => created,
            Content::Initialising(phase) => Some(phase.created),
            Content::Empty | Content::Complete => None,
        }
    }

    /// There is a whole data directory.
    pub fn is_usable(&self) -> bool {
        matches!(self.content, Content::Initialising(_) | Content::Complete)
    }

    /// Its WAL and its pages hold (or can be brought to hold) all WAL up to `spot`.
    pub fn holds(&self, wal: &Wal, spot: Spot) -> bool {
        self.is_usable() && !self.torn && wal.contains(self.tip, spot)
    }

    /// Replay of the WAL on disk is enough to make the pages consistent.
    pub fn can_become_consistent(&self, wal: &Wal) -> bool {
        self.holds(wal, self.min_recovery)
    }
}
