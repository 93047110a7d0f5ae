//! The reference report's project in a folder of its own, with containers, ports and images of its own; nothing of it is
//! left at the end.

use std::cell::RefCell;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::variants::Variant;

pub use crate::said::Said;

const FILES: [&str; 5] = ["Dockerfile", "docker-compose.yml", "haproxy.cfg", "postgres0.yml", "postgres1.yml"];
/// The host's ports of the report's compose file, and what stands for each while edits are made.
const PORTS: [(&str, &str); 7] = [
    ("2181:2181", "{client}:2181"),
    ("5433:", "{sql0}:"),
    ("8008:8008", "{rest0}:8008"),
    ("5434:", "{sql1}:"),
    ("8009:", "{rest1}:"),
    ("5000:", "{entry}:"),
    ("7000:7000", "{stats}:7000"),
];

/// A project; removed with all that docker-compose made of it when dropped.
pub struct Project {
    dir: TempDir,
    pub name: String,
    started: bool,
    /// What `docker-compose down` does not remove: `docker`'s words for each.
    left_by_compose: RefCell<Vec<Vec<String>>>,
}

impl Project {
    /// The files, with the edits of a variant. Packages that the report's Dockerfile only recommends are left out:
    /// they take minutes and change nothing.
    pub fn new(variant: Option<&Variant>) -> Project {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("labruntest{}x{number}", std::process::id());
        let dir = tempfile::Builder::new().prefix("labrun-attached-").tempdir().unwrap();
        let project = Project { dir, name, started: false, left_by_compose: RefCell::default() };
        std::fs::create_dir(project.folder()).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects/reference");
        for file in FILES {
            let mut text = std::fs::read_to_string(source.join(file)).unwrap();
            match file {
                "Dockerfile" => {
                    text = text.replace("apt-get install -y ", "apt-get install -y --no-install-recommends ")
                }
                "docker-compose.yml" => {
                    let own = format!("container_name: {}-", project.name);
                    text = text.replace("container_name: ", &own);
                    text = text.replace("my-postgres-patroni", &format!("{}-patroni", project.name));
                    for (from, to) in PORTS {
                        assert!(text.contains(from), "no {from}");
                        text = text.replace(from, to);
                    }
                }
                _ => {}
            }
            std::fs::write(project.folder().join(file), text).unwrap();
        }
        if let Some(variant) = variant {
            project.edit(variant.edits);
        }
        project.with_free_ports();
        project
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    pub fn output(&self) -> PathBuf {
        self.dir.path().join("output")
    }

    /// Replace texts of files.
    pub fn edit(&self, edits: &[(&str, &str, &str)]) {
        for (file, from, to) in edits {
            let path = self.folder().join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{file} has no `{from}`");
            std::fs::write(path, text.replace(from, to)).unwrap();
        }
    }

    fn with_free_ports(&self) {
        let path = self.folder().join("docker-compose.yml");
        let mut text = std::fs::read_to_string(&path).unwrap();
        let held: Vec<TcpListener> = PORTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        for ((_, place), listener) in PORTS.iter().zip(&held) {
            let place = place.split_once('}').unwrap().0;
            text = text.replace(&format!("{place}}}"), &listener.local_addr().unwrap().port().to_string());
        }
        std::fs::write(path, text).unwrap();
    }

    /// `docker-compose up -d --build`, as the report does it.
    pub fn up(&mut self) -> Said {
        with_base_images();
        self.started = true;
        self.compose(&["up", "-d", "--build"])
    }

    pub fn compose(&self, args: &[&str]) -> Said {
        let mut command = Command::new("docker-compose");
        command.args(["-p", &self.name]).args(args).current_dir(self.folder()).stdin(Stdio::null());
        Said::of(command.output().unwrap())
    }

    pub fn labrun_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labrun"));
        command.args(args).arg("--output").arg(self.output()).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub fn labrun(&self, args: &[&str]) -> Said {
        Said::of(self.labrun_command(args).output().unwrap())
    }

    /// The source for `--attach`.
    pub fn source(&self) -> String {
        format!("compose:{}", self.folder().display())
    }

    /// What a container is made of now is to be removed at the end: docker-compose forgets the image that a build untags, and
    /// the volumes without a name that it hands on to a container which it makes anew.
    pub fn forget_later(&self, container: &str) {
        let format = "{{.Image}}{{range .Mounts}} {{.Name}}{{end}}";
        let said = docker(&["inspect", "--format", format, container]);
        let mut words = said.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned);
        let image = words.next().map(|image| vec!["rmi".to_owned(), image]);
        let volumes = words.map(|volume| vec!["volume".to_owned(), "rm".to_owned(), volume]);
        self.left_by_compose.borrow_mut().extend(image.into_iter().chain(volumes));
    }

    /// The states of its containers, by service.
    pub fn states(&self) -> Vec<String> {
        let format = "{{.Label \"com.docker.compose.service\"}} {{.State}}";
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let mut lines = docker(&["ps", "--all", "--filter", &filter, "--format", format]);
        lines.sort();
        lines
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if !self.started {
            return;
        }
        self.compose(&["down", "--volumes", "--remove-orphans"]);
        let image = format!("{}-patroni", self.name);
        let _ = Command::new("docker").args(["rmi", &image]).output();
        for words in self.left_by_compose.borrow().iter() {
            let _ = Command::new("docker").args(words).output();
        }
        if std::thread::panicking() {
            return;
        }
        assert_eq!(self.states(), Vec::<String>::new());
        let label = format!("label=com.docker.compose.project={}", self.name);
        for what in ["network", "volume"] {
            assert_eq!(docker(&[what, "ls", "--quiet", "--filter", &label]), Vec::<String>::new(), "{what}s are left");
        }
        assert_eq!(docker(&["images", "--quiet", &image]), Vec::<String>::new());
    }
}

pub fn docker(args: &[&str]) -> Vec<String> {
    let said = Said::of(Command::new("docker").args(args).stdin(Stdio::null()).output().unwrap());
    said.out.lines().map(str::to_owned).collect()
}

/// What is missing for containers here: an engine, or docker-compose.
pub fn missing() -> Option<&'static str> {
    let runs = |program: &str| {
        let asked = Command::new(program).arg("version").stdin(Stdio::null()).output();
        asked.is_ok_and(|output| output.status.success())
    };
    if !runs("docker") {
        return Some("no container engine answers");
    }
    (!runs("docker-compose")).then_some("docker-compose is not installed")
}

/// Stand-ins for the base images, where one is missing.
fn with_base_images() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let images = ["postgres:15", "haproxy:2.4", "confluentinc/cp-zookeeper:7.7.1"];
        if images.iter().all(|image| !docker(&["images", "--quiet", image]).is_empty()) {
            return;
        }
        let built = Said::of(Command::new(env!("CARGO_BIN_EXE_labrun")).args(["images", "build"]).output().unwrap());
        assert_eq!(built.code, 0, "{}", built.all());
    });
}
