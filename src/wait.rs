//! The one way to wait: for a condition that answers *not yet, because …*.
//!
//! A guessed sleep is always wrong: too short on a busy machine, too long on an idle one. A condition is asked often,
//! with a long limit, and a timeout says what was not yet true at the end.

use std::time::Duration;

use tokio::time::Instant;

/// What a condition answers.
#[derive(Debug)]
pub enum Answer<T, E> {
    /// It holds.
    Done(T),
    /// It does not hold yet; the words say what is missing.
    NotYet(String),
    /// It can never hold.
    Never(E),
}

/// Why a wait ended without its condition.
#[derive(Debug, thiserror::Error)]
pub enum Unmet<E> {
    /// The deadline passed.
    #[error("timed out after {} ms: {last}", after.as_millis())]
    TimedOut {
        /// How long was waited.
        after: Duration,
        /// What was not yet true when last asked.
        last: String,
    },
    /// The condition can never hold.
    #[error("{0}")]
    Never(E),
}

/// How often a condition is asked: often at first, then at this pace.
const SLOWEST_TICK: Duration = Duration::from_millis(250);

/// Ask `condition` until it holds, it can never hold, or `limit` has passed. A single answer that takes longer than
/// what is left of the limit is cut off. `told` hears each *not yet* with the time waited so far.
pub async fn until<T, E, F, Fut, S>(limit: Duration, mut told: S, mut condition: F) -> Result<T, Unmet<E>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Answer<T, E>>,
    S: FnMut(&str, Duration),
{
    let start = Instant::now();
    let end = start + limit;
    let mut tick = Duration::from_millis(10);
    let mut last = "no answer yet".to_owned();
    loop {
        match tokio::time::timeout_at(end, condition()).await {
            Ok(Answer::Done(value)) => return Ok(value),
            Ok(Answer::Never(error)) => return Err(Unmet::Never(error)),
            Ok(Answer::NotYet(status)) => {
                told(&status, start.elapsed());
                last = status;
            }
            Err(_) => return Err(Unmet::TimedOut { after: start.elapsed(), last }),
        }
        if Instant::now() + tick >= end {
            return Err(Unmet::TimedOut { after: start.elapsed(), last });
        }
        tokio::time::sleep(tick).await;
        tick = (tick * 3 / 2).min(SLOWEST_TICK);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_is_asked_until_it_holds() {
        let asked = Cell::new(0);
        let told = Cell::new(0);
        let value = until::<_, (), _, _, _>(
            Duration::from_secs(10),
            |status, _| {
                assert_eq!(status, "counting");
                told.set(told.get() + 1);
            },
            || {
                asked.set(asked.get() + 1);
                let n = asked.get();
                async move { if n == 5 { Answer::Done(n) } else { Answer::NotYet("counting".into()) } }
            },
        )
        .await;
        assert_eq!(value.unwrap(), 5);
        assert_eq!(told.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_says_what_was_not_yet_true() {
        let error = until::<(), (), _, _, _>(
            Duration::from_secs(3),
            |_, _| (),
            || async { Answer::NotYet("no leader yet".into()) },
        )
        .await
        .unwrap_err();
        let Unmet::TimedOut { last, after } = error else { panic!("not a timeout") };
        assert_eq!(last, "no leader yet");
        assert!(after <= Duration::from_secs(3), "never waits past its limit: {after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_hangs_is_cut_off() {
        let error =
            until::<(), (), _, _, _>(Duration::from_secs(1), |_, _| (), std::future::pending).await.unwrap_err();
        assert!(matches!(error, Unmet::TimedOut { .. }));
    }

    #[tokio::test]
    async fn a_condition_that_can_never_hold_ends_the_wait() {
        let error = until::<(), _, _, _, _>(Duration::from_secs(60), |_, _| (), || async { Answer::Never("gone") })
            .await
            .unwrap_err();
        assert!(matches!(error, Unmet::Never("gone")));
    }
}
