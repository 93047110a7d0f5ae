//! Failover and rejoin: timing, who may lead, whether pg_rewind can do its work.

use crate::import::member::Member;
use crate::import::submission::Submission;
use crate::lab::diagnostic::{Code, Diagnostic};

const DYNAMIC: [&str; 2] = ["bootstrap", "dcs"];

pub(super) fn judge(submission: &Submission) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for member in &submission.members {
        findings.extend(timing(member));
        findings.extend(rewind(member));
    }
    findings.extend(nobody_leads(submission));
    findings
}

/// Patroni's documents, "Dynamic Configuration Settings": a leader must be able to retry twice within its lease.
fn timing(member: &Member) -> Option<Diagnostic> {
    let seconds = |key: &str, unless: u64| match member.text(&[DYNAMIC[0], DYNAMIC[1], key]) {
        Some(text) => text.parse().ok(),
        None => Some(unless),
    };
    let (ttl, loop_wait, retry) = (seconds("ttl", 30)?, seconds("loop_wait", 10)?, seconds("retry_timeout", 10)?);
    let needed = loop_wait.saturating_add(retry.saturating_mul(2));
    (ttl < needed).then(|| {
        let message = format!("ttl {ttl} is less than loop_wait {loop_wait} + 2 x retry_timeout {retry} = {needed}");
        let set = ["ttl", "retry_timeout", "loop_wait"]
            .iter()
            .find(|key| member.tree.find(&[DYNAMIC[0], DYNAMIC[1], key]).is_some());
        let place = member.place(&[DYNAMIC[0], DYNAMIC[1], set.unwrap_or(&"ttl")]);
        Diagnostic::error(Code::LeaseTiming, message).at(&member.file, place, "here").advice(
            "a leader that retries its DCS could lose its lease before it gives up; Patroni lowers the other two",
        )
    })
}

fn rewind(member: &Member) -> Option<Diagnostic> {
    let switch: [&[&str]; 2] = [&["postgresql", "use_pg_rewind"], &["bootstrap", "dcs", "postgresql", "use_pg_rewind"]];
    let on = switch.iter().find(|path| member.flag(path) == Some(true))?;
    let warn = |message: &str, path: &[&str], help: &str| {
        Some(
            Diagnostic::warning(Code::RewindCannotWork, message)
                .at(&member.file, member.place(path), "here")
                .at(&member.file, member.place(on), "pg_rewind is asked for here")
                .advice(help),
        )
    };
    let checksums = member.tree.find(&["bootstrap", "initdb"]).is_some_and(|options| {
        options
            .items()
            .iter()
            .any(|option| option.text() == Some("data-checksums") || option.get("data-checksums").is_some())
    });
    for parameters in [&["bootstrap", "dcs", "postgresql", "parameters"][..], &["postgresql", "parameters"][..]] {
        let hints = [parameters, &["wal_log_hints"]].concat();
        if member.flag(&hints) == Some(false) && !checksums {
            let help = "turn `wal_log_hints` on, or add `data-checksums` to `bootstrap.initdb`";
            return warn("pg_rewind cannot work: neither wal_log_hints nor checksums", &hints, help);
        }
        let sockets = [parameters, &["unix_socket_directories"]].concat();
        let relative = |dir: &str| matches!(dir.trim().trim_end_matches('/'), "." | "");
        if member.text(&sockets).is_some_and(|dirs| dirs.split(',').any(relative)) {
            return warn(
                "pg_rewind fails: the leader's Unix socket lies in its data directory, which pg_rewind copies",
                &sockets,
                "set `unix_socket_directories` to a folder outside, such as /var/run/postgresql or /tmp",
            );
        }
    }
    let path = ["postgresql", "authentication", "superuser", "password"];
    let user = member.tree.find(&["postgresql", "authentication", "rewind"]);
    (user.is_none() && member.text(&path).is_none()).then(|| {
        warn(
            "pg_rewind cannot log in: no superuser with a password, and no `rewind` user",
            &path,
            "set `superuser` (or `rewind`) with a password under `postgresql.authentication`",
        )
    })?
}

fn nobody_leads(submission: &Submission) -> Option<Diagnostic> {
    let barred = |member: &&Member| {
        member.flag(&["tags", "nofailover"]) == Some(true)
            || (member.flag(&["tags", "nofailover"]).is_none()
                && member.text(&["tags", "failover_priority"]).as_deref() == Some("0"))
    };
    let all: Vec<&Member> = submission.members.iter().filter(barred).collect();
    let (first, able) = (all.first()?, submission.members.len() - all.len());
    let place = match first.flag(&["tags", "nofailover"]) {
        Some(true) => first.place(&["tags", "nofailover"]),
        _ => first.place(&["tags", "failover_priority"]),
    };
    let finding = match able {
        0 => Diagnostic::error(Code::NobodyMayLead, "every node is tagged so that it may not lead: no leader, ever"),
        1 if submission.members.len() > 1 => {
            Diagnostic::warning(Code::NobodyMayLead, "only one node may lead: when it stops, nobody takes over")
        }
        _ => return None,
    };
    Some(
        finding
            .at(&first.file, place, "this node may not lead")
            .advice("set `nofailover: false` on two nodes at least"),
    )
}
