//! The marks of an outage: what was seen between a fault and the first write that was acknowledged again.
//!
//! Each mark is the time at which the answer came that showed it, so that it is late by a sample at the most. ZooKeeper
//! tells of a change of the leader key by itself; everything else is asked every 50 ms.

use super::election::Field;
use crate::verify::watch::{Sample, Seen};

/// Something that was seen, when, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// `fault`, `detected`, `lock_free`, `lock_taken`, `promoted`, `proxy_up`, `first_ack`.
    pub name: &'static str,
    /// In µs since the run's start.
    pub at_us: u64,
    /// Who showed it: `ZooKeeper`, `REST · pg-master`, `SQL` for the clients.
    pub by: String,
}

/// A run's samples, and which member is which node.
pub struct Observed<'a> {
    /// In order of time.
    pub samples: &'a [Sample],
    /// Nodes and their members.
    pub members: &'a [(String, String)],
}

/// The marks from the fault to the end of the gap, in order of time. What was not seen has no mark; without a change of
/// the leader key only the fault, its detection and the acknowledgement are marked.
pub fn marks(observed: &Observed<'_>, fault_us: u64, first_ack_us: Option<u64>, through_proxy: bool) -> Vec<Mark> {
    // An acknowledged write proves all that had to come before it, even where a sampler showed that a little later.
    let latest = first_ack_us.unwrap_or(u64::MAX);
    let mut marks = vec![Mark { name: "fault", at_us: fault_us, by: "labrun".to_owned() }];
    let mut mark = |name: &'static str, seen: Option<(u64, String)>| {
        marks.extend(seen.map(|(at_us, by)| Mark { name, at_us: at_us.min(latest), by }));
    };
    let leader = observed.leader_at(fault_us);
    let old = leader.map(|member| observed.node_of(member));
    mark("detected", old.and_then(|old| observed.stopped_serving(old, fault_us)).filter(|(at_us, _)| *at_us < latest));
    let free = observed.after(fault_us).find(|sample| matches!(&sample.seen, Seen::Keys { leader: None, .. }));
    let free_us = free.map_or(u64::MAX, |sample| sample.at_us);
    let taken = observed.after(fault_us).find_map(|sample| match &sample.seen {
        Seen::Keys { leader: Some(holder), .. } if Some(holder.as_str()) != leader || sample.at_us > free_us => {
            Some((sample.at_us, holder.as_str()))
        }
        _ => None,
    });
    if let Some((taken_us, member)) = taken {
        let new = observed.node_of(member);
        let dcs = || "ZooKeeper".to_owned();
        mark("lock_free", (free_us <= taken_us).then(|| (free_us, dcs())));
        mark("lock_taken", Some((taken_us, dcs())));
        let acknowledged = first_ack_us.map(|at_us| (at_us, "SQL".to_owned()));
        mark("promoted", observed.promoted(new, taken_us.min(free_us)).or(acknowledged));
        mark("proxy_up", observed.proxy_up(new, taken_us.min(free_us)).filter(|_| through_proxy));
    }
    mark("first_ack", first_ack_us.map(|at_us| (at_us, "SQL".to_owned())));
    // Samplers are not in step, so that an effect may show before its cause; the order of equals is that of above.
    marks.sort_by_key(|mark| mark.at_us);
    marks
}

impl Observed<'_> {
    /// The member that held the leader key when the fault came.
    pub fn leader_at(&self, fault_us: u64) -> Option<&str> {
        let before = self.samples.iter().rev().filter(|sample| sample.at_us <= fault_us);
        let mut holders = before.filter_map(|sample| match &sample.seen {
            Seen::Keys { leader, .. } => Some(leader.as_deref()),
            _ => None,
        });
        holders.next().flatten()
    }

    /// The node of a member.
    pub fn node_of<'m>(&'m self, member: &'m str) -> &'m str {
        self.members.iter().find(|(_, other)| other == member).map_or(member, |(node, _)| node)
    }

    /// What was known of the candidates last before `at_us`.
    pub fn field_by(&self, at_us: u64) -> Option<&Field> {
        let before = self.samples.iter().rev().filter(|sample| sample.at_us <= at_us);
        let mut fields = before.filter_map(|sample| match &sample.seen {
            Seen::Candidates(field) => Some(field.as_ref()),
            _ => None,
        });
        fields.next()
    }

    fn after(&self, at_us: u64) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.at_us > at_us)
    }

    /// The first word of anybody that the node does not serve as primary any more.
    fn stopped_serving(&self, old: &str, fault_us: u64) -> Option<(u64, String)> {
        self.after(fault_us).find_map(|sample| {
            let by = match &sample.seen {
                Seen::Node { node, word } if node == old && word.is_none_or(|word| word.in_recovery) => {
                    format!("PostgreSQL · {node}")
                }
                Seen::Rest { node, primary } if node == old && *primary != Some(true) => format!("REST · {node}"),
                Seen::Proxy { up: Some(up) } if !up.iter().any(|name| name == old) => "HAProxy".to_owned(),
                _ => return None,
            };
            Some((sample.at_us, by))
        })
    }

    /// When the node was first seen out of recovery.
    fn promoted(&self, new: &str, since_us: u64) -> Option<(u64, String)> {
        let is_primary = |sample: &&Sample| matches!(&sample.seen, Seen::Node { node, word: Some(word) } if node == new && !word.in_recovery);
        self.after(since_us.saturating_sub(1))
            .find(is_primary)
            .map(|sample| (sample.at_us, format!("PostgreSQL · {new}")))
    }

    /// When HAProxy was first seen to have it up.
    fn proxy_up(&self, new: &str, since_us: u64) -> Option<(u64, String)> {
        let has_it = |sample: &&Sample| matches!(&sample.seen, Seen::Proxy { up: Some(up) } if up.iter().any(|name| name == new));
        self.after(since_us.saturating_sub(1)).find(has_it).map(|sample| (sample.at_us, "HAProxy".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::watch::NodeWord;

    fn told(samples: &[(u64, Seen)], fault_ms: u64, ack_ms: u64, through_proxy: bool) -> Vec<(String, u64, String)> {
        let members = [("pg-master".to_owned(), "m0".to_owned()), ("pg-slave".to_owned(), "m1".to_owned())];
        let samples: Vec<Sample> =
            samples.iter().map(|(at_ms, seen)| Sample { at_us: at_ms * 1000, seen: seen.clone() }).collect();
        let observed = Observed { samples: &samples, members: &members };
        let marks = marks(&observed, fault_ms * 1000, Some(ack_ms * 1000), through_proxy);
        marks.into_iter().map(|mark| (mark.name.to_owned(), mark.at_us / 1000, mark.by)).collect()
    }

    fn names(told: &[(String, u64, String)]) -> Vec<(&str, u64)> {
        told.iter().map(|(name, at, _)| (name.as_str(), *at)).collect()
    }

    fn keys(leader: Option<&str>) -> Seen {
        Seen::Keys { leader: leader.map(str::to_owned), sync: vec![] }
    }

    fn node(node: &str, in_recovery: bool) -> Seen {
        Seen::Node { node: node.into(), word: Some(NodeWord { in_recovery, timeline: None }) }
    }

    fn proxy(up: &[&str]) -> Seen {
        Seen::Proxy { up: Some(up.iter().map(|name| (*name).to_owned()).collect()) }
    }

    fn failover() -> Vec<(u64, Seen)> {
        vec![
            (10, keys(Some("m0"))),
            (20, node("pg-slave", true)),
            (30, proxy(&["pg-master"])),
            (1_150, Seen::Rest { node: "pg-master".into(), primary: Some(false) }),
            (1_160, Seen::Node { node: "pg-master".into(), word: None }),
            (1_200, keys(None)),
            (1_250, keys(Some("m1"))),
            (1_300, node("pg-slave", false)),
            (4_000, proxy(&[])),
            (7_000, proxy(&["pg-slave"])),
        ]
    }

    #[test]
    fn a_failover_has_all_its_marks_in_order_with_who_saw_them() {
        let through = told(&failover(), 1_000, 7_050, true);
        let expected = [
            ("fault", 1_000, "labrun"),
            ("detected", 1_150, "REST · pg-master"),
            ("lock_free", 1_200, "ZooKeeper"),
            ("lock_taken", 1_250, "ZooKeeper"),
            ("promoted", 1_300, "PostgreSQL · pg-slave"),
            ("proxy_up", 7_000, "HAProxy"),
            ("first_ack", 7_050, "SQL"),
        ];
        assert_eq!(through, expected.map(|(name, at, by)| (name.to_owned(), at, by.to_owned())));
        let direct = told(&failover(), 1_000, 1_290, false);
        assert_eq!(names(&direct)[4..], [("promoted", 1_290), ("first_ack", 1_290)]);
    }

    #[test]
    fn without_an_election_only_the_fault_and_the_acknowledgement_are_marked() {
        let samples = [(10, keys(Some("m0"))), (1_200, keys(Some("m0")))];
        assert_eq!(names(&told(&samples, 1_000, 1_010, true)), [("fault", 1_000), ("first_ack", 1_010)]);
    }

    #[test]
    fn a_leader_that_takes_its_own_key_back_has_taken_it() {
        let samples = [(10, keys(Some("m0"))), (1_200, keys(None)), (2_000, keys(Some("m0")))];
        let seen = told(&samples, 1_000, 2_010, false);
        assert_eq!(
            names(&seen)[1..],
            [("lock_free", 1_200), ("lock_taken", 2_000), ("promoted", 2_010), ("first_ack", 2_010)]
        );
    }

    #[test]
    fn what_shows_after_the_first_acknowledgement_was_not_the_detection() {
        let samples = [(10, keys(Some("m0"))), (1_200, proxy(&[]))];
        assert_eq!(names(&told(&samples, 1_000, 1_100, true)), [("fault", 1_000), ("first_ack", 1_100)]);
    }
}
