//! The agent: one task that owns everything, wakes on events and does what `decide` wants.
//!
//! It wakes on ZooKeeper's watches and session events, on the postmaster's end, on the end of a job, on REST
//! and on signals; `loop_wait` is only the longest sleep. Slow things are jobs beside it, so that the lease is
//! kept and REST answers whatever they do.

mod callbacks;
mod error;
mod execute;
mod failsafe;
mod guarding;
mod handle;
mod inquire;
mod jobs;
mod on_dcs;
mod on_request;
mod refresh;
mod startup;
mod state;
mod word;

use std::time::Duration;

use tokio::sync::mpsc::Receiver;

pub use error::Error;
pub use inquire::inquire;
pub use startup::run;

use crate::clock::Moment;
use crate::{api, dcs, decide, postgres};

/// What can happen.
enum Event {
    Dcs(dcs::Event),
    Snapshot(Result<Box<dcs::Snapshot>, dcs::Error>),
    /// The writes before `then` are done, or one has failed.
    Written {
        results: Vec<(decide::Write, dcs::Written)>,
        failure: Option<String>,
        then: Vec<decide::Action>,
    },
    Observed(Result<Box<postgres::observe::Observed>, postgres::Error>, Moment),
    Inspected(decide::DataDir, Option<postgres::ControlRead>),
    PostmasterStarted(i32),
    PostmasterEnded(i32),
    JobDone {
        id: u64,
        job: decide::Job,
        result: Result<(), postgres::Error>,
    },
    ChoreDone {
        chore: decide::Chore,
        result: Result<Option<crate::cluster::Lsn>, postgres::Error>,
    },
    Peers(decide::Peers),
    LeaderTimeline(Result<decide::LeaderTimeline, postgres::Error>),
    /// All members were asked in failsafe mode.
    Failsafe(decide::failsafe::Answers),
    Request(api::Request),
    Terminate,
    Reload,
    /// PostgreSQL has read its configuration again.
    Reloaded,
    /// The parameters that wait for a restart.
    Pending(Result<indexmap::IndexMap<String, decide::ParameterChange>, postgres::Error>),
    /// Where a live node of our name was found, if there is one elsewhere.
    Double(Option<String>),
}

/// Runs until there is a reason to end: the exit code.
async fn live(mut agent: state::Agent, mut events: Receiver<Event>) -> u8 {
    loop {
        if let Some(code) = agent.step() {
            return agent.leave(code).await;
        }
        let pause = agent.pause(Moment::now());
        match tokio::time::timeout(pause, events.recv()).await {
            Ok(Some(event)) => agent.handle(event),
            Ok(None) => return crate::exit::FAILURE,
            Err(_) => {}
        }
        // What has come together is looked at together.
        while let Ok(event) = events.try_recv() {
            agent.handle(event);
        }
    }
}

/// The longest sleep while something is awaited that makes no event.
const LONGEST: Duration = Duration::from_secs(60);
