//! The docker backend on a real engine. Without one every test here is told as ignored, and counted as such.
//!
//! The base images are stand-ins that `labrun images build` makes once for all tests: they stay, as the engine's cache
//! does. Of everything else nothing is left, and each test proves that.

mod broken;
mod engine;
mod faults;
mod life;
mod passes;
mod remote;
#[path = "../common/said.rs"]
mod said;
mod support;

use libtest_mimic::{Arguments, Trial, run};

const TESTS: [(&str, fn()); 9] = [
    ("life::a_cluster_in_containers_is_used_changed_mended_and_removed", life::whole),
    ("life::a_killed_labrun_leaves_nothing_that_destroy_does_not_find", life::killed),
    ("passes::the_reference_lab_passes_with_patroni_and_with_one_of_each", passes::patroni),
    ("broken::names_and_ports_that_are_taken_are_told_before_anything_is_made", broken::taken),
    ("broken::a_build_that_fails_is_told_with_its_last_lines", broken::build),
    ("broken::a_missing_base_image_is_told_with_what_to_do", broken::image),
    ("remote::an_engine_behind_tls_is_used_and_a_stranger_is_told_why_not", remote::tls),
    ("remote::an_engine_by_ssh_is_used_and_what_ssh_says_is_told", remote::ssh),
    ("broken::an_engine_that_dies_or_is_full_is_told_and_a_second_try_works", broken::dies),
];

fn main() {
    let answers = support::engine_answers();
    if !answers {
        eprintln!("no container engine answers: the {} tests of the docker backend are skipped", TESTS.len());
    }
    let trial = |(name, test): (&str, fn())| {
        let done = move || {
            test();
            Ok(())
        };
        Trial::test(name, done).with_ignored_flag(!answers)
    };
    run(&Arguments::from_args(), TESTS.map(trial).into()).exit();
}
