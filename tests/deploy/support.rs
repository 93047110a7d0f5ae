//! A place to deploy in, with its own output folder, addresses and ports; at its end nothing of it may be left.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use crate::said::Said;

/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(180);

pub struct Place {
    dir: TempDir,
    pub output: PathBuf,
}

impl Place {
    /// A place that every user can enter.
    pub fn new() -> Place {
        Place::with_mode(0o755)
    }

    /// A place with a folder of that mode above the output.
    pub fn with_mode(mode: u32) -> Place {
        let dir = tempfile::Builder::new().prefix("labrun-test-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let output = dir.path().canonicalize().unwrap().join("output");
        Place { dir, output }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// labrun with `args`, in this place.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labrun"));
        command.args(args).arg("--output").arg(&self.output).current_dir(self.dir.path());
        // Tests run side by side, each in a process of its own: their blocks of addresses are to lie far from each other.
        command.env("LABRUN_LOOPBACK", format!("127.{}", 21 + std::process::id() % 38)).stdin(Stdio::null());
        command
    }

    /// Run labrun to its end.
    #[track_caller]
    pub fn labrun(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().unwrap())
    }

    /// The deployment's state file.
    pub fn state(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.output.join(name).join("deployment.json")).unwrap()).unwrap()
    }

    /// `labrun status --json`, once `holds`.
    #[track_caller]
    pub fn status_when(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.labrun(&["status", "--json", "--name", name]).ends(0).json();
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what}: {status:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Every live process whose working directory or command line lies in this place.
    pub fn processes(&self) -> Vec<String> {
        processes_of(self.output.to_str().unwrap())
    }

    /// Assert that nothing of any deployment is left but, perhaps, runs.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
        for folder in std::fs::read_dir(&self.output).into_iter().flatten().flatten() {
            let inside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.file_name()).collect();
            assert!(inside.iter().all(|name| name == "runs"), "{}: {inside:?}", folder.path().display());
        }
        assert_eq!(run_folders(&self.output), Vec::<PathBuf>::new());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let said = self.labrun(&["destroy", "--all"]);
        if !std::thread::panicking() {
            assert_eq!(said.code, 0, "{}", said.err);
            self.assert_nothing_left();
        }
    }
}

pub fn processes_of(folder: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let found = processes.filter(|process| process.file_name().is_some_and(|pid| *pid != *own)).filter_map(|process| {
        let stat = std::fs::read_to_string(process.join("stat")).ok()?;
        if stat.rsplit(')').next()?.trim_start().starts_with(['Z', 'X']) {
            return None;
        }
        let cwd = std::fs::read_link(process.join("cwd")).unwrap_or_default();
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let ours = cwd.starts_with(folder) || line.contains(folder);
        ours.then(|| format!("{} in {}: {line}", process.display(), cwd.display()))
    });
    found.collect()
}

/// Run folders elsewhere whose deployment lies in `output`.
pub fn run_folders(output: &Path) -> Vec<PathBuf> {
    let bases = ["/var/tmp", "/tmp"].into_iter().flat_map(|base| std::fs::read_dir(base).unwrap().flatten());
    bases
        .map(|entry| entry.path())
        .filter(|path| {
            std::fs::read(path.join("origin"))
                .is_ok_and(|origin| Path::new(std::str::from_utf8(&origin).unwrap()).starts_with(output))
        })
        .collect()
}

/// The folder of a lab of these tests.
pub fn lab(name: &str) -> String {
    format!("{}/tests/deploy/labs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// An offset with which none of the reference lab's published ports is taken, here or by another test.
pub fn free_offset() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let seed = (std::process::id() % 400) as u16 * 100;
    for _ in 0..400 {
        let offset = 10_000 + (seed + NEXT.fetch_add(10, Ordering::Relaxed)) % 40_000;
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port + offset)).is_ok();
        if [2181, 5000, 5433, 5434, 7000, 8008, 8009].into_iter().all(free) {
            return offset;
        }
    }
    panic!("no free ports");
}

/// Poll until it holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether nobody listens there.
pub fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}
