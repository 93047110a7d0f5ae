//! From a request to an answer: pure, over the last view.

use serde_json::Value;

use super::health::{Health, Query};
use super::lists;
use super::metrics::metrics;
use super::status::status;
use crate::clock::Moment;
use crate::cluster::json;
use crate::decide::View;

/// A status code and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    pub body: Body,
    /// Beside those that every answer has.
    pub headers: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The status line and nothing else, not even headers.
    None,
    Json(String),
    /// Plain words, which Patroni calls text/html.
    Text(String),
    Metrics(String),
    /// Python's error page, with this message.
    Error(String),
}

impl Answer {
    pub fn text(code: u16, text: &str) -> Answer {
        Answer { code, body: Body::Text(text.into()), headers: Vec::new() }
    }

    pub fn error(code: u16, message: &str) -> Answer {
        Answer { code, body: Body::Error(message.into()), headers: Vec::new() }
    }

    /// A status line alone.
    fn status(code: u16) -> Answer {
        Answer { code, body: Body::None, headers: Vec::new() }
    }

    fn json(code: u16, value: &impl serde::Serialize) -> Answer {
        Answer { code, body: Body::Json(json::spaced(value)), headers: Vec::new() }
    }
}

fn code(good: bool) -> u16 {
    if good { 200 } else { 503 }
}

/// Answers what only reads. `published` is when the view was made.
pub fn answer(method: &str, path: &str, query: &str, view: &View, scope: &str, published: Moment) -> Answer {
    let health = Health { view, now: Moment::now() };
    let query = Query::parse(query);
    let status_only = matches!(method, "OPTIONS" | "HEAD");
    if let Some(answer) = reading(path, &query, &health, scope, published).filter(|_| !status_only) {
        return answer;
    }
    let code = code(check(path, &query, &health));
    if status_only { Answer::status(code) } else { Answer::json(code, &status(&health, scope)) }
}

/// Answers of routes that have a name of their own.
fn reading(path: &str, query: &Query, health: &Health, scope: &str, published: Moment) -> Option<Answer> {
    let view = health.view;
    let cluster = view.dcs.cluster.as_ref();
    Some(match path.trim_start_matches('/').split('/').next().unwrap_or_default() {
        "liveness" => Answer::status(code(health.liveness(published) && !health.is_excluded(query))),
        "readiness" => Answer::status(code(health.readiness(query))),
        "patroni" => Answer::json(200, &status(health, scope)),
        "cluster" => {
            Answer::json(200, &lists::cluster(cluster.unwrap_or(&Default::default()), scope, view.settings.pause))
        }
        "history" => {
            let history = cluster.and_then(|cluster| cluster.history.as_ref());
            Answer::json(200, &history.map_or(Value::Array(Vec::new()), |history| history.value.to_value()))
        }
        "config" => match cluster.and_then(|cluster| cluster.config.as_ref()) {
            Some(config) => Answer::json(200, &config.value.0),
            None => Answer::error(502, "Bad Gateway"),
        },
        "failsafe" => match cluster.and_then(|cluster| cluster.failsafe.as_ref()) {
            Some(failsafe) => Answer::json(200, &failsafe.value),
            None => Answer::error(502, "Bad Gateway"),
        },
        "metrics" => Answer { code: 200, body: Body::Metrics(metrics(health, scope)), headers: Vec::new() },
        _ => return None,
    })
}

/// Whether the check passes. Patroni looks for these words anywhere in the path, in this order; tags count for what is
/// not about leading.
fn check(path: &str, query: &Query, health: &Health) -> bool {
    let has = |word: &str| path.contains(word);
    let replica = || health.replica(query);
    let leads = || health.primary() || health.standby_leader();
    if has("standby_leader") || has("standby-leader") {
        return health.standby_leader();
    } else if has("leader") {
        return health.leads();
    } else if has("master") || has("primary") || has("read-write") || path == "/" {
        return health.primary();
    }
    let good = if has("replica") {
        replica()
    } else if has("read-only") && !has("sync") && !has("quorum") {
        leads() || replica()
    } else if has("health") {
        health.is_running()
    } else if health.view.dcs.cluster.is_none() {
        false
    } else {
        let sync = health.is_sync_standby();
        let quorum = health.is_quorum_standby();
        match path {
            "/sync" | "/synchronous" => sync && replica(),
            "/quorum" => quorum && replica(),
            "/async" | "/asynchronous" => !sync && !quorum && replica(),
            "/read-only-sync" | "/read-only-synchronous" => leads() || (sync && replica()),
            "/read-only-quorum" => leads() || (quorum && replica()),
            _ => false,
        }
    };
    good && health.tags_match(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{DynamicConfig, Failover, History, LeaderKey, Member, MemberData, Status, Sync, Versioned};
    use crate::decide::testing;
    use std::time::Duration;

    /// The captured cluster's znodes, seen by one of its nodes.
    fn capture(name: &str, zk: &str) -> View {
        let mut view = testing::replica();
        view.me.name = name.into();
        let cluster = view.dcs.cluster.as_mut().unwrap();
        cluster.members.clear();
        let mut path = "";
        for line in zk.lines() {
            let Some(data) = line.strip_prefix("   data=").map(str::as_bytes) else {
                path = if line.starts_with('/') { line } else { path };
                continue;
            };
            let key = path.trim_start_matches("/service/golden").trim_start_matches('/');
            match key {
                "config" => cluster.config = DynamicConfig::parse(data).map(|value| Versioned { value, version: 0 }),
                "leader" => {
                    let leader = String::from_utf8_lossy(data).into_owned();
                    let session = if leader == name { view.dcs.session.unwrap() } else { 99 };
                    cluster.leader = Some(LeaderKey { name: leader, session, created: 1 });
                }
                "status" => cluster.status = Some(Versioned { value: Status::parse(data), version: 0 }),
                "sync" => cluster.sync = Some(Versioned { value: Sync::parse(data), version: 0 }),
                "failover" => cluster.failover = Some(Versioned { value: Failover::parse(data), version: 0 }),
                "history" => cluster.history = Some(Versioned { value: History::parse(data), version: 0 }),
                _ => {
                    if let Some(name) = key.strip_prefix("members/") {
                        let member = Member { name: name.into(), session: 1, data: MemberData::parse(data) };
                        cluster.members.insert(name.into(), member);
                    }
                }
            }
        }
        view
    }

    /// The captured body of a route, by the line that begins with it.
    fn captured<'a>(rest: &'a str, node: &str, route: &str) -> &'a str {
        let head = format!("--- {node} GET {route} ");
        let mut lines = rest.lines().skip_while(|line| !line.starts_with(&head));
        lines.nth(1).unwrap_or_else(|| panic!("no {head}"))
    }

    #[test]
    fn lists_are_byte_for_byte_those_that_were_captured() {
        for (zk, rest) in [
            (include_str!("../../tests/golden/steady-zk.txt"), include_str!("../../tests/golden/steady-rest.txt")),
            (include_str!("../../tests/golden/switched-zk.txt"), include_str!("../../tests/golden/switched-rest.txt")),
            (include_str!("../../tests/golden/quorum-zk.txt"), include_str!("../../tests/golden/quorum-rest.txt")),
        ] {
            let view = capture("pg1", zk);
            for route in ["/cluster", "/history", "/config"] {
                let Body::Json(body) = answer("GET", route, "", &view, "golden", testing::NOW).body else {
                    panic!("{route}")
                };
                assert_eq!(body, captured(rest, "pg1", route), "{route}");
            }
        }
    }

    /// A leader and its synchronous standby whose leases are good now.
    fn pair() -> (View, View) {
        let until = Moment::now() + Duration::from_secs(30);
        let (mut leader, mut standby) = (testing::primary(), testing::replica());
        (leader.dcs.session_until, standby.dcs.session_until) = (until, until);
        (leader, standby)
    }

    fn codes(path: &str, query: &str) -> (u16, u16) {
        let (leader, standby) = pair();
        let of = |view: &View, method: &str| answer(method, path, query, view, "golden", Moment::now()).code;
        if !matches!(path, "/liveness" | "/readiness") {
            assert_eq!(of(&leader, "GET"), of(&leader, "OPTIONS"), "{path}");
        }
        (of(&leader, "GET"), of(&standby, "GET"))
    }

    #[test]
    fn the_matrix_of_health_checks_is_the_captured_one() {
        for path in ["/", "/primary", "/read-write", "/leader", "/master"] {
            assert_eq!(codes(path, ""), (200, 503), "{path}");
        }
        for path in ["/replica", "/sync", "/synchronous"] {
            assert_eq!(codes(path, ""), (503, 200), "{path}");
        }
        for path in ["/standby-leader", "/quorum", "/async", "/asynchronous", "/nosuch"] {
            assert_eq!(codes(path, ""), (503, 503), "{path}");
        }
        for path in ["/read-only", "/read-only-sync", "/health", "/liveness", "/readiness"] {
            assert_eq!(codes(path, ""), (200, 200), "{path}");
        }
        assert_eq!(codes("/read-only-quorum", ""), (200, 503));
        assert_eq!(codes("/replica", "lag=0"), (503, 200));
        assert_eq!(codes("/replica", "lag=10MB"), (503, 200));
        assert_eq!(codes("/replica", "tag_x=y"), (503, 503));
        // As in Patroni: a limit that is none, limits nothing.
        assert_eq!(codes("/replica", "lag=nonsense"), (503, 200));
        assert_eq!(codes("/read-only", "tag_x=y"), (503, 503));
        assert_eq!(codes("/leader", "tag_x=y"), (200, 503));
        assert_eq!(codes("/anything/health", ""), (200, 200));
        // Exact ones are exact, and a probe that is only known to GET is an unknown path to OPTIONS.
        assert_eq!(codes("/sync/", ""), (503, 503));
        let (leader, _) = pair();
        assert_eq!(answer("OPTIONS", "/liveness", "", &leader, "golden", Moment::now()).code, 503);
    }

    #[test]
    fn who_asks_whether_another_lives_is_not_the_other() {
        let (mut leader, _) = pair();
        leader.dcs.session = Some(0x1f);
        let code = |query: &str| answer("GET", "/liveness", query, &leader, "golden", Moment::now()).code;
        assert_eq!((code("not=1f"), code("not=1e"), code("")), (503, 200, 200));
    }

    #[test]
    fn a_primary_whose_lease_may_be_over_is_no_primary() {
        let (mut leader, _) = pair();
        leader.dcs.session_until = Moment(1);
        assert_eq!(answer("GET", "/primary", "", &leader, "golden", Moment::now()).code, 503);
    }

    #[test]
    fn a_node_that_takes_no_load_and_one_that_lags_are_no_replicas_to_read_from() {
        let (_, mut standby) = pair();
        standby.me.tags.insert("noloadbalance".into(), true.into());
        assert_eq!(answer("GET", "/replica", "", &standby, "golden", Moment::now()).code, 503);
        let (_, mut standby) = pair();
        standby.pg.server.as_mut().unwrap().replayed = crate::cluster::Lsn(testing::POSITION - 11);
        assert_eq!(answer("GET", "/replica", "lag=10", &standby, "golden", Moment::now()).code, 503);
        assert_eq!(answer("GET", "/replica", "lag=11", &standby, "golden", Moment::now()).code, 200);
    }

    #[test]
    fn the_status_has_the_captured_keys_in_order() {
        let rest = include_str!("../../tests/golden/steady-rest.txt");
        let (leader, standby) = pair();
        for (node, view) in [("pg1", &leader), ("pg2", &standby)] {
            let Body::Json(body) = answer("GET", "/patroni", "", view, "golden", Moment::now()).body else { panic!() };
            let keys = |text: &str| {
                let value: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
                value.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(keys(&body), keys(captured(rest, node, "/patroni")), "{node}");
        }
    }

    #[test]
    fn metrics_have_the_captured_names_in_order() {
        let golden = include_str!("../../tests/golden/metrics.txt");
        let (leader, _) = pair();
        let Body::Metrics(text) = answer("GET", "/metrics", "", &leader, "golden", Moment::now()).body else {
            panic!()
        };
        let comments =
            |text: &str| text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(comments(&text), comments(golden));
    }
}
