//! Modes of time over the pretended world, on a paused clock.

use std::sync::Arc;

use serde_json::{Value, json};

use super::tests::{reference, told, verify};
use crate::lab::model::Step;
use crate::verify::world::pretended::Pretended;
use crate::verify::{Cancel, Run, Verdict};

/// The first check of the reference lab with these steps instead, over a world of which `node` was just stopped.
async fn after_a_stop_of(node: &str, steps: Value) -> Run {
    let (mut loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let check = &mut loaded.lab.parts[0].checks[0];
    check.points = 10;
    let steps: Vec<Step> = serde_json::from_value(steps).unwrap();
    Arc::make_mut(&mut check.check).steps = steps;
    let world = Pretended::new(&loaded, folder.path(), &[]);
    world.cluster_now().stop(node).unwrap();
    verify(&world, &loaded, Some("setup"), Cancel::never()).await
}

#[tokio::test(start_paused = true)]
async fn what_holds_at_every_look_passes_and_says_how_often_it_was_looked_at() {
    let step = json!({"cluster": {}, "during": "3s", "expect": ["cluster.leader == 'pg-master'"]});
    let run = after_a_stop_of("pg-slave", json!([step])).await;
    assert_eq!(run.verdict, Verdict::Pass, "{}", told(&run));
    let (ms, words) = run.parts[0].checks[0].steps[0].deadline.clone().unwrap();
    assert_eq!(ms, 3_000);
    assert!(words.starts_with("3 s: 31 looks, at most 0.1"), "{words}");
    assert!(run.took_ms >= 3_000);
}

#[tokio::test(start_paused = true)]
async fn what_must_hold_all_the_time_fails_at_the_first_look_at_which_it_does_not() {
    let step = json!({"cluster": {}, "during": "30s", "expect": ["cluster.sync_standbys != []"]});
    let run = after_a_stop_of("pg-slave", json!([step])).await;
    assert_eq!(run.verdict, Verdict::Fail);
    assert!(told(&run).contains("it must hold for 30 s"), "{}", told(&run));
    assert!(run.took_ms < 2_000, "{}", run.took_ms);
}

#[tokio::test(start_paused = true)]
async fn what_must_never_hold_fails_where_it_once_does() {
    let never = |expression: &str| json!([{"cluster": {}, "during": "3s", "never": [expression]}]);
    let run = after_a_stop_of("pg-slave", never("cluster.sync_standbys == []")).await;
    assert_eq!(run.verdict, Verdict::Fail);
    assert!(told(&run).contains("`cluster.sync_standbys == []` must never hold"), "{}", told(&run));
    let run = after_a_stop_of("pg-slave", never("cluster.leader == 'pg-slave'")).await;
    assert_eq!(run.verdict, Verdict::Pass, "{}", told(&run));
}

#[tokio::test(start_paused = true)]
async fn too_few_looks_prove_nothing() {
    let step = json!({"cluster": {}, "during": "100ms", "expect": ["cluster.leader is not none"]});
    let run = after_a_stop_of("pg-slave", json!([step])).await;
    assert_eq!(run.verdict, Verdict::Inconclusive);
    assert!(told(&run).contains("only 2 looks"), "{}", told(&run));
}

#[tokio::test(start_paused = true)]
async fn what_comes_to_rest_passes_after_its_time_and_what_does_not_fails() {
    let stable = |time: &str, within: &str| {
        let expect = json!(["cluster.leader is not none"]);
        json!([{"cluster": {}, "stable_for": time, "within": within, "expect": expect}])
    };
    let run = after_a_stop_of("pg-master", stable("3s", "10s")).await;
    assert_eq!(run.verdict, Verdict::Pass, "{}", told(&run));
    assert!((3_500..6_000).contains(&run.took_ms), "half a second without a leader, then three: {}", run.took_ms);
    let run = after_a_stop_of("pg-master", stable("9s", "5s")).await;
    assert_eq!(run.verdict, Verdict::Fail);
    assert!(told(&run).contains("not for 9 s without a break"), "{}", told(&run));
}

#[tokio::test(start_paused = true)]
async fn steps_that_passed_are_worth_their_part_of_the_points() {
    let steps = json!([
        {"id": "a", "cluster": {}, "credit": 30, "expect": ["true"]},
        {"id": "b", "cluster": {}, "credit": 40, "expect": ["cluster.leader == 'pg-master'"]},
        {"id": "c", "cluster": {}, "credit": 30, "expect": ["cluster.leader == 'nobody'"]},
    ]);
    let run = after_a_stop_of("pg-slave", steps).await;
    assert_eq!((run.verdict, run.points), (Verdict::Fail, (7, 10)));
}
