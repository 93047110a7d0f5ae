//! Keeping a session: connect, watch the cluster's keys, connect again when it has expired.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use zookeeper_client as zk;

use super::{Store, connect, within};
use crate::cluster::Paths;
use crate::config::ZooKeeper;

/// What happens to the session and to the keys.
pub enum Event {
    /// A new session.
    Connected(Store),
    /// Some key of the cluster has changed, or may have.
    Changed,
    /// The connection is gone; the session may live on.
    Disconnected,
    /// The session is gone, and with it all our ephemeral keys.
    Expired,
    /// No server could be reached.
    Unreachable(String),
}

/// After an attempt to connect that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps a session for as long as `events` is listened to. A change of `ttl` needs a new one, since a session's timeout
/// is negotiated at its beginning; the old one lives on as long as its [`Store`] does.
pub async fn keep_session(
    settings: ZooKeeper,
    paths: Paths,
    name: String,
    mut ttl: watch::Receiver<Duration>,
    events: Sender<Event>,
) {
    while !events.is_closed() {
        let lease = *ttl.borrow_and_update();
        match connect::connect(&settings, session_timeout(lease)).await {
            Ok(client) => {
                let acls = connect::acls(&settings);
                let unreported = if settings.hosts.len() > 1 { client.session_timeout() / 10 } else { Duration::ZERO };
                let store = Store { client, paths: paths.clone(), name: name.clone(), acls, unreported };
                tokio::select! {
                    () = live(store, &events) => drop(events.send(Event::Expired).await),
                    () = another(&mut ttl, lease) => continue,
                }
            }
            Err(error) => {
                let _ = events.send(Event::Unreachable(error.to_string())).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The timeout to ask for, so that a dead leader's key is gone once `ttl` is over, and not up to a tick later: ZooKeeper
/// looks for silent sessions once a tick only (ZooKeeper's "Programmer's Guide", sessions; `tickTime` is 2 s by
/// default). What it cannot grant, it rounds up to two ticks.
pub fn session_timeout(ttl: Duration) -> Duration {
    const TICK: Duration = Duration::from_secs(2);
    ttl.saturating_sub(TICK).max(TICK)
}

/// Waits for another value than `now`.
async fn another(ttl: &mut watch::Receiver<Duration>, now: Duration) {
    if ttl.wait_for(|ttl| *ttl != now).await.is_err() {
        std::future::pending().await
    }
}

/// One session from its beginning to its end.
async fn live(store: Store, events: &Sender<Event>) {
    let base = store.paths.base().to_owned();
    // One watch for every key below, set before the first reading so that nothing is missed.
    let watch = within(store.client.watch(&base, zk::AddWatchMode::PersistentRecursive)).await;
    let mut states = store.client.state_watcher();
    if events.send(Event::Connected(store)).await.is_err() {
        return;
    }
    match watch {
        Ok(mut watch) => loop {
            let event = watch.changed().await;
            if event.event_type != zk::EventType::Session {
                let _ = events.send(Event::Changed).await;
            } else if !tell(event.session_state, events).await {
                return;
            }
        },
        // Before ZooKeeper 3.6: only the state of the session; keys are then read every loop_wait.
        Err(error) => {
            tracing::warn!("cannot watch {base} ({error}): changes are seen at loop_wait only");
            while tell(states.changed().await, events).await {}
        }
    }
}

/// False if the session has ended.
async fn tell(state: zk::SessionState, events: &Sender<Event>) -> bool {
    let event = match state {
        zk::SessionState::SyncConnected => Event::Changed,
        state if state.is_terminated() => return false,
        _ => Event::Disconnected,
    };
    events.send(event).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_over_within_ttl_although_zookeeper_looks_once_a_tick() {
        let asked = |ttl| session_timeout(Duration::from_secs(ttl)).as_secs();
        assert_eq!((asked(30), asked(20), asked(3), asked(0)), (28, 18, 2, 2));
    }
}
