//! A verification that is interrupted or killed: nothing is lost, and nothing stays broken.

use std::path::Path;
use std::process::{Child, Stdio};

use labrun::lab::model::Lang;
use labrun::verify::Verdict;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run::{LAB, deployed, newest, run, verdicts, verify};
use crate::support::{Place, until};

/// Start a verification and wait until the leader is stopped.
fn verify_until_the_fault(place: &Place) -> Child {
    let verifying = place.command(&["verify"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let runs = place.output.join(LAB).join("runs/latest");
    let faulty = |runs: &Path| {
        let events = std::fs::read_to_string(runs.join("events.jsonl")).unwrap_or_default();
        events.lines().any(|line| line.contains("\"kind\":\"fault\"") && line.contains("\"fault\":\"stop\""))
    };
    until("the leader was never stopped", || faulty(&runs));
    verifying
}

fn states(place: &Place) -> Vec<String> {
    let status = place.labrun(&["status", "--json"]).ends(0).json();
    let nodes = status["nodes"].as_array().unwrap().iter();
    nodes.map(|node| node["status"]["state"].as_str().unwrap_or("?").to_owned()).collect()
}

#[test]
fn ctrl_c_undoes_the_fault_and_stores_the_run_as_far_as_it_got() {
    let place = deployed();
    let mut verifying = verify_until_the_fault(&place);
    kill(Pid::from_raw(verifying.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(verifying.wait().unwrap().code(), Some(130));
    let run = run(&place);
    assert_eq!(verdicts(&run)[2], ("routing", Verdict::Pass));
    assert_eq!(verdicts(&run)[3], ("failover", Verdict::Inconclusive));
    assert_eq!(verdicts(&run)[4], ("rejoin", Verdict::Skipped));
    assert!(run.notes.iter().any(|note| note.get(Lang::En).contains("interrupted")), "{:?}", run.notes);
    assert!(states(&place).iter().all(|state| state == "running"), "{:?}", states(&place));
    verify(&place, &["--only", "setup"]).ends(0);
}

#[test]
fn a_killed_verification_is_healed_by_the_next_and_destroyed_whole() {
    let place = deployed();
    let mut verifying = verify_until_the_fault(&place);
    verifying.kill().unwrap();
    verifying.wait().unwrap();
    assert_eq!(states(&place).iter().filter(|state| *state == "running").count(), 3, "the leader stays stopped");
    let killed = run(&place);
    assert_eq!(verdicts(&killed)[2], ("routing", Verdict::Pass), "what was reached is stored");
    assert_eq!(verdicts(&killed)[3], ("failover", Verdict::Skipped));
    let folder = newest(&place);

    verify(&place, &["--only", "setup"]).ends(0);
    let healed = run(&place);
    assert_ne!(newest(&place), folder);
    assert!(
        healed.notes.iter().any(|note| note.get(Lang::En).contains("left faults behind; undone: stop")),
        "{:?}",
        healed.notes
    );

    let mut verifying = verify_until_the_fault(&place);
    verifying.kill().unwrap();
    verifying.wait().unwrap();
    place.labrun(&["destroy"]).ends(0);
    place.assert_nothing_left();
    assert!(folder.join("run.json").exists(), "runs are kept");
}
