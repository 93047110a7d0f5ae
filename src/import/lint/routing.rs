//! HAProxy: sessions must reach the leader, and nobody else.

use std::sync::Arc;

use crate::import::haproxy::{Check, Haproxy, Pool, Server};
use crate::import::member::Member;
use crate::import::submission::Submission;
use crate::lab::diagnostic::{Code, Diagnostic, listed, nearest};

/// Which nodes a health check takes for alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passes {
    Leader,
    Replicas,
    Everyone,
    Nobody,
}

pub(super) fn judge(submission: &Submission) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (haproxy, _) in &submission.proxies {
        let pools: Vec<&Pool> = haproxy.pools.iter().filter(|pool| serves_members(pool, submission)).collect();
        // One pool that only the leader is in is an entry point for writes; what others are for is their own affair.
        if !pools.iter().any(|pool| passes(&pool.check) == Passes::Leader) {
            findings.extend(pools.iter().map(|pool| wrong_check(haproxy, pool)));
        }
        for pool in &pools {
            for server in &pool.servers {
                findings.extend(server_findings(submission, haproxy, pool, server));
            }
            findings.extend(left_out(submission, haproxy, pool));
            findings.extend(kept_sessions(haproxy, pool));
        }
    }
    findings
}

fn serves_members(pool: &Pool, submission: &Submission) -> bool {
    submission.members.is_empty() || pool.servers.iter().any(|server| member(submission, server).is_some())
}

fn member<'a>(submission: &'a Submission, server: &Server) -> Option<&'a Member> {
    submission.member_of(&submission.service_at(&server.host)?.name)
}

/// Patroni's documents, "Patroni REST API", "Health check endpoints"; a path that is none of them is answered by 503.
fn passes(check: &Check) -> Passes {
    let Check::Http { method, path, expect, .. } = check else { return Passes::Everyone };
    let route = path.split('?').next().unwrap_or(path);
    let has = |words: &[&str]| words.iter().any(|word| route.contains(word));
    // These answer everybody, but only where they are asked for what they say.
    const STATUS: &[&str] = &["patroni", "cluster", "history", "config", "metrics"];
    let has_body = method != "OPTIONS" && method != "HEAD";
    let by_status = if has(&["standby_leader", "standby-leader"]) {
        Passes::Nobody
    } else if route == "/" || has(&["leader", "master", "primary", "read-write"]) {
        Passes::Leader
    } else if has(&["replica", "async"]) || matches!(route, "/sync" | "/synchronous" | "/quorum") {
        Passes::Replicas
    } else if has(&["read-only", "health", "liveness", "readiness"]) || (has_body && has(STATUS)) {
        Passes::Everyone
    } else {
        Passes::Nobody
    };
    match expect.as_deref() {
        // A body decides: who names the leader's role there means the leader.
        Some(expect) if expect.contains("string") => {
            let names = ["primary", "master", "leader"].iter().any(|role| expect.contains(role));
            if names { Passes::Leader } else { by_status }
        }
        Some(expect) if expect.contains("503") || expect.trim_start().starts_with('!') => match by_status {
            Passes::Leader => Passes::Replicas,
            Passes::Replicas => Passes::Leader,
            Passes::Everyone => Passes::Nobody,
            Passes::Nobody => Passes::Everyone,
        },
        _ => by_status,
    }
}

fn wrong_check(haproxy: &Haproxy, pool: &Pool) -> Diagnostic {
    const RIGHT: &str = "write `option httpchk` (it asks `OPTIONS /`, which Patroni answers with 200 on the leader alone) \
                         and `http-check expect status 200`";
    let (span, what) = match &pool.check {
        Check::Connect { span } => {
            let what = "only sees whether PostgreSQL can be connected to, and that it can on a replica, too";
            (span.clone().unwrap_or_else(|| pool.span.clone()), what.to_owned())
        }
        Check::Http { method, path, span, .. } => {
            let who = match passes(&pool.check) {
                Passes::Everyone => "is answered with 200 by replicas, too",
                Passes::Replicas => "passes on replicas and fails on the leader",
                Passes::Nobody => "fails on every node: HAProxy will have no server at all",
                Passes::Leader => "passes on the leader",
            };
            (span.clone(), format!("`{method} {path}` {who}"))
        }
    };
    let message = match passes(&pool.check) {
        Passes::Everyone => {
            format!("the health check of `{}` passes on replicas: writes go to a read-only node at random", pool.name)
        }
        Passes::Replicas => format!("the health check of `{}` lets only replicas in: no write will work", pool.name),
        _ => format!("the health check of `{}` passes nowhere", pool.name),
    };
    Diagnostic::error(Code::HealthCheckPassesOnReplicas, message).at(&haproxy.file, span, what).advice(RIGHT)
}

/// What is wrong with one server.
fn server_findings(submission: &Submission, haproxy: &Haproxy, pool: &Pool, server: &Server) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    if let Some(finding) = unknown_host(submission, haproxy, server) {
        return vec![finding];
    }
    let member = member(submission, server);
    if !server.checked {
        findings.push(
            Diagnostic::error(
                Code::NotChecked,
                format!("`{}` is not checked: HAProxy takes it for alive always", server.name),
            )
            .at(&haproxy.file, server.span.clone(), "no `check` here")
            .advice("add `check port 8008` (the port of Patroni's REST API)"),
        );
    } else if let (Check::Http { .. }, Some(member)) = (&pool.check, member) {
        let rest = member.rest_port();
        let asked = server.check_port.or(server.port);
        if asked != Some(rest) {
            let port = asked.map_or_else(|| "the session's port".to_owned(), |port| format!("port {port}"));
            let message = format!("the health check of `{}` asks {port}, where no REST API answers", server.name);
            findings.push(
                Diagnostic::error(Code::NotChecked, message)
                    .at(&haproxy.file, server.span.clone(), format!("Patroni's REST API listens on {rest}"))
                    .advice(format!("write `check port {rest}`")),
            );
        }
    }
    if let Some(member) = member {
        let sql = member.sql_port();
        if server.port.is_some_and(|port| port != sql) {
            let message =
                format!("`{}` does not lead to PostgreSQL, which listens on {sql} in its container", server.name);
            findings.push(
                Diagnostic::error(Code::WrongServer, message)
                    .at(&haproxy.file, server.address_span.clone(), "another port")
                    .advice(format!(
                        "write `{}:{sql}`: ports published on the host do not count between containers",
                        server.host
                    )),
            );
        }
    }
    findings
}

/// A host that is no service of the project. An address may be anything.
fn unknown_host(submission: &Submission, haproxy: &Haproxy, server: &Server) -> Option<Diagnostic> {
    submission.compose.as_ref()?;
    let span = server.address_span.clone();
    if server.host.parse::<std::net::IpAddr>().is_ok_and(|address| !address.is_loopback()) {
        return None;
    }
    match submission.service_at(&server.host) {
        Some(_) => None,
        None => {
            let members: Vec<&str> =
                submission.members.iter().filter_map(|m| m.service.as_ref().map(|s| s.name.as_str())).collect();
            let help = match nearest(&server.host, members.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the nodes are {}", listed(members)),
            };
            let message = format!("`{}` is no service of this project", server.host);
            Some(Diagnostic::error(Code::WrongServer, message).at(&haproxy.file, span, "unknown host").advice(help))
        }
    }
}

/// A node that the proxy does not know cannot be reached through it after a failover.
fn left_out(submission: &Submission, haproxy: &Haproxy, pool: &Pool) -> Vec<Diagnostic> {
    // A server whose host is unknown may be meant for the node that is missing; that is told already.
    if pool.servers.iter().any(|server| unknown_host(submission, haproxy, server).is_some()) {
        return Vec::new();
    }
    let known: Vec<&Arc<_>> = pool.servers.iter().filter_map(|s| member(submission, s)).map(|m| &m.file).collect();
    let missing = submission.members.iter().filter(|m| m.service.is_some() && !known.contains(&&m.file));
    missing
        .filter_map(|member| {
            let service = member.service.as_ref()?;
            let message = format!("`{}` has no server for `{}`", pool.name, service.name);
            let help = format!(
                "when `{0}` becomes the leader, nobody reaches it: add `server {0} {0}:{1} check port {2}`",
                service.name,
                member.sql_port(),
                member.rest_port()
            );
            Some(
                Diagnostic::error(Code::WrongServer, message).at(&haproxy.file, pool.span.clone(), "here").advice(help),
            )
        })
        .collect()
}

/// Sessions with a server that was found dead.
fn kept_sessions(haproxy: &Haproxy, pool: &Pool) -> Option<Diagnostic> {
    let kept = pool.servers.iter().find(|server| server.checked && !server.cuts_sessions)?;
    Some(
        Diagnostic::warning(
            Code::SessionsOutlive,
            format!("`{}` does not cut the sessions of a dead server", pool.name),
        )
        .at(&haproxy.file, kept.span.clone(), "no `on-marked-down shutdown-sessions` here or in default-server")
        .advice("without it clients stay with a node that is the leader no longer; add it to `default-server`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_are_judged_as_patroni_answers_them() {
        let check = |method: &str, path: &str, expect: Option<&str>| {
            passes(&Check::Http {
                method: method.into(),
                path: path.into(),
                expect: expect.map(Into::into),
                span: 0..0,
            })
        };
        for path in ["/", "/primary", "/master", "/leader", "/read-write", "/primary?lag=1"] {
            assert_eq!(check("OPTIONS", path, None), Passes::Leader, "{path}");
        }
        for path in ["/replica", "/sync", "/async", "/replica?lag=10MB"] {
            assert_eq!(check("GET", path, None), Passes::Replicas, "{path}");
        }
        for path in ["/patroni", "/health", "/cluster", "/liveness", "/read-only", "/config"] {
            assert_eq!(check("GET", path, None), Passes::Everyone, "{path}");
        }
        assert_eq!(check("OPTIONS", "/patroni", None), Passes::Nobody);
        assert_eq!(check("GET", "/nosuch", None), Passes::Nobody);
        assert_eq!(check("GET", "/replica", Some("status 503")), Passes::Leader);
        assert_eq!(check("GET", "/patroni", Some("string \"role\": \"primary\"")), Passes::Leader);
        assert_eq!(passes(&Check::Connect { span: None }), Passes::Everyone);
    }
}
