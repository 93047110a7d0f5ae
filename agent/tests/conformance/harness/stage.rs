//! The stage of one scenario: its folder, addresses and ZooKeeper; and the way scenarios are performed.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use labrun_agent::supervise::processes_in;
use nix::sys::signal::Signal;

use super::address::Block;
use super::cluster::Plan;
use super::process::{self, unprivileged_user};
use super::shared_memory;
use super::zookeeper::ZooKeeper;
use super::{Cast, until};

/// Folders whose processes must end with this process, whatever ends it.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Where one scenario plays.
pub struct Stage {
    pub name: &'static str,
    pub cast: Cast,
    pub zookeeper: ZooKeeper,
    /// labrun-agent's executable, where the unprivileged user can run it.
    pub labrun: PathBuf,
    folder: tempfile::TempDir,
    addresses: Block,
    taken: Cell<u32>,
}

impl Stage {
    /// A stage with ZooKeeper running.
    pub async fn new(name: &'static str, cast: Cast) -> Stage {
        end_with_us();
        let folder = tempfile::Builder::new().prefix("labrun-conformance-").tempdir().unwrap();
        FOLDERS.lock().unwrap().push(folder.path().to_owned());
        make_ours(folder.path());
        let labrun = folder.path().join("labrun-agent");
        std::fs::copy(env!("CARGO_BIN_EXE_labrun-agent"), &labrun).unwrap();
        let addresses = Block::claim(&format!("{name} {cast}"));
        let zookeeper_folder = folder.path().join("zookeeper");
        std::fs::create_dir(&zookeeper_folder).unwrap();
        make_ours(&zookeeper_folder);
        let zookeeper = ZooKeeper::new(zookeeper_folder, addresses.address(1));
        let stage = Stage { name, cast, zookeeper, labrun, folder, addresses, taken: Cell::new(1) };
        stage.zookeeper.start().await;
        stage
    }

    /// An ensemble of so many more ZooKeeper servers, running.
    pub async fn ensemble(&self, size: usize) -> Vec<ZooKeeper> {
        let server = |index| ZooKeeper::new(self.folder(&format!("ensemble/{index}")), self.next_address());
        let mut servers: Vec<_> = (1..=size).map(server).collect();
        ZooKeeper::ensemble(&mut servers);
        servers.iter().for_each(ZooKeeper::launch);
        for server in &servers {
            server.served().await;
        }
        servers
    }

    /// A cluster of `size` nodes, yet to be described.
    pub fn cluster(&self, size: usize) -> Plan<'_> {
        Plan::new(self, size)
    }

    /// The stage's own folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// An address that nothing on this stage uses yet.
    pub fn next_address(&self) -> Ipv4Addr {
        self.taken.set(self.taken.get() + 1);
        self.addresses.address(self.taken.get())
    }

    /// The folder `name` on this stage, made for the servers' user.
    pub fn folder(&self, name: &str) -> PathBuf {
        let mut path = self.path().to_owned();
        for part in name.split('/') {
            path.push(part);
            std::fs::create_dir_all(&path).unwrap();
            make_ours(&path);
        }
        path
    }

    /// A file in `folder` that the servers' user may run.
    pub fn script(&self, path: &Path, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// End all that runs here, and see that it has ended.
    async fn close(self) {
        process::signal_all(self.path(), Signal::SIGCONT);
        process::kill_all(self.path()).unwrap();
        until("nothing runs on the stage", async || {
            let left = processes_in(self.path());
            super::wait::ensure(left.is_empty(), || format!("{left:?}"))
        })
        .await;
    }

    /// The last lines of every log, for whoever looks into a failure.
    fn tell_logs(&self) {
        for log in logs(self.path()) {
            let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
            let lines: Vec<_> = text.lines().collect();
            let name = log.strip_prefix(self.path()).unwrap_or(&log).display();
            eprintln!("---- {name}, its last lines\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell_logs();
        }
        if let Err(error) = process::kill_all(self.path()) {
            eprintln!("{error}");
        }
        shared_memory::remove_left(self.path());
        if std::thread::panicking() && std::env::var_os("LABRUN_CONFORMANCE_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("its files stay in {}", self.path().display());
        }
    }
}

/// Perform `scenario` on a stage of its own.
pub fn perform(name: &'static str, cast: Cast, scenario: impl AsyncFnOnce(&Stage)) {
    shared_memory::isolate();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let stage = Stage::new(name, cast).await;
        scenario(&stage).await;
        stage.close().await;
    });
}

/// On SIGTERM and SIGINT, which test runners send at a time limit, take all servers with us.
fn end_with_us() {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut stream = signal(kind).unwrap();
        tokio::spawn(async move {
            stream.recv().await;
            let folders = FOLDERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
            for folder in folders {
                let _ = process::kill_all(&folder);
                let _ = std::fs::remove_dir_all(&folder);
            }
            std::process::exit(128 + kind.as_raw_value());
        });
    }
}

/// Give a folder to the servers' user.
fn make_ours(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Some(user) = unprivileged_user() {
        nix::unistd::chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o750)).unwrap();
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "data") {
            found.extend(logs(&path));
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
    found.sort();
    found
}
