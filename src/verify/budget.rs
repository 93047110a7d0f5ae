//! Deadlines: fixed ones, and budgets derived from the topology's own constants, each with its derivation.
//!
//! A budget is what the configuration itself allows in the worst case, whatever the fault. It bounds the waiting; it
//! is not what one expects to see.

use std::time::Duration;

use crate::lab::model::{Budget, Deadline};
use crate::topology::Timing;

/// HAProxy's `timeout check` where the topology does not say it.
const CHECK_TIMEOUT_MS: u64 = 5_000;
/// PostgreSQL's default `wal_retrieve_retry_interval`: how long a standby waits before it asks for WAL again.
const WAL_RETRY_MS: u64 = 5_000;
/// What copying or rewinding a lab's data directory may take; labs are small.
const COPY_MS: u64 = 30_000;
/// What starting a node's programs may take.
const START_MS: u64 = 30_000;

/// How long something may take, and why so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The time.
    pub time: Duration,
    /// How it was derived: `ttl 30 s + loop_wait 10 s + 2 × retry_timeout 10 s = 60 s`.
    pub derivation: String,
}

/// What `deadline` allows on a topology with these constants.
pub fn allowed(deadline: Deadline, timing: &Timing) -> Allowed {
    match deadline {
        Deadline::Fixed(span) => Allowed { time: span.0, derivation: seconds(millis(span.0)) },
        Deadline::Budget(budget) => sum(&terms(budget, timing)),
    }
}

/// One addend: how often, of what, how long.
struct Term(u64, &'static str, u64);

fn terms(budget: Budget, timing: &Timing) -> Vec<Term> {
    let ttl = Term(1, "ttl", timing.ttl_ms);
    let loops = |count| Term(count, "loop_wait", timing.loop_wait_ms);
    let retries = Term(2, "retry_timeout", timing.retry_timeout_ms);
    let slower = timing.rise.max(timing.fall);
    let (between, each) = match timing.rise > timing.fall {
        true => ("rise × inter", "rise × timeout check"),
        false => ("fall × inter", "fall × timeout check"),
    };
    let proxy = Term(u64::from(slower), between, timing.inter_ms);
    let checks = Term(u64::from(slower), each, check_timeout(timing));
    match budget {
        // The lease runs out, a candidate wakes at the latest, and the race and the promotion may each meet a retry.
        Budget::Failover => vec![ttl, loops(1), retries],
        // The change falls right behind a check, and a host that is gone lets every check take all of its own time.
        Budget::Proxy => vec![proxy, checks],
        // The member's old session runs out, its agent sees the leader, follows it, and the leader confirms the standby.
        Budget::Rejoin => vec![ttl, loops(2), retries, Term(1, "pg_rewind | pg_basebackup", COPY_MS)],
        // The standby reconnects, or is told of its new leader first.
        Budget::Replication => vec![loops(1), Term(1, "wal_retrieve_retry_interval", WAL_RETRY_MS)],
        // Programs start, one bootstraps and the other copies, the standby is confirmed, the proxy sees the leader.
        Budget::Ready => vec![Term(1, "start", START_MS), Term(1, "pg_basebackup", COPY_MS), loops(2), proxy, checks],
    }
}

fn check_timeout(timing: &Timing) -> u64 {
    let written = timing.other.get("timeout_check_ms").and_then(|text| text.parse().ok());
    written.unwrap_or(CHECK_TIMEOUT_MS)
}

fn sum(terms: &[Term]) -> Allowed {
    let total: u64 = terms.iter().map(|Term(count, _, ms)| count * ms).sum();
    let words: Vec<String> = terms.iter().map(Term::words).collect();
    Allowed { time: Duration::from_millis(total), derivation: format!("{} = {}", words.join(" + "), seconds(total)) }
}

impl Term {
    fn words(&self) -> String {
        let Term(count, name, ms) = self;
        match (name.split_once(" × "), count) {
            (Some((times, what)), _) => format!("{times} {count} × {what} {}", seconds(*ms)),
            (None, 1) => format!("{name} {}", seconds(*ms)),
            (None, _) => format!("{count} × {name} {}", seconds(*ms)),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `30 s`, `0.5 s`.
pub fn seconds(ms: u64) -> String {
    match ms % 1000 {
        0 => format!("{} s", ms / 1000),
        rest => format!("{}.{} s", ms / 1000, format!("{rest:03}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::lab::model::Span;

    fn reference() -> Timing {
        Timing {
            ttl_ms: 30_000,
            loop_wait_ms: 10_000,
            retry_timeout_ms: 10_000,
            inter_ms: 3_000,
            fall: 3,
            rise: 2,
            other: BTreeMap::new(),
        }
    }

    fn derived(budget: Budget) -> (u64, String) {
        let allowed = allowed(Deadline::Budget(budget), &reference());
        (millis(allowed.time), allowed.derivation)
    }

    #[test]
    fn each_budget_says_how_it_came_about() {
        assert_eq!(
            derived(Budget::Failover),
            (60_000, "ttl 30 s + loop_wait 10 s + 2 × retry_timeout 10 s = 60 s".to_owned())
        );
        assert_eq!(
            derived(Budget::Proxy),
            (24_000, "fall 3 × inter 3 s + fall 3 × timeout check 5 s = 24 s".to_owned())
        );
        assert_eq!(
            derived(Budget::Rejoin),
            (
                100_000,
                "ttl 30 s + 2 × loop_wait 10 s + 2 × retry_timeout 10 s + pg_rewind | pg_basebackup 30 s = 100 s"
                    .to_owned()
            )
        );
        assert_eq!(
            derived(Budget::Replication),
            (15_000, "loop_wait 10 s + wal_retrieve_retry_interval 5 s = 15 s".to_owned())
        );
        assert_eq!(
            derived(Budget::Ready),
            (
                104_000,
                "start 30 s + pg_basebackup 30 s + 2 × loop_wait 10 s + fall 3 × inter 3 s + fall 3 × timeout check 5 s = 104 s"
                    .to_owned()
            )
        );
    }

    #[test]
    fn the_slower_of_rise_and_fall_bounds_the_proxy_and_its_own_check_timeout_counts() {
        let mut timing = reference();
        timing.rise = 5;
        timing.other.insert("timeout_check_ms".to_owned(), "500".to_owned());
        let allowed = allowed(Deadline::Budget(Budget::Proxy), &timing);
        assert_eq!(allowed.derivation, "rise 5 × inter 3 s + rise 5 × timeout check 0.5 s = 17.5 s");
    }

    #[test]
    fn a_fixed_deadline_is_what_it_says() {
        let allowed = allowed(Deadline::Fixed(Span(Duration::from_millis(2500))), &reference());
        assert_eq!((millis(allowed.time), allowed.derivation.as_str()), (2500, "2.5 s"));
    }
}
