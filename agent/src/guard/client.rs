//! The agent's side of the guard: a process that always runs, and always knows the last order.

use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{NAME, Order};

/// A guard that does not confirm an order within this time hangs, and is replaced.
const ANSWER: Duration = Duration::from_secs(3);
/// Between two attempts to start one.
const PAUSE: Duration = Duration::from_millis(500);

/// A guard, and whoever replaces it.
#[derive(Debug)]
pub struct Guard {
    data_dir: PathBuf,
    orders: watch::Sender<(u64, Order)>,
    confirmed: watch::Receiver<u64>,
    keeper: JoinHandle<()>,
}

/// An order that was given, to wait until the guard obeys it.
#[derive(Debug, Clone)]
pub struct Given {
    number: u64,
    confirmed: watch::Receiver<u64>,
}

impl Given {
    /// Resolves when the guard obeys this order or a later one.
    pub async fn obeyed(mut self) {
        let number = self.number;
        let _ = self.confirmed.wait_for(|confirmed| *confirmed >= number).await;
    }
}

impl Guard {
    /// Starts a guard for the PostgreSQL of `data_dir`; it stands aside at first.
    pub fn start(data_dir: &Path) -> Guard {
        // This very file, also when it has been replaced by a newer one.
        Guard::start_from(Path::new("/proc/self/exe"), data_dir)
    }

    /// As [`Guard::start`], from another file of the agent.
    pub fn start_from(program: &Path, data_dir: &Path) -> Guard {
        let (orders, given) = watch::channel((0, Order::Aside));
        let (confirm, confirmed) = watch::channel(0);
        let keeper = tokio::spawn(keep(program.to_owned(), data_dir.to_owned(), given, confirm));
        Guard { data_dir: data_dir.to_owned(), orders, confirmed, keeper }
    }

    /// Gives an order.
    pub fn give(&self, order: Order) {
        self.orders.send_if_modified(|(number, last)| {
            let new = *last != order;
            if new {
                (*number, *last) = (*number + 1, order);
            }
            new
        });
    }

    /// The last order that was given.
    pub fn last(&self) -> Given {
        Given { number: self.orders.borrow().0, confirmed: self.confirmed.clone() }
    }

    /// The means to end the guards that former agents of this node have left behind.
    pub fn relief(&self) -> Relief {
        Relief(self.data_dir.clone())
    }

    /// Lets the guard go, with the last order that it has. One that stands aside has ended when this returns.
    pub async fn leave(self) {
        let aside = self.orders.borrow().1 == Order::Aside;
        let Guard { orders, keeper, .. } = self;
        drop(orders);
        if aside {
            let _ = keeper.await;
        }
    }
}

/// Ends former guards.
pub struct Relief(PathBuf);

impl Relief {
    /// Ends them, now that another one obeys what is known.
    pub fn dismiss(self) {
        let ours = std::process::id() as i32;
        for pid in former(&self.0, ours) {
            tracing::info!("the guard of a former agent (process {pid}) is relieved");
            crate::postgres::postmaster::signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// The processes of this name for this directory whose agent is not `agent`.
fn former(data_dir: &Path, agent: i32) -> Vec<i32> {
    let mine = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        words.first() == Some(&NAME.as_bytes())
            && words.get(1) == Some(&data_dir.as_os_str().as_encoded_bytes())
            && parent(*pid).is_some_and(|parent| parent != agent)
    };
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(mine).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Keeps a guard running until no more orders can come.
async fn keep(
    program: PathBuf,
    data_dir: PathBuf,
    mut orders: watch::Receiver<(u64, Order)>,
    confirm: watch::Sender<u64>,
) {
    loop {
        match spawn(&program, &data_dir) {
            Ok((mut child, socket)) => {
                let left = serve(socket, &mut orders, &confirm).await;
                if left && orders.borrow().1 != Order::Aside {
                    return;
                }
                if !left {
                    tracing::warn!("the guard (process {}) has ended or hangs: starting another one", child.id());
                    let _ = child.kill();
                }
                let _ = tokio::task::spawn_blocking(move || child.wait()).await;
                if left {
                    return;
                }
            }
            Err(error) => tracing::error!("cannot start the guard: {error}"),
        }
        if orders.has_changed().is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same program under another name, with one end of a socket pair as its standard input.
fn spawn(program: &Path, data_dir: &Path) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = Socket::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new(program);
    command.arg0(NAME).arg(data_dir).env_clear().process_group(0);
    let child = command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stdout(Stdio::null()).spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// Passes every order on. True when no more can come; false when the guard does not answer.
async fn serve(
    mut socket: UnixStream,
    orders: &mut watch::Receiver<(u64, Order)>,
    confirm: &watch::Sender<u64>,
) -> bool {
    let mut unread = Vec::new();
    loop {
        let (number, order) = *orders.borrow_and_update();
        if socket.write_all(order.line(number).as_bytes()).await.is_err() {
            return false;
        }
        match tokio::time::timeout(ANSWER, confirmation(&mut socket, &mut unread, number)).await {
            Ok(true) => confirm.send_replace(number),
            _ => return false,
        };
        let mut byte = [0];
        tokio::select! {
            changed = orders.changed() => {
                if changed.is_err() {
                    return true;
                }
            }
            // It says nothing unasked: this is its end.
            _ = socket.read(&mut byte) => return false,
        }
    }
}

/// Reads until the guard has confirmed `number`; false at its end.
async fn confirmation(socket: &mut UnixStream, unread: &mut Vec<u8>, number: u64) -> bool {
    let mut buffer = [0; 64];
    loop {
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            if String::from_utf8_lossy(&line).trim().parse() == Ok(number) {
                return true;
            }
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(read) => unread.extend_from_slice(&buffer[..read]),
        }
    }
}
