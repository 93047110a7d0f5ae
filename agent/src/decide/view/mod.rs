//! What can be seen.

mod facts;
mod pg;

use indexmap::IndexMap;
use serde_json::Value;

use super::Asked;
use crate::clock::Moment;
use crate::cluster::{Cluster, LeaderKey, Lsn, Member};
use crate::config::Settings;

pub use facts::{Crashes, Facts, JobFailure, LeaderTimeline, SyncSetting};
pub use pg::{
    Control, ControlState, DataDir, ParameterChange, Pg, Phase, Process, Role, Server, Slot, Upstream, WalReceiver,
    WalSender,
};

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
