//! The waits that the settings themselves imply, beside which an outage's phases are laid.

use serde::Serialize;

use crate::topology::Timing;
use crate::verify::run::Outage;

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

impl Bound {
    /// When the wait begins: the lease with the fault, the proxy's checks with the new leader's readiness to write, as far as
    /// that was seen.
    pub fn begins(&self, outage: &Outage) -> u64 {
        let start = outage.fault_at_ms.unwrap_or(outage.gap.0);
        let mark = |name: &str| outage.marks.iter().find(|(mark, _)| mark == name).map(|(_, at)| *at);
        match self.name {
            "proxy" => mark("promoted").or_else(|| mark("lock_taken")).unwrap_or(start),
            _ => start,
        }
    }
}

/// Whether the leader gives its key back when this befalls it. Otherwise the key lives as long as its session, that is
/// `ttl` at the most.
pub fn releases_the_key(fault: &str) -> bool {
    // A postmaster that crashed leaves the agent alive: it starts PostgreSQL again, or gives the key back.
    matches!(fault, "stop" | "restart" | "crash" | "switchover" | "")
}

/// The waits that the settings imply, in the order in which they come. What is bounded by no setting (the shutdown, the
/// promotion) is not among them.
///
/// On SIGTERM the leader shuts PostgreSQL down and deletes its key, so that no lease has to run out (Patroni, "Stopping
/// and restarting": a clean stop releases the leader key). After a SIGKILL the key lives as long as the session, that is `ttl`
/// at the most. HAProxy sends a new server sessions after `rise` passed checks, `inter` apart (HAProxy's manual, `rise`).
pub fn bounds(fault: &str, path: &str, timing: &Timing) -> Vec<Bound> {
    let ttl = Bound { name: "ttl", ms: timing.ttl_ms, product: (1, timing.ttl_ms) };
    let lease = (!releases_the_key(fault)).then_some(ttl);
    let rise = u64::from(timing.rise) * timing.inter_ms;
    let proxy = (path == "proxy").then_some(Bound { name: "proxy", ms: rise, product: (timing.rise, timing.inter_ms) });
    lease.into_iter().chain(proxy).collect()
}

/// What the settings allow the phase that ends with `mark`, in ms, and which settings they are; none where they set no
/// limit.
pub fn of_phase(mark: &str, fault: &str, path: &str, timing: &Timing) -> Option<(u64, &'static str)> {
    match mark {
        // Counted from the fault: what was noticed before belongs to the same wait.
        "lock_free" if !releases_the_key(fault) => Some((timing.ttl_ms, "ttl")),
        // A candidate that missed the watch wakes with its next loop at the latest.
        "lock_taken" => Some((timing.loop_wait_ms, "loop_wait")),
        "proxy_up" if path == "proxy" => Some((u64::from(timing.rise) * timing.inter_ms, "rise × inter")),
        _ => None,
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use super::*;

    pub fn outage(gap: (u64, u64), fault: Option<u64>, marks: &[(&str, u64)]) -> Outage {
        Outage {
            workload: "w".to_owned(),
            path: "proxy".to_owned(),
            fact: "F1".to_owned(),
            gap_ms: gap.1.saturating_sub(gap.0),
            gap,
            closed: true,
            fault_at_ms: fault,
            marks: marks.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect(),
            counts: (0, 0, 0),
            ..Outage::default()
        }
    }

    pub fn timing() -> Timing {
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

    #[test]
    fn a_clean_stop_waits_for_no_lease() {
        let names =
            |fault, path| bounds(fault, path, &timing()).iter().map(|bound| (bound.name, bound.ms)).collect::<Vec<_>>();
        assert_eq!(names("stop", "proxy"), [("proxy", 6_000)]);
        assert_eq!(names("stop", "direct"), []);
        for expiring in ["kill", "pause", "freeze", "isolate"] {
            assert_eq!(names(expiring, "proxy"), [("ttl", 30_000), ("proxy", 6_000)], "{expiring}");
        }
        let seen = outage((100, 900), Some(120), &[("promoted", 400)]);
        let begins = bounds("kill", "proxy", &timing()).iter().map(|bound| bound.begins(&seen)).collect::<Vec<_>>();
        assert_eq!(begins, [120, 400]);
    }

    #[test]
    fn a_phase_has_the_budget_of_its_own_settings() {
        let of = |mark, fault, path| of_phase(mark, fault, path, &timing());
        assert_eq!(of("lock_free", "kill", "direct"), Some((30_000, "ttl")));
        assert_eq!(of("lock_free", "stop", "direct"), None);
        assert_eq!(of("proxy_up", "stop", "proxy"), Some((6_000, "rise × inter")));
        assert_eq!(of("proxy_up", "stop", "direct"), None);
        assert_eq!(of("first_ack", "kill", "proxy"), None);
    }
}
