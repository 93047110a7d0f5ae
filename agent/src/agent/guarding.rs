//! What the guard's process is told, and when those of former agents may go.

use super::state::Agent;
use crate::decide::{self, Permit, Process};
use crate::guard::{Order, Postmaster};
use crate::postgres::postmaster;

impl Agent {
    /// Tells the guard until when PostgreSQL may be writable; before anything begins that makes it so.
    pub(super) fn tend_guard(&mut self) {
        let permit = decide::permit(&self.view);
        self.guard.give(match permit {
            Permit::Aside => Order::Aside,
            Permit::Until(term) => Order::Until { term, postmaster: self.pid.and_then(Postmaster::of) },
        });
        if self.relieves && self.knows_its_lease(permit) {
            self.relieves = false;
            let (given, relief) = (self.guard.last(), self.guard.relief());
            tokio::spawn(async move {
                given.obeyed().await;
                relief.dismiss();
            });
        }
    }

    /// A guard that a former agent has left knows the end of *its* lease; we must know better before it goes.
    fn knows_its_lease(&self, permit: Permit) -> bool {
        let view = &self.view;
        match permit {
            Permit::Aside if view.settings.pause => view.dcs.cluster.is_some(),
            Permit::Aside => view.pg.process == Process::Down || view.pg.server.is_some(),
            Permit::Until(_) => {
                let leader = view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader.as_ref());
                leader.is_some_and(|leader| view.is_mine(leader))
            }
        }
    }

    /// What a postmaster that crashed has left behind would still answer its clients for a moment.
    pub(super) fn end_orphans(&self) {
        let dir = self.config.data_dir.canonicalize().unwrap_or_else(|_| self.config.data_dir.clone());
        postmaster::kill_all(&dir);
    }
}
