//! What a workload has done so far: every operation, journalled before it is counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::journal::HistoryLog;
use crate::verify::history::{Action, Line, Op, Outcome};
use crate::verify::spine::Spine;

/// The record of one workload. Its clients share it.
pub struct Record {
    workload: String,
    spine: Arc<Spine>,
    log: Arc<HistoryLog>,
    last_id: AtomicU64,
    stalled_us: AtomicU64,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    ops: Vec<Op>,
    counts: BTreeMap<String, Counts>,
    fault: Option<(u64, String)>,
}

/// The counts of one way so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    acked: u64,
    rejected: u64,
    indeterminate: u64,
    acked_after_fault: u64,
    reads: u64,
}

impl Record {
    /// An empty record of `workload`, which writes by `paths`.
    pub fn new(workload: &str, paths: &[String], spine: Arc<Spine>, log: Arc<HistoryLog>) -> Record {
        let counts = paths.iter().map(|path| (path.clone(), Counts::default())).collect();
        let state = Arc::new(Mutex::new(State { counts, ..State::default() }));
        Record {
            workload: workload.to_owned(),
            spine,
            log,
            last_id: AtomicU64::new(0),
            stalled_us: AtomicU64::new(0),
            state,
        }
    }

    /// µs since the run's start.
    pub fn now_us(&self) -> u64 {
        self.spine.now_us()
    }

    /// Journal that an operation is about to be sent, and give it; until it ends its outcome is unknown.
    pub fn invoke(&self, path: &str, client: u32, action: Action, key: Option<u32>) -> Result<Op, String> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (path, sent_us) = (path.to_owned(), self.now_us());
        let (workload, way) = (self.workload.clone(), path.clone());
        self.log.write(Line::Invoke { workload, id, path: way, client, action, key, sent_us })?;
        let outcome = Outcome::Indeterminate { why: String::new() };
        Ok(Op { id, path, client, action, key, sent_us, done_us: sent_us, outcome })
    }

    /// Journal what came of an operation, and count it once that is written.
    pub fn end(&self, op: Op) -> Result<(), String> {
        let state = Arc::clone(&self.state);
        self.log.write_then(Line::End { workload: self.workload.clone(), op }, move |line| {
            let Line::End { op, .. } = line else { return };
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let after_fault = state.fault.as_ref().is_some_and(|fault| op.sent_us >= fault.0);
            state.count(&op, after_fault);
            state.ops.push(op);
        })
    }

    /// A client was late by so much, though nothing but labrun and the machine kept it.
    pub fn stalled(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.stalled_us.fetch_max(us, Ordering::Relaxed);
    }

    /// By how much a client was late at the most, in ms.
    pub fn stalled_ms(&self) -> u64 {
        self.stalled_us.load(Ordering::Relaxed) / 1000
    }

    /// A fault is being injected into `node`. Only the first one divides the counts.
    pub fn mark_fault(&self, at_us: u64, node: &str) -> Result<(), String> {
        let is_first = {
            let mut state = self.lock();
            let is_first = state.fault.is_none();
            state.fault.get_or_insert_with(|| (at_us, node.to_owned()));
            is_first
        };
        match is_first {
            true => self.log.write(Line::Fault { workload: self.workload.clone(), node: node.to_owned(), at_us }),
            false => Ok(()),
        }
    }

    /// When the first fault was injected, and into which node, where one was.
    pub fn fault(&self) -> Option<(u64, String)> {
        self.lock().fault.clone()
    }

    /// Every operation whose outcome is known.
    pub fn ops(&self) -> Vec<Op> {
        self.lock().ops.clone()
    }

    /// The counts by way, as expressions read them.
    pub fn counts(&self) -> Value {
        let state = self.lock();
        let shown = state.counts.iter().map(|(path, counts)| {
            let Counts { acked, rejected, indeterminate, acked_after_fault, reads } = counts;
            let counts = json!({
                "acked": acked, "rejected": rejected, "indeterminate": indeterminate,
                "acked_after_fault": acked_after_fault, "reads": reads,
            });
            (path.clone(), counts)
        });
        Value::Object(shown.collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes are counted by their outcome; of reads those that were answered.
    fn count(&mut self, op: &Op, after_fault: bool) {
        if !self.counts.contains_key(&op.path) {
            self.counts.insert(op.path.clone(), Counts::default());
        }
        let Some(counts) = self.counts.get_mut(&op.path) else { return };
        if !op.is_write() {
            counts.reads += u64::from(op.read().is_some());
            return;
        }
        match op.outcome {
            Outcome::Acked { .. } => {
                counts.acked += 1;
                counts.acked_after_fault += u64::from(after_fault);
            }
            Outcome::Rejected { .. } => counts.rejected += 1,
            Outcome::Indeterminate { .. } => counts.indeterminate += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::history::hand::{acked, got, rejected};

    #[tokio::test]
    async fn counts_are_divided_by_the_first_fault_alone() {
        let log = Arc::new(HistoryLog::over(Box::new(std::io::sink())));
        let record =
            Record::new("w", &["proxy".into(), "direct".into()], Arc::new(Spine::new(vec![])), Arc::clone(&log));
        record.end(acked(1, "proxy", 1, 2, "a", 1)).unwrap();
        record.mark_fault(5_000, "a").unwrap();
        record.mark_fault(50_000, "b").unwrap();
        record.end(acked(2, "proxy", 4, 6, "a", 1)).unwrap();
        record.end(acked(3, "proxy", 6, 7, "b", 2)).unwrap();
        record.end(rejected(4, "proxy", 6, 7, "25006")).unwrap();
        record.end(got(3, 8, 9)).unwrap();
        log.settle().await.unwrap();
        let proxy = &record.counts()["proxy"];
        assert_eq!(
            (&proxy["acked"], &proxy["acked_after_fault"], &proxy["rejected"]),
            (&json!(3), &json!(1), &json!(1))
        );
        assert_eq!((&proxy["reads"], &record.counts()["direct"]["acked"]), (&json!(1), &json!(0)));
        assert_eq!((record.fault(), record.ops().len()), (Some((5_000, "a".to_owned())), 5));
    }
}
