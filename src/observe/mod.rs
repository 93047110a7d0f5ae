//! Looking at a deployment from outside: the clients for SQL, REST, ZooKeeper and HAProxy's statistics, and the
//! [`ClusterView`] that lays what they say side by side.
//!
//! Nothing here changes the cluster by itself, and nothing here waits without a deadline.

pub mod cluster;
pub mod dcs;
pub mod error;
pub mod haproxy;
pub mod http;
pub mod observer;
pub mod ready;
pub mod sql;
pub mod table;
pub mod zookeeper;

pub use cluster::{ClusterView, MemberView};
pub use dcs::{Dcs, DcsKey, DcsView};
pub use error::ObserveError;
pub use haproxy::{ProxyView, ServerView};
pub use observer::Observer;
pub use ready::{Accused, NotReady, not_ready};
pub use sql::{Sql, SqlError, SqlOutput};
