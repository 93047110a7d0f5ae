//! Which scenarios run: decided by what is installed, and by `LABRUN_CONFORMANCE`: `basic` (the default: a few with
//! labrun-agent alone and a few with mixed clusters), `labrun` (all with labrun-agent alone) or `full` (also all with
//! Patroni alone and with mixed clusters).

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use libtest_mimic::Trial;

use crate::harness::Cast;
use crate::harness::cast::patroni_bin;

/// A row of the table of scenarios.
pub struct Scenario {
    pub name: &'static str,
    pub traits: Traits,
    pub perform: fn(Cast),
}

/// What the table says about one.
pub struct Traits {
    /// It is tried with labrun-agent alone in every run.
    pub basic: bool,
    /// It is tried with mixed clusters in every run.
    pub mixed: bool,
    /// It uses patronictl, whatever agent it tries.
    pub ctl: bool,
}

impl Traits {
    pub const NONE: Traits = Traits { basic: false, mixed: false, ctl: false };
}

/// How much is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Basic,
    Labrun,
    Full,
}

impl Level {
    /// # Panics
    /// When the variable holds another word.
    pub fn from_environment() -> Level {
        match std::env::var("LABRUN_CONFORMANCE").as_deref() {
            Err(_) | Ok("" | "basic") => Level::Basic,
            Ok("labrun") => Level::Labrun,
            Ok("full") => Level::Full,
            Ok(other) => panic!("LABRUN_CONFORMANCE is {other:?}; it can be basic, labrun or full"),
        }
    }

    fn has(self, cast: Cast, traits: &Traits) -> bool {
        match (self, cast) {
            (Level::Full, _) | (Level::Labrun, Cast::Labrun) => true,
            (Level::Basic, Cast::Labrun) => traits.basic,
            (Level::Basic, Cast::PatroniFirst | Cast::LabrunFirst) => traits.mixed,
            (Level::Basic | Level::Labrun, _) => false,
        }
    }
}

/// The tests that `level` has, and how many of them cannot be run for want of Patroni.
pub fn trials(scenarios: &'static [Scenario], level: Level) -> (Vec<Trial>, usize) {
    let (mut trials, mut skipped) = (Vec::new(), 0);
    let patroni = patroni_bin().is_some();
    for cast in [Cast::Labrun, Cast::Patroni, Cast::PatroniFirst, Cast::LabrunFirst] {
        for scenario in scenarios.iter().filter(|scenario| level.has(cast, &scenario.traits)) {
            let skip = (cast.has_patroni() || scenario.traits.ctl) && !patroni;
            skipped += usize::from(skip);
            let trial = Trial::test(format!("{cast}::{}", scenario.name), move || {
                tried(scenario, cast);
                Ok(())
            });
            trials.push(trial.with_ignored_flag(skip));
        }
    }
    (trials, skipped)
}

/// Perform a scenario, and add how it went to the account, where there is one.
fn tried(scenario: &Scenario, cast: Cast) {
    let begun = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (scenario.perform)(cast)));
    if let Some(path) = std::env::var_os("LABRUN_CONFORMANCE_ACCOUNT") {
        let how = if result.is_ok() { "passed" } else { "failed" };
        let line = format!("{how}\t{cast}::{}\t{:.0} s\n", scenario.name, begun.elapsed().as_secs_f64());
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}
