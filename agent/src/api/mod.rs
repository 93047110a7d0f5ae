//! REST, on Patroni's routes and with Patroni's bodies. Every answer comes from the agent's last view: nothing
//! here waits for the database, except that a peer's question about WAL positions may be given a moment for a
//! fresh look.

mod access;
mod answer;
mod change;
mod health;
mod http;
pub mod lists;
mod metrics;
pub mod peers;
mod restart;
mod schedule;
mod server;
pub mod status;
mod switchover;

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

pub use answer::{Answer, Body, answer};
pub use server::{Rest, bind, serve};

use crate::cluster::{Failover, Lsn};
use crate::decide::View;
use crate::decide::asked::{Filter, ScheduledRestart};
use crate::decide::failsafe::Call;

/// What the handlers share with the loop.
#[derive(Clone)]
pub struct Shared {
    /// The last view.
    pub view: watch::Receiver<Arc<View>>,
    /// What is asked of the loop.
    pub requests: mpsc::Sender<Request>,
    pub scope: String,
    /// How peers are asked.
    pub peers: watch::Receiver<peers::Access>,
}

/// What REST asks of the loop.
#[derive(Debug)]
pub enum Request {
    /// Look at PostgreSQL now.
    Look,
    /// As SIGHUP.
    Reload,
    /// Apply a patch to the dynamic configuration; answered with the new one, or `None` if somebody was faster.
    PatchConfig(Map<String, Value>, oneshot::Sender<Option<String>>),
    /// Replace the dynamic configuration, whatever it is now.
    ReplaceConfig(Map<String, Value>, oneshot::Sender<Option<String>>),
    /// Ask for a switchover or a failover through the failover key.
    Failover(Failover, oneshot::Sender<bool>),
    /// Clear the failover key if it names a time; `None` if it does not, false if somebody was faster.
    CancelSwitchover(oneshot::Sender<Option<bool>>),
    /// A leader asks whether we follow it though the DCS is away: our WAL position, or why not.
    Failsafe(Call, oneshot::Sender<Result<Option<Lsn>, &'static str>>),
    /// Restart PostgreSQL; answered when that is done, or with the reason why not.
    Restart(Filter, oneshot::Sender<Result<(), String>>),
    /// False if another restart is scheduled already.
    ScheduleRestart(ScheduledRestart, oneshot::Sender<bool>),
    /// False if none is scheduled.
    CancelRestart(oneshot::Sender<bool>),
    /// Replace the data by a new copy; the reason why not.
    Reinitialize { force: bool, from_leader: bool, answer: oneshot::Sender<Option<String>> },
}
