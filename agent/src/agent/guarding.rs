//! What the guard's process is told, and when those of former agents may go; when the watchdog is armed.

use std::time::Duration;

use super::state::Agent;
use crate::clock::Moment;
use crate::decide::{self, Permit};
use crate::guard::{Order, Postmaster};
use crate::postgres::postmaster;
use crate::watchdog::Times;

impl Agent {
    /// Tells the guard until when PostgreSQL may be writable; before anything begins that makes it so.
    pub(super) fn tend_guard(&mut self) {
        let permit = decide::permit(&self.view);
        self.guard.give(match permit {
            Permit::Aside => Order::Aside,
            Permit::Until(term) => Order::Until { term, postmaster: self.pid.and_then(Postmaster::of) },
        });
        if self.relieves && decide::knows_the_term(&self.view) {
            self.relieves = false;
            let (given, relief) = (self.guard.last(), self.guard.relief());
            tokio::spawn(async move {
                given.obeyed().await;
                relief.dismiss();
            });
        }
    }

    /// We hold the lease, as far as we know.
    pub(super) fn leads(&self) -> bool {
        let leader = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader.as_ref());
        leader.is_some_and(|leader| self.view.is_mine(leader))
    }

    /// What the watchdog is set for.
    pub(super) fn times(&self) -> Times {
        let settings = &self.view.settings;
        let negotiated = Duration::from_millis(self.view.dcs.session_timeout);
        let lease = if negotiated.is_zero() { settings.ttl } else { settings.ttl.min(negotiated) };
        Times { ttl: settings.ttl, lease, loop_wait: settings.loop_wait }
    }

    /// Keeps the watchdog armed while this node leads, and only then.
    pub(super) fn tend_watchdog(&mut self) {
        let primary = self.view.pg.is_primary();
        let up = self.is_up();
        let leads = self.leads() || self.view.dcs.failsafe_until > Moment::now();
        // While a crashed primary is started again the lease is kept, and so is the watchdog.
        let wanted = leads && !self.view.settings.pause && (up || (primary && !self.view.stopping));
        if !wanted {
            self.watchdog.disarm();
            self.view.watchdog.failed = false;
        } else if primary && up && self.job.is_none() {
            self.arm_watchdog();
        }
        self.view.watchdog.unusable = !self.watchdog.is_usable(self.times());
    }

    /// Before PostgreSQL becomes writable. False where a watchdog is required and cannot be armed.
    pub(super) fn arm_watchdog(&mut self) -> bool {
        let armed = self.watchdog.arm(self.times());
        self.view.watchdog.failed = !armed;
        armed
    }

    /// What a postmaster that crashed has left behind would still answer its clients for a moment.
    pub(super) fn end_orphans(&self) {
        let dir = self.config.data_dir.canonicalize().unwrap_or_else(|_| self.config.data_dir.clone());
        postmaster::kill_all(&dir);
    }
}
