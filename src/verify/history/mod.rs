//! Histories: what the clients of a workload tried and what came of it, and the pure checkers that judge them.
//!
//! On disk a history is a part of the run's `history.jsonl`, one JSON object a line, see [`Line`]: an `invoke` line is
//! written before an operation is sent and an `end` line before its outcome is counted, so that a history is never
//! younger than what was counted. [`stored`] reads it back. Times are µs since the run's start, on one monotonic clock.
//!
//! Each checker is a function of its own: [`losses`] (lost, unexpected, recovered and duplicated writes),
//! [`overlap`] (two nodes acknowledging writes at once), [`gap`] (the longest time without an acknowledged write),
//! [`read_only`] (times in which a way led to read-only nodes alone), [`reads`] (stale reads, reads that went back, reads
//! of what nobody wrote), [`register`] (linearizability of each key).

pub mod gap;
pub mod judge;
pub mod losses;
pub mod overlap;
pub mod read_only;
pub mod reads;
pub mod register;
pub mod stored;

use serde::{Deserialize, Serialize};

pub use gap::Gap;
pub use judge::{Judgement, PathJudgement, judge};
pub use losses::Losses;
pub use overlap::Overlap;
pub use read_only::ReadOnly;
pub use reads::Reads;
pub use register::Linearizable;

/// The server that answered, as it said itself in that same answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Server {
    /// The node's name; its address where that belongs to no node of the deployment.
    pub node: String,
    /// The timeline that it wrote on; a standby says none.
    pub timeline: Option<u64>,
    /// Whether it was in recovery: what it shows may be old by design.
    #[serde(default, skip_serializing_if = "is_false")]
    pub standby: bool,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The server said that it is committed, or what it holds.
    Acked {
        /// Which one.
        #[serde(flatten)]
        by: Server,
        /// What a read returned: the id of the write that set the key last, 0 before the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<u64>,
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

/// What an operation does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It stores its id, and sets its key to it where it has one.
    #[default]
    Write,
    /// It reads its key.
    Read,
}

/// One operation that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// Unique in its workload; the value that a write stores.
    pub id: u64,
    /// The way that it went: `proxy`, `direct`, or the node that its client keeps to.
    pub path: String,
    /// The client that tried it, one operation at a time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub client: u32,
    /// What it does.
    #[serde(rename = "do", default, skip_serializing_if = "Action::is_write")]
    pub action: Action,
    /// The register that it sets or reads, where the workload has registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// When it was sent, in µs since the run's start.
    pub sent_us: u64,
    /// When its outcome was known.
    pub done_us: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Action {
    fn is_write(&self) -> bool {
        *self == Action::Write
    }
}

impl Op {
    /// Whether it is a write.
    pub fn is_write(&self) -> bool {
        self.action.is_write()
    }

    /// The server that acknowledged it, where it is a write and one did.
    pub fn acked_by(&self) -> Option<&Server> {
        match &self.outcome {
            Outcome::Acked { by, .. } if self.is_write() => Some(by),
            _ => None,
        }
    }

    /// The server and the value of a read that was answered.
    pub fn read(&self) -> Option<(&Server, u64)> {
        match &self.outcome {
            Outcome::Acked { by, value: Some(value) } if !self.is_write() => Some((by, *value)),
            _ => None,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
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
        /// The ways by which it goes.
        #[serde(default)]
        paths: Vec<String>,
    },
    /// An operation is about to be sent.
    Invoke {
        /// Its workload.
        workload: String,
        /// Its id.
        id: u64,
        /// The way that it goes.
        path: String,
        /// The client that tries it.
        #[serde(default, skip_serializing_if = "is_zero")]
        client: u32,
        /// What it does.
        #[serde(rename = "do", default, skip_serializing_if = "Action::is_write")]
        action: Action,
        /// Its register.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<u32>,
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
    /// The first fault within the workload is being injected.
    Fault {
        /// The workload.
        workload: String,
        /// The node that it hits.
        node: String,
        /// When.
        at_us: u64,
    },
    /// The clients of a workload have ended.
    Halt {
        /// The workload.
        workload: String,
        /// When.
        at_us: u64,
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
        let by = Server { node: node.to_owned(), timeline: Some(timeline), standby: false };
        op(id, path, sent_ms, done_ms, Outcome::Acked { by, value: None })
    }

    pub fn rejected(id: u64, path: &str, sent_ms: u64, done_ms: u64, sqlstate: &str) -> Op {
        let outcome = Outcome::Rejected { sqlstate: sqlstate.to_owned(), error: String::new() };
        op(id, path, sent_ms, done_ms, outcome)
    }

    pub fn unknown(id: u64, path: &str, sent_ms: u64, done_ms: u64) -> Op {
        op(id, path, sent_ms, done_ms, Outcome::Indeterminate { why: "connection closed".to_owned() })
    }

    /// A write of the register 1.
    pub fn set(id: u64, sent_ms: u64, done_ms: u64) -> Op {
        Op { key: Some(1), ..acked(id, "proxy", sent_ms, done_ms, "a", 1) }
    }

    /// A read of the register 1 on the leader, by client 9.
    pub fn got(value: u64, sent_ms: u64, done_ms: u64) -> Op {
        let by = Server { node: "a".to_owned(), timeline: Some(1), standby: false };
        let read = op(1_000_000 + sent_ms, "proxy", sent_ms, done_ms, Outcome::Acked { by, value: Some(value) });
        Op { client: 9, action: Action::Read, key: Some(1), ..read }
    }

    /// The same read, answered by a standby.
    pub fn on_standby(mut read: Op) -> Op {
        if let Outcome::Acked { by, .. } = &mut read.outcome {
            *by = Server { node: "b".to_owned(), timeline: None, standby: true };
        }
        read
    }

    fn op(id: u64, path: &str, sent_ms: u64, done_ms: u64, outcome: Outcome) -> Op {
        Op {
            id,
            path: path.to_owned(),
            client: 0,
            action: Action::Write,
            key: None,
            sent_us: sent_ms * 1000,
            done_us: done_ms * 1000,
            outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_the_disk() {
        let invoke = |key: Option<u32>, action: Action, client: u32| Line::Invoke {
            workload: "w".into(),
            id: 7,
            path: "proxy".into(),
            client,
            action,
            key,
            sent_us: 5,
        };
        let lines = [
            Line::Begin { workload: "w".into(), table: "t".into(), at_us: 1, paths: vec!["proxy".into()] },
            invoke(None, Action::Write, 0),
            invoke(Some(2), Action::Read, 3),
            Line::End { workload: "w".into(), op: hand::acked(7, "proxy", 1, 2, "pg-master", 1) },
            Line::End { workload: "w".into(), op: hand::rejected(8, "direct", 1, 2, "25006") },
            Line::End { workload: "w".into(), op: hand::unknown(9, "direct", 1, 2) },
            Line::End { workload: "w".into(), op: hand::on_standby(hand::got(7, 3, 4)) },
            Line::Fault { workload: "w".into(), node: "pg-master".into(), at_us: 6 },
            Line::Halt { workload: "w".into(), at_us: 8 },
            Line::Stored { workload: "w".into(), node: "pg-master".into(), ids: vec![7], at_us: 9 },
        ];
        for line in lines {
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }

    #[test]
    fn a_write_without_a_key_is_as_short_as_ever() {
        let line = Line::End { workload: "w".into(), op: hand::rejected(8, "direct", 1, 2, "25006") };
        let text = serde_json::to_string(&line).unwrap();
        let old = r#"{"line":"end","workload":"w","id":8,"path":"direct","sent_us":1000,"done_us":2000,"outcome":"rejected","sqlstate":"25006","error":""}"#;
        assert_eq!(text, old);
    }
}
