//! What the events of the DCS change in what we know.

use super::Event;
use super::state::Agent;
use crate::clock::Moment;
use crate::cluster::Cluster;
use crate::dcs::{self, Written};
use crate::decide::Write;

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
        // A standby that started to stream, a new leader: PostgreSQL has changed, too.
        self.need.observation |= self.view.learn_cluster(cluster, Moment::now());
        // What we have just announced is new no longer: nothing else might look at the directory for long.
        let data = std::mem::take(&mut self.view.pg.data);
        self.view.pg.data = self.announced(data);
        self.view.dcs.reachable = self.store.is_some();
        if self.view.dcs.reachable && self.leads() {
            // What the members have granted is needed no more.
            self.view.dcs.failsafe_until = Moment::default();
            self.view.facts.failsafe_refusals = 0;
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

    pub(super) fn snapshot_failed(&mut self, reason: &str) {
        self.busy.snapshot = false;
        self.view.dcs.reachable = false;
        self.need.snapshot = false;
        self.need.snapshot_at = Moment::now() + AGAIN;
        tracing::warn!("{reason}");
    }

    /// Another live node of our name must not be pushed aside: nothing is decided before it is known that there is none.
    pub(super) fn look_for_a_double(&mut self, cluster: &Cluster) {
        let Some(member) = cluster.members.get(&self.view.me.name) else { return };
        let url = member.data.api_url.clone();
        let Some(session) = self.view.dcs.session.filter(|session| *session != member.session) else { return };
        let (events, access) = (self.events.clone(), self.peers.borrow().clone());
        self.busy.looking_for_a_double = true;
        tokio::spawn(async move {
            let liveness = format!("{}/liveness?not={session:x}", url.trim_end_matches("/patroni"));
            let double = crate::api::peers::is_alive(&access, &liveness).await.then_some(url);
            let _ = events.send(Event::Double(double)).await;
        });
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
            let created = match written {
                Written::Initialize { created } => Some(created),
                Written::Done => None,
            };
            self.view.learn_written(&write, created, now);
        }
        self.look_at_dcs_now();
        match failure {
            None => then.into_iter().for_each(|action| self.begin(action)),
            Some(reason) => tracing::info!("not written: {reason}"),
        }
    }
}
