//! The postmaster: finding one that runs, starting one, signalling it and hearing of its end.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::config::{Config, Settings, is_patroni_variable};
use crate::supervise::{pids_below, pids_in};

use super::Error;
use super::conf::{self, Wanted};
use super::pidfd::PidFd;

/// A process that serves our data directory; ours as a child, or found running.
#[derive(Debug)]
pub struct Postmaster {
    pub pid: i32,
    /// To be reaped when it has ended.
    child: Option<Child>,
    end: PidFd,
}

/// How far the postmaster says that it is, in the last line of postmaster.pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Starting,
    /// A standby that does not accept connections yet.
    Standby,
    Ready,
    Stopping,
}

impl Postmaster {
    /// Resolves when the process has ended; also reaps it.
    pub async fn ended(mut self) {
        loop {
            self.end.may_have_ended().await;
            // Waiting for the child without looking could block for ever.
            let gone = match &mut self.child {
                Some(child) => !matches!(child.try_wait(), Ok(None)),
                None => !is_alive(self.pid),
            };
            if gone {
                return;
            }
        }
    }
}

/// The postmaster of this data directory, if one runs (of whatever agent).
pub fn find(data_dir: &Path) -> Result<Option<Postmaster>, Error> {
    let Some(pid) = running(data_dir) else { return Ok(None) };
    Ok(PidFd::open(pid)?.map(|end| Postmaster { pid, child: None, end }))
}

/// The pid of the live process that serves this data directory: postmaster.pid names it and it works there.
/// The file alone proves nothing, since pids are used again.
pub fn running(data_dir: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().trim_start_matches('-').parse().ok()?;
    crate::supervise::start_time(pid)?;
    let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    (cwd == std::fs::canonicalize(data_dir).ok()?).then_some(pid)
}

/// What postmaster.pid says about the start.
pub fn readiness(data_dir: &Path) -> Option<Readiness> {
    let text = std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    match text.lines().nth(7)?.trim() {
        "ready" => Some(Readiness::Ready),
        "standby" => Some(Readiness::Standby),
        "stopping" => Some(Readiness::Stopping),
        _ => Some(Readiness::Starting),
    }
}

/// How long the processes of a postmaster that died may take to notice; then they are ended.
const ORPHANS_NOTICE: Duration = Duration::from_secs(1);
const ORPHANS_QUIT: Duration = Duration::from_secs(5);

/// Waits until no process of a former postmaster is left: the shared memory must be free for a new one.
pub async fn wait_for_orphans(data_dir: &Path) {
    let begun = Instant::now();
    loop {
        let orphans: Vec<_> = pids_in(data_dir).into_iter().filter(|pid| is_postgres(*pid)).collect();
        if orphans.is_empty() {
            return;
        }
        let order = match begun.elapsed() {
            waited if waited < ORPHANS_NOTICE => None,
            waited if waited < ORPHANS_QUIT => Some(Signal::SIGQUIT),
            _ => Some(Signal::SIGKILL),
        };
        if let Some(order) = order {
            orphans.into_iter().for_each(|pid| signal(pid, order));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Sends SIGKILL to every process of PostgreSQL that works in the data directory (its real path), whether it reacts
/// to anything or not; false if there was none. One that was sent it runs no more of its own code.
pub fn kill_all(data_dir: &Path) -> bool {
    let found: Vec<_> = pids_below(data_dir).filter(|pid| is_postgres(*pid)).collect();
    found.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
    !found.is_empty()
}

/// Commands that PostgreSQL runs, such as archive_command, work in the data directory, too, and do no harm.
fn is_postgres(pid: i32) -> bool {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    exe.file_name().is_some_and(|name| name.to_string_lossy().starts_with("postgres"))
}

/// Starts the postmaster in a process group of its own: it outlives the agent, which may be replaced
/// meanwhile. Its log goes where the agent's goes.
pub fn spawn(config: &Config, settings: &Settings, wanted: &Wanted) -> Result<Postmaster, Error> {
    use std::os::unix::process::CommandExt;
    remove_stale_locks(&config.data_dir, settings);
    let program = config.program("postgres");
    let mut command = Command::new(&program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_patroni_variable) {
            command.env_remove(name);
        }
    }
    let child = command
        .args(conf::arguments(config, settings, wanted))
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Program { program, source })?;
    let pid = child.id() as i32;
    let end = PidFd::open(pid)?.ok_or_else(|| Error::Other("the new postmaster cannot be watched".into()))?;
    Ok(Postmaster { pid, child: Some(child), end })
}

/// With its socket inside the data directory, PostgreSQL leaves a lock there that pg_basebackup and pg_rewind
/// copy: it names the process of another node and would bar the start. Nobody else can own a lock in here.
fn remove_stale_locks(data_dir: &Path, settings: &Settings) {
    if running(data_dir).is_some() {
        return;
    }
    let _ = std::fs::remove_file(data_dir.join("postmaster.pid"));
    let sockets = settings.parameters.get("unix_socket_directories").map(String::as_str).unwrap_or_default();
    if !sockets.split(',').any(|dir| data_dir.join(dir.trim()).canonicalize().ok() == data_dir.canonicalize().ok()) {
        return;
    }
    for entry in std::fs::read_dir(data_dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Sends a signal to the postmaster, if it is still there.
pub fn signal(pid: i32, signal: Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// Whether the process is there and not a zombie.
pub fn is_alive(pid: i32) -> bool {
    crate::supervise::start_time(pid).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfile_counts_only_if_its_process_works_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postmaster.pid");
        assert_eq!(running(dir.path()), None);
        // This very process lives, but works elsewhere.
        std::fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(running(dir.path()), None);
        let mut sleeper = Command::new("sleep").arg("60").current_dir(dir.path()).spawn().unwrap();
        std::fs::write(&file, format!("{}\n/d\n1\n5432\n.\n*\n 1 2\nstandby \n", sleeper.id())).unwrap();
        let found = running(dir.path());
        let readiness = readiness(dir.path());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert_eq!(found, Some(sleeper.id() as i32));
        assert_eq!(readiness, Some(Readiness::Standby));
        assert_eq!(running(dir.path()), None);
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_heard_of() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let postmaster = Postmaster { pid, child: None, end: PidFd::open(pid).unwrap().unwrap() };
        signal(pid, Signal::SIGKILL);
        postmaster.ended().await;
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }
}
