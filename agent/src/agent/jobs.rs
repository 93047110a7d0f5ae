//! What the jobs and chores do. A job that is given up is dropped where it waits; its programs are killed.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use super::Event;
use crate::cluster::Lsn;
use crate::config::{Config, Settings};
use crate::decide::{Chore, Job, StartAs, StopMode, Upstream};
use crate::guard::Given;
use crate::postgres::conf::Wanted;
use crate::postgres::postmaster::{self, Postmaster};
use crate::postgres::{Error, archive, chores, clone, custom, datadir, initdb, promote, rewind, slots, start, stop};

pub(super) struct Context {
    pub(super) config: Arc<Config>,
    pub(super) settings: Settings,
    pub(super) events: Sender<Event>,
    /// The postmaster that runs.
    pub(super) pid: Option<i32>,
    pub(super) synchronous: bool,
    /// The guard obeys what it was told about this job.
    pub(super) guarded: Given,
}

pub(super) async fn run(context: &Context, job: &Job) -> Result<(), Error> {
    let (config, settings) = (&*context.config, &context.settings);
    // Nothing becomes writable that would stay so if this process were stopped now.
    if matches!(job, Job::Promote | Job::Start(StartAs::Primary) | Job::Restart(StartAs::Primary)) {
        context.guarded.clone().obeyed().await;
    }
    match job {
        Job::Bootstrap { created } => bootstrap(context, *created).await,
        Job::Clone { from, created, .. } => clone::clone(config, settings, from.as_ref(), *created).await,
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
        Job::Rewind { from, .. } => rewind::rewind(config, settings, from).await,
        Job::SetAside => datadir::set_aside(&config.data_dir).await,
        Job::CopySlots { names, from, follow } => copy_slots(context, names, from, follow).await,
        Job::Restart(how) => restart(context, how).await,
        Job::Discard => discard(context).await,
    }
}

/// A new cluster. What is left of one that fails is moved out of the way, so that the next try begins afresh.
async fn bootstrap(context: &Context, created: i64) -> Result<(), Error> {
    let result = new_cluster(context, created).await;
    if result.is_err() {
        let config = &*context.config;
        if let Some(pid) = postmaster::running(&config.data_dir) {
            stop::stop(config, &context.settings, pid, StopMode::Immediate, None).await;
        }
        datadir::keep_failed(&config.data_dir).await?;
    }
    result
}

/// initdb or a custom method unless that is done, start unless it runs, users.
async fn new_cluster(context: &Context, created: i64) -> Result<(), Error> {
    let (config, settings) = (&*context.config, &context.settings);
    let (data, _) = datadir::inspect(config).await;
    let made = data.system_identifier().is_some();
    match &config.bootstrap.custom {
        None => {
            if !made {
                initdb::initdb(config, created).await?;
            }
            if context.pid.is_none() {
                start(context, &StartAs::Primary).await?;
            }
            initdb::populate(config, settings).await?;
        }
        Some(method) => {
            if !made {
                custom::make(config, method, created).await?;
            }
            let pid = match context.pid {
                Some(pid) => pid,
                None => start_with(context, &custom::wanted(config, settings, method).await).await?,
            };
            custom::recovered(config, settings, pid).await?;
            initdb::populate(config, settings).await?;
            if custom::close(config, settings, method).await? {
                stop::stop(config, settings, pid, StopMode::Fast { checkpoint: true }, None).await;
                start(context, &StartAs::Primary).await?;
            } else {
                postmaster::signal(pid, nix::sys::signal::Signal::SIGHUP);
            }
        }
    }
    datadir::mark_initialising(&config.data_dir, created, true).await
}

/// The slots are read before PostgreSQL is stopped, and it is started again whatever becomes of them.
async fn copy_slots(
    context: &Context,
    names: &[String],
    from: &Upstream,
    follow: &Option<Upstream>,
) -> Result<(), Error> {
    let (config, settings) = (&*context.config, &context.settings);
    let states = slots::fetch(config, settings, from, names).await?;
    if let Some(pid) = context.pid {
        stop::stop(config, settings, pid, StopMode::Fast { checkpoint: false }, None).await;
    }
    let put = slots::put(&config.data_dir, &states);
    start(context, &StartAs::Standby(follow.clone())).await?;
    put
}

async fn start(context: &Context, how: &StartAs) -> Result<(), Error> {
    let config = &*context.config;
    if matches!(how, StartAs::Standby(_)) && context.settings.standby_cluster.is_some() {
        archive::shutdown_checkpoint(config).await;
    }
    // A primary starts with whatever names it had: until they are known to be right, commits wait.
    let names = chores::sync_names_in_file(config);
    let wanted = start::wanted(config, how, &names).await;
    start_with(context, &wanted).await.map(|_| ())
}

/// Starts PostgreSQL and waits until it is ready; its pid.
async fn start_with(context: &Context, wanted: &Wanted) -> Result<i32, Error> {
    let (config, settings) = (&*context.config, &context.settings);
    postmaster::wait_for_orphans(&config.data_dir).await;
    let postmaster = start::spawn(config, settings, wanted).await?;
    let pid = postmaster.pid;
    watch(postmaster, context.events.clone());
    start::ready(config, settings, pid).await?;
    Ok(pid)
}

async fn restart(context: &Context, how: &StartAs) -> Result<(), Error> {
    let (config, settings) = (&*context.config, &context.settings);
    if let Some(pid) = context.pid {
        let limit = settings.primary_stop_timeout.filter(|_| context.synchronous);
        stop::stop(config, settings, pid, StopMode::Fast { checkpoint: true }, limit).await;
    }
    start(context, how).await
}

/// From the mark on, what is in the directory is of no worth: it is emptied when a copy is made.
async fn discard(context: &Context) -> Result<(), Error> {
    let (config, settings) = (&*context.config, &context.settings);
    if let Some(pid) = context.pid {
        stop::stop(config, settings, pid, StopMode::Immediate, None).await;
    }
    postmaster::wait_for_orphans(&config.data_dir).await;
    datadir::give_up(&config.data_dir).await
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
        Chore::SyncNames(names) => chores::set_sync_names(config, settings, names, pid).await,
        Chore::Slots { create, drop, advance } => {
            slots::physical(config, settings, create, drop, advance).await.map(|()| None)
        }
        Chore::LogicalSlots { create, advance } => {
            slots::logical(config, settings, create, advance).await.map(|()| None)
        }
        Chore::Checkpoint => chores::checkpoint(config, settings).await.map(|()| None),
        Chore::RetryStreaming { startup } => {
            postmaster::signal(*startup, nix::sys::signal::Signal::SIGHUP);
            Ok(None)
        }
        Chore::ResumeReplay => chores::resume_replay(config, settings).await.map(|()| None),
        Chore::Follow(upstream) => chores::follow(config, settings, upstream.clone(), pid).await.map(|()| None),
    }
}
