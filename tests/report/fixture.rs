//! A run of the reference lab, made by hand as labrun would record it: all passed. Tests change it from there.

use std::net::Ipv4Addr;
use std::sync::Arc;

use indexmap::IndexMap;
use labrun::lab::model::{CheckFile, LabFile, Text};
use labrun::lab::{Lab, Loaded, library};
use labrun::topology::{PlanOptions, plan};
use labrun::verify::run::{Outage, RUN_FORMAT, RoleChange};
use labrun::verify::{CheckResult, Fact, NodeFacts, PartResult, Run, Source, StepResult, Verdict};
use serde_json::{Value, json};

const MASTER: &str = "pg-master";
const SLAVE: &str = "pg-slave";

/// The run, whole and passed.
pub fn passed() -> Run {
    let loaded = reference();
    let options = PlanOptions {
        deployment: "ha-postgres".to_owned(),
        block: Ipv4Addr::new(127, 64, 1, 0),
        nodes_dir: "/tmp/nodes".into(),
        postgres_bin: "/usr/lib/postgresql/15/bin".into(),
        port_offset: 0,
        publish: true,
    };
    let plan = plan(&loaded, &options).expect("it can be planned");
    let nodes = plan.nodes.iter().map(|node| NodeFacts {
        name: node.name.clone(),
        service: node.service.clone(),
        address: node.address.to_string(),
        published: node.publish.iter().map(|port| (port.host_port, port.node_port)).collect(),
    });
    let versions = [("haproxy", "2.6.12"), ("labrun-agent", "0.1.0"), ("postgres", "15.14"), ("zookeeper", "3.8.0")];
    let mut run = Run {
        format: RUN_FORMAT.to_owned(),
        id: "20261123T061240Z".to_owned(),
        labrun_version: "0.1.0".to_owned(),
        deployment: "ha-postgres".to_owned(),
        backend: "local".to_owned(),
        started: "2026-11-23T06:12:40Z".to_owned(),
        took_ms: 34_000,
        ready_after_ms: Some(7_420),
        lab: loaded.lab.file.clone(),
        lab_sha256: loaded.sha256.clone(),
        nodes: nodes.collect(),
        versions: versions.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect(),
        timing: plan.timing.clone(),
        project: plan.project.clone(),
        verdict: Verdict::Pass,
        points: (5, 5),
        parts: Vec::new(),
        facts: Vec::new(),
        timeline: Vec::new(),
        outages: Vec::new(),
        notes: Vec::new(),
    };
    let checks = loaded.checks.clone();
    let mut pen = Pen { run: &mut run, checks, part: String::new(), check: String::new(), at: 100 };
    setup(&mut pen);
    replication(&mut pen);
    routing(&mut pen);
    failover(&mut pen);
    rejoin(&mut pen);
    run
}

/// The reference lab, read without being judged: whether it is sound is for other tests to say.
fn reference() -> Loaded {
    let found = library::find("builtin:ha-postgres").expect("compiled in");
    let file: LabFile = yaml(&found.file.text);
    let uses = file.parts.iter().flat_map(|part| &part.checks).map(|check| check.uses.clone());
    let checks = uses.map(|name| {
        let text = library::builtin(&format!("checks/{name}.yaml")).expect("compiled in");
        (name, Arc::new(yaml::<CheckFile>(text)))
    });
    Loaded {
        checks: checks.collect(),
        lab: Lab { file, parts: Vec::new() },
        source: "builtin:ha-postgres".to_owned(),
        source_text: found.file.text.clone(),
        sha256: "3956024f7f0ce863e6bdc5a9b35fd962e337405846be85c9cf8cbee9c95daa91".to_owned(),
        library: found.library,
        warnings: Vec::new(),
    }
}

/// YAML 1.2, in which `on` is a word.
fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).expect("well-formed")
}

/// Writes facts and results one after another.
struct Pen<'r> {
    run: &'r mut Run,
    checks: IndexMap<String, Arc<CheckFile>>,
    part: String,
    check: String,
    at: u64,
}

impl Pen<'_> {
    fn part(&mut self, id: &str) {
        let part = self.run.lab.parts.iter().find(|part| part.id == id).expect("a part of the lab");
        let (title, uses) = (part.title.clone(), part.checks[0].uses.clone());
        let check = self.checks.get(&uses).cloned();
        (self.part, self.check) = (id.to_owned(), uses.clone());
        let result = CheckResult {
            id: uses.clone(),
            uses: uses.clone(),
            title: check.as_ref().map_or_else(|| title.clone(), |check| check.title.clone()),
            proves: check.map_or_else(Text::default, |check| check.proves.clone()),
            verdict: Verdict::Pass,
            reason: None,
            points: (1, 1),
            params: IndexMap::new(),
            captures: IndexMap::new(),
            steps: Vec::new(),
            span_ms: (self.at, self.at),
        };
        let (id, verdict) = (id.to_owned(), Verdict::Pass);
        self.run.parts.push(PartResult { id, title, verdict, reason: None, checks: vec![result] });
    }

    /// A step with one fact, `took` ms long.
    fn step(&mut self, id: &str, took: u64, on: Option<(&str, &str)>, source: Source, output: &str, value: Value) {
        let fact = Fact {
            id: format!("F{}", self.run.facts.len() + 1),
            scope: format!("{}/{}/{id}", self.part, self.check),
            at_ms: self.at + took,
            took_ms: took.min(40),
            node: on.map(|(node, _)| node.to_owned()),
            role: on.map(|(_, role)| role.to_owned()).filter(|role| !role.is_empty()),
            source,
            output: output.to_owned(),
            value,
        };
        let step = StepResult {
            id: id.to_owned(),
            title: self.title(id),
            action: String::new(),
            verdict: Verdict::Pass,
            reason: None,
            deadline: None,
            facts: vec![fact.id.clone()],
            span_ms: (self.at, self.at + took),
        };
        self.at += took;
        self.run.facts.push(fact);
        let check = &mut self.run.parts.last_mut().expect("a part").checks[0];
        check.steps.push(step);
        check.span_ms.1 = self.at;
    }

    fn title(&self, step: &str) -> Text {
        let check = self.checks.get(&self.check);
        let found = check.and_then(|check| check.steps.iter().find(|known| known.id.as_deref() == Some(step)));
        found.map_or_else(|| Text::Same(step.to_owned()), |found| found.title.clone())
    }

    fn sql(&mut self, id: &str, on: (&str, &str), statement: &str, columns: &[&str], rows: Value) {
        let via = if on.0 == "haproxy" { "proxy" } else { on.0 };
        let source = Source::Sql { statement: statement.to_owned(), via: via.to_owned() };
        let rows = rows.as_array().expect("rows").clone();
        let output = table(columns, &rows);
        let first = rows.first().and_then(|row| row.get(0)).cloned().unwrap_or(Value::Null);
        let value = json!({
            "rows": rows, "columns": columns, "count": rows.len(), "first": first, "node": on.0, "sqlstate": null, "error": null,
        });
        self.step(id, 60, Some(on), source, &output, value);
    }

    fn refused(&mut self, id: &str, on: (&str, &str), statement: &str) {
        let source = Source::Sql { statement: statement.to_owned(), via: on.0.to_owned() };
        let error = "cannot execute INSERT in a read-only transaction";
        let value = json!({
            "rows": [], "columns": [], "count": 0, "first": null, "node": on.0, "sqlstate": "25006", "error": error,
        });
        self.step(id, 30, Some(on), source, &format!("ERROR:  25006: {error}"), value);
    }

    fn cluster(&mut self, id: &str, took: u64, seen: (String, Value)) {
        self.step(id, took, None, Source::Cluster, &seen.0, seen.1);
    }

    fn rest(&mut self, id: &str, on: (&str, &str), path: &str, status: u16, role: &str, timeline: u64) {
        let last = if on.0 == MASTER { 11 } else { 12 };
        let source = Source::Http { method: "GET".to_owned(), url: format!("http://127.64.1.{last}:8008{path}") };
        let output = format!(
            "HTTP {status}\n{{\n  \"state\": \"running\",\n  \"role\": \"{role}\",\n  \"timeline\": {timeline}\n}}"
        );
        let body = json!({"state": "running", "role": role, "timeline": timeline});
        self.step(
            id,
            12,
            Some(on),
            source,
            &output,
            json!({"status": status, "node": on.0, "body": body, "error": null}),
        );
    }

    fn dcs(&mut self, id: &str, key: &str, data: &str, value: Value) {
        let source = Source::Dcs { path: format!("/service/my_cluster/{key}") };
        let owner = if key == "leader" { 72_057_767_893_729_281_u64 } else { 0 };
        let value = json!({"exists": true, "value": value, "owner": owner, "children": []});
        self.step(id, 11, Some(("zoo", "")), source, data, value);
    }

    fn sync_key(&mut self, leader: &str, standby: &str) {
        let value = json!({"leader": leader, "sync_standby": standby, "quorum": 0});
        self.dcs("sync-key", "sync", &value.to_string(), value);
    }

    fn statistics(&mut self, id: &str, took: u64, up: &str) {
        let server = |name: &str| {
            let (status, check, code) = if name == up { ("UP", "L7OK", 200) } else { ("DOWN", "L7STS", 503) };
            json!({
                "name": name, "section": "postgres", "status": status, "node": name, "check_status": check, "check_code": code,
                "sessions": 0, "settled": true,
            })
        };
        let servers = [server(MASTER), server(SLAVE)];
        let cells = servers.iter().map(|server| {
            json!([
                server["section"],
                server["name"],
                server["status"],
                server["check_status"],
                server["check_code"],
                0
            ])
        });
        let output = table(&["section", "server", "status", "check", "code", "sessions"], &cells.collect::<Vec<_>>());
        let output = output.rsplit_once('\n').expect("a table").0.to_owned();
        let down = if up == MASTER { SLAVE } else { MASTER };
        let source = Source::Haproxy { url: "http://127.64.1.13:7000/;csv".to_owned() };
        self.step(
            id,
            took,
            Some(("haproxy", "")),
            source,
            &output,
            json!({"servers": servers, "up": [up], "down": [down]}),
        );
    }

    fn log(&mut self, id: &str, on: (&str, &str), lines: &[&str]) {
        let source = Source::Logs { path: format!("/tmp/nodes/{}/log", on.0) };
        let value = json!({"lines": lines, "count": lines.len(), "node": on.0});
        self.step(id, 14, Some(on), source, &lines.join("\n"), value);
    }

    fn deadline(&mut self, ms: u64, derivation: &str) {
        let check = &mut self.run.parts.last_mut().expect("a part").checks[0];
        check.steps.last_mut().expect("a step").deadline = Some((ms, derivation.to_owned()));
    }

    fn role(&mut self, at_ms: u64, node: &str, role: &str, timeline: Option<u64>) {
        self.run.timeline.push(RoleChange { at_ms, node: node.to_owned(), role: role.to_owned(), timeline });
    }
}

/// As psql prints it.
fn table(columns: &[&str], rows: &[Value]) -> String {
    if columns.is_empty() {
        return "CREATE TABLE".to_owned();
    }
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| row.as_array().expect("a row").iter().map(cell).collect()).collect();
    let width = |column: usize| {
        let longest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        longest.max(columns[column].chars().count())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &[String]| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!(" {}", padded.join(" | ")).trim_end().to_owned()
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let header: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    let mut lines = vec![line(&header), rule.join("+")];
    lines.extend(cells.iter().map(|row| line(row)));
    lines.push(format!("({} {})", cells.len(), if cells.len() == 1 { "row" } else { "rows" }));
    lines.join("\n")
}

/// The cluster with that leader, and the other node as its sync standby or down.
fn seen(leader: &str, timeline: u64, other_runs: bool) -> (String, Value) {
    let other = if leader == MASTER { SLAVE } else { MASTER };
    let name = |node: &str| if node == MASTER { "postgresql0" } else { "postgresql1" };
    let mut members = vec![json!({
        "node": leader, "member": name(leader), "role": "leader", "primary": true, "state": "running",
        "timeline": timeline, "sync_state": null, "lag": null,
    })];
    members.push(match other_runs {
        true => json!({
            "node": other, "member": name(other), "role": "sync_standby", "primary": false, "state": "streaming",
            "timeline": timeline, "sync_state": "sync", "lag": 0,
        }),
        false => json!({
            "node": other, "member": name(other), "role": "down", "primary": false, "state": "unreachable",
            "timeline": null, "sync_state": null, "lag": null,
        }),
    });
    members.sort_by_key(|member| member["node"].to_string());
    let cells = members
        .iter()
        .map(|m| json!([m["node"], m["member"], m["role"], m["state"], m["timeline"], m["sync_state"], m["lag"]]));
    let output = table(&["node", "member", "role", "state", "TL", "sync", "lag"], &cells.collect::<Vec<_>>());
    let output = output.rsplit_once('\n').expect("a table").0.to_owned();
    let others: Vec<&str> = if other_runs { vec![other] } else { vec![] };
    let proxy = json!({"servers": [], "up": [leader], "down": [other]});
    let cluster = json!({
        "leader": leader, "sync_standbys": others, "replicas": others, "timeline": timeline, "synchronous": true,
        "members": members, "disagreements": [], "troubles": [], "proxy": proxy,
    });
    (output, json!({ "cluster": cluster, "proxy": proxy }))
}

fn setup(pen: &mut Pen<'_>) {
    pen.part("setup");
    pen.role(120, MASTER, "leader", Some(1));
    pen.role(120, SLAVE, "sync_standby", Some(1));
    pen.cluster("ready", 20, seen(MASTER, 1, true));
    pen.deadline(94_000, "start 30 s + copy 30 s + 2 × loop_wait 10 s + fall 3 × inter 3 s + timeout check 5 s = 94 s");
    pen.cluster("cluster", 18, seen(MASTER, 1, true));
    pen.dcs("leader-key", "leader", "postgresql0", json!("postgresql0"));
    pen.sync_key("postgresql0", "postgresql1");
    pen.rest("primary-route", (MASTER, "leader"), "/primary", 200, "primary", 1);
    pen.rest("replica-route", (SLAVE, "sync_standby"), "/primary", 503, "replica", 1);
    pen.rest("sync-route", (SLAVE, "sync_standby"), "/sync", 200, "replica", 1);
    pen.sql(
        "replication",
        (MASTER, "leader"),
        "SELECT application_name, client_addr, state, sync_state FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') ORDER BY application_name",
        &["application_name", "client_addr", "state", "sync_state"],
        json!([["postgresql1", "127.64.1.12", "streaming", "sync"]]),
    );
    pen.statistics("statistics", 15, MASTER);
}

fn rows(count: u64, what: &str) -> Value {
    (1..=count).map(|n| json!([n, format!("row {n}, {what}")])).collect()
}

fn replication(pen: &mut Pen<'_>) {
    pen.part("replication");
    let create = "DROP TABLE IF EXISTS labrun_replication;\nCREATE TABLE labrun_replication (id int PRIMARY KEY, name text NOT NULL)";
    pen.sql("create", (MASTER, "leader"), create, &[], json!([]));
    let write = "INSERT INTO labrun_replication SELECT n, 'row ' || n || ', written on pg-master' FROM generate_series(1, 3) AS n RETURNING id, name";
    pen.sql("write", (MASTER, "leader"), write, &["id", "name"], rows(3, "written on pg-master"));
    pen.sql("standby", (SLAVE, "sync_standby"), "SELECT pg_is_in_recovery()", &["pg_is_in_recovery"], json!([["t"]]));
    let read = "SELECT id, name FROM labrun_replication ORDER BY id";
    pen.sql("read", (SLAVE, "sync_standby"), read, &["id", "name"], rows(3, "written on pg-master"));
    pen.deadline(15_000, "loop_wait 10 s + wal_retrieve_retry_interval 5 s = 15 s");
    pen.refused("refuse", (SLAVE, "sync_standby"), "INSERT INTO labrun_replication VALUES (0, 'written on pg-slave')");
    pen.sql(
        "stream",
        (MASTER, "leader"),
        "SELECT application_name, client_addr, state, sync_state, replay_lsn FROM pg_stat_replication",
        &["application_name", "client_addr", "state", "sync_state", "replay_lsn"],
        json!([["postgresql1", "127.64.1.12", "streaming", "sync", "0/3019A48"]]),
    );
}

fn routing(pen: &mut Pen<'_>) {
    pen.part("routing");
    pen.cluster("alive", 18, seen(MASTER, 1, true));
    pen.sql("replica", (SLAVE, "sync_standby"), "SELECT pg_is_in_recovery()", &["pg_is_in_recovery"], json!([["t"]]));
    let who = "SELECT host(inet_server_addr()) AS address, inet_server_port() AS port, pg_is_in_recovery() AS standby";
    let columns = ["address", "port", "standby"];
    pen.sql("address", (MASTER, "leader"), who, &columns, json!([["127.64.1.11", 5432, "f"]]));
    pen.statistics("statistics", 15, MASTER);
    pen.deadline(14_000, "fall 3 × inter 3 s + timeout check 5 s = 14 s");
    pen.sql("sessions", ("haproxy", ""), who, &columns, json!(vec![json!(["127.64.1.11", 5432, "f"]); 20]));
    let write = "DROP TABLE IF EXISTS labrun_routing;\nCREATE TABLE labrun_routing (id int PRIMARY KEY, name text NOT NULL);\nINSERT INTO labrun_routing VALUES (1, 'written through the proxy') RETURNING id, name";
    let written = json!([[1, "written through the proxy"]]);
    pen.sql("write", ("haproxy", ""), write, &["id", "name"], written.clone());
    pen.sql("read", (MASTER, "leader"), "SELECT id, name FROM labrun_routing ORDER BY id", &["id", "name"], written);
}

fn failover(pen: &mut Pen<'_>) {
    pen.part("failover");
    pen.cluster("before", 60, seen(MASTER, 1, true));
    let columns = ["id", "name", "written_on"];
    let create = "DROP TABLE IF EXISTS labrun_failover;\nCREATE TABLE labrun_failover (id serial PRIMARY KEY, name text NOT NULL, written_on text NOT NULL);\nINSERT INTO labrun_failover (name, written_on)\nVALUES ('before the failover', host(inet_server_addr())) RETURNING id, name, written_on";
    let (before, after) =
        (json!([1, "before the failover", "127.64.1.11"]), json!([34, "after the failover", "127.64.1.12"]));
    pen.sql("row-before", ("haproxy", ""), create, &columns, json!([before]));
    pen.step(
        "writers",
        45,
        None,
        Source::Workload { name: "writers".to_owned() },
        "writers: proxy, direct; table labrun_workload; a write every 20 ms each, given up after 2000 ms",
        json!({"name": "writers", "table": "labrun_workload", "paths": ["proxy", "direct"]}),
    );
    pen.cluster("acks-before", 900, seen(MASTER, 1, true));
    let fault_at = pen.at + 12;
    stop(pen, fault_at);
    pen.cluster("new-leader", 120, seen(SLAVE, 2, false));
    pen.deadline(60_000, "ttl 30 s + loop_wait 10 s + 2 × retry_timeout 10 s = 60 s");
    pen.statistics("proxy", 4_700, SLAVE);
    pen.deadline(14_000, "fall 3 × inter 3 s + timeout check 5 s = 14 s");
    let insert = "INSERT INTO labrun_failover (name, written_on) VALUES ('after the failover', host(inet_server_addr())) RETURNING id, name, written_on";
    pen.sql("row-after", ("haproxy", ""), insert, &columns, json!([after]));
    pen.cluster("acks-after", 700, seen(SLAVE, 2, false));
    judge(pen, fault_at);
    let read = "SELECT id, name, written_on FROM labrun_failover ORDER BY id";
    pen.sql("rows", (SLAVE, "leader"), read, &columns, json!([before, after]));
    let new = [
        "06:12:44.301 INFO  the leader key is free, trying to take it",
        "06:12:44.318 INFO  took the leader key: promoting",
        "06:12:44.357 INFO  promoted: I am the leader with the lock (timeline 2)",
    ];
    pen.log("log-new", (SLAVE, "leader"), &new);
    let old = [
        "06:12:44.031 INFO  SIGTERM: stopping PostgreSQL (fast shutdown)",
        "06:12:44.287 INFO  PostgreSQL is shut down, WAL sent to postgresql1 up to 0/30211D8",
        "06:12:44.291 INFO  released the leader key",
    ];
    pen.log("log-old", (MASTER, "down"), &old);
}

fn stop(pen: &mut Pen<'_>, fault_at: u64) {
    pen.step(
        "stop",
        412,
        Some((MASTER, "leader")),
        Source::Fault { fault: "stop".to_owned(), command: "labrun stop pg-master".to_owned() },
        "stop pg-master (leader, timeline 1, the leader key was held by postgresql0): took effect after 0.4 s",
        json!({
            "kind": "stop", "node": MASTER, "role": "leader", "member": "postgresql0", "timeline": 1,
            "lease_holder": "postgresql0", "at": fault_at, "took_ms": 400,
        }),
    );
    pen.role(fault_at + 260, MASTER, "down", None);
    pen.role(fault_at + 340, SLAVE, "leader", Some(2));
}

fn judge(pen: &mut Pen<'_>, fault_at: u64) {
    let (proxy_gap, direct_gap) = ((fault_at - 8, fault_at + 5_410), (fault_at - 5, fault_at + 397));
    let path = |acked: (u64, u64), rejected: Value, unknown: u64, gap: (u64, u64)| {
        let total: u64 = rejected.as_object().expect("a map").values().filter_map(Value::as_u64).sum();
        json!({
            "acked": acked.0 + acked.1, "rejected": total, "rejected_by": rejected, "indeterminate": unknown,
            "acked_before_fault": acked.0, "acked_after_fault": acked.1, "acked_by": {"pg-master": acked.0, "pg-slave": acked.1},
            "gap_ms": gap.1 - gap.0, "gap_from": gap.0, "gap_to": gap.1, "gap_closed": true,
        })
    };
    let value = json!({
        "table": "labrun_workload",
        "paths": {
            "direct": path((41, 280), json!({"57P01": 1, "08001": 2}), 0, direct_gap),
            "proxy": path((40, 44), json!({"08006": 190}), 1, proxy_gap),
        },
        "acked": 405, "acked_during_fault": 324, "missed_from": 83, "stored": 406, "lost": [], "lost_count": 0,
        "unexpected": [], "recovered": 1, "duplicated": [], "overlap": [],
    });
    let output = format!(
        "  path  | acked | rejected | unknown | longest gap, ms | from, ms | to, ms\n--------+-------+----------+---------+-----------------+----------+--------\n direct |   321 |        3 |       0 |             402 | {:>8} | {:>6}\n proxy  |    84 |      190 |       1 |            5418 | {:>8} | {:>6}\nrejected on direct: 08001 × 2, 57P01 × 1\nrejected on proxy: 08006 × 190\nacknowledged 405, stored 406: lost 0, unexpected 0, duplicated 0, recovered 1",
        direct_gap.0, direct_gap.1, proxy_gap.0, proxy_gap.1
    );
    pen.step("judge", 180, None, Source::Workload { name: "writers".to_owned() }, &output, value);
    let fact = pen.run.facts.last().expect("a fact").id.clone();
    let outage = |path: &str, gap: (u64, u64), marks: &[(&str, u64)], counts| Outage {
        workload: "writers".to_owned(),
        path: path.to_owned(),
        fact: fact.clone(),
        gap_ms: gap.1 - gap.0,
        gap,
        closed: true,
        fault_at_ms: Some(fault_at),
        marks: marks.iter().map(|(name, at)| ((*name).to_owned(), fault_at + at)).collect(),
        counts,
    };
    let marks = [("fault", 0), ("lock_free", 262), ("lock_taken", 301), ("promoted", 342)];
    let through: Vec<_> = marks.iter().copied().chain([("proxy_up", 5_380), ("first_ack", 5_410)]).collect();
    let direct: Vec<_> = marks.iter().copied().chain([("first_ack", 397)]).collect();
    pen.run.outages =
        vec![outage("proxy", proxy_gap, &through, (84, 190, 1)), outage("direct", direct_gap, &direct, (321, 3, 0))];
}

fn rejoin(pen: &mut Pen<'_>) {
    pen.part("rejoin");
    pen.cluster("away", 20, seen(SLAVE, 2, false));
    let (leader, node) = ((SLAVE, "leader"), (MASTER, "sync_standby"));
    let address = "SELECT host(inet_server_addr()) AS address, inet_server_port() AS port";
    pen.sql("address", leader, address, &["address", "port"], json!([["127.64.1.12", 5432]]));
    let missed = "DROP TABLE IF EXISTS labrun_rejoin;\nCREATE TABLE labrun_rejoin (id int PRIMARY KEY, name text NOT NULL);\nINSERT INTO labrun_rejoin SELECT n, 'row ' || n || ', written while pg-master was away'\nFROM generate_series(1, 3) AS n RETURNING id, name";
    pen.sql("missed", leader, missed, &["id", "name"], rows(3, "written while pg-master was away"));
    let at = pen.at;
    pen.step(
        "start",
        230,
        Some((MASTER, "down")),
        Source::Fault { fault: "start".to_owned(), command: "labrun start pg-master".to_owned() },
        "start pg-master (down, the leader key was held by postgresql1): took effect after 0.2 s",
        json!({
            "kind": "start", "node": MASTER, "role": "down", "member": "postgresql0", "timeline": null,
            "lease_holder": "postgresql1", "at": at, "took_ms": 220,
        }),
    );
    pen.role(at + 900, MASTER, "replica", Some(2));
    pen.role(at + 1_900, MASTER, "sync_standby", Some(2));
    pen.cluster("back", 1_800, seen(SLAVE, 2, true));
    pen.deadline(100_000, "ttl 30 s + 2 × loop_wait 10 s + 2 × retry_timeout 10 s + copy or rewind 30 s = 100 s");
    pen.cluster("cluster", 20, seen(SLAVE, 2, true));
    pen.sql(
        "upstream",
        node,
        "SELECT status, sender_host, sender_port, received_tli, slot_name FROM pg_stat_wal_receiver",
        &["status", "sender_host", "sender_port", "received_tli", "slot_name"],
        json!([["streaming", "127.64.1.12", 5432, 2, "postgresql0"]]),
    );
    pen.sql(
        "downstream",
        leader,
        "SELECT application_name, client_addr, state, sync_state FROM pg_stat_replication WHERE application_name = 'postgresql0'",
        &["application_name", "client_addr", "state", "sync_state"],
        json!([["postgresql0", "127.64.1.11", "streaming", "sync"]]),
    );
    pen.sql(
        "slot",
        leader,
        "SELECT slot_name, slot_type, active FROM pg_replication_slots WHERE active",
        &["slot_name", "slot_type", "active"],
        json!([["postgresql0", "physical", "t"]]),
    );
    pen.rest("sync-route", node, "/sync", 200, "replica", 2);
    pen.rest("primary-route", node, "/primary", 503, "replica", 2);
    pen.sync_key("postgresql1", "postgresql0");
    let read = "SELECT id, name FROM labrun_rejoin ORDER BY id";
    pen.sql("read", node, read, &["id", "name"], rows(3, "written while pg-master was away"));
    let count = "SELECT count(*) AS rows, max(id) AS last FROM labrun_workload";
    pen.sql("workload-leader", leader, count, &["rows", "last"], json!([[406, 599]]));
    pen.sql("workload-node", node, count, &["rows", "last"], json!([[406, 599]]));
    pen.refused("refuse", node, "INSERT INTO labrun_rejoin VALUES (0, 'written on pg-master')");
    pen.statistics("proxy", 15, SLAVE);
    let lines = [
        "06:12:52.404 INFO  my timeline 1 ended at 0/30211D8, where timeline 2 begins: no pg_rewind is needed",
        "06:12:52.431 INFO  following postgresql1 as a replica, slot postgresql0",
        "06:12:53.330 INFO  streaming from postgresql1 on timeline 2",
    ];
    pen.log("log", node, &lines);
}
