//! What a workload has done so far: every operation, journalled before it is counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::journal::HistoryLog;
use crate::verify::history::{Line, Op, Outcome};
use crate::verify::spine::Spine;

/// The record of one workload. Its writers share it.
pub struct Record {
    workload: String,
    spine: Arc<Spine>,
    log: Arc<HistoryLog>,
    last_id: AtomicU64,
    state: Mutex<State>,
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
}

impl Record {
    /// An empty record of `workload`, which writes by `paths`.
    pub fn new(workload: &str, paths: &[String], spine: Arc<Spine>, log: Arc<HistoryLog>) -> Record {
        let counts = paths.iter().map(|path| (path.clone(), Counts::default())).collect();
        let state = Mutex::new(State { counts, ..State::default() });
        Record { workload: workload.to_owned(), spine, log, last_id: AtomicU64::new(0), state }
    }

    /// µs since the run's start.
    pub fn now_us(&self) -> u64 {
        self.spine.now_us()
    }

    /// Journal that a write is about to be sent, and give its id.
    pub fn invoke(&self, path: &str, sent_us: u64) -> Result<u64, String> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        self.log.write(&Line::Invoke { workload: self.workload.clone(), id, path: path.to_owned(), sent_us })?;
        Ok(id)
    }

    /// Journal what came of a write, and count it.
    pub fn end(&self, op: Op) -> Result<(), String> {
        self.log.write(&Line::End { workload: self.workload.clone(), op: op.clone() })?;
        let mut state = self.lock();
        let after_fault = state.fault.as_ref().is_some_and(|fault| op.sent_us >= fault.0);
        let counts = state.counts.entry(op.path.clone()).or_default();
        match op.outcome {
            Outcome::Acked { .. } => {
                counts.acked += 1;
                counts.acked_after_fault += u64::from(after_fault);
            }
            Outcome::Rejected { .. } => counts.rejected += 1,
            Outcome::Indeterminate { .. } => counts.indeterminate += 1,
        }
        state.ops.push(op);
        Ok(())
    }

    /// A fault is being injected into `node`. Only the first one divides the counts.
    pub fn mark_fault(&self, at_us: u64, node: &str) {
        self.lock().fault.get_or_insert_with(|| (at_us, node.to_owned()));
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
            let Counts { acked, rejected, indeterminate, acked_after_fault } = counts;
            let counts = json!({
                "acked": acked, "rejected": rejected, "indeterminate": indeterminate,
                "acked_after_fault": acked_after_fault,
            });
            (path.clone(), counts)
        });
        Value::Object(shown.collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::history::hand::{acked, rejected};

    #[test]
    fn counts_are_divided_by_the_first_fault_alone() {
        let log = Arc::new(HistoryLog::over(Box::new(std::io::sink())));
        let record = Record::new("w", &["proxy".into(), "direct".into()], Arc::new(Spine::new(vec![])), log);
        record.end(acked(1, "proxy", 1, 2, "a", 1)).unwrap();
        record.mark_fault(5_000, "a");
        record.mark_fault(50_000, "b");
        record.end(acked(2, "proxy", 4, 6, "a", 1)).unwrap();
        record.end(acked(3, "proxy", 6, 7, "b", 2)).unwrap();
        record.end(rejected(4, "proxy", 6, 7, "25006")).unwrap();
        let proxy = &record.counts()["proxy"];
        assert_eq!(
            (&proxy["acked"], &proxy["acked_after_fault"], &proxy["rejected"]),
            (&json!(3), &json!(1), &json!(1))
        );
        assert_eq!(record.counts()["direct"]["acked"], 0);
        assert_eq!((record.fault(), record.ops().len()), (Some((5_000, "a".to_owned())), 4));
    }
}
