//! What a cluster was made from: the project's files in its folder, and where there is none, or where they were changed
//! since, what lies in the containers.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::AttachError;
use super::containers::{Containers, Found};
use crate::engine::Engine;
use crate::import::{Submission, is_patroni, read_files};
use crate::lab::diagnostic::File;
use crate::lab::model::Text;
use crate::topology::ConfigFile;

/// Where HAProxy's official image looks for its configuration.
const HAPROXY: &str = "/usr/local/etc/haproxy/haproxy.cfg";
/// The variables that say something about a node.
const TELLING: [&str; 4] = ["PATRONI_", "ZOOKEEPER_", "ZOO_", "POSTGRES_"];

/// A project's files, understood.
#[derive(Debug, Clone)]
pub struct Files {
    /// As they are in force: what the containers have wins.
    pub submission: Submission,
    /// As their author has them, for the report and the control questions.
    pub project: Vec<ConfigFile>,
    /// What there is to say about them.
    pub notes: Vec<Text>,
}

/// Reads them. `folder` is the project's, where it is known.
pub async fn read(engine: &Engine, containers: &Containers, folder: Option<&Path>) -> Result<Files, AttachError> {
    let on_disk = folder.map(read_files).and_then(Result::ok).map(|(files, _)| files).unwrap_or_default();
    let mut files = on_disk;
    let mut notes = Vec::new();
    if Submission::of(&files).project.compose.is_none() {
        files = vec![Arc::new(File { name: "docker-compose.yml".to_owned(), text: told(&containers.all) })];
        notes.push(Text::Each {
            ru: "файлов проекта здесь нет: состав узлов взят из самих контейнеров".to_owned(),
            en: "the project's files are not here: what the nodes are was read from the containers".to_owned(),
        });
    }
    let mut in_force = files.clone();
    for found in &containers.all {
        for path in configurations(found) {
            let Some(text) = found.file(engine, &path).await else { continue };
            take(&mut files, &mut in_force, &found.service, &path, text, &mut notes);
        }
    }
    let mut submission = Submission::of(&in_force);
    if let Some(finding) = submission.broken.first().filter(|_| !submission.is_whole()) {
        return Err(Box::new(finding.clone()).into());
    }
    with_environment(&mut submission, containers);
    let project = files.iter().map(|file| ConfigFile {
        path: file.name.clone(),
        content: file.text.clone(),
        secret: is_patroni(&file.text),
    });
    Ok(Files { submission, project: project.collect(), notes })
}

/// The paths of configurations in a container, by what it runs.
fn configurations(found: &Found) -> Vec<String> {
    let runs = |program: &str| {
        found.image.to_lowercase().contains(program) || found.command.iter().any(|word| word.ends_with(program))
    };
    let ends = |word: &&String, endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    if found.command.iter().any(|word| word.ends_with("patroni")) {
        return found.command.iter().filter(|word| ends(word, &[".yml", ".yaml"])).cloned().collect();
    }
    if runs("haproxy") {
        let told: Vec<String> = found.command.iter().filter(|word| ends(word, &[".cfg"])).cloned().collect();
        return if told.is_empty() { vec![HAPROXY.to_owned()] } else { told };
    }
    Vec::new()
}

/// What a container has, beside what the folder has: the same, another version, or something new.
fn take(
    files: &mut Vec<Arc<File>>,
    in_force: &mut Vec<Arc<File>>,
    service: &str,
    path: &str,
    text: String,
    notes: &mut Vec<Text>,
) {
    let submission = Submission::of(files);
    let member = submission.member_of(service).map(|member| member.file.name.clone());
    let proxy = submission.proxies.iter().find(|(_, runs)| runs.as_ref().is_some_and(|runs| runs.name == service));
    let known = member.or_else(|| proxy.map(|(haproxy, _)| haproxy.file.name.clone()));
    match known.and_then(|name| in_force.iter_mut().find(|file| file.name == name)) {
        Some(file) if file.text == text => {}
        Some(file) => {
            notes.push(differs(&file.name, service));
            *file = Arc::new(File { name: file.name.clone(), text });
        }
        None => {
            let base = path.rsplit('/').next().unwrap_or(path);
            let taken = files.iter().any(|file| file.name == base);
            let name = if taken { format!("{service}-{base}") } else { base.to_owned() };
            let file = Arc::new(File { name, text });
            files.push(Arc::clone(&file));
            in_force.push(file);
        }
    }
}

fn differs(file: &str, service: &str) -> Text {
    Text::Each {
        ru: format!(
            "{file} в папке не тот, что в контейнере {service}: файл изменён после сборки образа; проверяется то, что в \
             контейнере. Чтобы изменения вступили в силу: docker compose up -d --build"
        ),
        en: format!(
            "{file} in the folder is not the one in the container of {service}: it was edited after the image was built; \
             what is in the container is verified. For the changes to apply: docker compose up -d --build"
        ),
    }
}

/// What is set in the containers wins over what the compose file says: it may take variables from elsewhere.
fn with_environment(submission: &mut Submission, containers: &Containers) {
    let of_members = submission.members.iter_mut().filter_map(|member| member.service.as_mut());
    let of_proxies = submission.proxies.iter_mut().filter_map(|(_, service)| service.as_mut());
    for service in of_members.chain(submission.zookeepers.iter_mut()).chain(of_proxies) {
        if let Some(found) = containers.all.iter().find(|found| found.service == service.name) {
            service.environment.extend(found.environment.clone());
        }
    }
}

/// The containers as a compose file, which may be written in JSON.
fn told(all: &[Found]) -> String {
    let service = |found: &Found| {
        let variables =
            found.environment.iter().filter(|(name, _)| TELLING.iter().any(|start| name.starts_with(start)));
        let environment: serde_json::Map<String, Value> = variables.map(|(k, v)| (k.clone(), json!(v))).collect();
        let ports: Vec<String> = found.published.iter().map(|(inner, host)| format!("{host}:{inner}")).collect();
        json!({
            "image": found.image, "container_name": found.container, "hostname": found.hostname,
            "command": found.command, "environment": environment, "ports": ports,
        })
    };
    let services: serde_json::Map<String, Value> = all.iter().map(|one| (one.service.clone(), service(one))).collect();
    serde_json::to_string_pretty(&json!({ "services": services })).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(service: &str, image: &str, command: &[&str]) -> Found {
        Found {
            service: service.to_owned(),
            container: format!("c-{service}"),
            image: image.to_owned(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            ..Found::default()
        }
    }

    const YAML: &str = "scope: c\nname: a\nrestapi:\n  listen: 0.0.0.0:8008\npostgresql:\n  listen: 0.0.0.0:5432\n";

    #[test]
    fn configurations_are_where_the_commands_say() {
        assert_eq!(configurations(&found("a", "mine", &["docker-entrypoint.sh", "patroni", "/p.yml"])), ["/p.yml"]);
        assert_eq!(configurations(&found("b", "haproxy:2.4", &["haproxy", "-f", "/x/h.cfg"])), ["/x/h.cfg"]);
        assert_eq!(configurations(&found("b", "haproxy:2.4", &["haproxy"])), [HAPROXY]);
        assert_eq!(configurations(&found("z", "zookeeper", &["/etc/confluent/docker/run"])), Vec::<String>::new());
    }

    #[test]
    fn containers_alone_are_understood_like_a_compose_file() {
        let mut zoo = found("keeper", "confluentinc/cp-zookeeper:7.7.1", &["run"]);
        zoo.environment.insert("ZOOKEEPER_CLIENT_PORT".to_owned(), "2181".to_owned());
        let all =
            [zoo, found("one", "mine", &["entry", "patroni", "/p0.yml"]), found("lb", "haproxy:2.4", &["haproxy"])];
        let mut files = vec![Arc::new(File { name: "docker-compose.yml".to_owned(), text: told(&all) })];
        let mut in_force = files.clone();
        let mut notes = Vec::new();
        let cfg = "listen pg\n  bind *:5000\n  server one one:5432 check port 8008\n";
        take(&mut files, &mut in_force, "one", "/p0.yml", YAML.to_owned(), &mut notes);
        take(&mut files, &mut in_force, "lb", HAPROXY, cfg.to_owned(), &mut notes);
        let submission = Submission::of(&in_force);
        assert_eq!(submission.members[0].service.as_ref().unwrap().name, "one");
        assert_eq!(submission.zookeepers[0].name, "keeper");
        assert_eq!(submission.proxies[0].1.as_ref().unwrap().name, "lb");
        assert!(notes.is_empty());
    }

    #[test]
    fn a_file_that_was_edited_after_the_build_is_told_and_the_containers_version_counts() {
        let compose = "services:\n  one:\n    build: .\n    command: patroni /p0.yml\n";
        let file = |name: &str, text: &str| Arc::new(File { name: name.to_owned(), text: text.to_owned() });
        let docker = file("Dockerfile", "FROM postgres:15\nCOPY p0.yml /p0.yml\n");
        let mut files = vec![docker, file("docker-compose.yml", compose), file("p0.yml", YAML)];
        let mut in_force = files.clone();
        let mut notes = Vec::new();
        take(&mut files, &mut in_force, "one", "/p0.yml", YAML.to_owned(), &mut notes);
        assert!(notes.is_empty());
        take(&mut files, &mut in_force, "one", "/p0.yml", YAML.replace("name: a", "name: b"), &mut notes);
        assert!(
            notes[0]
                .get(crate::lab::model::Lang::En)
                .starts_with("p0.yml in the folder is not the one in the container of one")
        );
        assert_eq!(Submission::of(&in_force).members[0].name().as_deref(), Some("b"));
        assert_eq!(Submission::of(&files).members[0].name().as_deref(), Some("a"));
    }
}
