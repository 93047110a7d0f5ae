//! The containers of a compose project, by the labels that compose gives them (docker-compose 1.25 or later, docker compose).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use bollard::models::{ContainerInspectResponse, PortMap};
use bollard::query_parameters::ListContainersOptionsBuilder;
use indexmap::IndexMap;

use super::AttachError;
use crate::engine::{Engine, EngineError};

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const FOLDER: &str = "com.docker.compose.project.working_dir";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The service that it runs.
    pub service: String,
    /// Its name.
    pub container: String,
    /// Its host name.
    pub hostname: String,
    /// Its image's name.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// What it runs, as words.
    pub command: Vec<String>,
    /// Its environment.
    pub environment: IndexMap<String, String>,
    /// Its ports that the host publishes: (container's, host's).
    pub published: Vec<(u16, u16)>,
    /// Whether it shares the host's network.
    pub on_host: bool,
    /// Its address in the project's network.
    pub address: Option<Ipv4Addr>,
    /// Where folders and files of the host appear in it: (host's, container's).
    pub mounts: Vec<(String, String)>,
}

/// The containers of a project, and the folder that it was started from.
#[derive(Debug, Clone, Default)]
pub struct Containers {
    /// The project's name.
    pub project: String,
    /// The folder.
    pub folder: Option<String>,
    /// The containers, in the order of their services' names.
    pub all: Vec<Found>,
}

/// Names and folders of all projects that have a container.
pub async fn projects(engine: &Engine) -> Result<BTreeMap<String, BTreeSet<String>>, EngineError> {
    let mut projects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for labels in labels_of(engine, PROJECT).await? {
        let Some(project) = labels.get(PROJECT) else { continue };
        let folders = projects.entry(project.clone()).or_default();
        folders.extend(labels.get(FOLDER).cloned());
    }
    Ok(projects)
}

/// The project that was started from a folder.
pub async fn project_in(engine: &Engine, dir: &Path) -> Result<String, AttachError> {
    let real = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let all = projects(engine).await?;
    let here = |folder: &String| std::fs::canonicalize(folder).is_ok_and(|folder| folder == real);
    let mut found: Vec<&String> =
        all.iter().filter(|(_, folders)| folders.iter().any(here)).map(|(name, _)| name).collect();
    match found.len() {
        0 => Err(not_there(&format!("the compose project in {}", dir.display()), &all)),
        1 => Ok(found.remove(0).clone()),
        _ => {
            let projects = found.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(AttachError::Several { dir: dir.to_owned(), projects })
        }
    }
}

/// The containers of a project; there is at least one.
pub async fn of_project(engine: &Engine, project: &str) -> Result<Containers, AttachError> {
    let mut found = Containers { project: project.to_owned(), ..Containers::default() };
    for labels in labels_of(engine, &format!("{PROJECT}={project}")).await? {
        let (Some(service), Some(id)) = (labels.get(SERVICE), labels.get("")) else { continue };
        if labels.get(ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            continue;
        }
        found.folder = labels.get(FOLDER).cloned().or(found.folder);
        // Of a service that was scaled the first container is the node.
        if found.all.iter().all(|other| other.service != *service) {
            found.all.push(meant(service, &engine.container(id).inspect().await?));
        }
    }
    if found.all.is_empty() {
        return Err(not_there(&format!("a compose project named {project}"), &projects(engine).await?));
    }
    found.all.sort_by(|a, b| a.service.cmp(&b.service));
    Ok(found)
}

fn not_there(project: &str, known: &BTreeMap<String, BTreeSet<String>>) -> AttachError {
    let names = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let known = if names.is_empty() { String::new() } else { format!("; projects with containers: {names}") };
    AttachError::NotThere { project: project.to_owned(), known }
}

/// The labels of every container with a label, and its id under the empty name.
async fn labels_of(engine: &Engine, label: &str) -> Result<Vec<HashMap<String, String>>, EngineError> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let listed = engine.docker().list_containers(Some(options)).await.map_err(engine.failed("list containers"))?;
    let with_id = |mut labels: HashMap<String, String>, id: String| {
        labels.insert(String::new(), id);
        labels
    };
    Ok(listed.into_iter().filter_map(|one| Some(with_id(one.labels?, one.id?))).collect())
}

fn meant(service: &str, found: &ContainerInspectResponse) -> Found {
    let config = found.config.clone().unwrap_or_default();
    let host = found.host_config.clone().unwrap_or_default();
    let network = found.network_settings.clone().unwrap_or_default();
    let address = |text: &String| text.parse().ok();
    let networks = network.networks.unwrap_or_default();
    let mounts =
        found.mounts.iter().flatten().filter_map(|mount| Some((mount.source.clone()?, mount.destination.clone()?)));
    let variables = config.env.iter().flatten().filter_map(|pair| pair.split_once('='));
    Found {
        service: service.to_owned(),
        container: found.name.clone().unwrap_or_default().trim_start_matches('/').to_owned(),
        hostname: config.hostname.unwrap_or_default(),
        image: config.image.unwrap_or_default(),
        running: found.state.as_ref().and_then(|state| state.running) == Some(true),
        command: found.path.iter().chain(found.args.iter().flatten()).cloned().collect(),
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        published: ports(network.ports.as_ref(), host.port_bindings.as_ref()),
        on_host: host.network_mode.as_deref() == Some("host"),
        address: networks.values().find_map(|network| network.ip_address.as_ref().and_then(address)),
        mounts: mounts.collect(),
    }
}

/// The ports that are bound now; of a container that does not run, those that it asks for.
fn ports(bound: Option<&PortMap>, asked: Option<&PortMap>) -> Vec<(u16, u16)> {
    let mut ports = BTreeMap::new();
    for map in [asked, bound].into_iter().flatten() {
        for (port, bindings) in map {
            let Some(inner) = port.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else { continue };
            let hosts = bindings.iter().flatten().filter_map(|binding| binding.host_port.as_ref()?.parse().ok());
            for host in hosts.filter(|host| *host != 0) {
                ports.insert(inner, host);
            }
        }
    }
    ports.into_iter().collect()
}

impl Found {
    /// Where a port of it is reached from this machine: a published one, or its own address on this machine's engine.
    pub fn endpoint(&self, engine: &Engine, port: u16) -> Option<SocketAddr> {
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let machine = match engine.address().is_here() {
            true => here,
            false => (engine.address().machine(), 0).to_socket_addrs().ok()?.next()?.ip(),
        };
        if self.on_host {
            return Some((machine, port).into());
        }
        let published =
            self.published.iter().find(|(inner, _)| *inner == port).map(|(_, host)| (machine, *host).into());
        published.or_else(|| self.address.filter(|_| machine == here).map(|address| (address, port).into()))
    }

    /// A file in it, also where it does not run.
    pub async fn file(&self, engine: &Engine, path: &str) -> Option<String> {
        engine.container(&self.container).file(path).await
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::PortBinding;

    use super::*;

    fn map(port: &str, host: &str) -> PortMap {
        let binding = PortBinding { host_ip: Some("0.0.0.0".into()), host_port: Some(host.into()) };
        HashMap::from([(port.to_owned(), Some(vec![binding]))])
    }

    #[test]
    fn a_port_that_is_bound_wins_over_one_that_is_asked_for() {
        assert_eq!(ports(Some(&map("5432/tcp", "49153")), Some(&map("5432/tcp", "0"))), [(5432, 49153)]);
        assert_eq!(ports(None, Some(&map("5432/tcp", "5433"))), [(5432, 5433)]);
        assert_eq!(ports(Some(&map("53/udp", "53")), None), []);
    }

    #[test]
    fn a_container_is_read_from_what_the_engine_tells() {
        let told = serde_json::json!({
            "Name": "/pg-master", "Path": "docker-entrypoint.sh", "Args": ["patroni", "/postgres0.yml"],
            "State": {"Running": true}, "Image": "sha256:1",
            "Config": {"Hostname": "pg-master", "Image": "mine", "Env": ["PATRONI_NAME=postgresql0", "EMPTY="]},
            "HostConfig": {"NetworkMode": "lab_default", "PortBindings": {"5432/tcp": [{"HostIp": "", "HostPort": "5433"}]}},
            "NetworkSettings": {"Ports": {}, "Networks": {"lab_default": {"IPAddress": "172.18.0.3"}}},
            "Mounts": [{"Type": "bind", "Source": "/w/x.yml", "Destination": "/x.yml"}],
        });
        let found = meant("pg0", &serde_json::from_value(told).unwrap());
        assert_eq!((found.container.as_str(), found.running, found.on_host), ("pg-master", true, false));
        assert_eq!(found.command.join(" "), "docker-entrypoint.sh patroni /postgres0.yml");
        assert_eq!(found.environment["PATRONI_NAME"], "postgresql0");
        assert_eq!((found.published, found.address), (vec![(5432, 5433)], Some(Ipv4Addr::new(172, 18, 0, 3))));
        assert_eq!(found.mounts, [("/w/x.yml".to_owned(), "/x.yml".to_owned())]);
    }
}
