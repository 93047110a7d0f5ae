//! Experiments on a pretended world.

use serde_json::{Value, json};

use super::{PART, Trier};
use crate::lab;
use crate::verify::run::Tried;
use crate::verify::world::pretended::Pretended;
use crate::verify::world::pretended::copy::Copy;
use crate::verify::{Spine, Verdict, cancellation};

/// What came of the reference lab's questions; in containers where there is a copy.
async fn tried(copy: Option<Copy>, cancelled: bool) -> (Vec<Tried>, Spine) {
    let loaded = lab::load("builtin:ha-postgres").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut world = Pretended::new(&loaded, dir.path(), &[]);
    if let Some(copy) = copy {
        world.in_containers(copy);
    }
    let (canceller, cancel) = cancellation();
    if cancelled {
        canceller.cancel();
    }
    let spine = Spine::new(Vec::new());
    let trier = Trier { world: &world, spine: &spine, cancel: &cancel };
    let questions = &loaded.lab.file.questions;
    assert_eq!(questions.len(), 4);
    let tried = trier.all(questions).await;
    (tried, spine)
}

/// A field of what the steps of a question showed, step by step.
fn shown(spine: &Spine, question: &str, field: &str) -> Vec<Value> {
    let prefix = format!("{PART}/{question}/");
    spine.facts().iter().filter(|fact| fact.scope.starts_with(&prefix)).map(|fact| fact.value[field].clone()).collect()
}

#[tokio::test]
async fn a_restart_and_an_up_keep_the_image_and_only_a_build_takes_up_an_edit() {
    let copy = Copy::new(None);
    let (tried, spine) = tried(Some(copy.clone()), false).await;
    assert!(copy.is_removed());
    let verdicts: Vec<_> =
        tried.iter().map(|tried| (tried.question.as_str(), tried.verdict, tried.steps.len())).collect();
    let pass = |question, steps| (question, Verdict::Pass, steps);
    assert_eq!(
        verdicts,
        [pass("restart", 4), pass("edit-yaml", 4), pass("edit-dockerfile", 4), pass("expose-ports", 2)]
    );
    let same = |question| shown(&spine, question, "same_image");
    assert_eq!(same("restart"), [json!(null), json!(true), json!(true), json!(true)]);
    assert_eq!(same("edit-yaml"), [json!(null), json!(true), json!(true), json!(false)]);
    assert_eq!(same("edit-dockerfile"), [json!(null), json!(true), json!(true), json!(false)]);
    for question in ["edit-yaml", "edit-dockerfile"] {
        assert_eq!(shown(&spine, question, "edited"), [json!(null), json!(false), json!(false), json!(true)]);
    }
    // The same image again, for all that a build for another question has made since.
    assert_eq!(shown(&spine, "edit-dockerfile", "image")[0], shown(&spine, "restart", "image")[0]);
    assert_eq!(shown(&spine, "restart", "same_container"), [json!(null), json!(true), json!(false), json!(false)]);
}

#[tokio::test]
async fn processes_have_no_images_so_nothing_is_tried_and_nothing_is_kept() {
    let (tried, spine) = tried(None, false).await;
    assert!(tried.iter().all(|tried| tried.verdict == Verdict::Skipped && tried.steps.is_empty()));
    assert_eq!((tried.len(), spine.facts().len()), (4, 0));
}

#[tokio::test]
async fn a_copy_is_removed_where_its_build_fails_and_that_is_told() {
    let copy = Copy::new(Some(2));
    let (tried, _) = tried(Some(copy.clone()), false).await;
    assert!(copy.is_removed());
    assert_eq!(tried[0].verdict, Verdict::InfraError);
    let steps: Vec<_> = tried[0].steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(steps, ["begin", "restart", "up", "build"]);
    let reason = tried[0].reason.as_ref().unwrap().get(crate::lab::model::Lang::En);
    assert!(reason.contains("exit code 9"), "{reason}");
    assert_eq!(tried[1].verdict, Verdict::Pass, "the next one is tried all the same");
}

#[tokio::test]
async fn who_does_not_want_to_wait_is_heard_before_a_copy_is_made() {
    let copy = Copy::new(None);
    let (tried, _) = tried(Some(copy.clone()), true).await;
    assert!(tried.iter().all(|tried| tried.verdict == Verdict::Skipped), "{tried:?}");
}
