//! What the events of the DCS change in what we know.

use super::Event;
use super::state::Agent;
use crate::clock::Moment;
use crate::cluster::Cluster;
use crate::dcs::{self, Written};
use crate::decide::{JobKind, Write, slot_name, somebody_bootstraps};

/// After a failed read of the DCS.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

impl Agent {
    pub(super) fn session(&mut self, event: dcs::Event) {
        match event {
            dcs::Event::Connected(store) => {
                let timeout = store.timeout();
                tracing::info!(
                    "connected to ZooKeeper, session {:#x}, timeout {} s",
                    store.session(),
                    timeout.as_secs_f64()
                );
                self.view.dcs.session = Some(store.session());
                self.view.dcs.session_timeout = timeout.as_millis() as u64;
                // Our keys are taken over from it before it ends, so that the lease is not free meanwhile.
                self.former = self.store.replace(store);
                self.unreachable.clear();
                self.look_at_dcs_now();
            }
            dcs::Event::Changed => self.look_at_dcs_now(),
            dcs::Event::Disconnected => {
                tracing::warn!("the connection to ZooKeeper is gone");
                self.view.dcs.reachable = false;
                self.look_at_dcs_now();
            }
            dcs::Event::Expired => {
                tracing::warn!("the ZooKeeper session is over");
                self.view.dcs.reachable = false;
                self.view.dcs.session = None;
                self.store = None;
                self.former = None;
            }
            dcs::Event::Unreachable(reason) => {
                self.view.dcs.reachable = false;
                if self.unreachable != reason {
                    tracing::warn!("ZooKeeper is not accessible: {reason}");
                    self.unreachable = reason;
                }
            }
        }
    }

    pub(super) fn look_at_dcs_now(&mut self) {
        self.need.snapshot = true;
        self.need.snapshot_at = Moment::now();
    }

    pub(super) fn snapshot(&mut self, snapshot: dcs::Snapshot) {
        self.busy.snapshot = false;
        // A change that came while we were reading may not be in it: the need was set anew by then.
        self.need.snapshot = self.need.snapshot && self.need.snapshot_at <= Moment::now();
        self.view.dcs.session_until = snapshot.session_until;
        let cluster = snapshot.cluster;
        self.members = cluster.members.keys().cloned().collect();
        let first = self.view.dcs.cluster.is_none();
        if first {
            self.look_for_a_double(&cluster);
        }
        self.take_up_settings(&cluster);
        self.take_up_topology(&cluster);
        self.end_former_session(&cluster);
        self.remember(&cluster);
        self.view.dcs.cluster = Some(cluster);
        self.view.dcs.reachable = self.store.is_some();
        if self.view.dcs.reachable && self.leads() {
            // What the members have granted is needed no more.
            self.view.dcs.failsafe_until = Moment::default();
        }
        if self.leads() {
            self.watchdog.keepalive(self.times());
        }
    }

    /// Ends the session before this one, once it owns none of our keys any more.
    fn end_former_session(&mut self, cluster: &Cluster) {
        let Some(former) = &self.former else { return };
        let session = former.session();
        let member = cluster.members.get(&self.view.me.name).is_some_and(|member| member.session == session);
        if !member && cluster.leader.as_ref().is_none_or(|leader| leader.session != session) {
            self.former = None;
        }
    }

    /// Facts that only time shows.
    pub(super) fn remember(&mut self, cluster: &Cluster) {
        let now = Moment::now();
        let seen = &mut self.view.facts.members_seen;
        for member in cluster.members.values().filter(|member| !member.data.tag("nostream")) {
            seen.insert(slot_name(&member.name), now);
        }
        let retained = cluster.status.iter().flat_map(|status| status.value.retain_slots.iter().flatten());
        for slot in retained {
            seen.entry(slot.clone()).or_insert(now);
        }
        let empty = cluster.leader.is_none() && cluster.initialize.as_ref().is_some_and(|i| i.value.is_empty());
        let idle = &mut self.view.facts.bootstrap_idle_since;
        *idle = match empty && !somebody_bootstraps(cluster, &self.view.me.name) {
            true => idle.or(Some(now)),
            false => None,
        };
        let before = self.view.dcs.cluster.as_ref();
        let lead = |cluster: &Cluster| {
            let data = cluster.leader_member().map(|m| (m.data.state.clone(), m.data.role.clone(), m.data.timeline));
            (cluster.leader.clone(), data)
        };
        if before.is_none_or(|before| lead(before) != lead(cluster)) {
            self.view.facts.leader_changed = now;
        }
        if let Some(leader) = &cluster.leader {
            self.view.facts.last_leader = Some(leader.name.clone());
            self.view.facts.leaderless_since = None;
        } else if self.view.facts.leaderless_since.is_none() {
            self.view.facts.leaderless_since = Some(now);
            self.need.observation = true;
        }
        // A standby that started to stream, a new leader: PostgreSQL has changed, too.
        let states = |cluster: &Cluster| {
            cluster
                .members
                .values()
                .map(|m| (m.name.clone(), m.data.state.clone(), m.data.replication_state.clone()))
                .collect::<Vec<_>>()
        };
        if before.is_some_and(|before| states(before) != states(cluster) || before.leader != cluster.leader) {
            self.need.observation = true;
        }
    }

    pub(super) fn snapshot_failed(&mut self, reason: &str) {
        self.busy.snapshot = false;
        self.view.dcs.reachable = false;
        self.need.snapshot = false;
        self.need.snapshot_at = Moment::now() + AGAIN;
        tracing::warn!("{reason}");
    }

    /// Another live node of our name must not be pushed aside.
    pub(super) fn look_for_a_double(&self, cluster: &Cluster) {
        let Some(member) = cluster.members.get(&self.view.me.name) else { return };
        let url = member.data.api_url.clone();
        if Some(member.session) == self.view.dcs.session || url == self.view.me.api_url || url.is_empty() {
            return;
        }
        let (events, access) = (self.events.clone(), self.peers.borrow().clone());
        tokio::spawn(async move {
            let liveness = url.trim_end_matches("/patroni").to_owned() + "/liveness";
            if crate::api::peers::is_alive(&access, &liveness).await {
                let _ = events.send(Event::Duplicate(url)).await;
            }
        });
    }

    /// A promotion may be tried again, and members that are away are waited for anew.
    fn lease_is_new(&mut self, now: Moment) {
        if self.view.failed(JobKind::Promote) {
            self.view.facts.failure = None;
        }
        let status = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.status.as_ref());
        for slot in status.iter().flat_map(|status| status.value.retain_slots.iter().flatten()) {
            self.view.facts.members_seen.insert(slot.clone(), now);
        }
    }

    pub(super) fn written(
        &mut self,
        results: Vec<(Write, Written)>,
        failure: Option<String>,
        then: Vec<crate::decide::Action>,
    ) {
        (self.busy.writing, self.busy.acquiring) = (false, false);
        let now = Moment::now();
        for (write, written) in results {
            match (&write, written) {
                (Write::Member(_), _) => self.view.facts.member_written = now,
                (Write::Status { .. }, _) => self.view.facts.status_written = now,
                (Write::AcquireLeader { .. }, _) => self.lease_is_new(now),
                (_, Written::Initialize { created }) => self.view.facts.initialize_created = Some(created),
                _ => {}
            }
        }
        self.look_at_dcs_now();
        match failure {
            None => then.into_iter().for_each(|action| self.begin(action)),
            Some(reason) => tracing::info!("not written: {reason}"),
        }
    }
}
