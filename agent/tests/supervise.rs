//! The supervisor as a program: real processes, in a folder of their own.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use labrun_agent::exit;
use labrun_agent::supervise::{Publish, Restart, Spec, State, Status, pidfile, pids_in};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A node whose folder is removed, and whose processes must be gone, at the end.
struct Node {
    dir: tempfile::TempDir,
    supervisor: Option<Child>,
}

impl Node {
    fn new() -> Node {
        Node { dir: tempfile::tempdir().unwrap(), supervisor: None }
    }

    fn cwd(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn shell(&self, script: &str) -> Spec {
        Spec {
            node: "n1".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: [("GREETING".to_string(), "hello".to_string())].into_iter().collect(),
            cwd: self.cwd(),
            log: "n1.log".into(),
            log_limit: 1 << 20,
            user: None,
            network: None,
            restart: Restart::Always,
            publish: Vec::new(),
            stop_signal: "TERM".into(),
            stop_timeout_s: 20,
        }
    }

    fn start(&mut self, spec: &Spec) {
        self.supervisor = Some(supervisor(&self.cwd(), spec).spawn().unwrap());
    }

    fn status(&self) -> Option<Status> {
        Status::read(&self.cwd())
    }

    fn service(&self) -> i32 {
        wait("the service runs", || self.status().filter(|s| s.state == State::Running)?.service_pid)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.cwd().join("n1.log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.supervisor.as_ref().unwrap().id() as i32), signal).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        let mut child = self.supervisor.take().unwrap();
        wait("the supervisor ends", || child.try_wait().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.supervisor.take() {
            let _ = (child.kill(), child.wait());
        }
        for pid in pids_in(&self.cwd()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn supervisor(dir: &Path, spec: &Spec) -> Command {
    let file = dir.join("NODE.json");
    std::fs::write(&file, serde_json::to_vec(spec).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_labrun-agent"));
    command.arg("supervise").arg(file).current_dir(dir).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

fn wait<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_service_that_dies_is_started_again_and_a_stop_leaves_nothing() {
    let mut node = Node::new();
    // The background process is what a crashed service leaves behind.
    let spec = node.shell("echo $GREETING; (trap '' TERM; sleep 1000) & exec sleep 1000");
    node.start(&spec);
    let first = node.service();
    let pid_path = node.cwd().join(pidfile::PID_FILE);
    let supervisor = node.supervisor.as_ref().unwrap().id() as i32;
    assert_eq!(pidfile::read(&pid_path).unwrap(), pidfile::Pidfile::HeldBy(supervisor));

    wait("the first greeting", || (node.log() == "hello\n").then_some(()));
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let status = wait("a second start", || node.status().filter(|s| s.restarts == 1 && s.state == State::Running));
    assert_ne!(status.service_pid, Some(first));
    assert_eq!(status.last_exit.unwrap().signal.as_deref(), Some("SIGKILL"));
    wait("both greetings", || (node.log() == "hello\nhello\n").then_some(()));

    node.signal(Signal::SIGTERM);
    assert_eq!(node.end().code(), Some(i32::from(exit::OK)));
    assert_eq!(pids_in(&node.cwd()), [0; 0]);
    assert_eq!(pidfile::read(&pid_path).unwrap(), pidfile::Pidfile::NotExist);
    let status = node.status().unwrap();
    assert_eq!((status.state, status.service_pid), (State::Stopped, None));
}

#[test]
fn a_service_that_ignores_the_stop_signal_is_killed_after_its_time() {
    let mut node = Node::new();
    let mut spec = node.shell("trap '' TERM; echo ready; while :; do sleep 0.1; done");
    spec.stop_timeout_s = 1;
    node.start(&spec);
    node.service();
    wait("the trap is set", || node.log().contains("ready").then_some(()));
    node.signal(Signal::SIGTERM);
    assert_eq!(node.end().code(), Some(0));
    assert_eq!(pids_in(&node.cwd()), [0; 0]);
}

#[test]
fn the_stop_signal_of_the_spec_is_the_one_sent() {
    let mut node = Node::new();
    let mut spec = node.shell("trap 'echo int; exit 3' INT; echo ready; while :; do sleep 0.1; done");
    spec.stop_signal = "int".into();
    node.start(&spec);
    node.service();
    wait("the trap is set", || node.log().contains("ready").then_some(()));
    node.signal(Signal::SIGTERM);
    node.end();
    assert!(node.log().contains("int"), "{}", node.log());
    assert_eq!(node.status().unwrap().last_exit.unwrap().code, Some(3));
}

#[test]
fn never_restart_ends_with_the_service_and_tells_its_code() {
    let mut node = Node::new();
    let mut spec = node.shell("exit 7");
    spec.restart = Restart::Never;
    node.start(&spec);
    assert_eq!(node.end().code(), Some(0));
    let status = node.status().unwrap();
    assert_eq!(status.state, State::Exited);
    assert_eq!(status.last_exit.unwrap().code, Some(7));
}

#[test]
fn orphans_are_reaped_and_do_not_look_like_the_service() {
    let mut node = Node::new();
    // Each turn leaves an orphan that ends by itself; unreaped ones would stay as zombies.
    let spec = node.shell("while :; do (sh -c 'true &'); echo turn; sleep 0.05; done");
    node.start(&spec);
    let service = node.service();
    wait("some orphans", || (node.log().matches("turn").count() > 10).then_some(()));
    let supervisor = node.supervisor.as_ref().unwrap().id();
    wait("all orphans are reaped", || {
        let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).ok()?;
        (children.trim() == service.to_string()).then_some(())
    });
    assert_eq!(node.status().unwrap().restarts, 0);
}

#[test]
fn a_second_supervisor_a_busy_port_a_missing_program_and_a_wrong_file_have_codes_of_their_own() {
    let mut node = Node::new();
    let spec = node.shell("exec sleep 1000");
    node.start(&spec);
    node.service();
    let code = |dir: &Path, spec: &Spec, words: &str| {
        let output = supervisor(dir, spec).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(words), "{text}");
        output.status.code().unwrap() as u8
    };
    assert_eq!(code(&node.cwd(), &spec, "already supervised by process"), exit::ALREADY_RUNNING);

    let other = Node::new();
    let busy = std::net::TcpListener::bind("127.20.0.13:0").unwrap();
    let mut published = other.shell("exec sleep 1000");
    let listen = busy.local_addr().unwrap();
    published.publish.push(Publish { listen, to: listen });
    assert_eq!(code(&other.cwd(), &published, &listen.to_string()), exit::PORT_BUSY);
    assert_eq!(pids_in(&other.cwd()), [0; 0]);

    let mut missing = other.shell("");
    missing.program = "/no/such/program".into();
    assert_eq!(code(&other.cwd(), &missing, "/no/such/program"), exit::PROGRAM);
    let mut relative = other.shell("");
    relative.program = "sh".into();
    assert_eq!(code(&other.cwd(), &relative, "absolute"), exit::CONFIG);
}

#[test]
fn a_killed_supervisor_leaves_a_pidfile_that_nobody_holds_and_a_service_that_can_be_found() {
    let mut node = Node::new();
    let spec = node.shell("exec sleep 1000");
    node.start(&spec);
    let service = node.service();
    node.signal(Signal::SIGKILL);
    assert_eq!(node.end().signal(), Some(9));
    let pid_path = node.cwd().join(pidfile::PID_FILE);
    assert_eq!(pidfile::read(&pid_path).unwrap(), pidfile::Pidfile::NotHeld);
    assert_eq!(pids_in(&node.cwd()), [service]);
}

#[test]
fn root_is_dropped_before_anything_is_opened() {
    let Ok(Some(user)) = nix::unistd::User::from_name("nobody") else {
        return;
    };
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let mut node = Node::new();
    nix::unistd::chown(&node.cwd(), Some(user.uid), Some(user.gid)).unwrap();
    let mut spec = node.shell("id -un; id -Gn; exec sleep 1000");
    spec.user = Some("nobody".into());
    node.supervisor = Some(unprivileged_copy(&node.cwd(), &spec).spawn().unwrap());
    node.service();
    wait("the user", || (node.log() == "nobody\nnogroup\n").then_some(()));
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(node.cwd().join("n1.log")).unwrap());
    assert_eq!(owner, user.uid.as_raw());
    node.signal(Signal::SIGTERM);
    assert_eq!(node.end().code(), Some(0));
    assert_eq!(pids_in(&node.cwd()), [0; 0]);
}

fn unprivileged_copy(dir: &Path, spec: &Spec) -> Command {
    let command = supervisor(dir, spec);
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    command
}
