//! Reading what a verification left.

use std::path::PathBuf;

use labrun::verify::{Run, StepResult, Verdict};

use crate::support::{Place, Said};

/// The lab that comes with labrun.
pub const LAB: &str = "ha-postgres";

/// Deploy the reference lab.
pub fn deployed() -> Place {
    let place = Place::new();
    place.labrun(&["deploy", "--no-publish"]).ends(0);
    place
}

/// The folder of the newest run.
pub fn newest(place: &Place) -> PathBuf {
    place.output.join(LAB).join("runs/latest").canonicalize().unwrap()
}

/// The newest run.
pub fn run(place: &Place) -> Run {
    serde_json::from_slice(&std::fs::read(newest(place).join("run.json")).unwrap()).unwrap()
}

/// The verdicts of the parts, by name.
pub fn verdicts(run: &Run) -> Vec<(&str, Verdict)> {
    run.parts.iter().map(|part| (part.id.as_str(), part.verdict)).collect()
}

/// A step of a check.
pub fn step<'a>(run: &'a Run, check: &str, step: &str) -> &'a StepResult {
    let check = run.parts.iter().flat_map(|part| &part.checks).find(|other| other.id == check).unwrap();
    check.steps.iter().find(|other| other.id == step).unwrap()
}

/// `labrun verify` with more arguments.
pub fn verify(place: &Place, more: &[&str]) -> Said {
    place.labrun(&[&["verify", "--lang", "en"], more].concat())
}
