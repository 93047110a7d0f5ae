//! Operations over the pretended world, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::tests::{reference, told, verify};
use crate::lab::model::{Operation, Step};
use crate::verify::world::pretended::Pretended;
use crate::verify::{Cancel, Run, Source, Verdict};

/// The first check of the reference lab with these steps instead; and what agents were asked to do.
async fn carried_out(steps: Value) -> (Run, Vec<(Operation, Value, Duration)>) {
    let (mut loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let steps: Vec<Step> = serde_json::from_value(steps).unwrap();
    Arc::make_mut(&mut loaded.lab.parts[0].checks[0].check).steps = steps;
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let run = verify(&world, &loaded, Some("setup"), Cancel::never()).await;
    let asked = world.cluster_now().asked.clone();
    (run, asked)
}

#[tokio::test(start_paused = true)]
async fn a_switchover_calls_members_by_their_names_and_begins_an_outage() {
    let (run, asked) = carried_out(json!([
        {"workload": {"start": {"name": "w", "paths": ["direct"]}}},
        {"cluster": {}, "within": "10s", "require": ["workload.w.direct.acked >= 5"]},
        {"operate": {"do": "switchover", "on": "leader", "to": "sync_standby", "expect_status": 200},
         "require": ["role == 'leader'"], "capture": {"new": "to", "asked_at": "at"}},
        {"wait": {"until": {"the role was not handed over": "cluster.leader == new"}}},
        {"cluster": {}, "within": "10s", "expect": ["workload.w.direct.acked_after_fault >= 5"]},
        {"workload": {"stop": "w"}, "expect": ["lost == []", "paths.direct.gap_to >= asked_at"]},
    ]))
    .await;
    assert_eq!(run.verdict, Verdict::Pass, "{}", told(&run));
    let [(operation, body, limit)] = &asked[..] else { panic!("{asked:?}") };
    let sent = json!({"leader": "postgresql0", "candidate": "postgresql1"});
    assert_eq!((*operation, body), (Operation::Switchover, &sent));
    assert_eq!(*limit, Duration::from_secs(60), "a failover's time");
    let fact = run.facts.iter().find(|fact| matches!(fact.source, Source::Operation { .. })).unwrap();
    assert_eq!((&fact.value["operation"], &fact.value["to"]), (&json!("switchover"), &json!("pg-slave")));
    let [outage] = &run.outages[..] else { panic!("{:?}", run.outages) };
    assert_eq!(outage.fault_at_ms, fact.value["at"].as_u64());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_asked_for_again_and_fails_the_step() {
    let step = json!({"operate": {"do": "reinitialize", "on": "leader", "expect_status": 200}, "within": "5s"});
    let (run, asked) = carried_out(json!([step])).await;
    assert_eq!((run.verdict, asked.len()), (Verdict::Fail, 1));
    assert!(told(&run).contains("status 200 was expected, not 503"), "{}", told(&run));
    assert_eq!(asked[0].2, Duration::from_secs(5));
    let judged = json!({"operate": {"do": "reinitialize", "on": "leader"}, "expect": ["status == 503"]});
    let (run, _) = carried_out(json!([judged])).await;
    assert_eq!(run.verdict, Verdict::Pass, "an author may expect a refusal: {}", told(&run));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_keeps_the_types_of_its_values() {
    let set = json!({"postgresql": {"parameters": "{{ {'max_connections': was + 20} }}"}, "pause": null});
    let (run, asked) = carried_out(json!([
        {"cluster": {}, "capture": {"was": "100"}},
        {"operate": {"do": "configure", "on": "leader", "set": set, "expect_status": 200}},
    ]))
    .await;
    assert_eq!(run.verdict, Verdict::Pass, "{}", told(&run));
    assert_eq!(asked[0].1, json!({"postgresql": {"parameters": {"max_connections": 120}}, "pause": null}));
}

#[tokio::test(start_paused = true)]
async fn nobody_hands_over_to_himself() {
    let step = json!({"operate": {"do": "switchover", "on": "leader", "to": "pg-master", "expect_status": 200}});
    let (run, asked) = carried_out(json!([step])).await;
    assert_eq!((run.verdict, asked.len()), (Verdict::Fail, 0));
    assert!(told(&run).contains("pg-master cannot hand over to itself"), "{}", told(&run));
}

#[tokio::test(start_paused = true)]
async fn each_check_keeps_its_outage_also_where_they_name_their_workloads_alike() {
    let (mut loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let steps: Vec<Step> = serde_json::from_value(json!([
        {"workload": {"start": {"name": "w", "paths": ["direct"]}}},
        {"operate": {"do": "switchover", "on": "leader", "to": "sync_standby"}, "capture": {"new": "to"}},
        {"wait": {"until": {"the role was not handed over": "cluster.leader == new"}}},
        {"cluster": {}, "within": "10s", "expect": ["workload.w.direct.acked_after_fault >= 5",
                                                    "cluster.sync_standbys | length == 1"]},
        {"workload": {"stop": "w"}, "expect": ["lost == []"]},
    ]))
    .unwrap();
    let checks = &mut loaded.lab.parts[0].checks;
    Arc::make_mut(&mut checks[0].check).steps = steps;
    let second = crate::lab::Check { id: "second".into(), ..checks[0].clone() };
    checks.push(second);
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let run = verify(&world, &loaded, Some("setup"), Cancel::never()).await;
    assert_eq!(run.verdict, Verdict::Pass, "{}", told(&run));
    let scopes = run.outages.iter().map(|outage| run.facts.iter().find(|fact| fact.id == outage.fact).unwrap());
    let scopes: Vec<&str> = scopes.map(|fact| fact.scope.rsplit_once('/').unwrap().0).collect();
    assert_eq!(scopes, ["setup/cluster-ready", "setup/second"]);
}
