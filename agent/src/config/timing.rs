//! The rules that ttl, loop_wait and retry_timeout obey (Patroni's documentation, "Dynamic Configuration
//! Settings": `loop_wait + 2 * retry_timeout <= ttl`; what breaks it is lowered, not refused).

const SMALLEST_TTL: u64 = 20;
const SMALLEST_LOOP_WAIT: u64 = 1;
const SMALLEST_RETRY_TIMEOUT: u64 = 3;

/// Seconds that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) ttl: u64,
    pub(super) loop_wait: u64,
    pub(super) retry_timeout: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { ttl: 30, loop_wait: 10, retry_timeout: 10 }
    }
}

impl Timing {
    /// The values in force for those that were asked for.
    pub(super) fn obeying_the_rules(self) -> Timing {
        let ttl = self.ttl.max(SMALLEST_TTL);
        let loop_wait = self.loop_wait.max(SMALLEST_LOOP_WAIT);
        let retry_timeout = self.retry_timeout.max(SMALLEST_RETRY_TIMEOUT);
        if SMALLEST_LOOP_WAIT + 2 * retry_timeout > ttl {
            return Timing { ttl, loop_wait: SMALLEST_LOOP_WAIT, retry_timeout: (ttl - SMALLEST_LOOP_WAIT) / 2 };
        }
        Timing { ttl, loop_wait: loop_wait.min(ttl - 2 * retry_timeout), retry_timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_the_rules_is_lowered() {
        let rule = |ttl, loop_wait, retry_timeout| {
            let t = Timing { ttl, loop_wait, retry_timeout }.obeying_the_rules();
            (t.ttl, t.loop_wait, t.retry_timeout)
        };
        assert_eq!(rule(30, 10, 10), (30, 10, 10));
        assert_eq!(rule(5, 0, 1), (20, 1, 3));
        assert_eq!(rule(30, 20, 10), (30, 10, 10));
        assert_eq!(rule(20, 10, 20), (20, 1, 9));
    }
}
