//! The phases of an outage: the clients' gap, cut at the marks within it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verify::run::Outage;

/// A phase of an outage, named after the mark at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// `fault` (before the fault itself), `detected`, `lock_free`, `lock_taken`, `promoted`, `proxy_up`, `first_ack`;
    /// `unacknowledged` is the last of a gap that no acknowledged write ended.
    pub name: String,
    /// When it began, in ms since the run's start.
    pub from: u64,
    /// When it ended.
    pub to: u64,
}

impl Phase {
    /// How long it took, in ms.
    pub fn took(&self) -> u64 {
        self.to - self.from
    }
}

/// Cuts the gap at the fault and at the marks within it. The phases are in order and add up to the gap exactly; a mark
/// that was observed only after the first acknowledged write cuts nothing.
pub fn phases(outage: &Outage) -> Vec<Phase> {
    let (start, end) = (outage.gap.0, outage.gap.1.max(outage.gap.0));
    let fault = outage.fault_at_ms.map(|at| ("fault", at));
    let marks = outage.marks.iter().map(|(name, at)| (name.as_str(), *at));
    let mut cuts: Vec<(&str, u64)> = fault
        .into_iter()
        .chain(marks.filter(|(name, _)| !matches!(*name, "fault" | "first_ack")))
        .filter(|(_, at)| (start..end).contains(at))
        .collect();
    cuts.sort_by_key(|(_, at)| *at);
    cuts.push((if outage.closed { "first_ack" } else { "unacknowledged" }, end));
    let mut from = start;
    let mut phases = Vec::with_capacity(cuts.len());
    for (name, to) in cuts {
        if to > from {
            phases.push(Phase { name: name.to_owned(), from, to });
        }
        from = to;
    }
    phases
}

/// The longest phase. What passed before the fault is none of the outage's causes.
pub fn dominant(phases: &[Phase]) -> Option<&Phase> {
    let caused = || phases.iter().filter(|phase| phase.name != "fault");
    caused().max_by_key(|phase| phase.took()).or(phases.first())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verify::outage::budget::tests::outage;

    #[test]
    fn marks_cut_the_gap_in_the_order_of_time() {
        let cut = phases(&outage((100, 900), Some(120), &[("promoted", 400), ("lock_taken", 300), ("first_ack", 900)]));
        let told: Vec<_> = cut.iter().map(|phase| (phase.name.as_str(), phase.took())).collect();
        assert_eq!(told, [("fault", 20), ("lock_taken", 180), ("promoted", 100), ("first_ack", 500)]);
        assert_eq!(dominant(&cut).map(|phase| phase.name.as_str()), Some("first_ack"));
    }

    #[test]
    fn a_mark_behind_the_first_write_cuts_nothing() {
        let cut = phases(&outage((100, 900), None, &[("proxy_up", 950)]));
        assert_eq!(cut, [Phase { name: "first_ack".to_owned(), from: 100, to: 900 }]);
    }

    #[test]
    fn a_gap_that_no_write_ended_does_not_end_with_the_first_write() {
        let open = Outage { closed: false, ..outage((100, 900), Some(100), &[("lock_free", 300)]) };
        let told: Vec<_> = phases(&open).iter().map(|phase| (phase.name.clone(), phase.took())).collect();
        assert_eq!(told, [("lock_free".to_owned(), 200), ("unacknowledged".to_owned(), 600)]);
    }

    #[test]
    fn what_passed_before_the_fault_dominates_nothing() {
        let cut = phases(&outage((100, 900), Some(700), &[("lock_free", 750)]));
        assert_eq!(dominant(&cut).map(|phase| phase.name.as_str()), Some("first_ack"));
    }

    proptest! {
        #[test]
        fn phases_always_add_up(start in 0..1_000_u64, length in 0..1_000_u64, fault in 0..2_500_u64,
                                marks in proptest::collection::vec(0..2_500_u64, 0..5)) {
            let names: Vec<_> = marks.iter().map(|at| ("promoted", *at)).collect();
            let cut = phases(&outage((start, start + length), Some(fault), &names));
            prop_assert_eq!(cut.iter().map(Phase::took).sum::<u64>(), length);
            prop_assert!(cut.windows(2).all(|pair| pair[0].to == pair[1].from));
        }
    }
}
