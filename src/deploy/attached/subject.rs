//! What can be tried of somebody's own project: the first postgres node whose image it builds itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::deploy::trial::Subject;
use crate::deploy::{Deployment, Place};
use crate::import::project::{Project, Reach, Service};
use crate::lab::model::Text;
use crate::topology;

/// How the image is built.
#[derive(Debug, PartialEq, Eq)]
pub struct Build {
    /// The context's folder.
    pub dir: PathBuf,
    /// The build's arguments.
    pub args: HashMap<String, String>,
}

/// What is tried, and how its image is built; or why nothing can be.
pub fn of(deployment: &Deployment) -> Result<(Subject, Build), Text> {
    let folder = match &deployment.place {
        Place::Attached(place) => place.folder.clone().ok_or_else(no_folder)?,
        _ => return Err(elsewhere()),
    };
    let project = Project::read(&deployment.plan.project);
    let is_database = |name: &str| {
        let node = deployment.node(name);
        node.is_some_and(|node| matches!(node.service, topology::Service::Postgres { .. }))
    };
    let mut built = project.services.iter().filter(|service| service.build.is_some() && is_database(&service.name));
    let service = built.next().ok_or_else(nothing_built)?;
    let context = service.context.clone().unwrap_or_else(|| ".".to_owned());
    if context.contains("://") || context.starts_with('/') || context.split('/').any(|part| part == "..") {
        return Err(outside(&context));
    }
    let dir = folder.join(&context);
    // A link within the folder may lead out of it.
    if is_elsewhere(&dir, &folder) {
        return Err(outside(&context));
    }
    if let Some((name, _)) = service.build_args.iter().find(|(_, value)| value.contains('$')) {
        return Err(variable(name));
    }
    let inside = |path: &str| match context.as_str() {
        "." => path.to_owned(),
        context => path.strip_prefix(&format!("{context}/")).unwrap_or(path).to_owned(),
    };
    let subject = Subject {
        node: service.name.clone(),
        image: service.image.clone().unwrap_or_else(|| service.name.clone()),
        dockerfile: inside(service.dockerfile.as_deref().unwrap_or("Dockerfile")),
        config: config(&project, service).map(|(path, target)| (inside(&path), target)),
        always_built: service.pull_policy.as_deref() == Some("build"),
    };
    let args = service.build_args.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok((subject, Build { dir, args }))
}

fn is_elsewhere(dir: &Path, folder: &Path) -> bool {
    match (dir.canonicalize(), folder.canonicalize()) {
        (Ok(dir), Ok(folder)) => !dir.starts_with(folder),
        // What is not there is told by whoever reads it.
        _ => false,
    }
}

/// The configuration that the image holds: the one that the service's command names, else the first.
fn config(project: &Project, service: &Service) -> Option<(String, String)> {
    let copied = project.files.iter().filter(|file| {
        file.patroni.is_some() && file.reaches == Reach::Copied && file.services.contains(&service.name)
    });
    let copied: Vec<_> = copied.filter_map(|file| Some((file.path.clone(), file.target.clone()?))).collect();
    let named = copied.iter().find(|(_, target)| service.command.contains(target));
    named.or(copied.first()).cloned()
}

/// A cluster without an engine.
pub fn elsewhere() -> Text {
    both("кластер работает не в контейнерах", "the cluster does not run in containers")
}

fn no_folder() -> Text {
    both("папки проекта здесь нет: копировать нечего", "the project's folder is not here: there is nothing to copy")
}

fn nothing_built() -> Text {
    both("проект не собирает образов с PostgreSQL", "the project builds no image with PostgreSQL")
}

fn outside(context: &str) -> Text {
    both(
        format!("образ собирается из {context}, это вне папки проекта"),
        format!("the image is built from {context}, which is outside of the project's folder"),
    )
}

fn variable(name: &str) -> Text {
    both(
        format!("аргумент сборки {name} берётся из переменной, её значение неизвестно"),
        format!("the build's argument {name} comes from a variable, whose value is not known"),
    )
}

fn both(ru: impl Into<String>, en: impl Into<String>) -> Text {
    Text::Each { ru: ru.into(), en: en.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_does_not_lead_out_of_the_folder() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("inside")).unwrap();
        std::os::unix::fs::symlink("inside", folder.path().join("near")).unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join("far")).unwrap();
        let found = |name: &str| is_elsewhere(&folder.path().join(name), folder.path());
        assert_eq!(["inside", ".", "near", "far", "none"].map(found), [false, false, false, true, false]);
    }
}
