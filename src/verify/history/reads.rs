//! Reads against the writes around them: stale ones, ones that went back, and ones of what nobody wrote.
//!
//! Only what no order of concurrent operations explains is reported. A value was overwritten for certain once a write
//! of its key was acknowledged that was sent after the value's own write had been acknowledged.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Op, Outcome, Server};

/// What the reads of a history show. Lists hold the ids of reads, in the order in which they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// Reads that were answered.
    pub answered: u64,
    /// A primary returned a value that had been overwritten for certain before the read was sent.
    pub stale: Vec<u64>,
    /// A client read a value that had been overwritten for certain before one that it had read earlier was written: on the
    /// same node, or both times on a primary. From a primary to a standby one may go back.
    pub went_back: Vec<u64>,
    /// The value's write was never tried, or refused for certain.
    pub phantom: Vec<u64>,
    /// Reads that a standby answered,
    pub on_standby: u64,
    /// how many of them were of a value that had been overwritten, which is a standby's right,
    pub standby_stale: u64,
    /// and for how long, in µs, at the most.
    pub standby_stale_us: u64,
}

/// A write as reads see it. Times of a write that was not acknowledged never end.
#[derive(Clone, Copy)]
struct Write {
    sent_us: u64,
    done_us: u64,
}

/// The state before all writes.
const INITIAL: Write = Write { sent_us: 0, done_us: 0 };

/// Judge the reads of a history.
pub fn reads(ops: &[Op]) -> Reads {
    let mut asked: Vec<&Op> = ops.iter().filter(|op| op.read().is_some()).collect();
    let mut found = Reads { answered: asked.len() as u64, ..Reads::default() };
    if asked.is_empty() {
        return found;
    }
    asked.sort_unstable_by_key(|op| op.sent_us);
    let writes = written(ops);
    let overwritten = Overwritten::of(ops);
    let mut newest = Newest::default();
    for op in asked {
        let (Some((by, value)), Some(key)) = (op.read(), op.key) else { continue };
        let write = if value == 0 { Some(&INITIAL) } else { writes.get(&(key, value)) };
        found.on_standby += u64::from(by.standby);
        let Some(write) = write else {
            found.phantom.push(op.id);
            continue;
        };
        match overwritten.since(key, write, op.sent_us) {
            Some(since_us) if by.standby => {
                found.standby_stale += 1;
                found.standby_stale_us = found.standby_stale_us.max(op.sent_us - since_us);
            }
            Some(_) => found.stale.push(op.id),
            None => {}
        }
        if newest.goes_back((op.client, key), by, write) {
            found.went_back.push(op.id);
        }
    }
    found
}

/// When the newest value was sent that a client read of a key: on a node, and on any primary (no node).
#[derive(Default)]
struct Newest<'a>(HashMap<(u32, u32), Vec<At<'a>>>);

/// A node, or any primary; and when the newest value read there was sent.
type At<'a> = (Option<&'a str>, u64);

impl<'a> Newest<'a> {
    /// Whether this read goes back; it is remembered.
    fn goes_back(&mut self, reader: (u32, u32), by: &'a Server, write: &Write) -> bool {
        let seen = self.0.entry(reader).or_default();
        let mut goes_back = false;
        for place in [Some(by.node.as_str())].into_iter().chain((!by.standby).then_some(None)) {
            match seen.iter_mut().find(|(other, _)| *other == place) {
                Some((_, newest)) => {
                    goes_back |= write.done_us < *newest;
                    *newest = (*newest).max(write.sent_us);
                }
                None => seen.push((place, write.sent_us)),
            }
        }
        goes_back
    }
}

/// The writes that may have been done, by key and value.
fn written(ops: &[Op]) -> HashMap<(u32, u64), Write> {
    let writes = ops.iter().filter(|op| op.is_write()).filter_map(|op| {
        let done_us = match op.outcome {
            Outcome::Acked { .. } => op.done_us,
            Outcome::Indeterminate { .. } => u64::MAX,
            Outcome::Rejected { .. } => return None,
        };
        Some(((op.key?, op.id), Write { sent_us: op.sent_us, done_us }))
    });
    writes.collect()
}

/// The acknowledged writes of each key, so that it is found quickly since when a value was overwritten.
struct Overwritten(HashMap<u32, Key>);

/// One key's acknowledged writes by their sending, each with the earliest acknowledgement from there on.
struct Key {
    sent_us: Vec<u64>,
    earliest_done_us: Vec<u64>,
}

impl Overwritten {
    fn of(ops: &[Op]) -> Overwritten {
        let mut keys: HashMap<u32, Vec<(u64, u64)>> = HashMap::new();
        for op in ops.iter().filter(|op| op.acked_by().is_some()) {
            if let Some(key) = op.key {
                keys.entry(key).or_default().push((op.sent_us, op.done_us));
            }
        }
        Overwritten(keys.into_iter().map(|(key, writes)| (key, Key::of(writes))).collect())
    }

    /// When the value of `write` was overwritten for certain, where that was before `at_us`.
    fn since(&self, key: u32, write: &Write, at_us: u64) -> Option<u64> {
        let key = self.0.get(&key)?;
        let later = key.sent_us.partition_point(|sent_us| *sent_us <= write.done_us);
        key.earliest_done_us.get(later).copied().filter(|done_us| *done_us < at_us)
    }
}

impl Key {
    fn of(mut writes: Vec<(u64, u64)>) -> Key {
        writes.sort_unstable();
        let mut earliest = u64::MAX;
        let mut earliest_done_us: Vec<u64> = writes
            .iter()
            .rev()
            .map(|(_, done_us)| {
                earliest = earliest.min(*done_us);
                earliest
            })
            .collect();
        earliest_done_us.reverse();
        Key { sent_us: writes.into_iter().map(|(sent_us, _)| sent_us).collect(), earliest_done_us }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hand::{got, on_standby, rejected, set, unknown};
    use super::*;

    #[test]
    fn a_value_that_was_overwritten_before_the_read_is_stale() {
        let ops = [set(1, 0, 10), set(2, 20, 30), got(1, 31, 40), got(2, 50, 60)];
        assert_eq!(reads(&ops), Reads { answered: 2, stale: vec![ops[2].id], ..Reads::default() });
    }

    #[test]
    fn what_may_still_have_been_current_is_not() {
        // The overwriting write was concurrent with the read, or with the value's own write.
        let concurrent = [set(1, 0, 10), set(2, 20, 30), got(1, 29, 40)];
        let unordered = [set(1, 0, 25), set(2, 20, 30), got(1, 31, 40)];
        for ops in [concurrent, unordered] {
            assert_eq!(reads(&ops), Reads { answered: 1, ..Reads::default() });
        }
    }

    #[test]
    fn nothing_is_as_old_as_what_was_there_before_the_first_write() {
        let ops = [set(1, 5, 10), got(0, 20, 21)];
        assert_eq!(reads(&ops).stale, [ops[1].id]);
        assert!(reads(&[got(0, 1, 2), set(1, 5, 10)]).stale.is_empty());
    }

    #[test]
    fn a_standby_may_be_behind_and_it_is_told_how_far() {
        let ops = [set(1, 0, 10), set(2, 20, 30), on_standby(got(1, 130, 131)), on_standby(got(2, 140, 141))];
        let expected =
            Reads { answered: 2, on_standby: 2, standby_stale: 1, standby_stale_us: 100_000, ..Reads::default() };
        assert_eq!(reads(&ops), expected);
    }

    #[test]
    fn a_client_must_not_go_back_even_on_a_standby() {
        let ops = [set(1, 0, 10), set(2, 20, 30), on_standby(got(2, 40, 41)), on_standby(got(1, 50, 51))];
        assert_eq!(reads(&ops).went_back, [ops[3].id]);
        // Another client may have read another standby.
        let mut apart = ops.clone();
        apart[3].client = 8;
        assert!(reads(&apart).went_back.is_empty());
    }

    #[test]
    fn from_a_primary_to_a_standby_a_client_may_go_back() {
        let ops = [set(1, 0, 10), set(2, 20, 30), got(2, 40, 41), on_standby(got(1, 50, 51)), got(1, 60, 61)];
        assert_eq!(reads(&ops).went_back, [ops[4].id]);
    }

    #[test]
    fn what_was_refused_or_never_tried_cannot_be_read() {
        let mut refused = rejected(2, "proxy", 0, 1, "25006");
        refused.key = Some(1);
        let mut doubtful = unknown(3, "proxy", 0, 1);
        doubtful.key = Some(1);
        let ops = [refused, doubtful, got(2, 10, 11), got(3, 20, 21), got(99, 30, 31)];
        assert_eq!(reads(&ops).phantom, [ops[2].id, ops[4].id]);
    }
}
