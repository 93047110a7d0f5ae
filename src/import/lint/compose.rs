//! The compose file: what there must be, order, ports, data.

use std::collections::HashMap;
use std::sync::Arc;

use super::PortHolder;
use crate::import::client_port;
use crate::import::project::{Port, PortDirective, Reach, Service};
use crate::import::submission::Submission;
use crate::lab::diagnostic::{Code, Diagnostic, File, listed};

/// ZooKeeper's ports between its nodes, and of its admin server.
const ZOOKEEPER_PORTS: [u16; 3] = [2888, 3888, 8080];

pub(super) fn judge(submission: &Submission, holder: PortHolder<'_>) -> Vec<Diagnostic> {
    let Some(compose) = &submission.compose else { return Vec::new() };
    let mut findings = parts(submission, compose);
    findings.extend(unused(submission));
    for service in &submission.project.services {
        findings.extend(not_reached(submission, compose, service));
        findings.extend(no_volume(submission, compose, service));
        findings.extend(too_early(submission, compose, service));
        findings.extend(silent_ports(submission, compose, service));
    }
    findings.extend(host_ports(submission, compose, holder));
    findings.extend(zookeepers(submission, compose));
    findings
}

fn parts(submission: &Submission, compose: &Arc<File>) -> Vec<Diagnostic> {
    let missing = |what: &str, help: &str| {
        Diagnostic::error(Code::PartMissing, format!("{} has no {what}", compose.name)).advice(help)
    };
    let mut findings = Vec::new();
    if submission.zookeepers.is_empty() {
        findings.push(missing("ZooKeeper", "add a service with ZooKeeper's image"));
    }
    if submission.proxies.is_empty() {
        findings.push(missing("HAProxy", "add a service with HAProxy's image and mount a haproxy.cfg into it"));
    }
    if submission.members.len() < 2 && submission.unused.is_empty() {
        findings.push(missing("two nodes of Patroni", "a cluster that can fail over has two at least"));
    }
    findings
}

fn unused(submission: &Submission) -> Vec<Diagnostic> {
    let told = submission.unused.iter().map(|file| {
        Diagnostic::error(Code::NotReached, format!("no service runs {}", file.name))
            .at(file, 0..file.text.lines().next().map_or(0, str::len), "a configuration of Patroni")
            .advice("name it in the `command` of its service: `command: patroni /postgres0.yml`")
    });
    told.collect()
}

/// A command that names a configuration which its container does not have.
fn not_reached(submission: &Submission, compose: &Arc<File>, service: &Service) -> Option<Diagnostic> {
    let word = service.command.iter().find(|word| word.ends_with(".yml") || word.ends_with(".yaml"))?;
    let at = service.at.span.clone();
    let Some(member) = submission.member_of(&service.name) else {
        let message = format!("`{}` runs {word}, but the project has no such file", service.name);
        return Some(Diagnostic::error(Code::NotReached, message).at(compose, at, "this service"));
    };
    let file = submission.project.files.iter().find(|file| file.path == member.file.name)?;
    let reaches = file.reaches != Reach::Nowhere && file.services.contains(&service.name);
    let target = file.target.as_deref().unwrap_or_default();
    let below = word == target || word.starts_with(&format!("{}/", target.trim_end_matches('/')));
    (!reaches || !below).then(|| {
        let message = match reaches {
            true => format!("`{}` runs {word}, but {} lies at {target} in its container", service.name, file.path),
            false => format!("`{}` runs {word}, but {} gets into no container of it", service.name, file.path),
        };
        Diagnostic::error(Code::NotReached, message).at(compose, at, "this service").advice(format!(
            "add `COPY {0} /{0}` to the Dockerfile, or mount it: `./{0}:{word}:ro` under `volumes`",
            file.path
        ))
    })
}

fn no_volume(submission: &Submission, compose: &Arc<File>, service: &Service) -> Option<Diagnostic> {
    let member = submission.member_of(&service.name)?;
    let data = member.text(&["postgresql", "data_dir"])?;
    let covers = |target: &str| {
        let target = target.trim_end_matches('/');
        data == target || data.strip_prefix(target).is_some_and(|rest| rest.starts_with('/'))
    };
    let kept = service.volumes.iter().any(|volume| volume.source.is_some() && covers(&volume.target));
    (!kept).then(|| {
        Diagnostic::warning(Code::NoVolume, format!("the data of `{}` goes with its container", service.name))
            .at(compose, service.at.span.clone(), format!("no volume for {data}"))
            .advice("`docker compose down` loses every row; add a named volume for the data directory's parent")
    })
}

/// A service that is started is not ready yet.
fn too_early(submission: &Submission, compose: &Arc<File>, service: &Service) -> Option<Diagnostic> {
    let matters = submission.member_of(&service.name).is_some()
        || submission.proxies.iter().any(|(_, runs)| runs.as_ref().is_some_and(|runs| runs.name == service.name));
    let need = service.depends_on.iter().find(|need| {
        !matches!(need.condition.as_deref(), Some("service_healthy" | "service_completed_successfully"))
    })?;
    matters.then(|| {
        let message = format!("`{}` waits for `{}` to be started, not to be ready", service.name, need.service);
        Diagnostic::warning(Code::StartedIsNotReady, message)
            .at(compose, need.at.span.clone(), "no `condition: service_healthy`")
            .advice("give the needed service a `healthcheck` and wait for `condition: service_healthy`")
    })
}

/// The ports on which a service is known to listen; none where that is not known.
fn listens(submission: &Submission, service: &Service) -> Option<Vec<u16>> {
    if let Some(member) = submission.member_of(&service.name) {
        return Some(vec![member.sql_port(), member.rest_port()]);
    }
    if submission.zookeepers.iter().any(|zoo| zoo.name == service.name) {
        return Some(ZOOKEEPER_PORTS.into_iter().chain([client_port(service)]).collect());
    }
    let proxies = submission.proxies.iter().filter(|(_, runs)| runs.as_ref().is_some_and(|r| r.name == service.name));
    let binds: Vec<u16> = proxies.flat_map(|(haproxy, _)| haproxy.binds.iter().map(|bind| bind.port)).collect();
    (!binds.is_empty()).then_some(binds)
}

fn silent_ports(submission: &Submission, compose: &Arc<File>, service: &Service) -> Vec<Diagnostic> {
    let Some(known) = listens(submission, service) else { return Vec::new() };
    let published = service.ports.iter().filter(|port| port.directive == PortDirective::Ports);
    let silent = published.filter(|port| port.container.parse().is_ok_and(|port: u16| !known.contains(&port)));
    silent
        .map(|port| {
            let names: Vec<String> = known.iter().map(ToString::to_string).collect();
            let message = format!("nothing listens on port {} in `{}`", port.container, service.name);
            Diagnostic::error(Code::NothingListens, message)
                .at(compose, port.at.span.clone(), "published for nothing")
                .advice(format!("it listens on {}", listed(names.iter().map(String::as_str))))
        })
        .collect()
}

/// The port of the host, where one is given.
fn host_port(port: &Port) -> Option<u16> {
    port.host.as_ref()?.parse().ok()
}

fn host_ports(submission: &Submission, compose: &Arc<File>, holder: PortHolder<'_>) -> Vec<Diagnostic> {
    let mut taken: HashMap<u16, &str> = HashMap::new();
    let mut findings = Vec::new();
    for service in &submission.project.services {
        for port in &service.ports {
            let Some(host) = host_port(port) else { continue };
            let span = port.at.span.clone();
            if let Some(other) = taken.insert(host, &service.name) {
                let message = format!("port {host} of the host is published by `{other}` and by `{}`", service.name);
                findings.push(
                    Diagnostic::error(Code::HostPort, message)
                        .at(compose, span, "the second time")
                        .advice("only one can have it; choose another one on the left of the colon"),
                );
            } else if let Some(who) = holder(host) {
                findings.push(
                    Diagnostic::warning(Code::HostPort, format!("port {host} of this machine is taken by {who}"))
                        .at(compose, span, "cannot be published now")
                        .advice("stop what holds it, or choose another one on the left of the colon"),
                );
            }
        }
    }
    findings
}

fn zookeepers(submission: &Submission, compose: &Arc<File>) -> Option<Diagnostic> {
    let (first, count) = (submission.zookeepers.first()?, submission.zookeepers.len());
    let message = match count {
        1 => "one ZooKeeper is a single point of failure: without it there is no failover, and the leader steps down"
            .to_owned(),
        count if count.is_multiple_of(2) => {
            format!("{count} ZooKeepers survive no more failures than {} would", count - 1)
        }
        _ => return None,
    };
    Some(
        Diagnostic::warning(Code::OneZookeeper, message)
            .at(compose, first.at.span.clone(), "here")
            .advice("a majority must be alive: three survive the loss of one"),
    )
}
