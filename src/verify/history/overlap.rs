//! Two nodes acknowledging writes in overlapping intervals: split brain, seen from the outside.
//!
//! A write takes effect somewhere between its sending and its acknowledgement. So only an order that no such choice
//! explains is reported: a write that was *sent* after a newer leader had *acknowledged* one, and that an older
//! leader acknowledged all the same. Which leader is newer is told by the timeline that each acknowledgement carries;
//! two nodes on one timeline, of which each acknowledges after the other, overlap too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Op, Server};

/// A time in which two nodes acknowledged writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The node that ought to have stopped, and its timeline.
    pub older: Server,
    /// The node that had taken over, and its timeline.
    pub newer: Server,
    /// From the first acknowledgement of `newer`, in µs since the run's start,
    pub from_us: u64,
    /// to the last one of `older`.
    pub to_us: u64,
    /// The writes that `older` acknowledged though they were sent after that.
    pub ids: Vec<u64>,
}

/// Every pair of servers that acknowledged writes in overlapping intervals.
pub fn overlaps(ops: &[Op]) -> Vec<Overlap> {
    let mut servers: BTreeMap<&Server, Vec<&Op>> = BTreeMap::new();
    for op in ops {
        if let Some(by) = op.acked_by() {
            servers.entry(by).or_default().push(op);
        }
    }
    let mut found = Vec::new();
    for (older, theirs) in &servers {
        for (newer, others) in &servers {
            if may_be_superseded(older, newer) {
                found.extend(overlap(older, theirs, newer, others));
            }
        }
    }
    found
}

/// Whether an acknowledgement of `older` after one of `newer` would be wrong.
fn may_be_superseded(older: &Server, newer: &Server) -> bool {
    match (older.timeline, newer.timeline) {
        (Some(old), Some(new)) if ordered(older, newer) => old < new,
        // On one timeline, or where none is known, either may be the older one: each pair is tried both ways.
        _ => older.node != newer.node,
    }
}

/// Whether the timelines alone say which of the two came first.
fn ordered(one: &Server, other: &Server) -> bool {
    matches!((one.timeline, other.timeline), (Some(one), Some(other)) if one != other)
}

fn overlap(older: &Server, theirs: &[&Op], newer: &Server, others: &[&Op]) -> Option<Overlap> {
    // Without an order of timelines `newer` takes over by writing after `older` had written.
    let earliest = if ordered(older, newer) { 0 } else { theirs.iter().map(|op| op.done_us).min()? };
    let taken_over = others.iter().filter(|op| op.sent_us >= earliest).map(|op| op.done_us).min()?;
    let late: Vec<&&Op> = theirs.iter().filter(|op| op.sent_us > taken_over).collect();
    let to_us = late.iter().map(|op| op.done_us).max()?;
    Some(Overlap {
        older: older.clone(),
        newer: newer.clone(),
        from_us: taken_over,
        to_us,
        ids: late.iter().map(|op| op.id).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::hand::acked;
    use super::*;

    #[test]
    fn a_clean_failover_does_not_overlap() {
        let ops = [
            acked(1, "direct", 0, 10, "a", 1),
            acked(2, "proxy", 5, 20, "a", 1),
            acked(3, "direct", 900, 950, "b", 2),
            acked(4, "proxy", 960, 990, "b", 2),
        ];
        assert_eq!(overlaps(&ops), []);
    }

    #[test]
    fn an_old_leader_that_acknowledges_after_the_new_one_did_overlaps() {
        let ops = [
            acked(1, "direct", 0, 10, "a", 1),
            acked(2, "direct", 100, 110, "b", 2),
            acked(3, "proxy", 120, 130, "a", 1),
            acked(4, "proxy", 140, 150, "a", 1),
        ];
        let found = overlaps(&ops);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].older.node.as_str(), found[0].newer.node.as_str()), ("a", "b"));
        assert_eq!((found[0].from_us, found[0].to_us), (110_000, 150_000));
        assert_eq!(found[0].ids, [3, 4]);
    }

    #[test]
    fn an_acknowledgement_that_was_merely_slow_to_arrive_proves_nothing() {
        // Sent before the new leader's first acknowledgement: it may have been done before it.
        let ops = [acked(1, "proxy", 90, 500, "a", 1), acked(2, "direct", 100, 110, "b", 2)];
        assert_eq!(overlaps(&ops), []);
    }

    #[test]
    fn a_leader_that_comes_back_on_a_newer_timeline_does_not_overlap() {
        let ops = [
            acked(1, "direct", 0, 10, "a", 1),
            acked(2, "direct", 100, 110, "b", 2),
            acked(3, "direct", 200, 210, "a", 3),
        ];
        assert_eq!(overlaps(&ops), []);
    }

    #[test]
    fn two_nodes_that_take_turns_on_one_timeline_overlap() {
        let ops =
            [acked(1, "direct", 0, 10, "a", 1), acked(2, "direct", 20, 30, "b", 1), acked(3, "direct", 40, 50, "a", 1)];
        assert_eq!(overlaps(&ops).len(), 1);
        let two = &ops[..2];
        assert_eq!(overlaps(two), []);
    }

    #[test]
    fn without_timelines_only_turns_are_reported() {
        let mut ops = vec![acked(1, "d", 0, 10, "a", 1), acked(2, "d", 20, 30, "b", 1), acked(3, "d", 40, 50, "b", 1)];
        for op in &mut ops {
            if let Outcome::Acked { by, .. } = &mut op.outcome {
                by.timeline = None;
            }
        }
        assert_eq!(overlaps(&ops), []);
        let mut last = acked(4, "d", 60, 70, "a", 1);
        last.outcome = Outcome::Acked { by: Server { node: "a".into(), timeline: None, standby: false }, value: None };
        ops.push(last);
        let found = overlaps(&ops);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].ids, [4]);
    }
}
