//! The longest time without an acknowledged write: the outage as a client of one path saw it.

use serde::{Deserialize, Serialize};

use super::Op;

/// A time without an acknowledged write, in µs since the run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The acknowledgement before it; the workload's start where there was none.
    pub from_us: u64,
    /// The acknowledgement after it; where there was none, the end of the last write that was tried, or of the workload
    /// where none was.
    pub to_us: u64,
    /// Whether an acknowledged write lies on both sides. An open gap is a lower bound: writes did not come
    /// back before the clients ended, or never began.
    pub closed: bool,
}

impl Gap {
    /// Its length in µs.
    pub fn len_us(&self) -> u64 {
        self.to_us.saturating_sub(self.from_us)
    }

    /// Whether it ends after `at_us`.
    fn reaches(&self, at_us: u64) -> bool {
        self.to_us >= at_us
    }
}

/// The longest gap of one path within the workload's span `(start, end)`.
///
/// With a fault at `after_us`, only gaps that end at or after it count: what was slow before a fault is not its
/// outage. What passes after the last write that was tried is no gap either: the clients of a workload do not end all
/// at once, and one that has ended has nothing to be acknowledged. None when the span is empty.
pub fn longest_gap<'a>(ops: impl Iterator<Item = &'a Op>, span_us: (u64, u64), after_us: Option<u64>) -> Option<Gap> {
    let (mut acks, mut tried_until) = (Vec::new(), None);
    for op in ops.filter(|op| op.is_write()) {
        tried_until = tried_until.max(Some(op.done_us));
        acks.extend(op.acked_by().map(|_| op.done_us));
    }
    acks.sort_unstable();
    let mut gaps = Vec::with_capacity(acks.len() + 1);
    let mut from = (span_us.0, false);
    for at in acks {
        gaps.push(Gap { from_us: from.0, to_us: at, closed: from.1 });
        from = (at, true);
    }
    gaps.push(Gap { from_us: from.0, to_us: tried_until.unwrap_or(span_us.1).max(from.0), closed: false });
    let fault = after_us.unwrap_or(0);
    // The first of equals: `max_by_key` would give the last one.
    gaps.into_iter().rev().filter(|gap| gap.reaches(fault) && gap.len_us() > 0).max_by_key(Gap::len_us)
}

#[cfg(test)]
mod tests {
    use super::super::hand::{acked, rejected, unknown};
    use super::*;

    #[test]
    fn the_gap_lies_between_two_acknowledgements() {
        let ops = [
            acked(1, "proxy", 0, 10, "a", 1),
            unknown(2, "proxy", 20, 2020),
            rejected(3, "proxy", 2030, 2031, "25006"),
            acked(4, "proxy", 5000, 5010, "b", 2),
            acked(5, "proxy", 5020, 5030, "b", 2),
        ];
        let gap = longest_gap(ops.iter(), (0, 5_040_000), None).unwrap();
        assert_eq!(gap, Gap { from_us: 10_000, to_us: 5_010_000, closed: true });
    }

    #[test]
    fn writes_that_never_come_back_leave_an_open_gap() {
        let ops = [acked(1, "proxy", 0, 10, "a", 1), rejected(2, "proxy", 20, 21, "08001")];
        let gap = longest_gap(ops.iter(), (0, 9_000_000), None).unwrap();
        assert_eq!(gap, Gap { from_us: 10_000, to_us: 21_000, closed: false });
    }

    #[test]
    fn a_client_that_ended_before_the_others_leaves_no_gap() {
        let ops = [acked(1, "direct", 0, 10, "a", 1), acked(2, "direct", 20, 230, "b", 2)];
        let gap = longest_gap(ops.iter(), (0, 900_000), Some(15_000)).unwrap();
        assert_eq!(gap, Gap { from_us: 10_000, to_us: 230_000, closed: true });
    }

    #[test]
    fn a_path_without_any_acknowledgement_is_one_open_gap() {
        let gap = longest_gap([].iter(), (1_000, 9_000), None).unwrap();
        assert_eq!(gap, Gap { from_us: 1_000, to_us: 9_000, closed: false });
    }

    #[test]
    fn what_was_slow_before_the_fault_is_not_its_outage() {
        let ops = [
            acked(1, "proxy", 0, 10, "a", 1),
            acked(2, "proxy", 0, 8_000, "a", 1),
            acked(3, "proxy", 0, 8_500, "a", 1),
            acked(4, "proxy", 0, 9_500, "a", 1),
            acked(5, "proxy", 0, 9_600, "a", 1),
        ];
        let gap = longest_gap(ops.iter(), (0, 9_700_000), Some(9_000_000)).unwrap();
        assert_eq!((gap.from_us, gap.to_us), (8_500_000, 9_500_000));
    }
}
