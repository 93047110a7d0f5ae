//! From a configuration file to a running agent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{Mutex, watch};

use super::state::{Agent, Busy, Need, QUEUE};
use super::word;
use super::{Error, Event, jobs};
use crate::api::{self, Rest, Shared, peers};
use crate::clock::Moment;
use crate::cluster::{DynamicConfig, Paths, json};
use crate::config::{self, Config, Settings};
use crate::dcs::keep_session;
use crate::decide;
use crate::decide::{Asked, DataDir, Dcs, Facts, Me, Pg, Process, Role, View};
use crate::guard::Guard;
use crate::postgres::{chores, datadir, postmaster};
use crate::watchdog::Watchdog;

/// Runs the agent for the configuration at `path`; its exit code.
pub fn run(path: &Path) -> Result<u8, Error> {
    if nix::unistd::Uid::effective().is_root() {
        return Err(Error::Root);
    }
    let (config, warnings) = config::load(path, std::env::vars())?;
    crate::logging::configure(&config.log);
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    for program in ["postgres", "initdb", "pg_controldata", "pg_basebackup"] {
        find_program(&config, program)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(start(path, Arc::new(config)))
}

fn find_program(config: &Config, name: &str) -> Result<(), Error> {
    let program = config.program(name);
    let found = if program.components().count() > 1 {
        program.is_file()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(&program).is_file())
    };
    if found { Ok(()) } else { Err(Error::Program(program.display().to_string())) }
}

async fn start(path: &Path, config: Arc<Config>) -> Result<u8, Error> {
    let listener = api::bind(&config.restapi.listen).await.map_err(Error::PortBusy)?;
    let (data, control) = datadir::inspect(&config).await;
    if let DataDir::Foreign { reason } = data {
        return Err(Error::ForeignData(reason));
    }
    let running = postmaster::find(&config.data_dir).map_err(|error| std::io::Error::other(error.to_string()))?;
    let dynamic = cached_dynamic(&config);
    let settings = Settings::new(&config, &dynamic.0);
    let standby_signal = datadir::standby_signal(&config.data_dir);
    let pg = Pg {
        process: if running.is_some() { Process::Up } else { Process::Down },
        role: role(&data, standby_signal, running.is_some()),
        standby_signal,
        can_rewind: control.as_ref().is_some_and(|read| read.can_rewind),
        control: control.map(|read| read.control),
        data,
        ..Pg::default()
    };
    let guard = Guard::start(&config.data_dir);
    let watchdog = Watchdog::new(config.watchdog.clone());
    let (events, queue) = mpsc::channel(QUEUE);
    let view = view(&config, settings, pg);
    let (published, views) = watch::channel(Arc::new(view.clone()));
    let (ttl, ttls) = watch::channel(view.settings.ttl);
    let (rest, in_force) = watch::channel(Arc::new(Rest::new(&config.restapi).await?));
    let (peers, access) = watch::channel(peers::Access::new(&config.peers)?);
    tokio::spawn(api::serve(listener, in_force, shared(&config, views, access, events.clone())));
    spawn_session(&config, ttls, events.clone());
    spawn_signals(events.clone())?;
    let pid = running.as_ref().map(|postmaster| postmaster.pid);
    if let Some(postmaster) = running {
        tracing::info!("PostgreSQL already runs (process {}): taking it over", postmaster.pid);
        jobs::watch(postmaster, events.clone());
    }
    tracing::info!("labrun-agent {} for {} of {}", env!("CARGO_PKG_VERSION"), config.name, config.scope);
    let now = Moment::now();
    let agent = Agent {
        config_path: path.into(),
        config,
        view,
        store: None,
        former: None,
        events,
        published,
        rest,
        peers,
        restart_answer: None,
        ttl,
        pid,
        job: None,
        jobs_started: 0,
        busy: Busy::default(),
        callbacks: Default::default(),
        need: Need { snapshot: true, observation: pid.is_some(), inspection: false, reload: false, snapshot_at: now },
        observer: Arc::new(Mutex::new(None)),
        said: String::new(),
        unreachable: String::new(),
        exit: None,
        members: Vec::new(),
        recheck: now,
        observing_since: now,
        awake_until: now,
        guard,
        watchdog,
        relieves: true,
        applied: String::new(),
    };
    Ok(super::live(agent, queue).await)
}

fn role(data: &DataDir, standby_signal: bool, running: bool) -> Role {
    match (data.system_identifier(), standby_signal) {
        (None, _) => Role::Uninitialized,
        (Some(_), true) => Role::Replica,
        (Some(_), false) if running => Role::Primary,
        (Some(_), false) => Role::Demoted,
    }
}

fn view(config: &Config, settings: Settings, pg: Pg) -> View {
    let now = Moment::now();
    View {
        me: me(config),
        dcs: Dcs {
            // A primary that already runs gets this long until the DCS must have been read.
            // (Where a former agent has left a guard, that one knows when its lease ends, and ends it.)
            session_until: now + settings.retry_timeout + decide::margin(settings.ttl),
            session_timeout: settings.ttl.as_millis() as u64,
            ..Dcs::default()
        },
        settings,
        pg,
        job: None,
        facts: Facts {
            initialize_created: datadir::bootstrap_of(&config.data_dir),
            standby_of: chores::standby(config),
            failsafe: word::recall(&config.data_dir, now),
            ..Facts::default()
        },
        watchdog: decide::Watchdog::default(),
        asked: Asked::default(),
        peers: None,
        stopping: false,
        wall: 0,
        made: now,
    }
}

pub(super) fn me(config: &Config) -> Me {
    Me {
        name: config.name.clone(),
        conn_url: config.conn_url(),
        api_url: config.api_url(),
        proxy_url: config.proxy_address.as_ref().map(|address| format!("postgres://{address}/{}", config.database)),
        tags: config.tags.clone(),
        may_bootstrap: config.bootstrap.allowed,
        custom_bootstrap: config.bootstrap.custom.is_some(),
        initial_config: json::compact(&config.bootstrap.dcs),
    }
}

/// The dynamic configuration as it was last seen, or as a new cluster would get it.
fn cached_dynamic(config: &Config) -> DynamicConfig {
    let cached = std::fs::read(config.data_dir.join("patroni.dynamic.json")).ok();
    cached.and_then(|text| DynamicConfig::parse(&text)).unwrap_or_else(|| DynamicConfig(config.bootstrap.dcs.clone()))
}

fn shared(
    config: &Config,
    view: watch::Receiver<Arc<View>>,
    peers: watch::Receiver<peers::Access>,
    events: Sender<Event>,
) -> Shared {
    let (requests, mut asked) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Some(request) = asked.recv().await {
            let _ = events.send(Event::Request(request)).await;
        }
    });
    Shared { view, requests, scope: config.scope.clone(), peers }
}

fn spawn_session(config: &Config, ttl: watch::Receiver<Duration>, events: Sender<Event>) {
    let (sender, mut session) = mpsc::channel(64);
    let paths = Paths::new(&config.namespace, &config.scope);
    tokio::spawn(keep_session(config.zookeeper.clone(), paths, config.name.clone(), ttl, sender));
    tokio::spawn(async move {
        while let Some(event) = session.recv().await {
            let _ = events.send(Event::Dcs(event)).await;
        }
    });
}

fn spawn_signals(events: Sender<Event>) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                _ = terminate.recv() => Event::Terminate,
                _ = interrupt.recv() => Event::Terminate,
                _ = hangup.recv() => Event::Reload,
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}
