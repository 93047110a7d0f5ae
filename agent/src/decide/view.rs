//! What can be seen.

use indexmap::IndexMap;
use serde_json::Value;

use super::failsafe::Agreed;
use super::{Asked, StopMode};
use crate::clock::Moment;
use crate::cluster::{Cluster, History, LeaderKey, Lsn, Member};
use crate::config::Settings;

/// Everything that a decision depends on.
#[derive(Debug, Clone)]
pub struct View {
    pub me: Me,
    pub settings: Settings,
    pub dcs: Dcs,
    pub pg: Pg,
    /// The slow job that runs.
    pub job: Option<JobView>,
    pub facts: Facts,
    pub watchdog: Watchdog,
    /// What people want of this node.
    pub asked: Asked,
    /// What the peers said last.
    pub peers: Option<Peers>,
    /// The agent was asked to stop.
    pub stopping: bool,
    /// The wall clock, in seconds since 1970: scheduled requests name a time of day.
    pub wall: i64,
    /// When this view was made.
    pub made: Moment,
}

/// What this node is called and what it is for.
#[derive(Debug, Clone, Default)]
pub struct Me {
    pub name: String,
    pub conn_url: String,
    pub api_url: String,
    pub proxy_url: Option<String>,
    pub tags: IndexMap<String, Value>,
    /// The configuration has a `bootstrap` section.
    pub may_bootstrap: bool,
    /// A new cluster is made by a program of the user's own.
    pub custom_bootstrap: bool,
    /// The dynamic configuration that a new cluster gets, as JSON.
    pub initial_config: String,
}

/// The watchdog, where it is required; else there is nothing to know about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watchdog {
    /// It could not be armed: this node must not lead.
    pub unusable: bool,
    /// It was needed, and could not be armed.
    pub failed: bool,
}

/// The DCS, as far as we know it.
#[derive(Debug, Clone, Default)]
pub struct Dcs {
    /// The last picture, if there ever was one.
    pub cluster: Option<Cluster>,
    /// The picture is current: connected, and nothing has changed since.
    pub reachable: bool,
    pub session: Option<i64>,
    /// Until when the server cannot have ended our session: when we last sent a request that was answered,
    /// plus the negotiated timeout.
    pub session_until: Moment,
    /// Failsafe mode: until when every other member has agreed to follow us although the DCS is away.
    pub failsafe_until: Moment,
    /// The negotiated timeout, in milliseconds.
    pub session_timeout: u64,
}

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

/// The slow job that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobView {
    pub kind: JobKind,
    pub since: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    Bootstrap,
    Clone,
    StartPrimary,
    StartStandby,
    Stop,
    Promote,
    CrashRecover,
    Rewind,
    SetAside,
    CopySlots,
    Restart,
    Discard,
}

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

/// Answers of the peers.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    pub asked: Moment,
    /// `None` for a peer that did not answer.
    pub answers: IndexMap<String, Option<Peer>>,
}

/// What `GET <api_url>` of a peer says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    pub is_primary: bool,
    /// The newest WAL it has; `None` if its PostgreSQL does not answer.
    pub position: Option<Lsn>,
    pub timeline: Option<u32>,
    pub may_lead: bool,
    pub priority: i64,
}

impl View {
    /// Whether our session owns this leader key.
    pub fn is_mine(&self, leader: &LeaderKey) -> bool {
        Some(leader.session) == self.dcs.session
    }

    /// Whether the leader key is ours.
    pub fn leads(&self) -> bool {
        let leader = self.dcs.cluster.as_ref().and_then(|cluster| cluster.leader.as_ref());
        leader.is_some_and(|leader| self.is_mine(leader))
    }

    /// We hold the lease, and it cannot have run out; or all members have granted that we go on without.
    pub fn holds_lease(&self, now: Moment) -> bool {
        let granted = now < self.dcs.failsafe_until
            && self.dcs.cluster.as_ref().is_some_and(|cluster| cluster.leader_name() == Some(&self.me.name));
        granted || (self.leads() && now < self.dcs.session_until)
    }

    /// Whether the picture of the DCS is one to act on: after a pause of this process it is not, whatever we were
    /// told before, since our session may have ended meanwhile.
    pub fn is_current(&self, now: Moment) -> bool {
        self.dcs.reachable && now < self.dcs.session_until
    }

    /// The leader key bears our name, but a former session of ours owns it.
    pub fn mine_from_before(&self, cluster: &Cluster) -> bool {
        cluster.leader.as_ref().is_some_and(|leader| leader.name == self.me.name && !self.is_mine(leader))
    }

    /// Whether this node may become the leader at all.
    pub fn may_lead(&self) -> bool {
        let data = crate::cluster::MemberData { tags: self.me.tags.clone(), ..Default::default() };
        data.may_lead()
    }

    /// The leader's address, if it is somebody else whose member key is there.
    pub fn leader_upstream(&self, cluster: &Cluster) -> Option<Upstream> {
        upstream(cluster.leader_member().filter(|member| member.name != self.me.name)?)
    }
}

/// Where a member can be reached by a standby.
pub(super) fn upstream(member: &Member) -> Option<Upstream> {
    member.data.address().map(|(host, port)| Upstream { host, port })
}

impl View {
    /// How long a job of this kind must still wait after its failures: 0.5 s, doubling, at most loop_wait.
    pub(super) fn cooling(&self, kind: JobKind, now: Moment) -> Option<std::time::Duration> {
        let failure = self.facts.failure.as_ref().filter(|failure| failure.kind == kind)?;
        let pause = std::time::Duration::from_millis(500) * 2u32.pow(failure.count.saturating_sub(1).min(10));
        let left = pause.min(self.settings.loop_wait).saturating_sub(now.since(failure.at));
        (!left.is_zero()).then_some(left)
    }

    /// How long a start must still wait since PostgreSQL crashes again and again (a full disk, broken data): not at
    /// all after the first crash, then 0.5 s, doubling, at most loop_wait.
    pub(super) fn cooling_after_crashes(&self, now: Moment) -> Option<std::time::Duration> {
        let again = self.facts.crashes.count.checked_sub(2)?;
        let pause = std::time::Duration::from_millis(500) * 2u32.pow(again.min(10));
        let left = pause.min(self.settings.loop_wait).saturating_sub(now.since(self.facts.crashes.last));
        (!left.is_zero()).then_some(left)
    }

    pub(crate) fn failed(&self, kind: JobKind) -> bool {
        self.facts.failure.as_ref().is_some_and(|failure| failure.kind == kind)
    }
}
