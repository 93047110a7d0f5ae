//! Who is who and where: one cluster, distinct names, addresses that lead where they should.

use crate::import::member::Member;
use crate::import::submission::Submission;
use crate::import::{CLIENT_PORT, client_port};
use crate::lab::diagnostic::{Code, Diagnostic, listed, nearest};
use crate::lab::patroni_keys::OTHER_STORES;

pub(super) fn judge(submission: &Submission) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    findings.extend(scopes(submission));
    findings.extend(names(submission));
    for member in &submission.members {
        findings.extend(dcs(submission, member));
        for (section, port) in [("postgresql", 5432), ("restapi", 8008)] {
            findings.extend(address(submission, member, section, port));
        }
    }
    findings
}

fn scopes(submission: &Submission) -> Option<Diagnostic> {
    let scope = |member: &Member| {
        let namespace = member.text(&["namespace"]).unwrap_or_else(|| "service".to_owned());
        (namespace, member.text(&["scope"]).unwrap_or_default())
    };
    let first = submission.members.first()?;
    let other = submission.members.iter().find(|member| scope(member) != scope(first))?;
    let (ours, theirs) = (scope(first), scope(other));
    let path = if ours.1 == theirs.1 { ["namespace"] } else { ["scope"] };
    let message = format!("two clusters: `{}` here, `{}` in {}", theirs.1, ours.1, first.file.name);
    Some(
        Diagnostic::error(Code::OtherScope, message)
            .at(&other.file, other.place(&path), "another cluster's name")
            .advice("nodes of one cluster have one `scope` (and `namespace`); each of these would become a leader of its own"),
    )
}

fn names(submission: &Submission) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (index, member) in submission.members.iter().enumerate() {
        let Some(name) = member.name() else {
            let message = format!("{} gives its node no `name`", member.file.name);
            findings.push(Diagnostic::error(Code::SameMember, message).at(
                &member.file,
                0..0,
                "no `name` in this file",
            ));
            continue;
        };
        let Some(twin) = submission.members[..index].iter().find(|other| other.name().as_ref() == Some(&name)) else {
            continue;
        };
        let runs = |member: &Member| {
            member.service.as_ref().map_or_else(|| member.file.name.clone(), |service| service.name.clone())
        };
        let by_environment = member.setting(&["name"]).is_some_and(|setting| setting.span.is_none());
        let finding = Diagnostic::error(
            Code::SameMember,
            format!("`{}` and `{}` are both called `{name}` in the cluster", runs(twin), runs(member)),
        );
        let finding = match (by_environment, &member.service, &submission.compose) {
            (true, Some(service), Some(compose)) => {
                finding.at(compose, service.at.span.clone(), "its PATRONI_NAME wins over `name` in the file")
            }
            _ => finding.at(&member.file, member.place(&["name"]), "the same name"),
        };
        findings.push(finding.advice("the second one refuses to start, or both write one key; give each its own name"));
    }
    findings
}

fn dcs(submission: &Submission, member: &Member) -> Vec<Diagnostic> {
    if member.zookeepers().is_empty() {
        let other = member.tree.entries().iter().find(|entry| OTHER_STORES.contains(&entry.key.as_str()));
        let message = match other {
            Some(entry) => format!("the cluster's state goes to `{}`, but the lab's DCS is ZooKeeper", entry.key),
            None => format!("{} names no ZooKeeper", member.file.name),
        };
        let span = other.map_or_else(|| member.place(&["zookeeper", "hosts"]), |entry| entry.key_span.clone());
        let finding = Diagnostic::error(Code::WrongDcs, message).at(&member.file, span, "here");
        return vec![finding.advice("write `zookeeper:` and under it, indented, `hosts: ['zoo:2181']`")];
    }
    if submission.compose.is_none() {
        return Vec::new();
    }
    let wrong = member.zookeepers().into_iter().filter_map(|(host, port, span)| {
        let finding = |message: String, help: String| {
            Some(Diagnostic::error(Code::WrongDcs, message).at(&member.file, span.clone(), "here").advice(help))
        };
        let known: Vec<&str> = submission.zookeepers.iter().map(|service| service.name.as_str()).collect();
        let Some(service) = submission.service_at(&host) else {
            let near = nearest(&host, known.iter().copied());
            let help = near.map_or_else(
                || format!("ZooKeeper here is {}", listed(known.iter().copied())),
                |near| format!("did you mean `{near}`?"),
            );
            return finding(format!("`{host}` is no service of this project"), help);
        };
        if !known.is_empty() && !known.contains(&service.name.as_str()) {
            return finding(format!("`{host}` is not ZooKeeper"), format!("ZooKeeper here is {}", listed(known)));
        }
        let right = client_port(service);
        (port.unwrap_or(CLIENT_PORT) != right).then(|| {
            finding(
                format!("ZooKeeper does not listen on port {} in its container", port.unwrap_or(CLIENT_PORT)),
                format!("write `{host}:{right}`: ports published on the host do not count between containers"),
            )
        })?
    });
    wrong.collect()
}

/// The address under which others are told to reach a node.
fn address(submission: &Submission, member: &Member, section: &str, port: u16) -> Option<Diagnostic> {
    let service = member.service.as_ref()?;
    submission.compose.as_ref()?;
    let wrong = |path: &[&str], message: String, help: String| {
        Some(Diagnostic::error(Code::WrongAddress, message).at(&member.file, member.place(path), "here").advice(help))
    };
    let (listen_host, listen_port) = member.listen(section, port);
    if is_loopback(&listen_host) {
        let help = format!("write `listen: 0.0.0.0:{listen_port}`: other containers must reach it");
        return wrong(&[section, "listen"], format!("`{section}` listens on its container's own loopback only"), help);
    }
    let right = format!("{}:{listen_port}", service.hostname.as_deref().unwrap_or(&service.name));
    let path = [section, "connect_address"];
    let Some((host, connect_port)) = member.connect(section) else {
        let anywhere = matches!(listen_host.as_str(), "" | "0.0.0.0" | "*" | "[::]" | "::");
        let help = format!("write `connect_address: {right}` under `{section}`");
        return anywhere.then(|| wrong(&path, format!("`{section}` says nowhere how others reach it"), help)).flatten();
    };
    let leads_here = submission.service_at(&host).is_some_and(|found| found.name == service.name);
    if !leads_here
        && host.parse::<std::net::IpAddr>().is_ok_and(|address| !is_loopback(&host) && !address.is_unspecified())
    {
        return None;
    }
    if !leads_here {
        let other =
            submission.service_at(&host).map(|found| format!(" (it leads to `{}`)", found.name)).unwrap_or_default();
        let message = format!("`{section}.connect_address` does not lead to `{}`{other}", service.name);
        return wrong(&path, message, format!("write `connect_address: {right}`"));
    }
    if connect_port.is_some_and(|connect| connect != listen_port) {
        let message = format!("`{section}` listens on {listen_port}, but others are told another port");
        return wrong(
            &path,
            message,
            format!("write `connect_address: {right}`: ports published on the host do not count between containers"),
        );
    }
    None
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
