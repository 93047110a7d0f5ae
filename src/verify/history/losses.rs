//! Lost, unexpected, recovered and duplicated writes: the set that was acknowledged against the set that is stored.

use super::{Op, Outcome};

/// Ids of writes whose fate is not what the client was told; each list in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Acknowledged, but not stored: data loss.
    pub lost: Vec<u64>,
    /// Stored, but never tried, or refused for certain: somebody else writes here, or a refusal was a lie.
    pub unexpected: Vec<u64>,
    /// Outcome unknown to the client, and stored: allowed.
    pub recovered: Vec<u64>,
    /// Stored more than once.
    pub duplicated: Vec<u64>,
}

/// Compare what was tried with what is stored.
pub fn losses(ops: &[Op], stored: &[u64]) -> Losses {
    let mut stored = stored.to_vec();
    stored.sort_unstable();
    let mut tried: Vec<(u64, &Outcome)> =
        ops.iter().filter(|op| op.is_write()).map(|op| (op.id, &op.outcome)).collect();
    tried.sort_unstable_by_key(|(id, _)| *id);
    let mut found = Losses::default();
    let mut rest = stored.as_slice();
    for (id, outcome) in tried {
        let before = rest.partition_point(|stored| *stored < id);
        // What lies between two ids that were tried was never tried.
        found.stranger(&rest[..before]);
        rest = &rest[before..];
        let copies = rest.partition_point(|stored| *stored == id);
        rest = &rest[copies..];
        found.settle(id, outcome, copies);
    }
    found.stranger(rest);
    found
}

impl Losses {
    fn settle(&mut self, id: u64, outcome: &Outcome, copies: usize) {
        match (outcome, copies) {
            (Outcome::Acked { .. }, 0) => self.lost.push(id),
            (Outcome::Rejected { .. }, 1..) => self.unexpected.push(id),
            (Outcome::Indeterminate { .. }, 1..) => self.recovered.push(id),
            _ => {}
        }
        if copies > 1 {
            self.duplicated.push(id);
        }
    }

    fn stranger(&mut self, ids: &[u64]) {
        for copies in ids.chunk_by(|one, other| one == other) {
            self.unexpected.push(copies[0]);
            if copies.len() > 1 {
                self.duplicated.push(copies[0]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hand::{acked, rejected, unknown};
    use super::*;

    #[test]
    fn what_was_acknowledged_and_is_stored_is_clean() {
        let ops = [acked(1, "proxy", 0, 1, "a", 1), acked(2, "direct", 0, 1, "a", 1)];
        assert_eq!(losses(&ops, &[2, 1]), Losses::default());
    }

    #[test]
    fn an_acknowledged_write_that_is_not_stored_is_lost() {
        let ops = [acked(1, "proxy", 0, 1, "a", 1), acked(2, "proxy", 2, 3, "a", 1)];
        assert_eq!(losses(&ops, &[1]).lost, [2]);
    }

    #[test]
    fn a_write_of_unknown_outcome_may_be_stored_or_not() {
        let ops = [unknown(1, "proxy", 0, 1), unknown(2, "proxy", 2, 3)];
        let found = losses(&ops, &[2]);
        assert_eq!(found, Losses { recovered: vec![2], ..Losses::default() });
    }

    #[test]
    fn a_refused_write_that_is_stored_and_one_never_tried_are_unexpected() {
        let ops = [rejected(1, "proxy", 0, 1, "25006")];
        assert_eq!(losses(&ops, &[1, 99]).unexpected, [1, 99]);
    }

    #[test]
    fn a_write_stored_twice_is_duplicated() {
        let ops = [acked(1, "proxy", 0, 1, "a", 1)];
        assert_eq!(losses(&ops, &[1, 1]).duplicated, [1]);
    }
}
