//! The command behind a fact: with labrun, and by hand on the compose project, where the same can be had by hand.

use crate::import::project::{PortDirective, Project, Service as ComposeService};
use crate::topology::Service;
use crate::verify::{Fact, Run, Source};

/// A command in both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// As it is done with labrun, or with the tool that asks the same question.
    pub labrun: Option<String>,
    /// As it is done on the compose project.
    pub by_hand: Option<String>,
}

/// The commands that would show again what a fact holds.
pub fn of(fact: &Fact, run: &Run, project: &Project) -> Command {
    let container = fact.node.as_deref().and_then(|node| container(project, node));
    match &fact.source {
        Source::Sql { statement, via } => Command {
            labrun: Some(format!("labrun sql --on {} {}", quoted(via), quoted(&one_block(statement)))),
            by_hand: psql(run, project, via, statement),
        },
        Source::Http { method, url } => Command {
            labrun: Some(curl(method, url)),
            by_hand: fact
                .node
                .as_deref()
                .and_then(|node| published_url(run, project, node, url))
                .map(|url| curl(method, &url)),
        },
        Source::Haproxy { url } => {
            let node = fact.node.as_deref().or_else(|| proxy(run));
            let by_hand = node.and_then(|node| published_url(run, project, node, url));
            let fetch = |url: &str| format!("curl -s {}", quoted(url));
            Command { labrun: Some(fetch(url)), by_hand: by_hand.map(|url| fetch(&url)) }
        }
        Source::Dcs { path } => {
            Command { labrun: zookeeper(run, path), by_hand: zookeeper_by_hand(run, project, path) }
        }
        Source::Cluster => Command { labrun: Some("labrun status".to_owned()), by_hand: patronictl(run, project) },
        Source::Exec { argv } => {
            let words = argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            Command { by_hand: container.map(|name| format!("docker exec {name} {words}")), labrun: Some(words) }
        }
        Source::Logs { path } => Command {
            labrun: Some(match &fact.node {
                Some(node) => format!("labrun logs {}", quoted(node)),
                None => format!("cat {}", quoted(path)),
            }),
            by_hand: container.map(|name| format!("docker logs {name}")),
        },
        Source::Fault { fault, command } => Command {
            labrun: Some(command.clone()),
            by_hand: container.and_then(|name| {
                matches!(fault.as_str(), "stop" | "kill" | "start" | "restart")
                    .then(|| format!("docker {fault} {name}"))
            }),
        },
        Source::Operation { method, url, body, .. } => {
            let send = |url: &str| format!("curl -s -X {method} {} -d {}", quoted(url), quoted(body));
            let published = fact.node.as_deref().and_then(|node| published_url(run, project, node, url));
            Command { labrun: Some(send(url)), by_hand: published.map(|url| send(&url)) }
        }
        // An experiment is done by hand, and by nothing else.
        Source::Tried { command } => Command { labrun: Some(command.clone()), by_hand: Some(command.clone()) },
        Source::Workload { .. } => Command { labrun: None, by_hand: None },
    }
}

fn container(project: &Project, node: &str) -> Option<String> {
    project.service(node).map(|service| service.container_name.clone().unwrap_or_else(|| service.name.clone()))
}

fn proxy(run: &Run) -> Option<&str> {
    run.nodes.iter().find(|node| matches!(node.service, Service::Haproxy { .. })).map(|node| node.name.as_str())
}

/// `psql` through the port that the compose project publishes for that node; inside its container where it publishes none.
fn psql(run: &Run, project: &Project, via: &str, statement: &str) -> Option<String> {
    let node = if via == "proxy" { proxy(run)? } else { via };
    let port = match &run.nodes.iter().find(|known| known.name == node)?.service {
        Service::Postgres { sql_port, .. } | Service::Haproxy { sql_port, .. } => *sql_port,
        Service::Zookeeper { .. } => return None,
    };
    let service = project.service(node)?;
    let statement = quoted(&one_block(statement));
    match published(service, port) {
        Some(host) => Some(format!("psql -h localhost -p {host} -U postgres -c {statement}")),
        None if via != "proxy" => {
            Some(format!("docker exec -it {} psql -h localhost -U postgres -c {statement}", container(project, node)?))
        }
        None => None,
    }
}

fn published(service: &ComposeService, container_port: u16) -> Option<&str> {
    let container_port = container_port.to_string();
    service
        .ports
        .iter()
        .find(|port| port.directive == PortDirective::Ports && port.container == container_port)
        .and_then(|port| port.host.as_deref())
}

/// The same path on the published port, for a URL on one of a node's own ports.
fn published_url(run: &Run, project: &Project, node: &str, url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port: u16 = authority.rsplit_once(':')?.1.parse().ok()?;
    let host = run.nodes.iter().find(|known| known.name == node)?;
    let inner = match host.published.iter().find(|(published, _)| *published == port) {
        Some((_, inner)) => *inner,
        None => port,
    };
    let host = published(project.service(node)?, inner)?;
    Some(format!("http://localhost:{host}/{path}"))
}

fn curl(method: &str, url: &str) -> String {
    let flags = match method {
        "GET" => "-si".to_owned(),
        "HEAD" => "-sI".to_owned(),
        other => format!("-si -X {other}"),
    };
    format!("curl {flags} {}", quoted(url))
}

fn store(run: &Run) -> Option<(&str, &str, u16)> {
    run.nodes.iter().find_map(|node| match node.service {
        Service::Zookeeper { client_port } => Some((node.name.as_str(), node.address.as_str(), client_port)),
        _ => None,
    })
}

fn zookeeper(run: &Run, path: &str) -> Option<String> {
    let (_, address, port) = store(run)?;
    Some(format!("zkCli.sh -server {address}:{port} get {}", quoted(path)))
}

/// Confluent's image has the shell under a name of its own.
fn zookeeper_by_hand(run: &Run, project: &Project, path: &str) -> Option<String> {
    let (name, _, port) = store(run)?;
    let service = project.service(name)?;
    let container = container(project, name)?;
    let shell = match service.image.as_deref() {
        Some(image) if image.contains("cp-zookeeper") => format!("zookeeper-shell localhost:{port}"),
        _ => format!("zkCli.sh -server localhost:{port}"),
    };
    Some(format!("docker exec {container} {shell} get {}", quoted(path)))
}

/// On the first database node's container, with the configuration that its command starts Patroni with.
fn patronictl(run: &Run, project: &Project) -> Option<String> {
    let node = run.nodes.iter().find(|node| matches!(node.service, Service::Postgres { .. }))?;
    let service = project.service(&node.name)?;
    let [program, config] = service.command.as_slice() else { return None };
    (program == "patroni").then(|| {
        format!("docker exec {} patronictl -c {config} list", service.container_name.as_ref().unwrap_or(&service.name))
    })
}

/// A statement without the indentation of the file that it was written in.
fn one_block(statement: &str) -> String {
    let lines: Vec<&str> = statement.trim().lines().map(str::trim_end).collect();
    let indent =
        lines.iter().skip(1).filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
    let indent = indent.min().unwrap_or(0);
    let rest = lines.iter().skip(1).map(|line| line.get(indent..).unwrap_or(line.trim_start()));
    lines.first().copied().into_iter().chain(rest).collect::<Vec<_>>().join("\n")
}

/// A word for a POSIX shell.
pub fn quoted(word: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '=' | '@' | '%' | '+' | ',');
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if !word.contains(['"', '$', '`', '\\', '!']) {
        format!("\"{word}\"")
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("pg-master"), "pg-master");
        assert_eq!(quoted("SELECT 1"), "\"SELECT 1\"");
        assert_eq!(quoted("SELECT '$x'"), r"'SELECT '\''$x'\'''");
        assert_eq!(quoted(""), "\"\"");
    }

    #[test]
    fn statements_lose_the_indentation_of_their_file() {
        assert_eq!(one_block("SELECT a\n      FROM b\n        JOIN c"), "SELECT a\nFROM b\n  JOIN c");
    }
}
