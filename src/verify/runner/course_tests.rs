//! A run that does not go straight through: a step is tried again, a check begins again, a check is edited under way.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::tests::{reference, verify_along};
use crate::lab::Loaded;
use crate::lab::model::Lang;
use crate::verify::course::{After, Course, CurrentLab, Go, Place};
use crate::verify::world::pretended::Pretended;
use crate::verify::{Run, StepResult, Verdict};

/// Does as it is told, once each: what to do before a step, and behind one that did not pass.
#[derive(Default)]
struct Scripted {
    before: Mutex<Vec<(&'static str, Go)>>,
    failed: Mutex<Vec<After>>,
    /// The scopes of the steps that were done or asked about.
    asked: Mutex<Vec<String>>,
    alone: Mutex<Vec<bool>>,
}

#[async_trait]
impl Course for Scripted {
    async fn before(&self, place: &Place<'_>) -> Go {
        self.asked.lock().unwrap().push(place.scope());
        let mut before = self.before.lock().unwrap();
        let found = before.iter().position(|(id, _)| *id == place.id);
        found.map_or(Go::Do, |at| before.remove(at).1)
    }

    async fn failed(&self, _place: &Place<'_>, _result: &StepResult, alone: bool) -> After {
        self.alone.lock().unwrap().push(alone);
        let mut failed = self.failed.lock().unwrap();
        if failed.is_empty() { After::GoOn } else { failed.remove(0) }
    }
}

/// The step of that check which asks for what is not so.
const WRONG: usize = 2;

/// The reference lab whose replication check first asks for what is not so.
fn wrong() -> Loaded {
    let mut loaded = reference();
    let check = &mut loaded.lab.parts[1].checks[0];
    let steps = &mut Arc::make_mut(&mut check.check).steps;
    steps[WRONG].expect = vec!["count == 77".to_owned()];
    steps[WRONG].capture.insert("of_this_try".to_owned(), "count".to_owned());
    loaded
}

async fn run(loaded: &Loaded, course: &Scripted) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let world = Pretended::new(loaded, folder.path(), &[]);
    verify_along(&world, &CurrentLab::of(loaded), course).await
}

#[tokio::test(start_paused = true)]
async fn a_step_that_failed_and_was_mended_passes_and_its_earlier_tries_are_kept() {
    let loaded = wrong();
    let mended = reference().lab.parts[1].checks[0].clone();
    let course = Scripted::default();
    *course.failed.lock().unwrap() = vec![After::Again(None), After::Again(Some(Box::new(mended)))];
    let run = run(&loaded, &course).await;
    let check = &run.parts[1].checks[0];
    assert_eq!(check.verdict, Verdict::Pass, "{:?}", check.reason);
    assert_eq!(check.steps[WRONG].earlier.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::Fail; 2]);
    assert!(!check.captures.contains_key("of_this_try"), "what a try captured that does not count is gone");
    assert_eq!(*course.alone.lock().unwrap(), [true, true], "a statement can be tried again by itself");
}

#[tokio::test(start_paused = true)]
async fn where_it_is_left_so_the_check_fails_as_in_a_straight_run() {
    let loaded = wrong();
    let run = run(&loaded, &Scripted::default()).await;
    assert_eq!(run.parts[1].checks[0].verdict, Verdict::Fail);
    assert_eq!(run.parts[1].checks[0].steps.len(), 1 + WRONG, "what stands behind it is not done");
    assert_eq!(run.parts[3].verdict, Verdict::Skipped, "nor what needs it");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_back_undoes_what_it_did_and_the_earlier_result_does_not_count() {
    let loaded = reference();
    let course = Scripted::default();
    course.before.lock().unwrap().extend([("acks-after", Go::Back("failover".to_owned()))]);
    let folder = tempfile::tempdir().unwrap();
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let run = verify_along(&world, &CurrentLab::of(&loaded), &course).await;
    let asked = course.asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|scope| *scope == "failover/failover/before").count(), 2);
    assert_eq!(asked.iter().filter(|scope| *scope == "replication/replication/read").count(), 1);
    let check = &run.parts[3].checks[0];
    let ids: Vec<&str> = check.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids.iter().filter(|id| **id == "stop").count(), 1, "only what was done the second time counts: {ids:?}");
    assert!(run.outages.len() <= 2, "{:?}", run.outages);
    assert_eq!(crate::verify::faults::journal::Journal::of(folder.path()).pending().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_came_to_its_end_can_be_gone_back_to_and_that_is_said() {
    let loaded = reference();
    let course = Scripted::default();
    course.before.lock().unwrap().extend([("alive", Go::Back("cluster-ready".to_owned()))]);
    let run = run(&loaded, &course).await;
    assert_eq!((run.verdict, run.points), (Verdict::Pass, (5, 5)));
    let notes: Vec<&str> = run.notes.iter().map(|note| note.get(Lang::En)).collect();
    for check in ["cluster-ready", "replication"] {
        let told = format!("check `{check}` was gone back to; what it had come to does not count: pass");
        assert!(notes.contains(&told.as_str()), "{notes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_edited_before_it_is_done_is_done_by_the_new_text() {
    let loaded = reference();
    let mut check = loaded.lab.parts[1].checks[0].clone();
    Arc::make_mut(&mut check.check).steps[3].expect = vec!["count == 99".to_owned()];
    let course = Scripted::default();
    course.before.lock().unwrap().extend([("read", Go::Edited(Box::new(check)))]);
    let run = run(&loaded, &course).await;
    assert_eq!(run.parts[1].verdict, Verdict::Fail);
    let asked = course.asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|scope| *scope == "replication/replication/read").count(), 2, "it is asked anew");
}
