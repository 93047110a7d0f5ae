//! What would shorten the longest phase of an outage, in words.

use super::budget::releases_the_key;
use crate::lab::model::Text;
use crate::topology::Timing;
use crate::verify::budget::seconds;
use crate::verify::say::both;

/// What would shorten the phase that ends with `mark`; none where nothing is known to.
pub fn advice(mark: &str, fault: &str, timing: &Timing) -> Option<Text> {
    let (ttl, inter) = (seconds(timing.ttl_ms), seconds(timing.inter_ms));
    let least = seconds(timing.loop_wait_ms + 2 * timing.retry_timeout_ms);
    let text = match mark {
        "lock_free" | "detected" if !releases_the_key(fault) => both(
            format!(
                "ключ лидера живёт до конца аренды (ttl {ttl}); короче она станет с меньшим ttl, но не меньше loop_wait + 2 × \
                 retry_timeout (сейчас {least})"
            ),
            format!(
                "the leader key lives until the lease runs out (ttl {ttl}); a smaller ttl makes that shorter, but no less than \
                 loop_wait + 2 × retry_timeout (now {least})"
            ),
        ),
        "lock_free" | "detected" if fault == "crash" => both(
            "агент поднимает PostgreSQL заново, прежде чем отдать ключ; меньший primary_start_timeout отдаёт его раньше",
            "the agent starts PostgreSQL again before it gives the key back; a smaller primary_start_timeout gives it back sooner",
        ),
        "lock_free" | "detected" if fault == "switchover" => both(
            "столько прежний лидер останавливает PostgreSQL; CHECKPOINT прямо перед переключением сокращает это",
            "that long the former leader takes to shut PostgreSQL down; a CHECKPOINT right before the switchover shortens it",
        ),
        "lock_free" | "detected" => both(
            "столько останавливается PostgreSQL; CHECKPOINT перед плановой остановкой или switchover вместо неё сокращает это",
            "that long PostgreSQL takes to shut down; a CHECKPOINT before a planned stop, or a switchover instead, shortens it",
        ),
        "lock_taken" => both(
            format!(
                "свободный ключ никто не брал; кандидат, пропустивший событие, просыпается раз в loop_wait ({})",
                seconds(timing.loop_wait_ms)
            ),
            format!(
                "the free key was not taken; a candidate that missed the event wakes once in loop_wait ({})",
                seconds(timing.loop_wait_ms)
            ),
        ),
        "promoted" => both(
            "новый лидер доигрывал журнал и становился primary; чем меньше отставание реплики, тем короче это",
            "the new leader replayed its log and became primary; the less a standby lags, the shorter that is",
        ),
        "proxy_up" => both(
            format!(
                "HAProxy ждёт rise {} проверок подряд через inter {inter}; меньший inter (или fastinter) или rise сокращает это",
                timing.rise
            ),
            format!(
                "HAProxy waits for rise {} passed checks, inter {inter} apart; a smaller inter (or fastinter) or rise shortens it",
                timing.rise
            ),
        ),
        "first_ack" => both(
            "запись уже была возможна, но клиент её не повторил; короче пауза и тайм-аут соединения клиента, короче и это",
            "writes were possible again, but the client had not tried; a shorter pause and connect timeout of the client shortens it",
        ),
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::super::budget::tests::timing;
    use super::*;
    use crate::lab::model::Lang;

    fn words(mark: &str, fault: &str) -> String {
        advice(mark, fault, &timing()).unwrap().get(Lang::En).to_owned()
    }

    #[test]
    fn what_helps_depends_on_the_fault() {
        assert!(words("lock_free", "kill").contains("smaller ttl"));
        assert!(words("lock_free", "kill").contains("(now 30 s)"));
        assert!(words("lock_free", "stop").contains("CHECKPOINT"));
        assert!(words("lock_free", "switchover").contains("right before the switchover"));
        assert!(words("lock_free", "crash").contains("primary_start_timeout"));
        assert!(words("proxy_up", "stop").contains("rise 2"));
        assert_eq!(advice("fault", "stop", &timing()), None);
    }
}
