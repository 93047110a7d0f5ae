//! The guard's process: one thread, one poll over the agent's socket, an alarm and the postmaster's end.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::{Event, NAME, Order, Postmaster, Step, Watch};
use crate::clock::Moment;
use crate::exit;
use crate::postgres::postmaster;

/// Guards the PostgreSQL of `data_dir` until it is not needed any more; the exit code. Standard input is the agent's
/// socket.
pub fn run(data_dir: &Path) -> u8 {
    // Whoever ends the node's processes one by one must not end this one first.
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE];
    let _ = signals.into_iter().collect::<SigSet>().thread_block();
    let name: Vec<u8> = NAME.bytes().chain([0]).collect();
    if let Ok(name) = std::ffi::CString::from_vec_with_nul(name) {
        let _ = nix::sys::prctl::set_name(&name);
    }
    // Allowed to few (RLIMIT_NICE); it helps when everything on the node is woken at the same time.
    let _ = rustix::process::setpriority_process(None, -20);
    match Guarding::new(data_dir) {
        Ok(mut guarding) => {
            guarding.live();
            exit::OK
        }
        Err(error) => {
            say(&format!("cannot guard: {error}"));
            exit::FAILURE
        }
    }
}

struct Guarding {
    data_dir: PathBuf,
    watch: Watch,
    agent: Option<UnixStream>,
    unread: Vec<u8>,
    alarm: OwnedFd,
    /// The postmaster of the present order and the means to hear of its end.
    postmaster: Option<(Postmaster, Option<OwnedFd>)>,
    killed: bool,
}

impl Guarding {
    fn new(data_dir: &Path) -> std::io::Result<Guarding> {
        let agent = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        agent.set_nonblocking(true)?;
        Ok(Guarding {
            // Resolved now: later the disk may not answer.
            data_dir: data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned()),
            watch: Watch::default(),
            agent: Some(agent),
            unread: Vec::new(),
            alarm: timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?,
            postmaster: None,
            killed: false,
        })
    }

    fn live(&mut self) {
        let mut event = Event::Time;
        loop {
            match self.watch.next(event, Moment::now()) {
                Step::Exit => return,
                Step::Sleep(until) => event = self.sleep(until),
                Step::Quit => {
                    self.quit();
                    say("the lease is about to end and the agent does not act: stopping PostgreSQL at once");
                    event = Event::Time;
                }
                Step::Kill => event = Event::Killed { some: self.kill() },
            }
        }
    }

    /// Waits until something happens.
    fn sleep(&mut self, until: Option<Moment>) -> Event {
        self.set_alarm(until);
        loop {
            let agent = self.agent.as_ref().map(|agent| PollFd::new(agent, PollFlags::IN));
            let end = self.postmaster.as_ref().and_then(|(_, end)| end.as_ref());
            let end = end.map(|end| PollFd::new(end, PollFlags::IN));
            let (talks, ends) = (agent.is_some(), end.is_some());
            let alarm = PollFd::new(&self.alarm, PollFlags::IN);
            let mut watched: Vec<_> = std::iter::once(alarm).chain(agent).chain(end).collect();
            if poll(&mut watched, None).is_err() {
                continue;
            }
            let ready: Vec<_> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
            // The agent's word goes first: it may have the lease after all.
            if talks
                && ready[1]
                && let Some(event) = self.listen()
            {
                return event;
            }
            if ends && ready.last() == Some(&true) {
                if let Some((_, end)) = &mut self.postmaster {
                    *end = None;
                }
                return Event::PostmasterGone;
            }
            if ready[0] {
                return Event::Time;
            }
        }
    }

    /// An absolute alarm: time that passes while the machine sleeps counts.
    fn set_alarm(&self, until: Option<Moment>) {
        let at = until.map_or(Timespec { tv_sec: 0, tv_nsec: 0 }, |until| Timespec {
            // Zero would turn the alarm off.
            tv_sec: (until.0 / 1000) as i64,
            tv_nsec: (until.0 % 1000 * 1_000_000).max(1) as _,
        });
        let alarm = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        let _ = timerfd_settime(&self.alarm, TimerfdTimerFlags::ABSTIME, &alarm);
    }

    /// The last of the orders that have come, confirmed; or the agent's end.
    fn listen(&mut self) -> Option<Event> {
        let mut buffer = [0; 1024];
        loop {
            match self.agent.as_mut()?.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => self.unread.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.order(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // What it said before its end counts.
        if let Some(event) = self.order() {
            return Some(event);
        }
        self.agent = None;
        Some(Event::AgentGone)
    }

    fn order(&mut self) -> Option<Event> {
        let end = self.unread.iter().rposition(|byte| *byte == b'\n')?;
        let lines: Vec<u8> = self.unread.drain(..=end).collect();
        let text = String::from_utf8_lossy(&lines);
        let (number, order) = text.lines().rev().find_map(Order::parse)?;
        self.follow(order);
        if let Some(agent) = &mut self.agent {
            let _ = agent.write_all(format!("{number}\n").as_bytes());
        }
        Some(Event::Order(order))
    }

    /// Watches the postmaster that the order names.
    fn follow(&mut self, order: Order) {
        self.killed = false;
        let named = match order {
            Order::Aside => None,
            Order::Until { postmaster, .. } => postmaster,
        };
        if self.postmaster.as_ref().map(|(known, _)| *known) == named {
            return;
        }
        self.postmaster = named.map(|postmaster| {
            let end = Pid::from_raw(postmaster.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            // Looked at after it was opened: another process may have its pid by now.
            let is_it = Postmaster::of(postmaster.pid) == Some(postmaster);
            (postmaster, end.filter(|_| is_it))
        });
    }

    fn quit(&self) {
        if let Some((_, Some(end))) = &self.postmaster {
            let _ = pidfd_send_signal(end, rustix::process::Signal::QUIT);
        }
    }

    /// The postmaster first, so that no more processes come. A process that was sent SIGKILL runs no more of its
    /// own code, even if it is stopped or waits for a disk: it acknowledges nothing.
    fn kill(&mut self) -> bool {
        if let Some((_, Some(end))) = &self.postmaster {
            let _ = pidfd_send_signal(end, rustix::process::Signal::KILL);
        }
        let some = postmaster::kill_all(&self.data_dir);
        if some && !self.killed {
            say("the lease may be over: PostgreSQL was killed");
        }
        self.killed |= some;
        some
    }
}

/// How long a line may keep the guard from its work.
const PATIENCE: Duration = Duration::from_millis(50);

/// To the agent's log, by a thread: whoever reads it may be stopped, or its disk stuck, and that must not hold the
/// guard up.
fn say(text: &str) {
    let at = jiff::Zoned::now();
    let line = format!("{},{:03} WARNING: {NAME}: {text}\n", at.strftime("%Y-%m-%d %H:%M:%S"), at.millisecond());
    let (done, told) = std::sync::mpsc::channel();
    let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
        let _ = std::io::stderr().write_all(line.as_bytes());
        let _ = done.send(());
    });
    let _ = told.recv_timeout(PATIENCE);
}
