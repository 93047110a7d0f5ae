//! Which scenarios run: decided by what is installed and by two environment variables.
//!
//! `LABRUN_CONFORMANCE`: `basic` (default: labrun-agent alone, and the basic mixed clusters) or `full` (also Patroni
//! alone, and every mixed cluster). `LABRUN_CONFORMANCE_NOT_YET=run`: also what is known to fail.

use std::io::Write;

use crate::harness::cast::patroni_bin;
use crate::harness::{Cast, Stage, stage};
use crate::not_yet::NOT_YET;

/// Perform a scenario, or say aloud why not. `basic`: it belongs to the mixed clusters that always run; `needs_ctl`
/// is for scenarios that use patronictl, whatever agent they try.
pub fn perform(name: &'static str, cast: Cast, traits: Traits, scenario: impl AsyncFnOnce(&Stage)) {
    match reason_to_skip(name, cast, traits) {
        Some(reason) => {
            eprintln!("skipped: {cast}::{name}: {reason}");
            note(&format!("skipped\t{cast}::{name}\t{reason}\n"));
        }
        None => {
            stage::perform(name, cast, scenario);
            note(&format!("passed\t{cast}::{name}\t\n"));
        }
    }
}

/// What the table of scenarios says about one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traits {
    pub basic: bool,
    pub ctl: bool,
}

fn reason_to_skip(name: &str, cast: Cast, traits: Traits) -> Option<String> {
    let full = std::env::var("LABRUN_CONFORMANCE").is_ok_and(|word| word == "full");
    let known = NOT_YET.iter().find(|(scenario, _)| *scenario == name);
    let run_anyway = std::env::var_os("LABRUN_CONFORMANCE_NOT_YET").is_some();
    if let Some((_, why)) = known.filter(|_| cast.has_labrun() && !run_anyway) {
        return Some(format!("not yet: {why}"));
    }
    if cast.has_patroni() && !full && !(traits.basic && cast != Cast::Patroni) {
        return Some("only with LABRUN_CONFORMANCE=full".to_owned());
    }
    if (cast.has_patroni() || traits.ctl) && patroni_bin().is_none() {
        return Some("no Patroni is found: set LABRUN_PATRONI_DIR to its virtual environment".to_owned());
    }
    None
}

/// Add a line to the account that `scripts/conformance.sh` sums up, where it asks for one.
fn note(line: &str) {
    let Some(path) = std::env::var_os("LABRUN_CONFORMANCE_ACCOUNT") else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
