//! Known histories, linearizable and not; and random ones, judged by zones and by search alike.

use proptest::prelude::*;

use super::super::hand::{got, on_standby, rejected, set, unknown};
use super::search::{Step, explained};
use super::*;

const LIMIT: Duration = Duration::from_secs(60);

fn judged(ops: &[Op]) -> Linearizable {
    linearizable(ops, LIMIT).expect("there are keys")
}

fn is_linearizable(ops: &[Op]) -> bool {
    match judged(ops) {
        Linearizable::Yes => true,
        Linearizable::No(_) => false,
        Linearizable::Inconclusive { why } => panic!("{why:?}"),
    }
}

fn doubtful(id: u64, sent_ms: u64) -> Op {
    Op { key: Some(1), ..unknown(id, "proxy", sent_ms, sent_ms + 2_000) }
}

#[test]
fn one_after_the_other_is_linearizable() {
    assert!(is_linearizable(&[got(0, 0, 1), set(1, 2, 3), got(1, 4, 5), set(2, 6, 7), got(2, 8, 9)]));
}

#[test]
fn a_concurrent_read_may_see_the_old_value_or_the_new_one() {
    assert!(is_linearizable(&[set(1, 0, 1), set(2, 10, 20), got(1, 11, 19), got(2, 12, 18)]));
}

#[test]
fn two_reads_may_not_see_the_new_value_and_then_the_old_one() {
    let ops = [set(1, 0, 1), set(2, 10, 20), got(2, 11, 12), got(1, 13, 14)];
    let Linearizable::No(violation) = judged(&ops) else { panic!("taken for linearizable") };
    assert_eq!((violation.key, violation.value, violation.other), (1, 1, 2));
    assert_eq!((violation.from_us, violation.to_us), (1_000, 13_000));
}

#[test]
fn a_stale_read_is_not_linearizable() {
    assert!(!is_linearizable(&[set(1, 0, 1), set(2, 2, 3), got(1, 4, 5)]));
    assert!(!is_linearizable(&[set(1, 0, 1), got(0, 2, 3)]));
}

#[test]
fn an_acknowledged_write_that_vanishes_is_not_linearizable() {
    // The write of 2 was acknowledged by a leader that lost it.
    assert!(!is_linearizable(&[set(1, 0, 1), set(2, 2, 3), got(2, 4, 5), got(1, 6, 7), set(3, 8, 9)]));
}

#[test]
fn a_value_is_not_read_before_it_is_written() {
    assert!(!is_linearizable(&[got(1, 0, 1), set(1, 2, 3)]));
    assert!(!is_linearizable(&[got(7, 0, 1)]));
    let mut refused = rejected(7, "proxy", 0, 1, "25006");
    refused.key = Some(1);
    assert!(!is_linearizable(&[refused, got(7, 2, 3)]));
}

#[test]
fn a_write_of_unknown_outcome_may_happen_late_or_never() {
    assert!(is_linearizable(&[set(1, 0, 1), doubtful(2, 2), got(1, 10, 11)]));
    assert!(is_linearizable(&[set(1, 0, 1), doubtful(2, 2), got(1, 10, 11), got(2, 90_000, 90_001)]));
    assert!(!is_linearizable(&[set(1, 0, 1), doubtful(2, 2), got(2, 10, 11), got(1, 20, 21)]));
}

#[test]
fn the_two_clocks_of_one_moment_are_concurrent() {
    assert!(is_linearizable(&[set(1, 0, 5), got(0, 5, 6)]));
}

#[test]
fn a_standby_may_be_behind() {
    assert!(is_linearizable(&[set(1, 0, 1), set(2, 2, 3), on_standby(got(1, 4, 5)), got(2, 6, 7)]));
}

#[test]
fn keys_are_judged_each_by_itself() {
    let other = |mut op: Op| {
        op.key = Some(2);
        op
    };
    assert!(is_linearizable(&[set(1, 0, 1), other(set(2, 2, 3)), got(1, 4, 5), other(got(2, 4, 5))]));
    let wrong = [set(1, 0, 1), got(1, 4, 5), other(set(2, 2, 3)), other(got(0, 4, 5))];
    assert!(matches!(judged(&wrong), Linearizable::No(Violation { key: 2, .. })));
}

#[test]
fn without_reads_or_time_nothing_is_said() {
    let unread = Linearizable::Inconclusive { why: Unknown::NoReads };
    assert_eq!(judged(&[set(1, 0, 1)]), unread);
    assert_eq!(judged(&[set(1, 0, 1), on_standby(got(1, 4, 5))]), unread);
    let late = Linearizable::Inconclusive { why: Unknown::TimeIsUp };
    assert_eq!(linearizable(&[set(1, 0, 1), got(1, 4, 5)], Duration::ZERO), Some(late));
    assert_eq!(linearizable(&[], LIMIT), None);
}

/// Up to nine operations on one register, at random times and with random values read.
fn any_history() -> impl Strategy<Value = Vec<Op>> {
    let op = (0u64..30, 0u64..12, 0u8..10, 0u64..6);
    prop::collection::vec(op, 1..10).prop_map(|ops| {
        let mut id = 0;
        let all = ops.into_iter().map(|(from, took, fate, value)| match fate {
            0..4 => {
                id += 1;
                set(id, from, from + took)
            }
            4 => {
                id += 1;
                doubtful(id, from)
            }
            _ => got(value, from, from + took),
        });
        all.collect()
    })
}

fn as_steps(ops: &[Op]) -> Vec<Step> {
    let step = |op: &Op| {
        let (write, value) = op.read().map_or((true, op.id), |(_, value)| (false, value));
        let to = (!matches!(op.outcome, Outcome::Indeterminate { .. })).then_some(op.done_us);
        Step { write, value, from: op.sent_us, to }
    };
    ops.iter().map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn zones_and_search_come_to_the_same(ops in any_history()) {
        prop_assume!(ops.iter().any(|op| op.read().is_some()));
        prop_assert_eq!(is_linearizable(&ops), explained(&as_steps(&ops)), "{:?}", ops);
    }
}
