//! A compose project as a cluster: its files say what each service is, its containers where it is reached.

use std::path::Path;

use super::cluster::{Cluster, Member};
use super::containers::{Containers, Found};
use super::files::Files;
use super::{AttachError, files, proxy};
use crate::deploy::Over;
use crate::engine::Engine;
use crate::import::{self, Submission};
use crate::lab::model::{AgentKind, Text, Topology};
use crate::observe::haproxy::Page;
use crate::topology::{Credentials, Service};

/// What a project's name may become as a deployment's.
const LONGEST: usize = 40;

/// Understands a project whose containers are there.
pub async fn understand(
    engine: &Engine,
    containers: &Containers,
    folder: Option<&Path>,
) -> Result<Cluster, AttachError> {
    let Files { submission, project, mut notes } = files::read(engine, containers, folder).await?;
    let mut nodes = Vec::new();
    let mut page = Page::default();
    for service in &submission.project.services {
        let found = containers.all.iter().find(|found| found.service == service.name);
        let Some((meant, own_page)) = meant(&submission, &service.name) else { continue };
        let found = found.ok_or_else(|| AttachError::NoContainer { service: service.name.clone() })?;
        if !found.running {
            notes.push(stopped(&service.name, &found.container));
        }
        nodes.push(node(engine, found, meant)?);
        page = own_page.unwrap_or(page);
    }
    Ok(Cluster {
        name: name(&containers.project),
        scope: text(&submission, &["scope"]).unwrap_or_else(|| "batman".to_owned()),
        namespace: namespace(&submission),
        credentials: credentials(&submission),
        nodes,
        topology: topology(&submission),
        project,
        folder: folder.and_then(|folder| std::path::absolute(folder).ok()),
        over: Over::Engine(engine.address().clone()),
        page,
        notes,
    })
}

/// What a service is, with the ports in its container; and how the page is asked, of a proxy.
fn meant(submission: &Submission, service: &str) -> Option<(Service, Option<Page>)> {
    if let Some(member) = submission.member_of(service) {
        let name = member.name().unwrap_or_else(|| service.to_owned());
        let (sql_port, rest_port) = (member.sql_port(), member.rest_port());
        return Some((Service::Postgres { member: name, agent: AgentKind::Patroni, sql_port, rest_port }, None));
    }
    if let Some(zoo) = submission.zookeepers.iter().find(|zoo| zoo.name == service) {
        return Some((Service::Zookeeper { client_port: import::client_port(zoo) }, None));
    }
    let runs = |of: &Option<import::project::Service>| of.as_ref().is_some_and(|of| of.name == service);
    let (haproxy, _) = submission.proxies.iter().find(|(_, of)| runs(of))?;
    let ways = proxy::ways(haproxy, submission)?;
    // Without a statistics page there is no port: 0 says so.
    Some((Service::Haproxy { sql_port: ways.entry, stats_port: ways.stats.unwrap_or(0) }, Some(ways.page)))
}

fn node(engine: &Engine, found: &Found, service: Service) -> Result<Member, AttachError> {
    let way = |port: u16, what: &'static str| {
        let node = found.service.clone();
        found.endpoint(engine, port).ok_or(AttachError::NoWay { node, port, what })
    };
    let (main, side) = match &service {
        Service::Zookeeper { client_port } => (way(*client_port, "ZooKeeper")?, None),
        Service::Postgres { sql_port, rest_port, .. } => {
            (way(*sql_port, "PostgreSQL")?, Some(way(*rest_port, "Patroni's REST API")?))
        }
        Service::Haproxy { sql_port, stats_port: 0 } => (way(*sql_port, "HAProxy's entry point")?, None),
        Service::Haproxy { sql_port, stats_port } => {
            (way(*sql_port, "HAProxy's entry point")?, Some(way(*stats_port, "HAProxy's statistics")?))
        }
    };
    Ok(Member {
        name: found.service.clone(),
        service,
        main,
        side,
        address: found.address,
        published: found.published.iter().map(|(inner, host)| (*host, *inner)).collect(),
        container: Some(found.container.clone()),
    })
}

fn stopped(service: &str, container: &str) -> Text {
    Text::Each {
        ru: format!("{service} не работает: контейнер {container} остановлен (docker logs {container})"),
        en: format!("{service} does not run: the container {container} is stopped (docker logs {container})"),
    }
}

/// A project's name as a deployment's: compose allows a few letters more.
fn name(project: &str) -> String {
    let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = project.to_lowercase().chars().map(fits).take(LONGEST).collect();
    name.trim_start_matches('-').to_owned()
}

/// A setting of the first member that has it: what is one for the whole cluster.
fn text(submission: &Submission, path: &[&str]) -> Option<String> {
    submission.members.iter().find_map(|member| member.text(path))
}

fn namespace(submission: &Submission) -> String {
    let set = text(submission, &["namespace"]).map(|text| text.trim_matches('/').to_owned());
    set.filter(|text| !text.is_empty()).unwrap_or_else(|| "service".to_owned())
}

fn credentials(submission: &Submission) -> Credentials {
    let read = |user: &str, key: &str| text(submission, &["postgresql", "authentication", user, key]);
    // Where Patroni knows no password, the image's may be the one that initdb was given.
    let of_image = submission.members.iter().find_map(|member| {
        member.service.as_ref().and_then(|service| service.environment.get("POSTGRES_PASSWORD").cloned())
    });
    let rest = |key: &str| text(submission, &["restapi", "authentication", key]);
    Credentials {
        superuser: read("superuser", "username").unwrap_or_else(|| "postgres".to_owned()),
        superuser_password: read("superuser", "password").or(of_image).unwrap_or_default(),
        replication: read("replication", "username").unwrap_or_else(|| "replicator".to_owned()),
        replication_password: read("replication", "password").unwrap_or_default(),
        rest: rest("username").zip(rest("password")),
    }
}

/// The project's nodes and settings as a lab writes them. Settings that a lab could not have are left out: what is in
/// force is asked of the cluster itself.
fn topology(submission: &Submission) -> Topology {
    let told = import::topology(submission, &mut Vec::new());
    let bare = |mut told: serde_json::Value| {
        told["defaults"] = serde_json::json!({});
        serde_json::from_value(told)
    };
    let empty = || Topology { defaults: Default::default(), network: Default::default(), nodes: Default::default() };
    serde_json::from_value(told.clone()).or_else(|_| bare(told)).unwrap_or_else(|_| empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Submission {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects/reference");
        import::read(&dir).unwrap()
    }

    #[test]
    fn each_service_is_what_it_runs() {
        let submission = reference();
        let kind = |name: &str| meant(&submission, name).map(|(service, _)| service);
        assert_eq!(kind("zoo"), Some(Service::Zookeeper { client_port: 2181 }));
        let member = "postgresql1".to_owned();
        let agent = AgentKind::Patroni;
        assert_eq!(kind("pg-slave"), Some(Service::Postgres { member, agent, sql_port: 5432, rest_port: 8008 }));
        assert_eq!(kind("haproxy"), Some(Service::Haproxy { sql_port: 5432, stats_port: 7000 }));
        assert_eq!(kind("other"), None);
    }

    #[test]
    fn names_users_and_settings_are_those_of_the_files() {
        let submission = reference();
        assert_eq!(
            (text(&submission, &["scope"]).as_deref(), namespace(&submission).as_str()),
            (Some("my_cluster"), "service")
        );
        let credentials = credentials(&submission);
        assert_eq!((credentials.superuser.as_str(), credentials.superuser_password.as_str()), ("postgres", "postgres"));
        assert_eq!(credentials.replication_password, "rep-pass");
        assert_eq!(topology(&submission).nodes.keys().collect::<Vec<_>>(), ["zoo", "pg-master", "pg-slave", "haproxy"]);
        assert_eq!(name("My_Lab.1"), "my-lab-1");
    }

    #[test]
    fn settings_that_a_lab_could_not_have_do_not_keep_one_from_attaching() {
        let mut submission = reference();
        submission.zookeepers[0].environment.insert("ZOOKEEPER_TICK_TIME".to_owned(), "a lot".to_owned());
        submission.members[0].tree = crate::lab::yaml::parse(&std::sync::Arc::new(crate::lab::diagnostic::File {
            name: "p.yml".to_owned(),
            text: "scope: c\nname: [1]\nrestapi: 7\npostgresql: x\n".to_owned(),
        }))
        .unwrap();
        assert_eq!(topology(&submission).nodes.len(), 4);
    }
}
