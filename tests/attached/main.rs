//! Somebody else's cluster: the reference report's own project, and twelve of its variants with one mistake each, started
//! with docker-compose on stand-in images, attached to and verified by the real `labrun`.
//!
//! The twelve are looked at without an engine in every run, and the most telling of them live: where there is no engine
//! these are told as ignored, and counted as such. All of them live, with a table of what was said: `make attached`.

mod live;
mod project;
#[path = "../common/said.rs"]
mod said;
mod told;
mod variants;

use libtest_mimic::{Arguments, Trial, run};

type Test = (&'static str, fn());

/// What needs no engine.
const TOLD: [Test; 1] = [(
    "told::the_report_has_no_error_and_each_mistake_is_named_where_it_stands",
    told::the_report_has_no_error_and_each_mistake_is_named_where_it_stands,
)];

/// What runs in containers.
const LIVE: [Test; 4] = [
    (
        "live::the_reports_own_project_passes_and_is_left_as_it_was_found",
        live::the_reports_own_project_passes_and_is_left_as_it_was_found,
    ),
    (
        "live::a_check_that_replicas_pass_is_named_and_what_follows_is_skipped",
        live::a_check_that_replicas_pass_is_named_and_what_follows_is_skipped,
    ),
    ("live::a_file_that_was_edited_and_not_built_in_is_named", live::a_file_that_was_edited_and_not_built_in_is_named),
    ("live::what_does_not_run_is_told", live::what_does_not_run_is_told),
];

fn main() {
    let missing = project::missing();
    if let Some(missing) = missing {
        eprintln!("{missing}: {} tests of attached clusters are skipped", LIVE.len());
    }
    let trial = |(name, test): Test, ignored: bool| {
        let done = move || {
            test();
            Ok(())
        };
        Trial::test(name, done).with_ignored_flag(ignored)
    };
    let mut trials: Vec<Trial> = TOLD.into_iter().map(|test| trial(test, false)).collect();
    trials.extend(LIVE.into_iter().map(|test| trial(test, missing.is_some())));
    // Half an hour: only when asked for.
    trials.push(trial(("live::twelve", live::twelve), true));
    run(&Arguments::from_args(), trials).exit();
}
