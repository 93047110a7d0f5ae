//! Users, passwords and pg_hba: a replica must be let in by whoever leads.

use std::ops::Range;

use crate::import::member::Member;
use crate::import::submission::Submission;
use crate::lab::diagnostic::{Code, Diagnostic};

const AUTHENTICATION: [&str; 2] = ["postgresql", "authentication"];

pub(super) fn judge(submission: &Submission) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for member in &submission.members {
        findings.extend(missing(member));
        findings.extend(kept_out(member));
    }
    findings.extend(differing(submission));
    findings
}

fn missing(member: &Member) -> Option<Diagnostic> {
    let path = [AUTHENTICATION[0], AUTHENTICATION[1], "replication", "username"];
    member.text(&path).is_none().then(|| {
        Diagnostic::error(Code::KeptOut, format!("{} names no user for replication", member.file.name))
            .at(&member.file, member.place(&path), "here")
            .advice("write `replication:` with `username` and `password` under `postgresql.authentication`")
    })
}

/// Each node has its own copy of the same users: the first leader made them, and the others log in with theirs.
fn differing(submission: &Submission) -> Vec<Diagnostic> {
    let Some((first, others)) = submission.members.split_first() else { return Vec::new() };
    let mut findings = Vec::new();
    for member in others {
        for user in ["superuser", "replication", "rewind"] {
            for what in ["username", "password"] {
                let path = [AUTHENTICATION[0], AUTHENTICATION[1], user, what];
                let (Some(ours), Some(theirs)) = (first.text(&path), member.text(&path)) else { continue };
                if ours == theirs {
                    continue;
                }
                let finding = Diagnostic::error(
                    Code::OtherPassword,
                    format!("the {what} of the {user} differs between {} and {}", first.file.name, member.file.name),
                );
                let set = member.setting(&path).is_some_and(|setting| setting.span.is_none());
                let finding = match (set, &member.service, &submission.compose) {
                    (true, Some(service), Some(compose)) => {
                        finding.at(compose, service.at.span.clone(), "its environment wins over the file")
                    }
                    _ => finding.at(&member.file, member.place(&path), "another one"),
                };
                findings.push(finding.advice(
                    "the users are made once, by the node that leads first; a node with another password cannot log in at it",
                ));
            }
        }
    }
    findings
}

/// A line of pg_hba and where it stands.
type Line = (String, Range<usize>);

/// The lines that end up in pg_hba.conf: the node's own win over the dynamic ones, and only without both does what
/// stands under `bootstrap` count (Patroni's documents, "YAML Configuration Settings").
fn pg_hba(member: &Member) -> Option<(Vec<Line>, Range<usize>)> {
    let paths: [&[&str]; 3] =
        [&["postgresql", "pg_hba"], &["bootstrap", "dcs", "postgresql", "pg_hba"], &["bootstrap", "pg_hba"]];
    let (path, node) = paths.iter().find_map(|path| {
        let node = member.tree.find(path).filter(|node| !node.items().is_empty())?;
        Some((path, node))
    })?;
    let lines = node.items().iter().filter_map(|item| Some((item.text()?.to_owned(), item.span.clone())));
    Some((lines.collect(), member.place(path)))
}

fn kept_out(member: &Member) -> Option<Diagnostic> {
    let user = member.text(&[AUTHENTICATION[0], AUTHENTICATION[1], "replication", "username"])?;
    let advice = format!("add the line `host replication {user} 0.0.0.0/0 md5`");
    let Some((lines, span)) = pg_hba(member) else {
        // Only the node that makes the cluster needs the lines.
        let bootstraps = member.tree.get("bootstrap").is_some();
        return bootstraps.then(|| {
            Diagnostic::error(Code::KeptOut, format!("pg_hba lets `{user}` in from its own machine only"))
                .at(&member.file, member.place(&["bootstrap", "pg_hba"]), "no `pg_hba` here")
                .advice(format!("{advice} under `bootstrap.pg_hba`"))
        });
    };
    // The first line that fits decides (PostgreSQL's documents, "The pg_hba.conf File").
    let fits = lines.iter().find(|(line, _)| is_for(line, &user));
    match fits {
        None => Some(
            Diagnostic::error(Code::KeptOut, format!("no line of pg_hba lets `{user}` in for replication"))
                .at(&member.file, span, "`all` as a database does not include `replication`")
                .advice(advice),
        ),
        Some((line, at)) if line.split_whitespace().last() == Some("reject") => Some(
            Diagnostic::error(Code::KeptOut, format!("pg_hba rejects `{user}`"))
                .at(&member.file, at.clone(), "the first line that fits decides")
                .advice(advice),
        ),
        Some(_) => None,
    }
}

/// Whether a line is about this user, replicating from another container.
fn is_for(line: &str, user: &str) -> bool {
    let mut fields = line.split_whitespace();
    let kind = fields.next().unwrap_or_default();
    let (databases, users) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let address = fields.next().unwrap_or_default();
    let lists = |field: &str, names: &[&str]| field.split(',').any(|one| names.contains(&one.trim_matches('"')));
    kind.starts_with("host")
        && lists(databases, &["replication"])
        && lists(users, &[user, "all"])
        && !address.starts_with("127.")
        && !address.starts_with("::1")
        && address != "localhost"
        && address != "samehost"
}
