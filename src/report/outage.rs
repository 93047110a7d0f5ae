//! What an outage was made of: its phases, and the waits that the settings themselves imply. Pure.

use serde::Serialize;

use crate::topology::Timing;
use crate::verify::run::Outage;

/// A phase of an outage, named after the mark at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// `fault` (before the fault itself), `lock_taken`, `promoted`, `proxy_up`, `first_ack`, or a mark of another name.
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
    cuts.push(("first_ack", end));
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

/// The longest phase.
pub fn dominant(phases: &[Phase]) -> Option<&Phase> {
    phases.iter().max_by_key(|phase| phase.took())
}

/// A wait that a setting implies for one kind of fault on one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// `ttl` or `proxy`.
    pub name: &'static str,
    /// The longest that it can take, in ms.
    pub ms: u64,
    /// How often, and of what: `(rise, inter)` for the proxy, `(1, ttl)` for the lease.
    pub product: (u32, u64),
}

/// The waits that the settings imply, in the order in which they come. What is bounded by no setting (the shutdown, the
/// promotion) is not among them.
///
/// On SIGTERM the leader shuts PostgreSQL down and deletes its key, so that no lease has to run out (Patroni, "Stopping
/// and restarting": a clean stop releases the leader key). After a SIGKILL the key lives as long as the session, that is `ttl`
/// at the most. HAProxy sends a new server sessions after `rise` passed checks, `inter` apart (HAProxy's manual, `rise`).
pub fn bounds(fault: &str, path: &str, timing: &Timing) -> Vec<Bound> {
    let lease = (fault == "kill").then_some(Bound { name: "ttl", ms: timing.ttl_ms, product: (1, timing.ttl_ms) });
    let rise = u64::from(timing.rise) * timing.inter_ms;
    let proxy = (path == "proxy").then_some(Bound { name: "proxy", ms: rise, product: (timing.rise, timing.inter_ms) });
    lease.into_iter().chain(proxy).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn outage(gap: (u64, u64), fault: Option<u64>, marks: &[(&str, u64)]) -> Outage {
        Outage {
            workload: "w".to_owned(),
            path: "proxy".to_owned(),
            fact: "F1".to_owned(),
            gap_ms: gap.1.saturating_sub(gap.0),
            gap,
            fault_at_ms: fault,
            marks: marks.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect(),
            counts: (0, 0, 0),
        }
    }

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
    fn a_clean_stop_waits_for_no_lease() {
        let timing = Timing {
            ttl_ms: 30_000,
            loop_wait_ms: 10_000,
            retry_timeout_ms: 10_000,
            inter_ms: 3_000,
            fall: 3,
            rise: 2,
            other: BTreeMap::new(),
        };
        let names = |fault, path| bounds(fault, path, &timing).iter().map(|bound| (bound.name, bound.ms)).collect::<Vec<_>>();
        assert_eq!(names("stop", "proxy"), [("proxy", 6_000)]);
        assert_eq!(names("stop", "direct"), []);
        assert_eq!(names("kill", "proxy"), [("ttl", 30_000), ("proxy", 6_000)]);
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
