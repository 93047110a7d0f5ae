//! What can be wanted.

use std::time::Duration;

use indexmap::IndexMap;

use crate::cluster::{Cluster, Failover, History, Lsn, MemberData, Status, Sync};

use super::asked;
use super::failsafe::Call;
use super::view::{JobKind, Upstream};

/// The outcome of one look at the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// To be done in this order.
    pub actions: Vec<Action>,
    /// What is going on and why, for the log.
    pub status: String,
    /// Look again after this time even if nothing happens.
    pub recheck: Duration,
}

/// Longer than any loop_wait: the loop takes the shorter one.
const WHENEVER: Duration = Duration::from_secs(3600);

impl Decision {
    pub(super) fn wait(status: impl Into<String>) -> Decision {
        Decision { actions: Vec::new(), status: status.into(), recheck: WHENEVER }
    }

    pub(super) fn act(status: impl Into<String>, action: impl Into<Action>) -> Decision {
        Decision { actions: vec![action.into()], ..Decision::wait(status) }
    }

    pub(super) fn exit(code: u8, reason: impl Into<String>) -> Decision {
        let reason = reason.into();
        Decision::act(reason.clone(), Action::Exit { code, reason })
    }

    pub(super) fn recheck(mut self, after: Duration) -> Decision {
        self.recheck = self.recheck.min(after);
        self
    }

    pub(super) fn then(mut self, action: impl Into<Action>) -> Decision {
        self.actions.push(action.into());
        self
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write to the DCS; quick. A write that fails ends the list.
    Write(Write),
    /// Start a slow job; there is one at a time. `Stop` cancels the one that runs.
    Run(Job),
    /// Do something in a PostgreSQL that runs; quick, beside any job.
    Chore(Chore),
    /// Ask these members (name, api_url) over REST how far they are.
    AskPeers(Vec<(String, String)>),
    /// Ask these members (name, api_url) whether they follow us although the DCS is away; all must agree.
    AskFailsafe { members: Vec<(String, String)>, call: Call },
    /// Read the timeline and its history from the leader's PostgreSQL.
    ReadLeaderTimeline(Upstream),
    /// Drop a request of people that cannot be met or is done with.
    Forget(asked::Request),
    /// The scheduled restart's time has come: it is wanted now.
    BeginScheduledRestart,
    /// End the agent.
    Exit { code: u8, reason: String },
}

impl From<Write> for Action {
    fn from(write: Write) -> Action {
        Action::Write(write)
    }
}

impl From<Job> for Action {
    fn from(job: Job) -> Action {
        Action::Run(job)
    }
}

impl From<Chore> for Action {
    fn from(chore: Chore) -> Action {
        Action::Chore(chore)
    }
}

/// A write to the DCS. Those with a version are compare-and-set; `None` creates the key.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    Member(Box<MemberData>),
    /// Wins the bootstrap race.
    CreateInitialize,
    SetInitialize {
        system_identifier: u64,
        version: Option<i32>,
    },
    DropInitialize {
        version: i32,
    },
    Config {
        json: String,
        version: Option<i32>,
    },
    /// Creates the leader key, owned by our session; with `sync` only if that still is the version of the sync
    /// key: somebody else who has led meanwhile has changed it.
    AcquireLeader {
        sync: Option<i32>,
    },
    /// Replaces a leader key of our own name that a former session of ours owns, if `sync` still is the version of
    /// the sync key. That gets a new version: what the former session has sent to change it, and what is still
    /// on its way, must not arrive after we have begun to rely on it.
    ReclaimLeader {
        sync: Option<i32>,
    },
    /// Deletes the leader key if our session owns it.
    ReleaseLeader,
    Status {
        status: Status,
        version: Option<i32>,
    },
    Sync {
        sync: Sync,
        version: Option<i32>,
    },
    Failover {
        failover: Failover,
        version: Option<i32>,
    },
    History {
        history: History,
        version: Option<i32>,
    },
    Failsafe {
        members: IndexMap<String, String>,
        version: Option<i32>,
    },
}

/// A slow job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// initdb, start, users: a new cluster. `created` names the initialize key that allows it.
    Bootstrap {
        created: i64,
    },
    /// A copy into an empty data directory: of a running node, or by methods that need none. With `created` it is
    /// the beginning of a standby cluster, which that initialize key allows.
    Clone {
        name: String,
        from: Option<Upstream>,
        created: Option<i64>,
    },
    Start(StartAs),
    Stop {
        mode: StopMode,
    },
    Promote,
    /// Let a single-user PostgreSQL finish crash recovery, so that the control file is clean.
    CrashRecover,
    Rewind {
        name: String,
        from: Upstream,
    },
    /// Stop and start again, because people want it.
    Restart(StartAs),
    /// Stops PostgreSQL at once and gives its data up for a new copy, because people want it.
    Discard,
    /// Moves a data directory that cannot be rewound out of the way of a new copy. It is removed when that
    /// copy streams.
    SetAside,
    /// Copies logical slots from the primary `from`: stops the standby, puts their files into place, and starts it
    /// as a standby of `follow` again.
    CopySlots {
        names: Vec<String>,
        from: Upstream,
        follow: Option<Upstream>,
    },
}

/// A logical slot, and where it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalSlot {
    pub name: String,
    pub database: String,
    pub plugin: String,
    pub lsn: Lsn,
}

/// What PostgreSQL is started as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAs {
    Primary,
    /// A standby of `upstream`; of nobody while there is no leader.
    Standby(Option<Upstream>),
}

/// How PostgreSQL is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Disconnects clients, writes a checkpoint; standbys get all WAL. With `checkpoint`, most of that is
    /// written before clients are disconnected.
    Fast { checkpoint: bool },
    /// Ends at once, as in a crash.
    Immediate,
    /// Ends all its processes, whether they react or not.
    Kill,
}

/// Something quick inside a running PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chore {
    /// Sets `synchronous_standby_names`, and afterwards tells the WAL position from which on it holds.
    SyncNames(String),
    /// Physical slots; of any kind those to be dropped.
    Slots {
        create: Vec<String>,
        drop: Vec<String>,
        advance: Vec<(String, u64)>,
    },
    /// Logical slots: made on a primary, moved on on a standby.
    LogicalSlots {
        create: Vec<LogicalSlot>,
        advance: Vec<LogicalSlot>,
    },
    Checkpoint,
    /// Wakes the startup process of a standby, which would otherwise wait for wal_retrieve_retry_interval (5 s)
    /// before it asks a primary again that was not there.
    RetryStreaming {
        startup: i32,
    },
    /// Goes on with the replay of WAL that was paused.
    ResumeReplay,
    /// Follow another upstream (nobody if `None`); by reload, or by restart before PostgreSQL 13.
    Follow(Option<Upstream>),
}

impl Write {
    /// Takes the lease, for reasons that `cluster` gave.
    pub fn acquire(cluster: &Cluster) -> Write {
        Write::AcquireLeader { sync: cluster.sync.as_ref().map(|sync| sync.version) }
    }

    /// Takes over the lease of a former session.
    pub fn reclaim(cluster: &Cluster) -> Write {
        Write::ReclaimLeader { sync: cluster.sync.as_ref().map(|sync| sync.version) }
    }
}

impl Job {
    pub fn kind(&self) -> JobKind {
        match self {
            Job::Bootstrap { .. } => JobKind::Bootstrap,
            Job::Clone { .. } => JobKind::Clone,
            Job::Start(StartAs::Primary) => JobKind::StartPrimary,
            Job::Start(StartAs::Standby(_)) => JobKind::StartStandby,
            Job::Stop { .. } => JobKind::Stop,
            Job::Promote => JobKind::Promote,
            Job::CrashRecover => JobKind::CrashRecover,
            Job::Rewind { .. } => JobKind::Rewind,
            Job::SetAside => JobKind::SetAside,
            Job::CopySlots { .. } => JobKind::CopySlots,
            Job::Restart(_) => JobKind::Restart,
            Job::Discard => JobKind::Discard,
        }
    }
}
