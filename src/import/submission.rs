//! A project understood: which service is what, by what it runs and not by what it is called.

use std::sync::Arc;

use super::haproxy::{self, Haproxy};
use super::member::{self, Member};
use super::project::{COMPOSE_NAMES, Project, ProjectFile, Reach, Service};
use super::restore;
use crate::lab::diagnostic::{Code, Diagnostic, File};
use crate::lab::yaml::{self, Node};
use crate::topology::ConfigFile;

/// A project.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    /// What its files say about each other.
    pub project: Project,
    /// The compose file, where there is one that can be read.
    pub compose: Option<Arc<File>>,
    /// The nodes of Patroni.
    pub members: Vec<Member>,
    /// The proxies, with the services that run them.
    pub proxies: Vec<(Haproxy, Option<Service>)>,
    /// The services that are ZooKeeper.
    pub zookeepers: Vec<Service>,
    /// Configurations of Patroni that no service runs.
    pub unused: Vec<Arc<File>>,
    /// Files that cannot be used as they are.
    pub broken: Vec<Diagnostic>,
}

impl Submission {
    /// Understands the files of a folder.
    pub fn of(files: &[Arc<File>]) -> Submission {
        let mut broken = Vec::new();
        let mut trees: Vec<(Arc<File>, Node)> = Vec::new();
        for file in files.iter().filter(|file| is_compose(file) || is_yaml(file) && member::is_one(&file.text)) {
            match restore::lost(file) {
                Some(finding) => broken.push(finding),
                None => match yaml::parse(file) {
                    Ok(tree) => trees.push((Arc::clone(file), tree)),
                    Err(finding) => broken.push(restore::with_likely_original(file, finding)),
                },
            }
        }
        let plain =
            |file: &Arc<File>| ConfigFile { path: file.name.clone(), content: file.text.clone(), secret: false };
        let project = Project::read(&files.iter().map(plain).collect::<Vec<_>>());
        let compose = project.compose.as_ref().and_then(|name| trees.iter().find(|(file, _)| file.name == *name));
        let compose = compose.map(|(file, _)| Arc::clone(file));
        let configs: Vec<_> = trees.into_iter().filter(|(file, _)| !is_compose(file)).collect();
        let (members, unused) = members(&project, configs);
        let proxies = files.iter().filter(|file| file.name.ends_with(".cfg") && haproxy::is_one(&file.text));
        let proxies = proxies.map(|file| (haproxy::read(file), runs(&project, &file.name, is_haproxy))).collect();
        let zookeepers = project.services.iter().filter(|service| is_zookeeper(service)).cloned().collect();
        Submission { project, compose, members, proxies, zookeepers, unused, broken }
    }

    /// The service that a host name leads to, on the project's network.
    pub fn service_at(&self, host: &str) -> Option<&Service> {
        self.project.service(host)
    }

    /// The member that a service runs.
    pub fn member_of(&self, service: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.service.as_ref().is_some_and(|runs| runs.name == service))
    }

    /// Something is too broken for anything else to be judged: what follows from it must not be blamed on others.
    pub fn is_whole(&self) -> bool {
        self.broken.iter().all(|finding| finding.code == Code::TooLarge)
    }
}

fn is_compose(file: &File) -> bool {
    COMPOSE_NAMES.contains(&file.name.as_str())
}

fn is_yaml(file: &File) -> bool {
    file.name.ends_with(".yml") || file.name.ends_with(".yaml")
}

fn is_zookeeper(service: &Service) -> bool {
    let image = service.image.as_deref().unwrap_or_default().to_lowercase();
    image.contains("zookeeper") || service.environment.keys().any(|key| key.starts_with("ZOOKEEPER_"))
}

fn is_haproxy(service: &Service) -> bool {
    service.image.as_deref().unwrap_or_default().to_lowercase().contains("haproxy")
}

/// The service that a file reaches; where none says so, the one of that kind.
fn runs(project: &Project, path: &str, kind: impl Fn(&Service) -> bool) -> Option<Service> {
    let reached = project.files.iter().find(|file| file.path == path && file.reaches != Reach::Nowhere);
    let by_file = reached.and_then(|file| project.service(file.services.first()?));
    by_file.or_else(|| project.services.iter().find(|service| kind(service))).cloned()
}

/// Each service with the configuration that its command names; then configurations whose own address names a service.
fn members(project: &Project, configs: Vec<(Arc<File>, Node)>) -> (Vec<Member>, Vec<Arc<File>>) {
    let mut members = Vec::new();
    let mut left = configs.clone();
    for service in &project.services {
        let config = |fits: &dyn Fn(&str, &str) -> bool| {
            let words = service.command.iter().filter(|word| word.ends_with(".yml") || word.ends_with(".yaml"));
            words
                .flat_map(|word| configs.iter().map(move |config| (word, config)))
                .find_map(|(word, config)| fits(&config.0.name, word).then_some(config))
        };
        // Where no file lies at the path that is named, one of that name is meant; that it is not there is told.
        let named = config(&|path, word| lies_at(&project.files, &service.name, path, word))
            .or_else(|| config(&|path, word| file_name(path) == file_name(word)));
        if let Some((file, tree)) = named {
            left.retain(|(other, _)| other.name != file.name);
            members.push(Member { file: Arc::clone(file), tree: tree.clone(), service: Some(service.clone()) });
        }
    }
    let mut unused = Vec::new();
    for (file, tree) in left {
        let alone = Member { file, tree, service: None };
        let host = alone.connect("restapi").or_else(|| alone.connect("postgresql")).map(|(host, _)| host);
        let service = host.and_then(|host| project.service(&host)).filter(|service| {
            service.command.is_empty()
                && !members.iter().any(|m: &Member| m.service.as_ref().is_some_and(|s| s.name == service.name))
        });
        match (service, project.compose.is_some()) {
            (Some(service), _) => members.push(Member { service: Some(service.clone()), ..alone }),
            // Without a compose file the configurations are all there is.
            (None, false) => members.push(alone),
            (None, true) => unused.push(alone.file),
        }
    }
    (members, unused)
}

/// Whether a file of the project lies at a path in a service's container.
fn lies_at(files: &[ProjectFile], service: &str, path: &str, word: &str) -> bool {
    let file = files.iter().find(|file| file.path == path && file.services.iter().any(|name| name == service));
    let target = file.and_then(|file| file.target.as_deref());
    // Of a folder that is mounted, the target is the folder's.
    target.is_some_and(|target| {
        target == word
            || (word.starts_with(&format!("{}/", target.trim_end_matches('/'))) && file_name(path) == file_name(word))
    })
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
