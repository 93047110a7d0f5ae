//! Lost, unexpected, recovered and duplicated writes: the set that was acknowledged against the set that is stored.

use std::collections::BTreeMap;

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
    let mut copies: BTreeMap<u64, u32> = BTreeMap::new();
    for id in stored {
        *copies.entry(*id).or_default() += 1;
    }
    let outcomes: BTreeMap<u64, &Outcome> = ops.iter().map(|op| (op.id, &op.outcome)).collect();
    let ids = |wanted: &dyn Fn(u64) -> bool| copies.keys().copied().filter(|id| wanted(*id)).collect();
    Losses {
        lost: outcomes
            .iter()
            .filter(|(id, outcome)| matches!(outcome, Outcome::Acked { .. }) && !copies.contains_key(id))
            .map(|(id, _)| *id)
            .collect(),
        unexpected: ids(&|id| matches!(outcomes.get(&id), None | Some(Outcome::Rejected { .. }))),
        recovered: ids(&|id| matches!(outcomes.get(&id), Some(Outcome::Indeterminate { .. }))),
        duplicated: ids(&|id| copies[&id] > 1),
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
