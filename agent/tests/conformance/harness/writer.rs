//! Clients that write all the time, and the record of what was acknowledged to them.
//!
//! One client a target, each writing one row after another on a session of its own. Where the targets are the nodes
//! themselves, the longest time in which *nobody* acknowledged is the outage, free of any client's timeouts.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{sql, until};

/// Between two writes, and between two attempts on a target that refuses.
const PACE: Duration = Duration::from_millis(10);

/// Where a client writes to.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub address: Ipv4Addr,
    pub port: u16,
    /// How long a write or a connection may take before the client gives its session up.
    pub patience: Duration,
}

/// A write that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub target: usize,
    pub id: i64,
    pub at: Instant,
}

/// How far one client came.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicUsize,
    sessions: AtomicUsize,
}

/// What the clients share.
struct Shared {
    stop: AtomicBool,
    record: Mutex<Vec<Acknowledged>>,
    progress: Vec<Progress>,
}

/// Clients at work.
pub struct Writer {
    targets: Vec<Target>,
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// The statement that makes the writers' table.
pub const TABLE: &str = "create table if not exists written (id bigint primary key)";

impl Writer {
    /// Start one client a target; the table must be there.
    pub fn start(targets: Vec<Target>) -> Writer {
        let progress = targets.iter().map(|_| Progress::default()).collect();
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), record: Mutex::default(), progress });
        let clients = targets.iter().cloned().enumerate().map(|(index, target)| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(write(index, &target, &shared));
            })
        });
        Writer { clients: clients.collect(), targets, shared }
    }

    /// How many writes were acknowledged so far.
    pub fn count(&self) -> usize {
        (0..self.targets.len()).map(|target| self.count_on(target)).sum()
    }

    /// How many writes one target acknowledged so far.
    pub fn count_on(&self, target: usize) -> usize {
        self.shared.progress[target].acknowledged.load(Ordering::Relaxed)
    }

    /// How many sessions one target has taken so far.
    pub fn sessions_on(&self, target: usize) -> usize {
        self.shared.progress[target].sessions.load(Ordering::Relaxed)
    }

    /// Wait until some more writes are acknowledged.
    pub async fn progresses(&self) {
        progress("writes are acknowledged", || self.count()).await;
    }

    /// Wait until one target acknowledges some more writes.
    #[allow(dead_code, reason = "the benchmark needs it")]
    pub async fn progresses_on(&self, target: usize) {
        let name = &self.targets[target].name;
        progress(&format!("{name} acknowledges writes"), || self.count_on(target)).await;
    }

    /// Stop the clients and take the record.
    pub fn finish(mut self) -> Record {
        self.halt();
        let mut acknowledged = std::mem::take(&mut *self.shared.record.lock().unwrap());
        acknowledged.sort_by_key(|write| write.at);
        Record { targets: self.targets.clone(), acknowledged }
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            // A client that panicked has told so already.
            let _ = client.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.halt();
    }
}

async fn progress(what: &str, count: impl Fn() -> usize) {
    let before = count();
    until(what, async || super::wait::ensure(count() >= before + 20, || format!("{} of 20", count() - before))).await;
}

async fn write(index: usize, target: &Target, shared: &Shared) {
    let mut number = 0_i64;
    let Shared { stop, record, progress } = shared;
    while !stop.load(Ordering::Relaxed) {
        let Ok(client) = sql::connect(target.address, target.port, target.patience).await else {
            tokio::time::sleep(PACE).await;
            continue;
        };
        progress[index].sessions.fetch_add(1, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) && !client.is_closed() {
            number += 1;
            let id = (index as i64) << 40 | number;
            let insert = format!("insert into written values ({id})");
            match stoppable(stop, target.patience, client.simple_query(&insert)).await {
                Some(Ok(_)) => {
                    record.lock().unwrap().push(Acknowledged { target: index, id, at: Instant::now() });
                    progress[index].acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Some(Err(_)) => {}
                // Nobody knows what became of this write; the session is of no more use.
                None => break,
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

/// The answer, unless `limit` passes or the clients are stopped first.
async fn stoppable<T>(stop: &AtomicBool, limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    let stopped = async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        answer = answer => Some(answer),
        () = tokio::time::sleep(limit) => None,
        () = stopped => None,
    }
}

/// What was acknowledged, in the order of time.
pub struct Record {
    pub targets: Vec<Target>,
    pub acknowledged: Vec<Acknowledged>,
}

impl Record {
    /// The longest time between two acknowledged writes of which the second came after `since`, counting only the
    /// targets that `counts` takes.
    pub fn longest_gap(&self, since: Instant, counts: impl Fn(usize) -> bool) -> Duration {
        self.longest_pause(since, counts).map_or(Duration::ZERO, |(from, to)| to - from)
    }

    /// As [`Self::longest_gap`]: when the two writes were acknowledged.
    pub fn longest_pause(&self, since: Instant, counts: impl Fn(usize) -> bool) -> Option<(Instant, Instant)> {
        let times: Vec<_> =
            self.acknowledged.iter().filter(|write| counts(write.target)).map(|write| write.at).collect();
        let pauses = times.windows(2).filter(|pair| pair[1] >= since).map(|pair| (pair[0], pair[1]));
        pauses.max_by_key(|(from, to)| *to - *from)
    }

    /// The acknowledged writes that are not among `present`.
    pub fn lost(&self, present: &HashSet<i64>) -> Vec<i64> {
        self.acknowledged.iter().map(|write| write.id).filter(|id| !present.contains(id)).collect()
    }

    /// Pairs of targets that acknowledged, in turn, within the same time: each took a write after the other's first
    /// and before the other's last.
    pub fn overlaps(&self) -> Vec<(String, String)> {
        let spans: Vec<_> = (0..self.targets.len()).map(|target| self.spans_of(target)).collect();
        let mut found = Vec::new();
        for (one, first) in spans.iter().enumerate() {
            for (other, second) in spans.iter().enumerate().skip(one + 1) {
                if first.iter().any(|a| second.iter().any(|b| a.0 < b.1 && b.0 < a.1)) {
                    found.push((self.targets[one].name.clone(), self.targets[other].name.clone()));
                }
            }
        }
        found
    }

    /// The times in which a target took writes, each up to the last acknowledgement before a second without any.
    fn spans_of(&self, target: usize) -> Vec<(Instant, Instant)> {
        let mut spans: Vec<(Instant, Instant)> = Vec::new();
        for write in self.acknowledged.iter().filter(|write| write.target == target) {
            match spans.last_mut() {
                Some((_, end)) if write.at - *end < Duration::from_secs(1) => *end = write.at,
                _ => spans.push((write.at, write.at)),
            }
        }
        spans
    }
}

/// The ids that are in the table on the node at `address`.
pub async fn present(address: Ipv4Addr) -> Result<HashSet<i64>, String> {
    let rows = sql::rows(address, "select id from written").await?;
    Ok(rows.into_iter().filter_map(|row| row.first()?.parse().ok()).collect())
}
