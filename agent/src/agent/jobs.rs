//! What the jobs and chores do. A job that is given up is dropped where it waits; its programs are killed.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use super::Event;
use crate::cluster::Lsn;
use crate::config::{Config, Settings};
use crate::decide::{Chore, Job, StartAs};
use crate::postgres::postmaster::Postmaster;
use crate::postgres::{Error, chores, clone, datadir, initdb, promote, rewind, start, stop};

pub(super) struct Context {
    pub(super) config: Arc<Config>,
    pub(super) settings: Settings,
    pub(super) events: Sender<Event>,
    /// The postmaster that runs.
    pub(super) pid: Option<i32>,
    pub(super) synchronous: bool,
}

pub(super) async fn run(context: &Context, job: &Job) -> Result<(), Error> {
    let (config, settings) = (&*context.config, &context.settings);
    match job {
        Job::Bootstrap { created } => bootstrap(context, *created).await,
        Job::Clone { from, .. } => clone::clone(config, settings, from).await,
        Job::Start(how) => start(context, how).await,
        Job::Stop { mode } => {
            let limit = settings.primary_stop_timeout.filter(|_| context.synchronous);
            if let Some(pid) = context.pid {
                stop::stop(config, settings, pid, *mode, limit).await;
            }
            Ok(())
        }
        Job::Promote => match context.pid {
            Some(pid) => promote::promote(config, settings, pid).await,
            None => Err(Error::Other("PostgreSQL is down".into())),
        },
        Job::CrashRecover => rewind::crash_recover(config, settings).await,
        Job::Rewind { from, .. } => rewind::rewind(config, from).await,
        Job::Discard => datadir::discard(&config.data_dir),
    }
}

/// initdb unless that is done, start unless it runs, users.
async fn bootstrap(context: &Context, created: i64) -> Result<(), Error> {
    let config = &*context.config;
    let (data, _) = datadir::inspect(config).await;
    if data.system_identifier().is_none() {
        initdb::initdb(config, created).await?;
    }
    if context.pid.is_none() {
        start(context, &StartAs::Primary).await?;
    }
    initdb::populate(config, &context.settings, created).await
}

async fn start(context: &Context, how: &StartAs) -> Result<(), Error> {
    let (config, settings) = (&*context.config, &context.settings);
    // A primary starts with whatever names it had: until they are known to be right, commits wait.
    let names = chores::sync_names_in_file(config);
    let wanted = start::wanted(config, how, &names).await;
    let postmaster = start::spawn(config, settings, &wanted)?;
    let pid = postmaster.pid;
    watch(postmaster, context.events.clone());
    start::ready(config, settings, pid).await
}

/// Reports the postmaster's beginning and its end.
pub(super) fn watch(postmaster: Postmaster, events: Sender<Event>) {
    let pid = postmaster.pid;
    // In order, and before the job can be given up: the loop must know every postmaster.
    let _ = events.try_send(Event::PostmasterStarted(pid));
    tokio::spawn(async move {
        postmaster.ended().await;
        let _ = events.send(Event::PostmasterEnded(pid)).await;
    });
}

/// Does a chore; a WAL position where the chore has one to tell.
pub(super) async fn chore(config: &Config, settings: &Settings, chore: &Chore, pid: i32) -> Result<Option<Lsn>, Error> {
    match chore {
        Chore::SyncNames(names) => chores::set_sync_names(config, settings, names, pid).await.map(Some),
        Chore::Slots { create, drop, advance } => {
            chores::slots(config, settings, create, drop, advance).await.map(|()| None)
        }
        Chore::Checkpoint => chores::checkpoint(config, settings).await.map(|()| None),
        Chore::Follow(upstream) => chores::follow(config, settings, upstream.clone(), pid).await.map(|()| None),
    }
}
