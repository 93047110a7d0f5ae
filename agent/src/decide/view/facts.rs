//! What was learnt earlier and still counts: what no look at the world would tell again.

use indexmap::IndexMap;

use super::super::StopMode;
use super::super::failsafe::Agreed;
use super::{JobKind, Upstream};
use crate::clock::Moment;
use crate::cluster::{History, Lsn};

/// What was learnt earlier and still counts.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The initialize key that this process created.
    pub initialize_created: Option<i64>,
    /// Since when the initialize key has been empty with nobody there who could be filling it.
    pub bootstrap_idle_since: Option<Moment>,
    /// When something about the leader changed last: its key, or its state, role or timeline.
    pub leader_changed: Moment,
    /// The last job that failed, until one of its kind succeeds.
    pub failure: Option<JobFailure>,
    pub crashes: Crashes,
    /// Single-user crash recovery was done since PostgreSQL last ran.
    pub crash_recovered: bool,
    /// What the leader's timelines are, as read from it.
    pub leader_timeline: Option<LeaderTimeline>,
    /// When the leader was last asked for it.
    pub leader_asked: Option<Moment>,
    /// How often in a row it did not tell.
    pub leader_unanswered: u32,
    /// pg_rewind has failed, for the leader timeline in `leader_timeline`.
    pub rewind_failed: bool,
    /// pg_rewind has made this directory fit for that leader timeline.
    pub rewound_to: Option<u32>,
    /// How synchronous_standby_names was set last; `None` while it is being changed.
    pub sync_setting: Option<SyncSetting>,
    /// When we last wrote our member key and the status.
    pub member_written: Moment,
    pub status_written: Moment,
    /// When members were last seen, by name, for the slots that are kept for them.
    pub members_seen: IndexMap<String, Moment>,
    /// When logical slots were copied from the primary last.
    pub slots_copied: Option<Moment>,
    /// Which upstream (nobody if `None`) PostgreSQL was last told to stream from, as far as that is known.
    pub standby_of: Option<Option<Upstream>>,
    /// The mode of the last stop that was begun.
    pub stop_mode: Option<StopMode>,
    /// When the members were last asked in failsafe mode.
    pub failsafe_asked: Option<Moment>,
    /// How often in a row not all of them agreed.
    pub failsafe_refusals: u32,
    /// How far they were when all last agreed.
    pub failsafe_positions: IndexMap<String, Lsn>,
    /// The leader that we have last agreed to follow in failsafe mode.
    pub failsafe: Option<Agreed>,
    /// When we first saw that there is no leader.
    pub leaderless_since: Option<Moment>,
    /// Who led last, as far as we have seen.
    pub last_leader: Option<String>,
    /// Since when this node, which is to be stopped, asks the leader to do without it as a synchronous standby.
    pub leaving_since: Option<Moment>,
    /// A promotion may be going on that nobody waits for: its job was cut off, or a former life of this agent may have
    /// begun it (the lease was a former session's, and PostgreSQL ran as a standby).
    pub may_be_promoting: bool,
    /// We stopped a primary ourselves, and have not started it since.
    pub handed_over: bool,
}

/// PostgreSQL's ends that nobody asked for, as long as each follows soon on the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crashes {
    pub count: u32,
    pub last: Moment,
}

impl Crashes {
    /// Longer than this, and the next crash has nothing to do with the last one.
    const IN_A_ROW: std::time::Duration = std::time::Duration::from_secs(60);

    pub fn note(&mut self, now: Moment) {
        self.count = if now.since(self.last) < Crashes::IN_A_ROW { self.count.saturating_add(1) } else { 1 };
        self.last = now;
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    pub kind: JobKind,
    pub at: Moment,
    /// How often in a row.
    pub count: u32,
    pub reason: String,
}

/// The setting and the WAL position from which on every commit obeys it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSetting {
    pub names: String,
    pub since: Lsn,
}

/// The leader's timeline and where the former ones ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderTimeline {
    pub upstream: Upstream,
    /// The leader key it was read under.
    pub created: i64,
    pub timeline: u32,
    pub history: History,
    /// pg_rewind can read the leader: it fails, half way, on a Unix socket in the leader's data directory.
    pub can_be_source: bool,
    /// Our newest timeline is the leader's of that number: false if two nodes were promoted onto the same number.
    pub shared: bool,
}
