//! Collectors: what is gathered by itself when a check did not pass. Everything becomes a fact below the check's name.

use std::collections::BTreeMap;
use std::time::Duration;

use super::InRun;
use crate::deploy::DeployedNode;
use crate::lab::model::{ClusterStep, DcsStep, HaproxyStep, LogsStep, SqlStep, Step, StepAction, Text};
use crate::topology::Service;
use crate::verify::scope::Scope;
use crate::verify::steps::{self, Stage};

/// How many of a log's last lines are kept.
const TAIL: usize = 40;
/// How long any one question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The keys that say who is who.
const KEYS: [&str; 4] = ["leader", "sync", "status", "history"];

/// Gather what tells why the check `name` did not pass: the cluster's state, the DCS keys, `pg_stat_replication`
/// of every node that answers, HAProxy's statistics, and the tail of every node's log.
pub(super) async fn collect(run: &InRun<'_>, name: &str) {
    let nodes = &run.world.deployment().nodes;
    let mut questions = vec![("cluster".to_owned(), StepAction::Cluster(ClusterStep {}))];
    for key in KEYS {
        questions.push((format!("dcs-{key}"), StepAction::Dcs(DcsStep { get: key.to_owned() })));
    }
    for node in nodes {
        questions.extend(of_node(node));
    }
    let scope = Scope::default();
    for (id, action) in questions {
        let scope_name = format!("{name}/collect/{id}");
        let stage = Stage {
            world: run.world,
            spine: &run.spine,
            workloads: &run.workloads,
            faults: &run.faults,
            scope_name: &scope_name,
            scope: &scope,
            log_marks: &BTreeMap::new(),
        };
        let began_ms = run.spine.now_ms();
        // What cannot be asked is no evidence, and the check has its verdict already.
        if let Ok(seen) = steps::attempt(&question(action), &stage, LIMIT).await {
            run.spine.observed(&scope_name, began_ms, seen.observation);
        }
    }
}

fn of_node(node: &DeployedNode) -> Vec<(String, StepAction)> {
    let name = &node.name;
    let mut questions = Vec::new();
    match node.service {
        Service::Postgres { .. } => {
            let sql = SqlStep {
                on: name.clone(),
                run: "SELECT application_name, client_addr, state, sync_state, sent_lsn, replay_lsn \
                      FROM pg_stat_replication"
                    .to_owned(),
                expect_error: None,
                sessions: None,
            };
            questions.push((format!("replication-{name}"), StepAction::Sql(sql)));
        }
        Service::Haproxy { .. } => {
            questions.push((format!("statistics-{name}"), StepAction::Haproxy(HaproxyStep { on: name.clone() })));
        }
        Service::Zookeeper { .. } => {}
    }
    let logs = LogsStep { on: name.clone(), matches: None, from_start: true, last: Some(TAIL) };
    questions.push((format!("log-{name}"), StepAction::Logs(logs)));
    questions
}

fn question(action: StepAction) -> Step {
    Step {
        id: None,
        title: Text::default(),
        when: None,
        action,
        within: None,
        during: None,
        stable_for: None,
        never: Vec::new(),
        credit: None,
        capture: Default::default(),
        require: Vec::new(),
        expect: Vec::new(),
        hint: None,
    }
}
