//! PostgreSQL, as its data directory, its process and its SQL show it.

use indexmap::IndexMap;

use crate::clock::Moment;
use crate::cluster::{History, Lsn};

/// This node's PostgreSQL.
#[derive(Debug, Clone, Default)]
pub struct Pg {
    pub data: DataDir,
    pub process: Process,
    /// What it says by SQL; `None` while it does not answer.
    pub server: Option<Server>,
    /// When `server` was asked.
    pub observed: Moment,
    /// Since when a question has been waiting for any answer; an error is one.
    pub silent_since: Option<Moment>,
    /// Since when somebody has been waiting for WAL to reach the disk, and none has reached it.
    pub wal_stuck_since: Option<Moment>,
    /// What the control file says; read while PostgreSQL is down.
    pub control: Option<Control>,
    /// There is a standby.signal (or recovery.signal): it would start as a standby.
    pub standby_signal: bool,
    /// The role that it ran in last, also while it is down.
    pub role: Role,
    /// It ended without having been stopped.
    pub crashed: bool,
    /// Blocks are marked so that pg_rewind can work (wal_log_hints or checksums).
    pub can_rewind: bool,
    /// Parameters whose configured value comes into force only by a restart, with the value in force and that one.
    pub pending_restart: IndexMap<String, ParameterChange>,
}

/// A parameter's value in force and the one that a restart would bring, as people write them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ParameterChange {
    pub old_value: String,
    pub new_value: String,
}

impl Pg {
    /// It takes writes, or did when it was last heard of.
    pub fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    Primary,
    Replica,
    /// Was a primary and was stopped.
    Demoted,
    #[default]
    Uninitialized,
}

/// The data directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DataDir {
    #[default]
    Empty,
    /// Half made by this agent, and of no worth to anybody.
    Unfinished,
    /// A complete one, whose cluster we were just initialising.
    Initialising {
        system_identifier: u64,
        phase: Phase,
    },
    Present {
        system_identifier: u64,
    },
    /// pg_rewind has begun and not ended: of no use until it has, since old and new blocks are mixed.
    Rewinding {
        system_identifier: u64,
    },
    /// Not empty, and not a data directory that we could use.
    Foreign {
        reason: String,
    },
}

/// The bootstrap that a data directory is in the middle of: which initialize key allowed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    pub created: i64,
    /// Users and hooks are done, too.
    pub complete: bool,
}

impl DataDir {
    pub fn system_identifier(&self) -> Option<u64> {
        match self {
            DataDir::Present { system_identifier }
            | DataDir::Rewinding { system_identifier }
            | DataDir::Initialising { system_identifier, .. } => Some(*system_identifier),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Process {
    #[default]
    Down,
    Up,
}

/// A PostgreSQL that answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Server {
    pub in_recovery: bool,
    pub timeline: u32,
    /// Primary: where WAL is written.
    pub written: Lsn,
    /// Primary: some process waits for WAL to reach the disk.
    pub wal_awaited: bool,
    /// Standby: what has been received and replayed.
    pub received: Lsn,
    pub replayed: Lsn,
    pub replay_paused: bool,
    /// Standby: it has replayed all WAL that lies in its data directory, and waits for more. Before that, its positions
    /// say less than it has.
    pub has_read_all: bool,
    pub replay_timestamp: Option<String>,
    pub wal_receiver: Option<WalReceiver>,
    /// There is a restore_command that WAL may come from.
    pub archive_recovery: bool,
    /// Standby: the process that replays WAL.
    pub startup: Option<i32>,
    pub wal_senders: Vec<WalSender>,
    pub slots: Vec<Slot>,
    /// `synchronous_standby_names` in force.
    pub sync_names: String,
    /// `primary_conninfo` and `primary_slot_name` in force.
    pub upstream: Option<Upstream>,
    pub upstream_slot: String,
    /// Primary: where its former timelines ended, if the file is there.
    pub history: Option<History>,
    pub start_time: String,
    /// 150020 for 15.20.
    pub version: u32,
    /// The checkpoint that follows a promotion is done.
    pub checkpointed: bool,
}

impl Server {
    /// The newest WAL that this node has.
    pub fn position(&self) -> Lsn {
        if self.in_recovery { self.received.max(self.replayed) } else { self.written }
    }

    /// The same, if it is known.
    pub fn known_position(&self) -> Option<Lsn> {
        (!self.in_recovery || self.has_read_all).then(|| self.position())
    }

    /// Up to where there is WAL that slots can be moved to.
    pub fn position_in_data(&self) -> Lsn {
        if self.in_recovery { self.replayed } else { self.written }
    }

    pub fn is_streaming(&self) -> bool {
        self.wal_receiver.as_ref().is_some_and(|receiver| receiver.status == "streaming")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalReceiver {
    pub status: String,
    /// The upstream's last known WAL end.
    pub latest_end: Lsn,
    pub timeline: Option<u32>,
}

/// A row of pg_stat_replication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalSender {
    pub pid: i32,
    pub user: String,
    pub application_name: String,
    pub client_addr: Option<String>,
    pub state: String,
    pub sync_state: String,
    pub sync_priority: i32,
    pub written: Lsn,
    pub flushed: Lsn,
    pub replayed: Lsn,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slot {
    pub name: String,
    pub active: bool,
    /// From where on WAL is kept for a physical one (0: nowhere), or up to where a logical one's user has confirmed.
    pub position: Lsn,
    pub logical: bool,
    /// Of a logical one.
    pub database: String,
    pub plugin: String,
    /// Its user has said by hot_standby_feedback which rows it still needs.
    pub has_xmin: bool,
    /// The WAL that it needs is gone.
    pub lost: bool,
}

/// Where a standby streams from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    pub host: String,
    pub port: u16,
}

/// What the control file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    pub state: ControlState,
    pub timeline: u32,
    /// Where the last checkpoint record begins.
    pub checkpoint: Lsn,
    /// Standby: up to where it must replay before it is consistent, and on which timeline.
    pub min_recovery: Lsn,
    pub min_recovery_timeline: u32,
    /// There is a backup_label: a copy that was never started.
    pub backup_label: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControlState {
    /// Cleanly stopped as a primary.
    ShutDown,
    /// Cleanly stopped as a standby.
    ShutDownInRecovery,
    InArchiveRecovery,
    /// In production, shutting down or in crash recovery: it was a primary and did not stop cleanly.
    Unclean,
    #[default]
    Unknown,
}
