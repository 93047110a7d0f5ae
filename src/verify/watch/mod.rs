//! Watching who is who all through a run: the leader and sync keys, each node's own word and its agent's, HAProxy's view,
//! and the candidates for the leader key, each sampled by a task of its own (a node that hangs delays no other) on the
//! run's clock.
//!
//! What was seen is kept as [`Sample`]s, of changes only. Role changes for the run's timeline and the marks of an
//! outage ([`super::outage`]) are pure functions over them.

pub mod follow;
pub mod roles;
mod samplers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::outage::election::Field;
use super::spine::Spine;
use super::{Cancel, Canceller, cancellation};
use crate::deploy::Deployment;

/// The time between two samples while a workload runs.
const BUSY: Duration = Duration::from_millis(50);
/// The time between two samples otherwise.
const CALM: Duration = Duration::from_millis(500);

/// Something that was seen, and when its answer came, in µs since the run's start.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When.
    pub at_us: u64,
    /// What.
    pub seen: Seen,
}

/// What a sampler sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// The leader key, and the standbys that the sync key names; members, not nodes.
    Keys {
        /// Who holds the leader key.
        leader: Option<String>,
        /// The sync standbys.
        sync: Vec<String>,
    },
    /// A postgres node's own word.
    Node {
        /// The node.
        node: String,
        /// What it says; none where it does not answer.
        word: Option<NodeWord>,
    },
    /// What a postgres node's agent answers to `/primary`.
    Rest {
        /// The node.
        node: String,
        /// Whether it says 200; none where it does not answer.
        primary: Option<bool>,
    },
    /// Who might take the leader key, while that is looked at closely.
    Candidates(Box<Field>),
    /// The servers that HAProxy has up; none where it does not answer.
    Proxy {
        /// Their names.
        up: Option<Vec<String>>,
    },
}

/// What a postgres node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeWord {
    /// Whether it is in recovery: a standby.
    pub in_recovery: bool,
    /// The timeline that it is on.
    pub timeline: Option<u64>,
}

/// The samples of a run, shared by its samplers.
#[derive(Clone)]
pub struct Samples {
    spine: Arc<Spine>,
    members: Arc<Vec<(String, String)>>,
    state: Arc<Mutex<State>>,
}

struct State {
    samples: Vec<Sample>,
    roles: roles::Tracker,
}

impl Samples {
    fn new(spine: Arc<Spine>, members: Vec<(String, String)>) -> Samples {
        let tracker = roles::Tracker::new(members.clone());
        let state = State { samples: Vec::new(), roles: tracker };
        Samples { spine, members: Arc::new(members), state: Arc::new(Mutex::new(state)) }
    }

    /// Keep what was seen just now; tell the changes of roles that follow from it.
    pub(crate) fn keep(&self, seen: Seen) {
        let at_us = self.spine.now_us();
        let changes = {
            let mut state = self.lock();
            state.samples.push(Sample { at_us, seen: seen.clone() });
            state.roles.saw(at_us, &seen)
        };
        changes.into_iter().for_each(|change| self.spine.role_changed(change));
    }

    /// Everything that was seen so far, in order of time.
    pub fn all(&self) -> Vec<Sample> {
        self.lock().samples.clone()
    }

    /// Nodes and their members.
    pub fn members(&self) -> &[(String, String)] {
        &self.members
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often to look: often while a workload runs.
#[derive(Clone, Default)]
pub struct Pace(Arc<AtomicBool>);

impl Pace {
    /// Look often, or seldom.
    pub fn set_busy(&self, busy: bool) {
        self.0.store(busy, Ordering::Relaxed);
    }

    /// Whether to look often.
    pub fn is_busy(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    async fn rest(&self, stop: &Cancel) {
        let calm = !self.0.load(Ordering::Relaxed);
        let until = tokio::time::Instant::now() + if calm { CALM } else { BUSY };
        // A calm rest ends early when it gets busy, so that nothing of a fault is missed.
        while tokio::time::Instant::now() < until && !stop.is_cancelled() {
            tokio::time::sleep(BUSY).await;
            if calm && self.0.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// Samplers at work. Dropping it ends them.
pub struct Watcher {
    /// What they saw.
    pub samples: Samples,
    /// How often they look.
    pub pace: Pace,
    stop: Canceller,
    tasks: Vec<JoinHandle<()>>,
}

impl Watcher {
    /// Begin to watch `deployment`.
    pub fn start(deployment: &Deployment, spine: &Arc<Spine>) -> Watcher {
        let members = deployment.postgres_nodes().filter_map(roles::member_of).collect();
        let samples = Samples::new(Arc::clone(spine), members);
        let (stop, cancel) = cancellation();
        let pace = Pace::default();
        let tasks = samplers::spawn(deployment, &samples, &pace, &cancel);
        Watcher { samples, pace, stop, tasks }
    }

    /// Stop watching.
    pub async fn end(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
