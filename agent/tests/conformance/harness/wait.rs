//! The one way to wait: for a condition that answers *not yet, because …*.

use std::time::{Duration, Instant};

/// How long a condition may take before the scenario fails. Far beyond what anything needs on a busy machine; nothing
/// ever waits for its end.
pub const LIMIT: Duration = Duration::from_secs(120);

const TICK: Duration = Duration::from_millis(50);

/// Ask `condition` until it answers `Ok`.
///
/// # Panics
/// When [`LIMIT`] has passed, with what was not yet so.
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    within(LIMIT, what, condition).await
}

/// As [`until`], with a limit of one's own.
pub async fn within<T>(limit: Duration, what: &str, condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    match attempt(limit, condition).await {
        Ok(value) => value,
        Err(last) => panic!("not within {limit:?}: {what}: {last}"),
    }
}

/// As [`within`], but a limit that passed is an answer: what was not yet so.
pub async fn attempt<T>(limit: Duration, mut condition: impl AsyncFnMut() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed() > limit => return Err(last),
            Err(_) => tokio::time::sleep(TICK).await,
        }
    }
}

/// See that `condition` holds all the time for `span`: for what must *not* happen there is no event to wait for.
pub async fn holds(span: Duration, what: &str, mut condition: impl AsyncFnMut() -> Result<(), String>) {
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(why) = condition().await {
            panic!("not so {:?} after the start: {what}: {why}", start.elapsed());
        }
        tokio::time::sleep(TICK).await;
    }
}

/// `Ok` if `holds`, else `otherwise`.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
