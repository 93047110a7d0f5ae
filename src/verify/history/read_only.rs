//! Read-only windows: times in which a way led to nodes that take no writes, and to no other.

use serde::{Deserialize, Serialize};

use super::{Op, Outcome};

/// PostgreSQL's `read_only_sql_transaction`: what a standby says to a write.
const READ_ONLY: &str = "25006";

/// A time in which every write of a way that was answered was refused as read-only, in µs since the run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOnly {
    /// The first such refusal's sending.
    pub from_us: u64,
    /// The last such refusal's arrival.
    pub to_us: u64,
    /// How many writes were refused.
    pub refused: u64,
}

/// The read-only windows of one way's operations, in order of time. An acknowledged write ends a window; what was not
/// answered by PostgreSQL (no connection) neither ends nor makes one.
pub fn read_only<'a>(ops: impl Iterator<Item = &'a Op>) -> Vec<ReadOnly> {
    let mut answers: Vec<(u64, u64, bool)> = ops
        .filter(|op| op.is_write())
        .filter_map(|op| match &op.outcome {
            Outcome::Acked { .. } => Some((op.done_us, op.sent_us, false)),
            Outcome::Rejected { sqlstate, .. } if sqlstate == READ_ONLY => Some((op.done_us, op.sent_us, true)),
            _ => None,
        })
        .collect();
    answers.sort_unstable();
    let runs = answers.chunk_by(|one, other| one.2 == other.2);
    let windows = runs.filter(|run| run[0].2).map(|run| ReadOnly {
        from_us: run.iter().map(|answer| answer.1).min().unwrap_or_default(),
        to_us: run.last().map_or(0, |answer| answer.0),
        refused: run.len() as u64,
    });
    windows.collect()
}

#[cfg(test)]
mod tests {
    use super::super::hand::{acked, rejected};
    use super::*;

    #[test]
    fn a_window_lasts_until_a_write_is_acknowledged() {
        let ops = [
            acked(1, "proxy", 0, 10, "a", 1),
            rejected(2, "proxy", 20, 21, "25006"),
            rejected(3, "proxy", 30, 31, "08001"),
            rejected(4, "proxy", 40, 41, "25006"),
            acked(5, "proxy", 50, 60, "b", 2),
            rejected(6, "proxy", 70, 71, "25006"),
        ];
        let window =
            |from_ms: u64, to_ms: u64, refused| ReadOnly { from_us: from_ms * 1000, to_us: to_ms * 1000, refused };
        assert_eq!(read_only(ops.iter()), [window(20, 41, 2), window(70, 71, 1)]);
    }

    #[test]
    fn a_way_without_refusals_has_none() {
        assert_eq!(read_only([acked(1, "proxy", 0, 10, "a", 1), rejected(2, "proxy", 1, 2, "08001")].iter()), []);
    }
}
