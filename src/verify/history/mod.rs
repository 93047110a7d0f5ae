//! Histories: what the clients of a workload tried and what came of it, and the pure checkers that judge them.
//!
//! On disk a history is a part of the run's `history.jsonl`, one JSON object a line, see [`Line`]: an `invoke` line is
//! written before an operation is sent and an `end` line before its outcome is counted, so that a history is never
//! younger than what was counted. Times are µs since the run's start, on one monotonic clock.
//!
//! Each checker is a function of its own: [`losses`] (lost, unexpected, recovered and duplicated writes),
//! [`overlap`] (two nodes acknowledging writes at once), [`gap`] (the longest time without an acknowledged write).

pub mod gap;
pub mod judge;
pub mod losses;
pub mod overlap;

use serde::{Deserialize, Serialize};

pub use gap::Gap;
pub use judge::{Judgement, PathJudgement, judge};
pub use losses::Losses;
pub use overlap::Overlap;

/// The server that acknowledged a write, as it said itself in the write's own answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Server {
    /// The node's name; its address where that belongs to no node of the deployment.
    pub node: String,
    /// The timeline that it wrote on.
    pub timeline: Option<u64>,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The server said that it is committed.
    Acked {
        /// Which one.
        #[serde(flatten)]
        by: Server,
    },
    /// It was certainly not done: refused with an SQLSTATE, or never sent (`08001`: no connection).
    Rejected {
        /// The SQLSTATE.
        sqlstate: String,
        /// The words that came with it.
        error: String,
    },
    /// It may or may not have been done: the connection broke, or the time was up.
    Indeterminate {
        /// Why it is not known.
        why: String,
    },
}

/// One write that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// Unique in its workload; the value that is stored.
    pub id: u64,
    /// The way that it went: `proxy` or `direct`.
    pub path: String,
    /// When it was sent, in µs since the run's start.
    pub sent_us: u64,
    /// When its outcome was known.
    pub done_us: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Op {
    /// The server that acknowledged it, when one did.
    pub fn acked_by(&self) -> Option<&Server> {
        match &self.outcome {
            Outcome::Acked { by } => Some(by),
            _ => None,
        }
    }
}

/// A line of history.jsonl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// A workload begins.
    Begin {
        /// Its name.
        workload: String,
        /// The table that it writes.
        table: String,
        /// When, in µs since the run's start.
        at_us: u64,
    },
    /// An operation is about to be sent.
    Invoke {
        /// Its workload.
        workload: String,
        /// Its id.
        id: u64,
        /// The way that it goes.
        path: String,
        /// When.
        sent_us: u64,
    },
    /// An operation's outcome is known.
    End {
        /// Its workload.
        workload: String,
        /// The operation.
        #[serde(flatten)]
        op: Op,
    },
    /// What was stored in the end, read back from the leader.
    Stored {
        /// The workload.
        workload: String,
        /// The node that was read.
        node: String,
        /// The ids, as they came.
        ids: Vec<u64>,
        /// When.
        at_us: u64,
    },
}

#[cfg(test)]
pub(crate) mod hand {
    //! Handmade histories for the checkers' tests. Times are in ms.
    use super::*;

    pub fn acked(id: u64, path: &str, sent_ms: u64, done_ms: u64, node: &str, timeline: u64) -> Op {
        let by = Server { node: node.to_owned(), timeline: Some(timeline) };
        op(id, path, sent_ms, done_ms, Outcome::Acked { by })
    }

    pub fn rejected(id: u64, path: &str, sent_ms: u64, done_ms: u64, sqlstate: &str) -> Op {
        let outcome = Outcome::Rejected { sqlstate: sqlstate.to_owned(), error: String::new() };
        op(id, path, sent_ms, done_ms, outcome)
    }

    pub fn unknown(id: u64, path: &str, sent_ms: u64, done_ms: u64) -> Op {
        op(id, path, sent_ms, done_ms, Outcome::Indeterminate { why: "connection closed".to_owned() })
    }

    fn op(id: u64, path: &str, sent_ms: u64, done_ms: u64, outcome: Outcome) -> Op {
        Op { id, path: path.to_owned(), sent_us: sent_ms * 1000, done_us: done_ms * 1000, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_the_disk() {
        let lines = [
            Line::Begin { workload: "w".into(), table: "t".into(), at_us: 1 },
            Line::Invoke { workload: "w".into(), id: 7, path: "proxy".into(), sent_us: 5 },
            Line::End { workload: "w".into(), op: hand::acked(7, "proxy", 1, 2, "pg-master", 1) },
            Line::End { workload: "w".into(), op: hand::rejected(8, "direct", 1, 2, "25006") },
            Line::End { workload: "w".into(), op: hand::unknown(9, "direct", 1, 2) },
            Line::Stored { workload: "w".into(), node: "pg-master".into(), ids: vec![7], at_us: 9 },
        ];
        for line in lines {
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }
}
