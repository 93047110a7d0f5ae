//! ZooKeeper: one session, consistent snapshots of the cluster's keys, compare-and-set writes.
//!
//! The lease is the *negotiated* session timeout, counted from when a request was sent that the server
//! answered: the server counts from when it got it, which is later.

mod connect;
mod session;
mod snapshot;
mod write;
pub use write::Written;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use zookeeper_client as zk;

pub use session::{Event, keep_session, session_timeout};

use crate::clock::Moment;
use crate::cluster::{Cluster, Paths};

/// No request may take longer.
const REQUEST: Duration = Duration::from_secs(3);

/// Why something could not be read or written.
#[derive(Debug, Error)]
pub enum Error {
    #[error("ZooKeeper does not answer")]
    Timeout,
    #[error("ZooKeeper: {0}")]
    Client(#[from] zk::Error),
    #[error(transparent)]
    Tls(#[from] crate::tls::Error),
    /// Somebody else was first: what was written about has changed.
    #[error("{key} has changed meanwhile")]
    Conflict { key: String },
}

/// A session, as long as it lives.
#[derive(Clone)]
pub struct Store {
    client: zk::Client,
    paths: Paths,
    name: String,
    /// What every key that we create may be done to, and by whom.
    acls: Arc<Vec<zk::Acl>>,
    /// In an ensemble: by how much the signs of life that its leader has counted may be older than what we have
    /// sent. Servers report them twice a tick, and we send them about as often.
    unreported: Duration,
}

/// A consistent picture and how long our session is certain to live.
pub struct Snapshot {
    pub cluster: Cluster,
    pub session_until: Moment,
}

impl Store {
    pub fn session(&self) -> i64 {
        self.client.session_id().0
    }

    /// The negotiated timeout.
    pub fn timeout(&self) -> Duration {
        self.client.session_timeout()
    }
}

/// A request with a deadline.
async fn within<T, E: Into<Error>>(request: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Error::Timeout),
    }
}

impl Store {
    /// Closes the session, which removes our ephemeral keys, and waits until that has been sent.
    pub async fn close(self) {
        let mut states = self.client.state_watcher();
        drop(self);
        let _ =
            tokio::time::timeout(Duration::from_secs(1), async { while !states.changed().await.is_terminated() {} })
                .await;
    }
}
