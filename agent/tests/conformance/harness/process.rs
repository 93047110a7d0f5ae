//! Processes of a scenario: started as an unprivileged user, found by their folder, reaped and ended.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use labrun_agent::supervise::pids_in;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, Uid, User};

/// Children whose end somebody of ours waits for; all others are orphans that were given to us.
static AWAITED: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

/// The user that servers run as when we are root, which PostgreSQL refuses.
pub fn unprivileged_user() -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    let user = User::from_name("postgres").ok().flatten();
    Some(user.expect("running as root: PostgreSQL needs an unprivileged user, `postgres` does not exist"))
}

/// A child process of the test, ended when dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Start `command` as the unprivileged user in `cwd`, in a process group of its own; its output is appended to
    /// `log`.
    pub fn start(mut command: Command, cwd: &Path, log: &Path) -> Running {
        let log: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.current_dir(cwd).process_group(0).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(user) = unprivileged_user() {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).env("HOME", cwd).env("USER", &user.name);
        }
        Running { child: spawn(&mut command) }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// How it ended, or none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        forget(self.child.id());
    }
}

/// What a program that ran to its end said.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Run `command` as the unprivileged user to its end, which must come within `limit`.
pub async fn run(command: Command, limit: Duration) -> Output {
    run_with(command, "", limit).await
}

/// As [`run`], with `input` to read.
pub async fn run_with(mut command: Command, input: &str, limit: Duration) -> Output {
    if let Some(user) = unprivileged_user() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command);
    // Whoever does not read its input is not to be blamed.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let told = format!("{command:?}");
    let (pid, started) = (child.id(), Instant::now());
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |mut pipe: Box<dyn Read + Send>| {
        tokio::task::spawn_blocking(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let (out, err) = (read(Box::new(out)), read(Box::new(err)));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > limit {
            let _ = (child.kill(), child.wait());
            forget(pid);
            panic!("still running after {limit:?}: {told}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    forget(pid);
    Output { code: status.code(), stdout: out.await.unwrap(), stderr: err.await.unwrap() }
}

/// Start a child and note that its end is awaited, before the reaper can see it.
fn spawn(command: &mut Command) -> Child {
    adopt_orphans();
    let mut awaited = AWAITED.lock().unwrap();
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    awaited.get_or_insert_default().insert(child.id());
    child
}

fn forget(pid: u32) {
    if let Some(awaited) = AWAITED.lock().unwrap().as_mut() {
        awaited.remove(&pid);
    }
}

/// Be the parent of what a killed agent leaves behind, and reap it: not every init reaps, and a postmaster that
/// stays a zombie looks alive to `kill -0`.
fn adopt_orphans() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_millis(20));
                reap();
            }
        });
    });
}

fn reap() {
    let awaited = AWAITED.lock().unwrap();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in children.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()) {
            if !awaited.as_ref().is_some_and(|known| known.contains(&pid)) {
                let _ = waitpid(Pid::from_raw(pid as i32), Some(WaitPidFlag::WNOHANG));
            }
        }
    }
}

/// Send `signal` to every process whose working directory lies in `dir`.
pub fn signal_all(dir: &Path, signal: Signal) {
    for pid in pids_in(dir) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Kill every process in `dir` until none is left.
///
/// # Errors
/// What is still there after 20 s.
pub fn kill_all(dir: &Path) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let left = labrun_agent::supervise::processes_in(dir);
        if left.is_empty() {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(20) {
            return Err(format!("these processes survive SIGKILL: {left:?}"));
        }
        signal_all(dir, Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(10));
    }
}
