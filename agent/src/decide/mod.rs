//! What to do next: a pure function of what is seen and of the clock. No I/O, no await; everything it needs
//! is in the [`View`], everything it wants is an [`Action`]. The rules are Patroni's (4.1, `ha.py` as
//! documented by its behaviour), except where a comment says otherwise.

mod action;
pub mod asked;
mod bootstrap;
mod failover;
pub mod failsafe;
mod follow;
mod health;
mod lead;
mod learn;
mod lease;
mod pause;
mod publish;
mod race;
mod recover;
mod restart;
pub mod rewind;
mod slots;
mod standby;
mod sync;
#[cfg(test)]
pub(crate) mod testing;
mod view;

use std::time::Duration;

pub use action::{Action, Chore, Decision, Job, LogicalSlot, StartAs, StopMode, Write};
pub use asked::Asked;
pub use bootstrap::somebody_bootstraps;
pub use lease::{Permit, Standing, Term, margin_of as margin};
pub use publish::{VERSION, final_status, member, member_needs_write};
pub(crate) use publish::{pending_restart_reason, replication_state, role, state, tags};
pub use race::outrun;
pub use recover::describe;
pub use slots::{needs_feedback, newly_lost, slot_name};
pub use standby::{remote, upstream_slot};
pub use view::{
    Control, ControlState, Crashes, DataDir, Dcs, Facts, JobFailure, JobKind, JobView, LeaderTimeline, Me,
    ParameterChange, Peer, Peers, Pg, Phase, Process, Role, Server, Slot, SyncSetting, Upstream, View, WalReceiver,
    WalSender, Watchdog,
};

use crate::clock::Moment;
use crate::exit;

/// What to do now. Actions are carried out in order; after each of them the world is looked at again.
pub fn decide(view: &View, now: Moment) -> Decision {
    let mut decision = lead::keep_while_promoting(view, policy(view, now));
    publish::add(view, now, &mut decision);
    for due in [restart::due_within(view), failover::due_within(view)].into_iter().flatten() {
        decision.recheck = decision.recheck.min(due);
    }
    decision
}

/// How long until [`guard`] must be asked again, whatever else is being waited for.
pub fn guard_within(view: &View, now: Moment) -> Duration {
    lease::deadline(view, now)
}

/// Until when PostgreSQL may be writable, for the guard's process, which acts when the agent cannot. Told before
/// anything begins that makes it writable, and whenever it changes.
pub fn permit(view: &View) -> Permit {
    lease::permit(view)
}

/// Whether the guard that a former agent of this node has left behind may go.
pub fn knows_the_term(view: &View) -> bool {
    lease::knows_the_term(view)
}

/// How long a PostgreSQL that does not answer is taken for a slow one.
pub fn patience(view: &View) -> Duration {
    health::patience(view)
}

/// Whether PostgreSQL must be taken to hang.
pub fn hangs(view: &View, now: Moment) -> bool {
    health::hung(view, now).is_some()
}

/// The part that must not wait for anything, not even for a write that is under way: no PostgreSQL stays
/// writable when its node's lease could be over.
pub fn guard(view: &View, now: Moment) -> Option<Decision> {
    lease::guard(view, now)
}

fn policy(view: &View, now: Moment) -> Decision {
    if let Some(decision) = guard(view, now) {
        return decision;
    }
    if view.stopping {
        return shut_down(view, now);
    }
    let Some(cluster) = view.dcs.cluster.as_ref().filter(|_| view.is_current(now)) else {
        if let Some(decision) =
            failsafe::ask(view, now).or_else(|| failsafe::follow(view, now)).or_else(|| recover::without_dcs(view, now))
        {
            return decision;
        }
        let never = view.dcs.cluster.is_none();
        return Decision::wait(if never { "waiting for ZooKeeper" } else { "ZooKeeper is not accessible" });
    };
    if let Some(job) = &view.job {
        return recover::while_busy(view, cluster, job, now);
    }
    if let Some(decision) = restart::asked(view, cluster, now) {
        return decision;
    }
    if view.settings.pause {
        return pause::paused(view, cluster, now);
    }
    if let Some(decision) = bootstrap::data_directory(view, cluster, now) {
        return decision;
    }
    if view.mine_from_before(cluster) {
        return Decision::act("the leader key is mine from before; taking it over", Write::reclaim(cluster));
    }
    if let Some(decision) = lead::not_entitled(view, cluster) {
        return decision;
    }
    match (view.pg.process, &view.pg.server) {
        (Process::Down, _) => recover::down(view, cluster, now),
        (Process::Up, None) => follow::silent(view, cluster),
        (Process::Up, Some(server)) => match &cluster.leader {
            None => race::without_leader(view, cluster, server, now),
            Some(leader) if view.is_mine(leader) => lead::with_lease(view, cluster, server, now),
            Some(_) => follow::other_leader(view, cluster, server, now),
        },
    }
}

/// SIGTERM in a pause: PostgreSQL stays as it is. What somebody has asked for is brought to its end; programs of other
/// jobs end with this process.
fn leave_in_pause(view: &View) -> Decision {
    use JobKind::{CopySlots, Discard, Restart, Stop};
    match &view.job {
        Some(job) if matches!(job.kind, Stop | Restart | Discard | CopySlots) => {
            Decision::wait(format!("paused, asked to stop: {} in progress", describe(job.kind)))
        }
        _ => Decision::exit(exit::OK, "paused: PostgreSQL is left as it is"),
    }
}

/// SIGTERM: stop PostgreSQL cleanly, then give the lease back, then go.
fn shut_down(view: &View, now: Moment) -> Decision {
    if view.settings.pause {
        return leave_in_pause(view);
    }
    if let Some(decision) = sync::waits_to_leave(view, now).filter(|_| view.job.is_none()) {
        return decision;
    }
    if view.pg.process == Process::Up || view.job.as_ref().is_some_and(|job| job.kind != JobKind::Stop) {
        if view.job.as_ref().is_some_and(|job| job.kind == JobKind::Stop) {
            return Decision::wait("stopping PostgreSQL");
        }
        let mode = StopMode::Fast { checkpoint: view.pg.is_primary() };
        return Decision::act("asked to stop: stopping PostgreSQL", Job::Stop { mode });
    }
    let Some(cluster) = view.dcs.cluster.as_ref().filter(|_| view.dcs.reachable) else {
        return Decision::exit(exit::OK, "stopped");
    };
    if cluster.leader.as_ref().is_some_and(|leader| view.is_mine(leader)) {
        let mut decision = Decision::wait("PostgreSQL is down: giving the lease back");
        decision.actions.extend(final_status(view, cluster).map(Action::Write));
        decision.actions.push(Write::ReleaseLeader.into());
        return decision;
    }
    Decision::exit(exit::OK, "stopped")
}
