//! All checkers over one history, side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use super::gap::longest_gap;
use super::losses::losses;
use super::overlap::overlaps;
use super::read_only::read_only;
use super::reads::reads;
use super::register::linearizable;
use super::{Gap, Linearizable, Losses, Op, Outcome, Overlap, ReadOnly, Reads};
use crate::verify::Verdict;

/// How long it may take to decide whether the registers are linearizable.
const REGISTER_LIMIT: Duration = Duration::from_secs(30);

/// What is known of a workload when it is judged.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// Everything that its clients tried.
    pub ops: &'a [Op],
    /// The ids that are stored in the end, as read back; none where they could not be.
    pub stored: Option<&'a [u64]>,
    /// The ways by which it wrote; one that has no operation at all is judged too.
    pub paths: &'a [String],
    /// When it began and ended, in µs since the run's start.
    pub span_us: (u64, u64),
    /// When the first fault within it was injected, where one was.
    pub fault_us: Option<u64>,
}

/// What a history shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Writes whose fate is not what the client was told; none where it is not known what is stored.
    pub losses: Option<Losses>,
    /// Times in which two nodes acknowledged writes.
    pub overlaps: Vec<Overlap>,
    /// What the reads show; none where the workload has no registers.
    pub reads: Option<Reads>,
    /// Whether the registers are linearizable; none where there are none.
    pub linearizable: Option<Linearizable>,
    /// Each way by itself.
    pub paths: BTreeMap<String, PathJudgement>,
}

/// What one way shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PathJudgement {
    /// Writes acknowledged,
    pub acked: u64,
    /// the same by the node that acknowledged,
    pub acked_by: BTreeMap<String, u64>,
    /// refused for certain, by SQLSTATE,
    pub rejected: BTreeMap<String, u64>,
    /// and those whose outcome is unknown.
    pub indeterminate: u64,
    /// Acknowledged before the fault. All of them where there was none.
    pub acked_before_fault: u64,
    /// Sent after the fault, and acknowledged.
    pub acked_after_fault: u64,
    /// The longest time without an acknowledged write; after the fault, where there was one.
    pub gap: Option<Gap>,
    /// Times in which it led to nodes that take no writes.
    pub read_only: Vec<ReadOnly>,
    /// Reads that were answered.
    pub reads: u64,
}

impl Judgement {
    /// Writes acknowledged on all ways.
    pub fn acked(&self) -> u64 {
        self.paths.values().map(|path| path.acked).sum()
    }

    /// Writes sent after the fault and acknowledged, on all ways.
    pub fn acked_after_fault(&self) -> u64 {
        self.paths.values().map(|path| path.acked_after_fault).sum()
    }

    /// What the history comes to: `fail` where it shows something that must not be; `inconclusive` where it cannot show
    /// it (nothing was acknowledged, what is stored is not known, no read was answered).
    pub fn verdict(&self) -> Verdict {
        let lost =
            |losses: &Losses| !losses.lost.is_empty() || !losses.unexpected.is_empty() || !losses.duplicated.is_empty();
        let misread =
            |reads: &Reads| !reads.stale.is_empty() || !reads.went_back.is_empty() || !reads.phantom.is_empty();
        let is_wrong = self.losses.as_ref().is_some_and(lost)
            || !self.overlaps.is_empty()
            || self.reads.as_ref().is_some_and(misread)
            || matches!(self.linearizable, Some(Linearizable::No(_)));
        let is_unproved = self.acked() == 0
            || self.losses.is_none()
            || matches!(self.linearizable, Some(Linearizable::Inconclusive { .. }));
        match (is_wrong, is_unproved) {
            (true, _) => Verdict::Fail,
            (false, true) => Verdict::Inconclusive,
            (false, false) => Verdict::Pass,
        }
    }
}

/// Judge a history.
pub fn judge(evidence: &Evidence<'_>) -> Judgement {
    let paths = evidence.paths.iter().map(|name| (name.clone(), judge_path(name, evidence))).collect();
    let losses = evidence.stored.map(|stored| losses(evidence.ops, stored));
    let linearizable = linearizable(evidence.ops, REGISTER_LIMIT);
    let reads = linearizable.is_some().then(|| reads(evidence.ops));
    Judgement { losses, overlaps: overlaps(evidence.ops), reads, linearizable, paths }
}

fn judge_path(name: &str, evidence: &Evidence<'_>) -> PathJudgement {
    let mut path = PathJudgement::default();
    let ops = || evidence.ops.iter().filter(|op| op.path == name);
    path.reads = ops().filter(|op| op.read().is_some()).count() as u64;
    for op in ops().filter(|op| op.is_write()) {
        match &op.outcome {
            Outcome::Acked { by, .. } => {
                path.acked += 1;
                count(&mut path.acked_by, &by.node);
            }
            Outcome::Rejected { sqlstate, .. } => count(&mut path.rejected, sqlstate),
            Outcome::Indeterminate { .. } => path.indeterminate += 1,
        }
        if op.acked_by().is_some() {
            match evidence.fault_us {
                Some(fault) if op.sent_us >= fault => path.acked_after_fault += 1,
                // Sent before it and acknowledged after it belongs to neither side.
                Some(fault) if op.done_us > fault => {}
                _ => path.acked_before_fault += 1,
            }
        }
    }
    path.read_only = read_only(ops());
    path.gap = longest_gap(ops(), evidence.span_us, evidence.fault_us);
    path
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => _ = counts.insert(name.to_owned(), 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hand::{acked, got, rejected, set, unknown};
    use super::*;

    fn verdict_of(ops: &[Op], stored: Option<&[u64]>) -> Verdict {
        let paths = ["proxy".to_owned()];
        judge(&Evidence { ops, stored, paths: &paths, span_us: (0, 99_000), fault_us: None }).verdict()
    }

    #[test]
    fn a_history_passes_only_where_it_could_have_failed() {
        assert_eq!(verdict_of(&[acked(1, "proxy", 0, 1, "a", 1)], Some(&[1])), Verdict::Pass);
        assert_eq!(verdict_of(&[acked(1, "proxy", 0, 1, "a", 1)], None), Verdict::Inconclusive);
        assert_eq!(verdict_of(&[rejected(1, "proxy", 0, 1, "25006")], Some(&[])), Verdict::Inconclusive);
        assert_eq!(verdict_of(&[set(1, 0, 1)], Some(&[1])), Verdict::Inconclusive, "there was no read");
        assert_eq!(verdict_of(&[set(1, 0, 1), got(1, 2, 3)], Some(&[1])), Verdict::Pass);
    }

    #[test]
    fn whatever_must_not_be_is_a_failure() {
        assert_eq!(verdict_of(&[acked(1, "proxy", 0, 1, "a", 1)], Some(&[])), Verdict::Fail);
        assert_eq!(verdict_of(&[acked(1, "proxy", 0, 1, "a", 1)], Some(&[1, 1])), Verdict::Fail);
        assert_eq!(verdict_of(&[acked(1, "proxy", 0, 1, "a", 1)], Some(&[1, 2])), Verdict::Fail);
        let turns = [acked(1, "proxy", 0, 1, "a", 1), acked(2, "proxy", 2, 3, "b", 2), acked(3, "proxy", 4, 5, "a", 1)];
        assert_eq!(verdict_of(&turns, None), Verdict::Fail);
        assert_eq!(verdict_of(&[set(1, 0, 1), set(2, 2, 3), got(1, 4, 5)], Some(&[1, 2])), Verdict::Fail);
    }

    #[test]
    fn a_way_without_operations_is_judged_too() {
        let paths = ["proxy".to_owned(), "direct".to_owned()];
        let ops = [acked(1, "direct", 0, 10, "a", 1)];
        let seen =
            judge(&Evidence { ops: &ops, stored: Some(&[1]), paths: &paths, span_us: (0, 99_000), fault_us: None });
        assert_eq!(seen.paths["proxy"].acked, 0);
        assert_eq!(seen.paths["proxy"].gap, Some(Gap { from_us: 0, to_us: 99_000, closed: false }));
        assert_eq!(seen.acked(), 1);
    }

    #[test]
    fn acknowledgements_are_told_apart_by_the_fault() {
        let paths = ["proxy".to_owned()];
        let ops = [
            acked(1, "proxy", 0, 10, "a", 1),
            acked(2, "proxy", 95, 105, "a", 1),
            rejected(3, "proxy", 110, 111, "08001"),
            unknown(4, "proxy", 120, 130),
            acked(5, "proxy", 200, 210, "b", 2),
        ];
        let evidence = Evidence {
            ops: &ops,
            stored: Some(&[1, 2, 5]),
            paths: &paths,
            span_us: (0, 300_000),
            fault_us: Some(100_000),
        };
        let path = &judge(&evidence).paths["proxy"];
        assert_eq!((path.acked, path.indeterminate, path.rejected["08001"]), (3, 1, 1));
        assert_eq!((path.acked_by["a"], path.acked_by["b"]), (2, 1));
        assert_eq!((path.acked_before_fault, path.acked_after_fault), (1, 1));
        assert_eq!(path.gap.map(|gap| gap.len_us()), Some(105_000));
    }

    /// A history as a correct cluster makes one: leaders one after the other, each on a newer timeline, never at once.
    fn correct_history() -> impl Strategy<Value = (Vec<Op>, Vec<u64>)> {
        let write = (0u64..4, 1u64..30, 0u8..10, any::<bool>());
        prop::collection::vec((prop::collection::vec(write, 1..20), 50u64..2000), 2..5).prop_map(|terms| {
            let (mut ops, mut stored, mut now, mut id) = (Vec::new(), Vec::new(), 0u64, 0u64);
            for (term, (writes, election_ms)) in terms.into_iter().enumerate() {
                let node = if term % 2 == 0 { "a" } else { "b" };
                for (pause, took, fate, kept) in writes {
                    (now, id) = (now + pause, id + 1);
                    let path = if id % 2 == 0 { "proxy" } else { "direct" };
                    ops.push(match fate {
                        0 => rejected(id, path, now, now + took, "25006"),
                        1 => unknown(id, path, now, now + took),
                        _ => acked(id, path, now, now + took, node, term as u64 + 1),
                    });
                    if fate > 1 || (fate == 1 && kept) {
                        stored.push(id);
                    }
                }
                now += election_ms;
            }
            (ops, stored)
        })
    }

    fn judged(ops: &[Op], stored: &[u64]) -> Judgement {
        let paths = ["proxy".to_owned(), "direct".to_owned()];
        let end = ops.iter().map(|op| op.done_us).max().unwrap_or(0);
        judge(&Evidence { ops, stored: Some(stored), paths: &paths, span_us: (0, end), fault_us: None })
    }

    fn losses_of(seen: &Judgement) -> Losses {
        seen.losses.clone().unwrap()
    }

    fn is_clean(seen: &Judgement) -> bool {
        let Losses { lost, unexpected, duplicated, recovered: _ } = losses_of(seen);
        lost.is_empty() && unexpected.is_empty() && duplicated.is_empty() && seen.overlaps.is_empty()
    }

    proptest! {
        #[test]
        fn a_correct_history_is_clean((ops, stored) in correct_history()) {
            prop_assert!(is_clean(&judged(&ops, &stored)));
        }

        #[test]
        fn one_lost_write_is_found((ops, mut stored) in correct_history(), pick in any::<prop::sample::Index>()) {
            let acked: Vec<u64> = ops.iter().filter(|op| op.acked_by().is_some()).map(|op| op.id).collect();
            prop_assume!(!acked.is_empty());
            let victim = acked[pick.index(acked.len())];
            stored.retain(|id| *id != victim);
            prop_assert_eq!(losses_of(&judged(&ops, &stored)).lost, vec![victim]);
        }

        #[test]
        fn one_duplicated_write_is_found((ops, mut stored) in correct_history(), pick in any::<prop::sample::Index>()) {
            prop_assume!(!stored.is_empty());
            let twice = stored[pick.index(stored.len())];
            stored.push(twice);
            prop_assert_eq!(losses_of(&judged(&ops, &stored)).duplicated, vec![twice]);
        }

        #[test]
        fn one_stranger_is_found((ops, mut stored) in correct_history()) {
            stored.push(1_000_000);
            prop_assert_eq!(losses_of(&judged(&ops, &stored)).unexpected, vec![1_000_000]);
        }

        #[test]
        fn one_write_by_the_deposed_leader_is_found((mut ops, mut stored) in correct_history()) {
            let Some((old_sent, old)) = ops.iter().find_map(|op| Some((op.sent_us, op.acked_by()?.clone()))) else {
                return Ok(());
            };
            let newer = ops.iter().find(|op| op.acked_by().is_some_and(|by| by.timeline > old.timeline));
            prop_assume!(newer.is_some() && old_sent < u64::MAX);
            let after = newer.map_or(0, |op| op.done_us) / 1000 + 1;
            let timeline = old.timeline.unwrap_or(0);
            ops.push(acked(999_999, "direct", after, after + 1, &old.node, timeline));
            stored.push(999_999);
            let seen = judged(&ops, &stored);
            prop_assert!(seen.overlaps.iter().any(|overlap| overlap.ids.contains(&999_999)));
        }
    }
}
