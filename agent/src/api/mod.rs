//! REST, on Patroni's routes and with Patroni's bodies. Every answer comes from the agent's last view: nothing
//! here waits for the database, except that a peer's question about WAL positions may be given a moment for a
//! fresh look.

mod answer;
mod health;
pub mod lists;
mod metrics;
pub mod peers;
mod server;
pub mod status;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

pub use answer::{Answer, Body, answer};
pub use server::{bind, serve};

use crate::decide::View;

/// What the handlers share with the loop.
#[derive(Clone)]
pub struct Shared {
    /// The last view.
    pub view: watch::Receiver<Arc<View>>,
    /// What is asked of the loop.
    pub requests: mpsc::Sender<Request>,
    pub scope: String,
    /// User and password for what changes something.
    pub authentication: Option<(String, String)>,
}

/// What REST asks of the loop.
#[derive(Debug)]
pub enum Request {
    /// Look at PostgreSQL now.
    Look,
    /// As SIGHUP.
    Reload,
    /// Apply a patch to the dynamic configuration; answered with the new one, or `None` if somebody was faster.
    PatchConfig(serde_json::Map<String, serde_json::Value>, tokio::sync::oneshot::Sender<Option<String>>),
    /// Ask for a switchover or a failover through the failover key.
    Failover(crate::cluster::Failover, tokio::sync::oneshot::Sender<bool>),
}
