//! A run of the reference lab, made by hand as labrun would record it: all passed. Tests change it from there.

use std::net::Ipv4Addr;

use indexmap::IndexMap;
use labrun::lab::model::Text;
use labrun::topology::{PlanOptions, plan};
use labrun::verify::run::{Outage, RUN_FORMAT, RoleChange};
use labrun::verify::{CheckResult, Fact, NodeFacts, PartResult, Run, Source, StepResult, Verdict};
use serde_json::{Value, json};

const MASTER: &str = "pg-master";
const SLAVE: &str = "pg-slave";

/// The run, whole and passed.
pub fn passed() -> Run {
    let loaded = labrun::lab::load("builtin:ha-postgres").expect("the reference lab is sound");
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
    let mut pen = Pen { run: &mut run, part: String::new(), check: String::new(), at: 100 };
    setup(&mut pen);
    replication(&mut pen);
    routing(&mut pen);
    failover(&mut pen);
    rejoin(&mut pen);
    run
}

/// Writes facts and results one after another.
struct Pen<'r> {
    run: &'r mut Run,
    part: String,
    check: String,
    at: u64,
}

impl Pen<'_> {
    fn part(&mut self, id: &str) {
        let part = self.run.lab.parts.iter().find(|part| part.id == id).expect("a part of the lab");
        let (title, uses) = (part.title.clone(), part.checks[0].uses.clone());
        let check = labrun::lab::load("builtin:ha-postgres").expect("sound").checks.get(&uses).cloned();
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
    fn step(
        &mut self,
        id: &str,
        title: (&str, &str),
        took: u64,
        on: Option<(&str, &str)>,
        source: Source,
        output: &str,
        value: Value,
    ) {
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
            title: Text::Each { ru: title.0.to_owned(), en: title.1.to_owned() },
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

    fn sql(&mut self, id: &str, title: (&str, &str), on: (&str, &str), statement: &str, output: &str, value: Value) {
        let via = if on.0 == "haproxy" { "proxy" } else { on.0 };
        let source = Source::Sql { statement: statement.to_owned(), via: via.to_owned() };
        self.step(id, title, 60, Some(on), source, output, value);
    }

    fn role(&mut self, at_ms: u64, node: &str, role: &str, timeline: Option<u64>) {
        self.run.timeline.push(RoleChange { at_ms, node: node.to_owned(), role: role.to_owned(), timeline });
    }
}

fn cluster(leader: &str, timeline: u64) -> (String, Value) {
    let other = if leader == MASTER { SLAVE } else { MASTER };
    let member = |node: &str| if node == MASTER { "postgresql0" } else { "postgresql1" };
    let row = |node: &str, role: &str, state: &str, sync: &str, lag: &str| {
        format!(" {node:<9} | {:<11} | {role:<12} | {state:<9} | {timeline:>2} | {sync:<4} | {lag:>3}\n", member(node))
    };
    let mut rows = [row(leader, "leader", "running", "", ""), row(other, "sync_standby", "streaming", "sync", "0")];
    rows.sort();
    let output = format!(
        "   node    |   member    |     role     |   state   | TL | sync | lag\n-----------+-------------+--------------+-----------+----+------+-----\n{}{}",
        rows[0], rows[1]
    );
    let value = json!({
        "cluster": {
            "leader": leader, "sync_standbys": [other], "replicas": [other], "timeline": timeline, "synchronous": true,
            "members": [
                {"node": leader, "member": member(leader), "role": "leader", "state": "running", "timeline": timeline, "sync_state": null, "lag": null},
                {"node": other, "member": member(other), "role": "sync_standby", "state": "streaming", "timeline": timeline, "sync_state": "sync", "lag": 0},
            ],
            "disagreements": [], "troubles": [],
            "proxy": {"servers": [], "up": [leader], "down": [other]},
        },
        "proxy": {"servers": [], "up": [leader], "down": [other]},
    });
    (output, value)
}

fn dcs(key: &str) -> Source {
    Source::Dcs { path: format!("/service/my_cluster/{key}") }
}

fn http(path: &str, node: &str) -> Source {
    let last = if node == MASTER { 11 } else { 12 };
    Source::Http { method: "GET".to_owned(), url: format!("http://127.64.1.{last}:8008{path}") }
}

fn setup(pen: &mut Pen<'_>) {
    pen.part("setup");
    pen.role(120, MASTER, "leader", Some(1));
    pen.role(120, SLAVE, "sync_standby", Some(1));
    let (output, value) = cluster(MASTER, 1);
    pen.step(
        "ready",
        ("Кластер готов: один лидер, одна синхронная реплика", "The cluster is ready: one leader, one sync standby"),
        90,
        None,
        Source::Cluster,
        &output,
        value,
    );
    pen.step(
        "leader-key",
        ("Ключ лидера в ZooKeeper", "The leader key in ZooKeeper"),
        12,
        Some(("zoo", "")),
        dcs("leader"),
        "postgresql0",
        json!({"exists": true, "value": "postgresql0", "owner": 72_057_767_893_729_281_u64, "children": []}),
    );
    pen.step(
        "sync-key",
        ("Ключ синхронизации в ZooKeeper", "The sync key in ZooKeeper"),
        11,
        Some(("zoo", "")),
        dcs("sync"),
        r#"{"leader":"postgresql0","sync_standby":"postgresql1","quorum":0}"#,
        json!({"exists": true, "value": {"leader": "postgresql0", "sync_standby": "postgresql1", "quorum": 0}, "owner": 0, "children": []}),
    );
    pen.step(
        "primary",
        ("REST API лидера отвечает 200 на /primary", "The leader's REST API answers /primary with 200"),
        20,
        Some((MASTER, "leader")),
        http("/primary", MASTER),
        "HTTP 200\n{\n  \"state\": \"running\",\n  \"role\": \"primary\",\n  \"timeline\": 1\n}",
        json!({"status": 200, "node": MASTER, "body": {"state": "running", "role": "primary", "timeline": 1}, "error": null}),
    );
    pen.sql(
        "streaming",
        ("Репликация в pg_stat_replication", "Replication in pg_stat_replication"),
        (MASTER, "leader"),
        "SELECT application_name, client_addr, state, sync_state FROM pg_stat_replication",
        " application_name | client_addr  |   state   | sync_state\n------------------+--------------+-----------+------------\n postgresql1      | 127.64.1.12  | streaming | sync\n(1 row)",
        json!({"rows": [["postgresql1", "127.64.1.12", "streaming", "sync"]], "columns": ["application_name", "client_addr", "state", "sync_state"], "count": 1, "first": "postgresql1", "node": MASTER, "sqlstate": null, "error": null}),
    );
    pen.step(
        "log",
        ("Журнал лидера", "The leader's log"),
        30,
        Some((MASTER, "leader")),
        Source::Logs { path: "/tmp/nodes/pg-master/log".to_owned() },
        "06:12:31.204 INFO  no cluster yet: initialize key taken, running initdb\n06:12:33.871 INFO  the cluster is initialised, system identifier 7711190269678379076\n06:12:33.902 INFO  took the leader key, promoted: I am the leader with the lock (timeline 1)\n06:12:36.410 INFO  postgresql1 is now the synchronous standby",
        json!({"lines": ["06:12:33.902 INFO  took the leader key, promoted: I am the leader with the lock (timeline 1)"], "count": 4, "node": MASTER}),
    );
}

fn replication(pen: &mut Pen<'_>) {
    pen.part("replication");
    pen.sql(
        "write",
        ("Таблица и три строки на лидере", "A table and three rows on the leader"),
        (MASTER, "leader"),
        "CREATE TABLE labrun_replication (id int PRIMARY KEY, note text);\nINSERT INTO labrun_replication VALUES (1, 'первая'), (2, 'вторая'), (3, 'третья')",
        "INSERT 0 3",
        json!({"rows": [], "columns": [], "count": 3, "first": null, "node": MASTER, "sqlstate": null, "error": null}),
    );
    pen.sql(
        "read",
        ("Те же строки на реплике", "The same rows on the replica"),
        (SLAVE, "sync_standby"),
        "SELECT id, note FROM labrun_replication ORDER BY id",
        " id |  note\n----+--------\n  1 | первая\n  2 | вторая\n  3 | третья\n(3 rows)",
        json!({"rows": [[1, "первая"], [2, "вторая"], [3, "третья"]], "columns": ["id", "note"], "count": 3, "first": 1, "node": SLAVE, "sqlstate": null, "error": null}),
    );
    pen.sql(
        "refused",
        ("Реплика отклоняет запись", "The replica refuses a write"),
        (SLAVE, "sync_standby"),
        "INSERT INTO labrun_replication VALUES (4, 'на реплике')",
        "ERROR:  25006: cannot execute INSERT in a read-only transaction",
        json!({"rows": [], "columns": [], "count": 0, "first": null, "node": SLAVE, "sqlstate": "25006", "error": "cannot execute INSERT in a read-only transaction"}),
    );
}

fn routing(pen: &mut Pen<'_>) {
    pen.part("routing");
    pen.step(
        "servers",
        ("Статистика HAProxy: поднят один сервер", "HAProxy's statistics: one server up"),
        15,
        Some(("haproxy", "")),
        Source::Haproxy { url: "http://127.64.1.13:7000/;csv".to_owned() },
        " section  |  server   | status | check | code | sessions\n----------+-----------+--------+-------+------+----------\n postgres | pg-master | UP     | L7OK  |  200 |        0\n postgres | pg-slave  | DOWN   | L7STS |  503 |        0",
        json!({"servers": [
            {"name": "pg-master", "section": "postgres", "status": "UP", "node": "pg-master", "check_status": "L7OK", "check_code": 200, "sessions": 0, "settled": true},
            {"name": "pg-slave", "section": "postgres", "status": "DOWN", "node": "pg-slave", "check_status": "L7STS", "check_code": 503, "sessions": 0, "settled": true},
        ], "up": ["pg-master"], "down": ["pg-slave"]}),
    );
    let rows = vec![json!(["127.64.1.11", false]); 20];
    let table = " 127.64.1.11      | f\n".repeat(20);
    pen.sql(
        "sessions",
        ("20 сеансов через HAProxy", "20 sessions through HAProxy"),
        ("haproxy", ""),
        "SELECT inet_server_addr(), pg_is_in_recovery()",
        &format!(" inet_server_addr | pg_is_in_recovery\n------------------+-------------------\n{table}(20 rows)"),
        json!({"rows": rows, "columns": ["inet_server_addr", "pg_is_in_recovery"], "count": 20, "first": "127.64.1.11", "node": "haproxy", "sqlstate": null, "error": null}),
    );
    pen.sql(
        "write",
        ("Запись через HAProxy", "A write through HAProxy"),
        ("haproxy", ""),
        "INSERT INTO labrun_replication VALUES (10, 'через HAProxy') RETURNING id, inet_server_addr()",
        " id | inet_server_addr\n----+------------------\n 10 | 127.64.1.11\n(1 row)",
        json!({"rows": [[10, "127.64.1.11"]], "columns": ["id", "inet_server_addr"], "count": 1, "first": 10, "node": "haproxy", "sqlstate": null, "error": null}),
    );
}

fn failover(pen: &mut Pen<'_>) {
    pen.part("failover");
    let (output, value) = cluster(MASTER, 1);
    pen.step("before", ("Кластер до сбоя", "The cluster before the fault"), 60, None, Source::Cluster, &output, value);
    pen.step(
        "start",
        ("Запущены два писателя", "Two writers are started"),
        45,
        None,
        Source::Workload { name: "failover".to_owned() },
        "writers: proxy, direct; table labrun_failover; a write every 20 ms each, given up after 2000 ms",
        json!({"name": "failover", "table": "labrun_failover", "paths": ["proxy", "direct"]}),
    );
    pen.at = 3_000;
    let fault_at = pen.at + 12;
    pen.step(
        "fault",
        ("Лидер остановлен", "The leader is stopped"),
        412,
        Some((MASTER, "leader")),
        Source::Fault { fault: "stop".to_owned(), command: "labrun stop pg-master".to_owned() },
        "stop pg-master (leader, timeline 1, the leader key was held by postgresql0): took effect after 0.4 s",
        json!({"kind": "stop", "node": MASTER, "role": "leader", "member": "postgresql0", "timeline": 1, "lease_holder": "postgresql0", "at": fault_at, "took_ms": 400}),
    );
    pen.run.facts.last_mut().expect("a fact").at_ms = fault_at;
    pen.role(fault_at + 260, MASTER, "down", None);
    pen.role(fault_at + 340, SLAVE, "leader", Some(2));
    let (output, value) = cluster(SLAVE, 2);
    let output =
        output.replace("sync_standby | streaming |  2 | sync |   0", "down         | unreachab |    |      |    ");
    pen.step("elected", ("Новый лидер избран", "A new leader is elected"), 120, None, Source::Cluster, &output, value);
    pen.at = fault_at + 9_000;
    let gap = (fault_at - 8, fault_at + 5_410);
    let value = json!({
        "table": "labrun_failover",
        "paths": {
            "direct": {"acked": 421, "rejected": 3, "rejected_by": {"57P01": 1, "08001": 2}, "indeterminate": 0, "acked_before_fault": 108, "acked_after_fault": 313, "gap_ms": 402, "gap_from": fault_at - 5, "gap_to": fault_at + 397, "gap_closed": true},
            "proxy": {"acked": 284, "rejected": 190, "rejected_by": {"08006": 190}, "indeterminate": 1, "acked_before_fault": 107, "acked_after_fault": 177, "gap_ms": 5_418, "gap_from": gap.0, "gap_to": gap.1, "gap_closed": true},
        },
        "acked": 705, "acked_during_fault": 490, "missed_from": 216, "stored": 705, "lost": [], "lost_count": 0, "unexpected": [],
        "recovered": 0, "duplicated": [], "overlap": [],
    });
    pen.step(
        "judge",
        ("Писатели остановлены, история проверена", "The writers are stopped, their history is judged"),
        180,
        None,
        Source::Workload { name: "failover".to_owned() },
        "  path  | acked | rejected | unknown | longest gap, ms | from, ms | to, ms\n--------+-------+----------+---------+-----------------+----------+--------\n direct |   421 |        3 |       0 |             402 |     3007 |   3409\n proxy  |   284 |      190 |       1 |            5418 |     3004 |   8422\nrejected on direct: 08001 × 2, 57P01 × 1\nrejected on proxy: 08006 × 190\nacknowledged 705, stored 705: lost 0, unexpected 0, duplicated 0, recovered 0",
        value,
    );
    let fact = pen.run.facts.last().expect("a fact").id.clone();
    let outage = |path: &str, gap: (u64, u64), marks: &[(&str, u64)], counts| Outage {
        workload: "failover".to_owned(),
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
    pen.run.outages = vec![
        outage("proxy", gap, &through, (284, 190, 1)),
        outage("direct", (fault_at - 5, fault_at + 397), &direct, (421, 3, 0)),
    ];
    pen.sql(
        "write-after",
        ("Запись через HAProxy после переключения", "A write through HAProxy after the failover"),
        ("haproxy", ""),
        "INSERT INTO labrun_failover_after VALUES (1) RETURNING inet_server_addr()",
        " inet_server_addr\n------------------\n 127.64.1.12\n(1 row)",
        json!({"rows": [["127.64.1.12"]], "columns": ["inet_server_addr"], "count": 1, "first": "127.64.1.12", "node": "haproxy", "sqlstate": null, "error": null}),
    );
}

fn rejoin(pen: &mut Pen<'_>) {
    pen.part("rejoin");
    let at = pen.at;
    pen.step(
        "start",
        ("Старый лидер запущен", "The old leader is started"),
        230,
        Some((MASTER, "down")),
        Source::Fault { fault: "start".to_owned(), command: "labrun start pg-master".to_owned() },
        "start pg-master (down): took effect after 0.2 s",
        json!({"kind": "start", "node": MASTER, "role": "down", "member": "postgresql0", "timeline": null, "lease_holder": "postgresql1", "at": at, "took_ms": 220}),
    );
    pen.run.facts.last_mut().expect("a fact").at_ms = at;
    pen.role(at + 900, MASTER, "replica", Some(2));
    pen.role(at + 1_900, MASTER, "sync_standby", Some(2));
    let (output, value) = cluster(SLAVE, 2);
    pen.step(
        "joined",
        ("Он стал синхронной репликой", "It became the sync standby"),
        1_800,
        None,
        Source::Cluster,
        &output,
        value,
    );
    let step = pen.run.parts[4].checks[0].steps.last_mut().expect("a step");
    let derivation = "ttl 30 s + 2 × loop_wait 10 s + 2 × retry_timeout 10 s + copy or rewind 30 s = 100 s";
    step.deadline = Some((100_000, derivation.to_owned()));
    pen.sql(
        "receiver",
        ("Откуда он получает WAL", "Where it receives WAL from"),
        (MASTER, "sync_standby"),
        "SELECT status, sender_host, received_tli, slot_name FROM pg_stat_wal_receiver",
        "  status   | sender_host | received_tli |  slot_name\n-----------+-------------+--------------+-------------\n streaming | 127.64.1.12 |            2 | postgresql0\n(1 row)",
        json!({"rows": [["streaming", "127.64.1.12", 2, "postgresql0"]], "columns": ["status", "sender_host", "received_tli", "slot_name"], "count": 1, "first": "streaming", "node": MASTER, "sqlstate": null, "error": null}),
    );
    pen.step(
        "sync",
        ("REST API отвечает 200 на /sync", "The REST API answers /sync with 200"),
        18,
        Some((MASTER, "sync_standby")),
        http("/sync", MASTER),
        "HTTP 200\n{\n  \"state\": \"running\",\n  \"role\": \"replica\",\n  \"timeline\": 2,\n  \"sync_standby\": true\n}",
        json!({"status": 200, "node": MASTER, "body": {"state": "running", "role": "replica", "timeline": 2, "sync_standby": true}, "error": null}),
    );
    pen.sql(
        "missed",
        ("Строки, записанные без него", "The rows written without it"),
        (MASTER, "sync_standby"),
        "SELECT count(*) FROM labrun_failover WHERE id >= 216",
        " count\n-------\n   490\n(1 row)",
        json!({"rows": [[490]], "columns": ["count"], "count": 1, "first": 490, "node": MASTER, "sqlstate": null, "error": null}),
    );
}
