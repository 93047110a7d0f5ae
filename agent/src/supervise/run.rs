//! The supervisor's life: one loop over the service's end, the stop signal and the clock.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, Uid, User};
use tokio::signal::unix::{SignalKind, signal};

use super::forward::Forwards;
use super::log::{CHECK_EVERY, Log};
use super::service::{BackOff, Service, last_exit, start};
use super::status::now;
use super::{Error, LastExit, Restart, Spec, State, Status, forward, network, pidfile, pids_in};

/// Runs the node until it is told to stop (SIGTERM or SIGINT), or, with `restart: never`, until its
/// service ends. Call it from a process of its own: it becomes the reaper of all its descendants.
pub fn run(spec: &Spec) -> Result<(), Error> {
    let io = |what| move |source| Error::System { what, source };
    // Out of the caller's session: neither its terminal's signals nor its end reach the node. It fails only where the
    // caller has done it for us.
    let _ = nix::unistd::setsid();
    let published = match &spec.network {
        // Published ports are the machine's own; everything else of the node is not.
        Some(network) => {
            let published = forward::bind(&spec.publish)?;
            network::join(network)?;
            Some(published)
        }
        None => None,
    };
    if let Some(name) = spec.user.as_ref().filter(|_| Uid::effective().is_root()) {
        become_user(name)?;
    }
    std::env::set_current_dir(&spec.cwd).map_err(Error::file("enter", &spec.cwd))?;
    let pid_path = spec.cwd.join(pidfile::PID_FILE);
    let held = pidfile::hold(&pid_path).map_err(Error::file("hold", &pid_path))?;
    let _held = held.map_err(|pid| Error::AlreadyRunning { node: spec.node.clone(), pid })?;
    nix::sys::prctl::set_child_subreaper(true).map_err(Error::system("become the reaper of the node"))?;
    let published = published.map_or_else(|| forward::bind(&spec.publish), Ok)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("start"))?;
    runtime.block_on(async { Supervisor::begin(spec, published)?.keep().await })
}

/// Drops root for good, before anything is opened, so that all files of the node are the user's.
pub(super) fn become_user(name: &str) -> Result<(), Error> {
    let fail = |reason: String| Error::User { user: name.to_owned(), reason };
    let user = User::from_name(name).map_err(|e| fail(e.to_string()))?;
    let user = user.ok_or_else(|| fail("there is no such user".into()))?;
    let c_name = std::ffi::CString::new(name).map_err(|_| fail("not a user's name".into()))?;
    nix::unistd::initgroups(&c_name, user.gid)
        .and_then(|()| nix::unistd::setgid(user.gid))
        .and_then(|()| nix::unistd::setuid(user.uid))
        // Changing users hides /proc/self from that very user, and with it our working directory.
        .and_then(|()| nix::sys::prctl::set_dumpable(true))
        .map_err(|errno| fail(errno.to_string()))
}

struct Supervisor<'a> {
    spec: &'a Spec,
    log: Log,
    forwards: Forwards,
    service: Option<Service>,
    back_off: BackOff,
    status: Status,
}

/// Why the loop woke.
enum Wake {
    Child,
    Stop,
    Start,
    Tick,
}

impl<'a> Supervisor<'a> {
    fn begin(spec: &'a Spec, published: Vec<forward::Bound>) -> Result<Supervisor<'a>, Error> {
        let log = Log::new(spec.log_path(), spec.log_limit);
        let forwards = Forwards::open(published)?;
        let status = Status {
            node: spec.node.clone(),
            state: State::BackingOff,
            service_pid: None,
            restarts: 0,
            last_exit: None,
            since: now(),
        };
        Ok(Supervisor { spec, log, forwards, service: None, back_off: BackOff::default(), status })
    }

    async fn keep(mut self) -> Result<(), Error> {
        let source = |source| Error::System { what: "listen for signals", source };
        let mut child = signal(SignalKind::child()).map_err(source)?;
        let mut term = signal(SignalKind::terminate()).map_err(source)?;
        let mut int = signal(SignalKind::interrupt()).map_err(source)?;
        let mut tick = tokio::time::interval(CHECK_EVERY);
        self.start()?;
        let mut restart_at: Option<Instant> = None;
        loop {
            let wake = tokio::select! {
                _ = child.recv() => Wake::Child,
                _ = term.recv() => Wake::Stop,
                _ = int.recv() => Wake::Stop,
                () = until(restart_at) => Wake::Start,
                _ = tick.tick() => Wake::Tick,
            };
            match wake {
                Wake::Child => {
                    let Some(exit) = self.reap() else { continue };
                    let Some(pause) = self.ended(exit)? else {
                        return self.finish(State::Exited).await;
                    };
                    restart_at = Some(Instant::now() + pause);
                }
                Wake::Start => {
                    restart_at = None;
                    self.status.restarts += 1;
                    // A program that has vanished meanwhile may come back: keep trying.
                    if let Err(error) = self.start() {
                        tracing::error!("{error}");
                        restart_at = Some(Instant::now() + self.back_off.next(Duration::ZERO));
                    }
                }
                Wake::Tick => {
                    if let Err(error) = self.log.bound() {
                        tracing::warn!("{error}");
                    }
                }
                Wake::Stop => {
                    self.stop(&mut child).await?;
                    return self.finish(State::Stopped).await;
                }
            }
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        let service = start(self.spec, &self.log)?;
        tracing::info!("node {}: {} started as process {}", self.spec.node, self.spec.program.display(), service.pid);
        self.status.service_pid = Some(service.pid.as_raw());
        self.service = Some(service);
        self.enter(State::Running)
    }

    fn enter(&mut self, state: State) -> Result<(), Error> {
        self.status.state = state;
        self.status.since = now();
        self.status.write(&self.spec.cwd)
    }

    /// Reaps everything that has ended below us; the service's end, if it is among them.
    fn reap(&mut self) -> Option<LastExit> {
        let mut service_exit = None;
        loop {
            let (pid, status) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32),
                Ok(WaitStatus::StillAlive) | Err(_) => return service_exit,
                Ok(_) => continue,
            };
            if self.service.as_ref().is_some_and(|service| service.pid == pid) {
                service_exit = Some(last_exit(status));
            }
        }
    }

    /// Notes the service's end; the pause before its next start, or `None` if there is to be none.
    fn ended(&mut self, exit: LastExit) -> Result<Option<Duration>, Error> {
        let how = exit.signal.clone().unwrap_or_else(|| format!("code {}", exit.code.unwrap_or_default()));
        let up = self.service.take().map_or(Duration::ZERO, |service| service.started.elapsed());
        self.status.last_exit = Some(exit);
        self.status.service_pid = None;
        if self.spec.restart == Restart::Never {
            tracing::info!("node {}: the service ended with {how}", self.spec.node);
            return Ok(None);
        }
        let pause = self.back_off.next(up);
        tracing::warn!(
            "node {}: the service ended with {how} after {:.1} s; starting it again in {:.1} s",
            self.spec.node,
            up.as_secs_f64(),
            pause.as_secs_f64()
        );
        self.enter(State::BackingOff)?;
        Ok(Some(pause))
    }

    /// Asks the service to stop and waits for it as long as the spec allows.
    async fn stop(&mut self, child: &mut tokio::signal::unix::Signal) -> Result<(), Error> {
        self.enter(State::Stopping)?;
        let Some(service) = &self.service else {
            return Ok(());
        };
        let signal = self.spec.signal().unwrap_or(Signal::SIGTERM);
        tracing::info!("node {}: stopping process {} by {signal}", self.spec.node, service.pid);
        let _ = kill(service.pid, signal);
        let deadline = Instant::now() + Duration::from_secs(self.spec.stop_timeout_s);
        loop {
            if let Some(exit) = self.reap() {
                self.status.last_exit = Some(exit);
                self.status.service_pid = None;
                self.service = None;
                return Ok(());
            }
            tokio::select! {
                _ = child.recv() => {}
                () = until(Some(deadline)) => {
                    tracing::warn!("node {}: still there after {} s; killing it", self.spec.node, self.spec.stop_timeout_s);
                    return Ok(());
                }
            }
        }
    }

    /// Kills what is left of the node, closes its ports and says so.
    async fn finish(mut self, state: State) -> Result<(), Error> {
        // A process may fork while we look; look until nobody is left.
        loop {
            let me = std::process::id() as i32;
            let left: Vec<_> = pids_in(&self.spec.cwd).into_iter().filter(|pid| *pid != me).collect();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if let Some(exit) = self.reap() {
                self.status.last_exit = Some(exit);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.reap();
        self.forwards.close().await;
        self.status.service_pid = None;
        self.enter(state)
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
