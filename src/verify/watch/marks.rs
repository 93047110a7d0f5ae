//! The marks of an outage: what was seen between a fault and the first write that was acknowledged again.
//!
//! Each mark is the time at which the answer came that showed it, so that it is late by a sample at the most.

use super::{Samples, Seen};

/// The marks from the fault to the end of the gap, in order of time, in ms since the run's start: `fault`,
/// `lock_free`, `lock_taken`, `promoted`, `proxy_up` (where the path leads through the proxy), `first_ack`. What was
/// not seen has no mark.
pub fn marks(samples: &Samples, fault_us: u64, first_ack_us: Option<u64>, through_proxy: bool) -> Vec<(String, u64)> {
    let all = samples.all();
    let mut marks = vec![("fault".to_owned(), fault_us)];
    // An acknowledged write proves all that had to come before it, even where a sampler showed that a little later.
    let latest = first_ack_us.unwrap_or(u64::MAX);
    let mut mark = |name: &str, at_us: Option<u64>| {
        marks.extend(at_us.map(|at_us| (name.to_owned(), at_us.min(latest))));
    };
    let leader_before =
        all.iter().rev().filter(|sample| sample.at_us <= fault_us).find_map(|sample| match &sample.seen {
            Seen::Keys { leader, .. } => Some(leader.clone()),
            _ => None,
        });
    let after = || all.iter().filter(|sample| sample.at_us > fault_us);
    let free = after().find(|sample| matches!(&sample.seen, Seen::Keys { leader: None, .. }));
    let taken = after().find_map(|sample| match &sample.seen {
        Seen::Keys { leader: Some(leader), .. } if Some(Some(leader)) != leader_before.as_ref().map(Option::as_ref) => {
            Some((sample.at_us, leader.clone()))
        }
        _ => None,
    });
    if let Some((taken_us, member)) = taken {
        let new_leader = samples.node_of(&member).unwrap_or(&member).to_owned();
        mark("lock_free", free.map(|sample| sample.at_us).filter(|at_us| *at_us <= taken_us));
        mark("lock_taken", Some(taken_us));
        let promoted = after().find(|sample| {
            matches!(&sample.seen, Seen::Node { node, word: Some(word) } if *node == new_leader && !word.in_recovery)
        });
        mark("promoted", promoted.map(|sample| sample.at_us));
        let up =
            after().find(|sample| matches!(&sample.seen, Seen::Proxy { up: Some(up) } if up.contains(&new_leader)));
        mark("proxy_up", up.filter(|_| through_proxy).map(|sample| sample.at_us));
    }
    mark("first_ack", first_ack_us);
    // Samplers are not in step, so that an effect may show before its cause; the order of equals is that of above.
    marks.sort_by_key(|(_, at_us)| *at_us);
    marks.into_iter().map(|(name, at_us)| (name, at_us / 1000)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{NodeWord, Sample};
    use super::*;
    use crate::verify::Spine;

    fn seen(samples: Vec<(u64, Seen)>) -> Samples {
        let members = vec![("pg-master".to_owned(), "m0".to_owned()), ("pg-slave".to_owned(), "m1".to_owned())];
        let all = Samples::new(Arc::new(Spine::new(vec![])), members);
        let samples = samples.into_iter().map(|(at_ms, seen)| Sample { at_us: at_ms * 1000, seen });
        all.lock().samples.extend(samples);
        all
    }

    fn keys(leader: Option<&str>) -> Seen {
        Seen::Keys { leader: leader.map(str::to_owned), sync: vec![] }
    }

    fn node(in_recovery: bool) -> Seen {
        Seen::Node { node: "pg-slave".into(), word: Some(NodeWord { in_recovery, timeline: None }) }
    }

    fn proxy(up: &[&str]) -> Seen {
        Seen::Proxy { up: Some(up.iter().map(|name| (*name).to_owned()).collect()) }
    }

    fn names(marks: &[(String, u64)]) -> Vec<(&str, u64)> {
        marks.iter().map(|(name, at)| (name.as_str(), *at)).collect()
    }

    #[test]
    fn a_failover_has_all_its_marks_in_order() {
        let samples = seen(vec![
            (10, keys(Some("m0"))),
            (20, node(true)),
            (30, proxy(&["pg-master"])),
            (1_200, keys(None)),
            (1_250, keys(Some("m1"))),
            (1_300, node(false)),
            (4_000, proxy(&[])),
            (7_000, proxy(&["pg-slave"])),
        ]);
        let through = marks(&samples, 1_000_000, Some(7_050_000), true);
        assert_eq!(
            names(&through),
            [
                ("fault", 1_000),
                ("lock_free", 1_200),
                ("lock_taken", 1_250),
                ("promoted", 1_300),
                ("proxy_up", 7_000),
                ("first_ack", 7_050),
            ]
        );
        let direct = marks(&samples, 1_000_000, Some(1_290_000), false);
        assert_eq!(&names(&direct)[3..], [("promoted", 1_290), ("first_ack", 1_290)]);
        assert!(!names(&direct).iter().any(|(name, _)| *name == "proxy_up"));
    }

    #[test]
    fn without_an_election_only_the_fault_and_the_acknowledgement_are_marked() {
        let samples = seen(vec![(10, keys(Some("m0"))), (1_200, keys(Some("m0")))]);
        let seen = marks(&samples, 1_000_000, Some(1_010_000), true);
        assert_eq!(names(&seen), [("fault", 1_000), ("first_ack", 1_010)]);
    }
}
