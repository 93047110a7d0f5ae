//! Linearizability of each key, which is a register: every read returns what the last write before it set, in some
//! order of all operations that keeps to real time.
//!
//! Each write has a value of its own, so that every read tells which write it saw. Then no search is needed: Gibbons and
//! Korach («Testing Shared Memories», 1997) decide it from the *zones* of the values. A value's zone lies between the
//! first end and the last beginning of the operations that wrote or read it. Where the first end comes first, the value
//! had to be current all through the zone (a forward zone); otherwise there was some moment within it that would do (a
//! backward zone). A history is linearizable if and only if no value was read before it was written, no two forward
//! zones overlap, and no backward zone lies wholly within a forward one.
//!
//! A write of unknown outcome counts where its value was read, and then its end is open; otherwise it may never have
//! happened. Reads on a standby do not count: they may be old by design, see [`super::reads`].

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Op, Outcome};

/// Whether the registers of a history are linearizable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "linearizable", rename_all = "snake_case")]
pub enum Linearizable {
    /// They are.
    Yes,
    /// One is not.
    No(Violation),
    /// It is not known.
    Inconclusive {
        /// Why not.
        why: Unknown,
    },
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// No primary answered a read: nothing was seen that could be wrong.
    NoReads,
    /// The time was up.
    TimeIsUp,
}

/// What no order explains. Times are in µs since the run's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The key.
    pub key: u32,
    /// The value that had to be current,
    pub value: u64,
    /// from here,
    pub from_us: u64,
    /// to here.
    pub to_us: u64,
    /// The value that had to be current within that time as well; the same one where it was read before it was written.
    pub other: u64,
}

/// Judge every key; none where the history has no keys. It may take `limit`.
pub fn linearizable(ops: &[Op], limit: Duration) -> Option<Linearizable> {
    let began = Instant::now();
    let mut keys: BTreeMap<u32, Vec<&Op>> = BTreeMap::new();
    for op in ops {
        if let Some(key) = op.key {
            keys.entry(key).or_default().push(op);
        }
    }
    if keys.is_empty() {
        return None;
    }
    let is_evidence = |op: &Op| op.read().is_some_and(|(by, _)| !by.standby);
    if !ops.iter().any(is_evidence) {
        return Some(Linearizable::Inconclusive { why: Unknown::NoReads });
    }
    for (key, ops) in keys {
        if began.elapsed() >= limit {
            return Some(Linearizable::Inconclusive { why: Unknown::TimeIsUp });
        }
        if let Some(violation) = violation(key, &ops) {
            return Some(Linearizable::No(violation));
        }
    }
    Some(Linearizable::Yes)
}

/// The operations that wrote or read one value. Beginnings are even and ends odd, so that of an end and a beginning in
/// one µs the beginning comes first: the two were concurrent.
#[derive(Clone, Copy)]
struct Zone {
    value: u64,
    written_from: Option<i64>,
    first_end: i64,
    last_beginning: i64,
    first_read_end: i64,
}

/// Before all operations.
const BEFORE: i64 = -2;

fn beginning(at_us: u64) -> i64 {
    i64::try_from(at_us).unwrap_or(i64::MAX / 4) * 2
}

fn end(at_us: u64) -> i64 {
    beginning(at_us).saturating_add(1)
}

fn us(at: i64) -> u64 {
    u64::try_from(at / 2).unwrap_or(0)
}

fn violation(key: u32, ops: &[&Op]) -> Option<Violation> {
    let zones = zones(ops);
    let told = |zone: &Zone, other: &Zone, (from, to): (i64, i64)| Violation {
        key,
        value: zone.value,
        from_us: us(from),
        to_us: us(to),
        other: other.value,
    };
    // Read before it was written, or never written at all.
    let unwritten = |zone: &&Zone| zone.written_from.is_none_or(|from| zone.first_read_end < from);
    if let Some(zone) = zones.iter().find(unwritten) {
        return Some(told(zone, zone, (zone.first_read_end, zone.last_beginning.max(zone.first_read_end))));
    }
    let (mut forward, backward): (Vec<Zone>, Vec<Zone>) =
        zones.into_iter().partition(|zone| zone.first_end < zone.last_beginning);
    forward.sort_unstable_by_key(|zone| zone.first_end);
    for pair in forward.windows(2) {
        if pair[1].first_end < pair[0].last_beginning {
            return Some(told(&pair[0], &pair[1], (pair[0].first_end, pair[0].last_beginning)));
        }
    }
    backward.iter().find_map(|zone| {
        let before = forward.partition_point(|forward| forward.first_end < zone.last_beginning);
        let around = forward[..before].last().filter(|around| zone.first_end < around.last_beginning)?;
        Some(told(around, zone, (around.first_end, around.last_beginning)))
    })
}

fn zones(ops: &[&Op]) -> Vec<Zone> {
    let mut zones: HashMap<u64, Zone> = HashMap::new();
    let empty = |value| Zone {
        value,
        written_from: (value == 0).then_some(BEFORE),
        first_end: if value == 0 { BEFORE + 1 } else { i64::MAX },
        last_beginning: BEFORE,
        first_read_end: i64::MAX,
    };
    for op in ops {
        let Some((by, value)) = op.read() else { continue };
        if !by.standby {
            let zone = zones.entry(value).or_insert_with(|| empty(value));
            zone.first_end = zone.first_end.min(end(op.done_us));
            zone.first_read_end = zone.first_read_end.min(end(op.done_us));
            zone.last_beginning = zone.last_beginning.max(beginning(op.sent_us));
        }
    }
    for op in ops.iter().filter(|op| op.is_write()) {
        let zone = match op.outcome {
            Outcome::Acked { .. } => {
                let zone = zones.entry(op.id).or_insert_with(|| empty(op.id));
                zone.first_end = zone.first_end.min(end(op.done_us));
                Some(zone)
            }
            Outcome::Indeterminate { .. } => zones.get_mut(&op.id),
            Outcome::Rejected { .. } => None,
        };
        if let Some(zone) = zone {
            zone.written_from = Some(beginning(op.sent_us));
            zone.last_beginning = zone.last_beginning.max(beginning(op.sent_us));
        }
    }
    zones.into_values().collect()
}

#[cfg(test)]
mod search;
#[cfg(test)]
mod tests;
