//! What the files of a compose project say, as facts: which services build an image, which file reaches a container
//! by which way, which port stands under `ports` and which under `expose`, each with the line where it says so.
//!
//! The control questions are answered from these, so that an answer is about this project and not out of a book.

mod compose;
mod dockerfile;
mod patroni;

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

pub use compose::{Need, Port, PortDirective, Service, Volume};
pub use dockerfile::Dockerfile;
pub use patroni::Patroni;

use crate::lab::diagnostic::File;
use crate::lab::yaml;
use crate::topology::ConfigFile;

/// A compose project.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Project {
    /// The compose file's path; none when the project has none that can be read.
    pub compose: Option<String>,
    /// Its services, in order.
    pub services: Vec<Service>,
    /// The Dockerfiles that services are built from.
    pub dockerfiles: Vec<Dockerfile>,
    /// The other files, and how each reaches a container.
    pub files: Vec<ProjectFile>,
}

/// A file of the project that is neither the compose file nor a Dockerfile.
#[derive(Debug, Clone, Serialize)]
pub struct ProjectFile {
    /// Its path.
    pub path: String,
    /// How it gets into a container.
    pub reaches: Reach,
    /// The Dockerfile or compose file that says so, and the line; none for [`Reach::Nowhere`].
    pub at: Option<Place>,
    /// The services that see it.
    pub services: Vec<String>,
    /// Where it lies in the container.
    pub target: Option<String>,
    /// What it says, where it is a Patroni configuration.
    pub patroni: Option<Patroni>,
}

/// How a file of the project gets into a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// COPYed into an image when that is built.
    Copied,
    /// Mounted as a volume when a container is created.
    Mounted,
    /// Neither.
    Nowhere,
}

/// A place in a file of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The bytes.
    #[serde(skip)]
    pub span: Range<usize>,
}

impl Place {
    fn of(file: &File, span: &Range<usize>) -> Place {
        Place { file: file.name.clone(), line: file.position(span.start).0, span: span.clone() }
    }
}

/// The names of a compose file, the first that there is counts (Compose specification, "Compose file").
pub const COMPOSE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

impl Project {
    /// Reads a project. What cannot be read is left out: an answer that would stand on it is then not given.
    pub fn read(files: &[ConfigFile]) -> Project {
        let Some(compose_file) = COMPOSE_NAMES.iter().find_map(|name| files.iter().find(|file| file.path == *name))
        else {
            return Project::default();
        };
        let source = Arc::new(File { name: compose_file.path.clone(), text: compose_file.content.clone() });
        let services = yaml::parse(&source).map(|tree| compose::services(&source, &tree)).unwrap_or_default();
        let mut dockerfiles = Vec::<Dockerfile>::new();
        for service in &services {
            let Some(path) = &service.dockerfile else { continue };
            if dockerfiles.iter().all(|known| known.path != *path)
                && let Some(file) = files.iter().find(|file| file.path == *path)
            {
                dockerfiles.push(dockerfile::read(&File { name: path.clone(), text: file.content.clone() }));
            }
        }
        let others = files
            .iter()
            .filter(|file| file.path != compose_file.path && dockerfiles.iter().all(|known| known.path != file.path))
            .map(|file| ProjectFile {
                patroni: patroni::read(&file.content),
                ..reach(&file.path, &services, &dockerfiles)
            })
            .collect();
        Project { compose: Some(compose_file.path.clone()), services, dockerfiles, files: others }
    }

    /// The service that runs the node of that name: by its own name, its host name or its container's.
    pub fn service(&self, node: &str) -> Option<&Service> {
        self.services.iter().find(|service| {
            service.name == node
                || service.hostname.as_deref() == Some(node)
                || service.container_name.as_deref() == Some(node)
        })
    }
}

/// A mount wins over a copy: it covers what lies in the image.
fn reach(path: &str, services: &[Service], dockerfiles: &[Dockerfile]) -> ProjectFile {
    let mut mounts = services.iter().filter_map(|service| service.mount_of(path).map(|volume| (service, volume)));
    if let Some((first, volume)) = mounts.next() {
        let services =
            std::iter::once(first.name.clone()).chain(mounts.map(|(service, _)| service.name.clone())).collect();
        return ProjectFile {
            path: path.to_owned(),
            reaches: Reach::Mounted,
            at: Some(volume.at.clone()),
            services,
            target: Some(volume.target.clone()),
            patroni: None,
        };
    }
    for dockerfile in dockerfiles {
        let Some(copy) = dockerfile.copy_of(path) else { continue };
        let built = services.iter().filter(|service| service.dockerfile.as_deref() == Some(dockerfile.path.as_str()));
        return ProjectFile {
            path: path.to_owned(),
            reaches: Reach::Copied,
            at: Some(copy.at.clone()),
            services: built.map(|service| service.name.clone()).collect(),
            target: Some(copy.target.clone()),
            patroni: None,
        };
    }
    let (reaches, services) = (Reach::Nowhere, Vec::new());
    ProjectFile { path: path.to_owned(), reaches, at: None, services, target: None, patroni: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> ConfigFile {
        ConfigFile { path: path.to_owned(), content: content.to_owned(), secret: false }
    }

    const COMPOSE: &str = "\
services:
  pg:
    build: .
    image: mine
    volumes:
      - ./b.yml:/b.yml:ro
  proxy:
    image: haproxy:2.4
    volumes:
      - ./haproxy.cfg:/etc/haproxy.cfg:ro
";

    #[test]
    fn each_file_is_followed_into_its_container() {
        let project = Project::read(&[
            file("Dockerfile", "FROM postgres:15\nCOPY *.yml /\n"),
            file("docker-compose.yml", COMPOSE),
            file("a.yml", ""),
            file("b.yml", ""),
            file("haproxy.cfg", ""),
            file("notes.txt", ""),
        ]);
        let told: Vec<_> = project
            .files
            .iter()
            .map(|file| (file.path.as_str(), file.reaches, file.at.as_ref().map(|at| (at.file.as_str(), at.line))))
            .collect();
        assert_eq!(
            told,
            [
                ("a.yml", Reach::Copied, Some(("Dockerfile", 2))),
                ("b.yml", Reach::Mounted, Some(("docker-compose.yml", 6))),
                ("haproxy.cfg", Reach::Mounted, Some(("docker-compose.yml", 10))),
                ("notes.txt", Reach::Nowhere, None),
            ]
        );
        assert_eq!(project.files[0].services, ["pg"]);
        assert_eq!(project.files[0].target.as_deref(), Some("/a.yml"));
    }

    #[test]
    fn a_project_without_a_compose_file_says_nothing() {
        let project = Project::read(&[file("Dockerfile", "FROM postgres:15\n")]);
        assert!(project.compose.is_none() && project.services.is_empty() && project.files.is_empty());
    }
}
