//! Every fault on real servers, in effect and undone; and labrun killed at random while it injects them.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Place, until};

/// The folder of a lab of these tests.
fn lab(name: &str) -> String {
    format!("{}/tests/verify/labs/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_fault_comes_into_effect_and_is_undone_from_another_process() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("killed"), "--no-publish"]).ends(0);
    let faults: [&[&str]; 9] = [
        &["hang", "replica"],
        &["freeze", "replica"],
        &["pause", "replica"],
        &["pause", "dcs"],
        &["isolate", "replica"],
        &["cut", "leader", "--to", "replica"],
        &["cut", "replica", "--to", "dcs", "--one-way"],
        &["slow", "leader", "--to", "replica", "--delay", "50ms", "--loss", "5"],
        &["crash", "replica"],
    ];
    for fault in faults {
        let said = place.labrun(&[&["fault"], fault].concat()).ends(0);
        assert!(said.out.contains("in effect"), "{}", said.out);
        let healed = place.labrun(&["heal", "--json"]).ends(0).json();
        let healed = healed.as_array().unwrap();
        assert_eq!(healed.len(), 1, "{fault:?}: {healed:?}");
        assert_eq!((&healed[0]["fault"]["kind"], &healed[0]["trouble"]), (&fault[0].into(), &serde_json::Value::Null));
        place.status_when("killed", "the standby streams again", |status| {
            let members = status["cluster"]["members"].as_array();
            members.is_some_and(|members| members.iter().any(|member| member["state"] == "streaming"))
        });
    }
    assert_eq!(place.labrun(&["heal", "--json"]).ends(0).json(), serde_json::json!([]), "nothing is left");
    let wrong = place.labrun(&["fault", "cut", "leader"]).ends(4);
    assert!(wrong.err.contains("--to NODE"), "{}", wrong.err);
}

#[test]
fn a_fault_that_a_deployment_cannot_have_is_told_before_anything_is_done() {
    let place = Place::new();
    place.labrun(&["deploy", "--no-publish", "--name", "killed"]).ends(0);
    let said = place.labrun(&["verify", &lab("killed")]).ends(2);
    assert!(said.err.contains("share the machine's network"), "{}", said.err);
    assert!(!place.output.join("killed/runs").exists(), "nothing was begun");
    place.labrun(&["fault", "isolate", "leader"]).ends(4);
}

/// How often labrun is killed; `LABRUN_KILLS=100` for the long run.
fn kills() -> u32 {
    std::env::var("LABRUN_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(2)
}

#[test]
fn whenever_labrun_is_killed_heal_and_destroy_leave_nothing() {
    for round in 0..kills() {
        let place = Place::new();
        let mut running = place.command(&["run", &lab("killed"), "--no-publish", "--lang", "en"]).spawn().unwrap();
        // Any moment will do; most fall into the faults.
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        let moment = Duration::from_millis(500 + u64::from(nanos / 1_000) % 40_000);
        std::thread::sleep(moment);
        running.kill().unwrap();
        running.wait().unwrap();
        let state: PathBuf = place.output.join("killed/deployment.json");
        let journal = place.output.join("killed/faults.jsonl");
        let pending = || place.labrun(&["heal", "--json"]);
        if state.exists() && journal.exists() {
            pending().ends(0);
            assert_eq!(pending().ends(0).json(), serde_json::json!([]), "round {round}, killed after {moment:?}");
        }
        if place.output.join("killed").exists() {
            place.labrun(&["destroy", "--name", "killed"]);
        }
        until("everything is gone", || place.processes().is_empty());
        place.assert_nothing_left();
    }
}
