//! A place to deploy in, in an engine that others use too; at its end nothing of it may be left.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};
use labrun::engine::{Address, Engine};
use tempfile::TempDir;

pub use crate::said::Said;

pub struct Place {
    dir: TempDir,
    pub output: PathBuf,
    /// The name of the deployment: unlike that of any other test at this time.
    pub name: String,
    offset: u16,
}

impl Place {
    /// A place with the base images there.
    pub fn new() -> Place {
        let dir = tempfile::Builder::new().prefix("labrun-test-").tempdir().unwrap();
        let output = dir.path().canonicalize().unwrap().join("output");
        let offset = free_offset();
        let place = Place { dir, output, name: format!("test-{}-{offset}", std::process::id()), offset };
        let built = place.labrun(&["images", "build"]);
        // An official image serves as well.
        assert!(built.code == 0 || built.err.contains("LR0855"), "{}", built.err);
        place
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// labrun with `args`, in this place.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labrun"));
        command.args(args).arg("--output").arg(&self.output).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Run labrun to its end.
    #[track_caller]
    pub fn labrun(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().unwrap())
    }

    /// The words of `labrun deploy` (or `run`) for a lab, under this place's name and ports.
    pub fn words<'a>(&'a self, verb: &'a str, lab: &'a str, offset: &'a str) -> Vec<&'a str> {
        vec![verb, lab, "--backend", "docker", "--name", &self.name, "--port-offset", offset]
    }

    #[track_caller]
    pub fn deploy(&self, lab: &str) -> Said {
        self.labrun(&self.words("deploy", lab, &self.offset()))
    }

    pub fn offset(&self) -> String {
        self.offset.to_string()
    }

    /// The reference lab with a change to its text, in a folder of this place.
    pub fn lab(&self, change: impl Fn(&str) -> String) -> String {
        let folder = self.dir.path().join("lab");
        std::fs::create_dir_all(&folder).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/labs/ha-postgres/lab.yaml");
        std::fs::write(folder.join("lab.yaml"), change(&std::fs::read_to_string(source).unwrap())).unwrap();
        folder.display().to_string()
    }

    /// A container's name: the deployment is not called like its lab.
    pub fn container(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }

    /// Everything that the engine has of this place, by its labels.
    pub fn in_engine(&self) -> Vec<String> {
        let owner = format!(":{}", self.output.display());
        let ours = |labels: Option<HashMap<String, String>>| {
            labels.unwrap_or_default().get("org.labrun.deployment").is_some_and(|it| it.contains(&owner))
        };
        on_engine(async |engine| {
            let docker = engine.docker();
            let mut found = Vec::new();
            let options = ListContainersOptionsBuilder::new().all(true).build();
            for one in docker.list_containers(Some(options)).await.unwrap() {
                found.extend(ours(one.labels).then(|| format!("container {:?}", one.names)));
            }
            for one in docker.list_networks(Some(ListNetworksOptionsBuilder::new().build())).await.unwrap() {
                found.extend(ours(one.labels).then(|| format!("network {:?}", one.name)));
            }
            let volumes = docker.list_volumes(Some(ListVolumesOptionsBuilder::new().build())).await.unwrap();
            for one in volumes.volumes.unwrap_or_default() {
                found.extend(ours(Some(one.labels)).then(|| format!("volume {}", one.name)));
            }
            for one in docker.list_images(Some(ListImagesOptionsBuilder::new().build())).await.unwrap() {
                found.extend(ours(Some(one.labels)).then(|| format!("image {:?}", one.repo_tags)));
            }
            found
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let said = self.labrun(&["destroy", "--all"]);
        if !std::thread::panicking() {
            assert_eq!(said.code, 0, "{}", said.err);
            assert_eq!(self.in_engine(), Vec::<String>::new());
        }
    }
}

/// Whether there is an engine to test on.
pub fn engine_answers() -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Engine::connect(&Address::from_env()?).await }).is_ok()
}

/// Do something with the engine itself.
pub fn on_engine<T>(act: impl AsyncFnOnce(Engine) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { act(Engine::connect(&Address::from_env().unwrap()).await.unwrap()).await })
}

/// An offset with which none of the reference lab's published ports is taken.
fn free_offset() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let seed = (std::process::id() % 200) as u16 * 50;
    for _ in 0..200 {
        let offset = 12_000 + (seed + NEXT.fetch_add(10, Ordering::Relaxed)) % 10_000;
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port + offset)).is_ok();
        if [2181, 5000, 5433, 5434, 7000, 8008, 8009].into_iter().all(free) {
            return offset;
        }
    }
    panic!("no free ports");
}
