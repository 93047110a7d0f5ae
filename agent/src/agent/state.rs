//! What the agent knows and what is under way.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::AbortHandle;

use super::callbacks::Callbacks;
use super::refresh::LATE;
use super::{Event, LONGEST};
use crate::api::{Rest, peers};
use crate::clock::Moment;
use crate::config::Config;
use crate::dcs::Store;
use crate::decide::{self, Action, JobKind, Process, View};
use crate::guard::Guard;
use crate::postgres::sql::Connection;
use crate::watchdog::Watchdog;

pub(super) struct Agent {
    pub(super) config_path: PathBuf,
    pub(super) config: Arc<Config>,
    pub(super) view: View,
    pub(super) store: Option<Store>,
    /// The session before this one, while it still owns keys of ours.
    pub(super) former: Option<Store>,
    pub(super) events: Sender<Event>,
    pub(super) published: watch::Sender<Arc<View>>,
    /// How REST is served, and how peers are asked.
    pub(super) rest: watch::Sender<Arc<Rest>>,
    pub(super) peers: watch::Sender<peers::Access>,
    /// Who waits for the restart that is asked for.
    pub(super) restart_answer: Option<oneshot::Sender<Result<(), String>>>,
    pub(super) ttl: watch::Sender<Duration>,
    pub(super) pid: Option<i32>,
    pub(super) job: Option<RunningJob>,
    pub(super) jobs_started: u64,
    pub(super) busy: Busy,
    pub(super) callbacks: Callbacks,
    pub(super) need: Need,
    /// The connection that observations use.
    pub(super) observer: Arc<Mutex<Option<Connection>>>,
    pub(super) said: String,
    /// Why no server of the DCS could be reached, as it was last told.
    pub(super) unreachable: String,
    pub(super) exit: Option<u8>,
    /// The members of the last picture, so that one request usually reads all keys.
    pub(super) members: Vec<String>,
    pub(super) recheck: Moment,
    /// When the question was asked that PostgreSQL has not answered yet.
    pub(super) observing_since: Moment,
    /// When the loop meant to wake at the latest: it is late if something has stopped this process.
    pub(super) awake_until: Moment,
    pub(super) guard: Guard,
    pub(super) watchdog: Watchdog,
    /// Guards of former agents may still be there.
    pub(super) relieves: bool,
    /// The last dynamic configuration that was applied, as JSON.
    pub(super) applied: String,
}

pub(super) struct RunningJob {
    pub(super) id: u64,
    pub(super) kind: JobKind,
    pub(super) handle: AbortHandle,
}

/// What is under way, so that it is not started twice.
#[derive(Default)]
pub(super) struct Busy {
    pub(super) snapshot: bool,
    pub(super) writing: bool,
    /// Among what is being written is a request for the lease.
    pub(super) acquiring: bool,
    pub(super) observing: bool,
    pub(super) inspecting: bool,
    pub(super) asking_peers: bool,
    pub(super) answers_are_new: bool,
    pub(super) asking_leader: bool,
    pub(super) looking_for_a_double: bool,
    pub(super) forgetting: bool,
    pub(super) chores: HashSet<&'static str>,
    /// Chores about slots that have failed, and until when they are not tried again: what fails at once would
    /// otherwise be tried without end.
    pub(super) resting: HashMap<&'static str, Moment>,
}

/// What must be looked at before the next decision.
pub(super) struct Need {
    pub(super) snapshot: bool,
    pub(super) observation: bool,
    pub(super) inspection: bool,
    /// PostgreSQL must read its files again, whether they have changed or not.
    pub(super) reload: bool,
    /// The next attempt after one that failed, and the next sign of life to the DCS.
    pub(super) snapshot_at: Moment,
}

impl Agent {
    /// Looks, decides, acts. `Some` ends the agent.
    pub(super) fn step(&mut self) -> Option<u8> {
        let now = Moment::now();
        self.refresh(now);
        self.tend_guard();
        self.tend_watchdog();
        self.view.wall = jiff::Timestamp::now().as_second();
        self.view.made = now;
        self.tell_news();
        if self.is_settled(now) {
            self.tell_a_lost_race(now);
            let decision = decide::decide(&self.view, now);
            self.recheck = now + decision.recheck.min(LONGEST).min(self.look_within());
            self.say(&decision.status);
            self.execute(decision.actions);
        } else if let Some(decision) = decide::guard(&self.view, now) {
            self.say(&decision.status);
            self.execute(decision.actions);
        }
        self.publish();
        self.exit
    }

    /// Answers of peers that came too late for a decision still tell why it would have been left to them.
    fn tell_a_lost_race(&mut self, now: Moment) {
        if std::mem::take(&mut self.busy.answers_are_new)
            && let Some(reason) = decide::outrun(&self.view, now)
        {
            tracing::info!("another was quicker to take the lease: {reason}");
        }
    }

    /// Everything that was asked for has been seen, or keeps us waiting for too long.
    fn is_settled(&self, now: Moment) -> bool {
        let waiting_for_dcs = self.busy.snapshot && self.need.snapshot;
        let waiting_for_postgres = self.need.observation && !self.is_late(now);
        let waiting_for_files = self.need.inspection || self.busy.inspecting;
        let waiting_for_others = self.busy.writing || self.busy.looking_for_a_double;
        !waiting_for_dcs && !waiting_for_others && !waiting_for_postgres && !waiting_for_files
    }

    /// A leader's PostgreSQL is looked at as often as the lease is extended: it must be alive, too.
    pub(super) fn look_within(&self) -> Duration {
        let leads = self.view.pg.is_primary();
        if leads { self.heartbeat() } else { self.view.settings.loop_wait }
    }

    /// How long to sleep if nothing happens.
    pub(super) fn pause(&mut self, now: Moment) -> Duration {
        let mut until = self.recheck.min(now + decide::guard_within(&self.view, now).min(LONGEST));
        until = until.min(self.look_at());
        if self.busy.observing && !self.is_late(now) {
            until = until.min(self.observing_since + LATE);
        }
        if self.store.is_some() && !self.busy.snapshot {
            until = until.min(self.need.snapshot_at);
        }
        let pause = now.until(until).max(Duration::from_millis(1)).min(LONGEST);
        self.awake_until = now + pause;
        pause
    }

    /// One line for each change of what is going on.
    pub(super) fn say(&mut self, status: &str) {
        if self.said != status {
            tracing::info!("{status}");
            self.said = status.to_owned();
        }
    }

    fn publish(&mut self) {
        self.published.send_replace(Arc::new(self.view.clone()));
    }

    /// Ends the session, and with it our keys, before the process ends.
    pub(super) async fn leave(mut self, code: u8) -> u8 {
        self.former = None;
        if let Some(store) = self.store.take() {
            store.close().await;
        }
        if self.view.pg.process == Process::Down {
            self.watchdog.disarm();
        } else if self.watchdog.is_armed() {
            tracing::error!("PostgreSQL runs on. Leaving watchdog running.");
        }
        self.guard.leave().await;
        code
    }

    pub(super) fn is_up(&self) -> bool {
        self.view.pg.process == Process::Up
    }

    /// Carries out a list in order. What stands before the first write, or has none before it, is begun at once;
    /// what stands behind writes is begun when they are done.
    pub(super) fn execute(&mut self, actions: Vec<Action>) {
        let mut writes = Vec::new();
        let mut actions = actions.into_iter();
        for action in actions.by_ref() {
            match action {
                Action::Write(write) => writes.push(write),
                other if writes.is_empty() => self.begin(other),
                other => {
                    let then = std::iter::once(other).chain(actions).collect();
                    self.write(writes, then);
                    return;
                }
            }
        }
        if !writes.is_empty() {
            self.write(writes, Vec::new());
        }
    }
}

/// Long enough that no event is ever lost in practice.
pub(super) const QUEUE: usize = 1024;
