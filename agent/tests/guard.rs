//! The guard's process, with a program called `postgres` that does nothing in place of the real one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use labrun_agent::clock::Moment;
use labrun_agent::decide::Term;
use labrun_agent::guard::{self, Guard, Order, Postmaster};
use labrun_agent::supervise::start_time;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const AGENT: &str = env!("CARGO_BIN_EXE_labrun-agent");

/// A data directory with a program that is called postgres beside it.
struct Stage {
    dir: tempfile::TempDir,
    children: Vec<Child>,
}

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::copy("/bin/sleep", dir.path().join("postgres")).unwrap();
        Stage { dir, children: Vec::new() }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A process of the server.
    fn postgres(&mut self) -> Postmaster {
        let mut command = Command::new(self.dir.path().join("postgres"));
        let child = command.arg("600").current_dir(self.data()).spawn().unwrap();
        let pid = child.id() as i32;
        self.children.push(child);
        Postmaster::of(pid).unwrap()
    }

    /// Waits until every process of the server has ended; by which signals. The test, its orders to the guard
    /// included, stands still meanwhile.
    fn ended_by(&mut self) -> Vec<i32> {
        use std::os::unix::process::ExitStatusExt;
        self.children.drain(..).map(|mut child| child.wait().unwrap().signal().unwrap()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = (child.kill(), child.wait());
        }
    }
}

fn in_ms(quit: u64, kill: u64) -> Term {
    let now = Moment::now();
    Term { quit: now + Duration::from_millis(quit), kill: now + Duration::from_millis(kill) }
}

fn stop(process: Postmaster) {
    kill(Pid::from_raw(process.pid), Signal::SIGSTOP).unwrap();
}

fn lives(process: Postmaster) -> bool {
    start_time(process.pid) == Some(process.start)
}

/// The pids of guards of this directory.
fn guards_of(data: &Path) -> Vec<i32> {
    let is_it = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.next() == Some(guard::NAME.as_bytes()) && words.next() == Some(data.as_os_str().as_encoded_bytes())
    };
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_it).collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "not so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_postgresql_whose_time_is_over_is_stopped_at_once() {
    let mut stage = Stage::new();
    let guard = Guard::start_from(Path::new(AGENT), &stage.data());
    let postmaster = stage.postgres();
    let term = in_ms(100, 60_000);
    guard.give(Order::Until { term, postmaster: Some(postmaster) });
    guard.last().obeyed().await;
    assert_eq!(stage.ended_by(), [Signal::SIGQUIT as i32]);
    assert!(Moment::now() >= term.quit);
    guard.give(Order::Aside);
    guard.leave().await;
    assert_eq!(guards_of(&stage.data()), [0; 0]);
}

#[tokio::test]
async fn processes_that_are_stopped_are_killed_all_of_them_and_what_is_started_later_too() {
    let mut stage = Stage::new();
    let guard = Guard::start_from(Path::new(AGENT), &stage.data());
    let (postmaster, backend) = (stage.postgres(), stage.postgres());
    stop(postmaster);
    stop(backend);
    let term = in_ms(50, 100);
    guard.give(Order::Until { term, postmaster: Some(postmaster) });
    guard.last().obeyed().await;
    assert_eq!(stage.ended_by(), [Signal::SIGKILL as i32; 2]);
    assert!(Moment::now() >= term.kill);
    stage.postgres();
    assert_eq!(stage.ended_by(), [Signal::SIGKILL as i32]);
    guard.give(Order::Aside);
    guard.last().obeyed().await;
    let spared = stage.postgres();
    guard.leave().await;
    assert!(lives(spared));
}

#[tokio::test]
async fn without_the_agent_postgresql_lives_as_long_as_the_lease_and_the_guard_goes_with_it() {
    let mut stage = Stage::new();
    let guard = Guard::start_from(Path::new(AGENT), &stage.data());
    let postmaster = stage.postgres();
    let term = in_ms(1500, 2000);
    guard.give(Order::Until { term, postmaster: Some(postmaster) });
    guard.last().obeyed().await;
    stop(postmaster);
    guard.leave().await;
    assert_eq!(stage.ended_by(), [Signal::SIGKILL as i32]);
    assert!(Moment::now() >= term.kill);
    until("the guard goes", || guards_of(&stage.data()).is_empty()).await;
}

#[tokio::test]
async fn a_lease_that_is_extended_or_pause_keeps_postgresql_alive() {
    let mut stage = Stage::new();
    let guard = Guard::start_from(Path::new(AGENT), &stage.data());
    let postmaster = stage.postgres();
    let early = in_ms(300, 400);
    guard.give(Order::Until { term: early, postmaster: Some(postmaster) });
    guard.last().obeyed().await;
    guard.give(Order::Until { term: in_ms(60_000, 61_000), postmaster: Some(postmaster) });
    guard.last().obeyed().await;
    until("the first time is over", || Moment::now() > early.kill + Duration::from_millis(300)).await;
    assert!(lives(postmaster));
    guard.give(Order::Aside);
    guard.leave().await;
    assert!(lives(postmaster));
}

#[tokio::test]
async fn a_guard_that_dies_or_hangs_is_replaced_and_its_successor_knows_the_order() {
    let mut stage = Stage::new();
    let guard = Guard::start_from(Path::new(AGENT), &stage.data());
    let postmaster = stage.postgres();
    guard.give(Order::Until { term: in_ms(60_000, 61_000), postmaster: Some(postmaster) });
    guard.last().obeyed().await;
    let first = guards_of(&stage.data());
    kill(Pid::from_raw(first[0]), Signal::SIGKILL).unwrap();
    until("there is another guard", || {
        let now = guards_of(&stage.data());
        now.len() == 1 && now != first
    })
    .await;
    // Signals that end others do not end it; one that is stopped does not answer.
    let second = guards_of(&stage.data())[0];
    kill(Pid::from_raw(second), Signal::SIGTERM).unwrap();
    kill(Pid::from_raw(second), Signal::SIGSTOP).unwrap();
    guard.give(Order::Until { term: in_ms(200, 300), postmaster: Some(postmaster) });
    guard.last().obeyed().await;
    assert_eq!(stage.ended_by().len(), 1);
    guard.give(Order::Aside);
    guard.leave().await;
}

#[tokio::test]
async fn the_guard_of_a_former_agent_is_relieved() {
    let mut stage = Stage::new();
    let postmaster = stage.postgres();
    // One that a former agent would have left: whose child it is tells them apart.
    let (_ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = Command::new("setsid");
    command.args(["--fork", "bash", "-c", r#"exec -a "$0" "$1" "$2""#, guard::NAME, AGENT]).arg(stage.data());
    command.stdin(std::os::fd::OwnedFd::from(theirs)).status().unwrap();
    until("the former guard is there", || guards_of(&stage.data()).len() == 1).await;
    let guard = Guard::start_from(Path::new(AGENT), &stage.data());
    guard.give(Order::Until { term: in_ms(60_000, 61_000), postmaster: Some(postmaster) });
    guard.last().obeyed().await;
    guard.relief().dismiss();
    until("one guard is left", || guards_of(&stage.data()).len() == 1).await;
    assert!(lives(postmaster));
    guard.give(Order::Aside);
    guard.leave().await;
    assert_eq!(guards_of(&stage.data()), [0; 0]);
}
