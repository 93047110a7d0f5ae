//! Keeping a session: connect, watch the cluster's keys, connect again when it has expired.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use zookeeper_client as zk;

use super::{Error, Store, within};
use crate::cluster::Paths;

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

/// Keeps a session for as long as `events` is listened to. A change of `ttl` is taken up by the next session.
pub async fn keep_session(
    hosts: Vec<String>,
    paths: Paths,
    name: String,
    ttl: watch::Receiver<Duration>,
    events: Sender<Event>,
) {
    while !events.is_closed() {
        let timeout = *ttl.borrow();
        match connect(&hosts, timeout).await {
            Ok(client) => {
                let store = Store { client, paths: paths.clone(), name: name.clone() };
                live(store, &events).await;
                let _ = events.send(Event::Expired).await;
            }
            Err(error) => {
                let _ = events.send(Event::Unreachable(error.to_string())).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connect(hosts: &[String], timeout: Duration) -> Result<zk::Client, Error> {
    // A server that accepts connections and does not answer is given up soon enough to try another one.
    let connector = zk::Client::connector()
        .with_session_timeout(timeout)
        .with_connection_timeout((timeout / 5).min(SILENCE))
        .with_fail_eagerly();
    Ok(connector.connect(&hosts.join(",")).await?)
}

/// A connection on which nothing is heard for this long, pings notwithstanding, is given up.
const SILENCE: Duration = Duration::from_secs(4);

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
