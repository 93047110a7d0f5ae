//! Agents that are bad on purpose: what each does wrong is caught by a check that the good one passes, and shown.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use labrun::verify::{Run, Verdict};
use serde_json::Value;

use crate::support::{Place, Said};

/// The real agent with `deed` beside it, as a program in `place`.
fn bad_agent(place: &Place, deed: &str) -> PathBuf {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify/agents");
    let script = |name: &str| std::fs::read_to_string(scripts.join(name).with_extension("sh")).unwrap();
    // Beside the bad one, where every user can run it.
    let real = place.dir().join("real-agent");
    std::fs::copy(Path::new(env!("CARGO_BIN_EXE_labrun")).with_file_name("labrun-agent"), &real).unwrap();
    let bad = place.dir().join("bad-agent");
    let text = format!("#!/bin/bash\nreal={}\n{}{}", real.display(), script("common"), script(deed));
    std::fs::write(&bad, text).unwrap();
    std::fs::set_permissions(&bad, std::fs::Permissions::from_mode(0o755)).unwrap();
    bad
}

/// The whole of a lab of these tests, with that agent on every node.
fn run_with(place: &Place, agent: Option<&Path>, lab: &str) -> Said {
    let folder = format!("{}/tests/verify/labs/{lab}", env!("CARGO_MANIFEST_DIR"));
    let mut command = place.command(&["run", &folder, "--no-publish", "--lang", "en"]);
    command.envs(agent.map(|agent| ("LABRUN_AGENT", agent)));
    Said::of(command.output().unwrap())
}

/// The judged history of the only check of `lab`, as its `judge` step saw it, and the check's verdict.
fn judged(place: &Place, lab: &str) -> (Value, Verdict) {
    let newest = place.output.join(lab).join("runs/latest").canonicalize().unwrap();
    let run: Run = serde_json::from_slice(&std::fs::read(newest.join("run.json")).unwrap()).unwrap();
    let scope = format!("{lab}/{lab}/judge");
    let fact = run.facts.iter().find(|fact| fact.scope == scope).unwrap_or_else(|| panic!("no {scope}"));
    (fact.value.clone(), run.parts[0].verdict)
}

fn assert_two_writers(place: &Place, said: &Said, words: &str) {
    let (history, verdict) = judged(place, "one-writer");
    assert_eq!(verdict, Verdict::Fail);
    assert!(said.out.contains(words), "{}", said.out);
    let overlap = &history["overlap"][0];
    assert!(overlap["older"] != overlap["newer"] && !overlap["ids"].as_array().unwrap().is_empty(), "{overlap}");
}

#[test]
fn a_good_agent_passes_what_the_bad_ones_fail() {
    for lab in ["one-writer", "acknowledged"] {
        let place = Place::new();
        run_with(&place, None, lab).ends(0);
        assert_eq!(judged(&place, lab).1, Verdict::Pass);
    }
}

#[test]
fn an_agent_that_promotes_without_the_lease_is_caught_with_two_writers() {
    let place = Place::new();
    let said = run_with(&place, Some(&bad_agent(&place, "promotes-without-the-lease")), "one-writer").ends(1);
    // It leaves no leader who could be asked what is stored.
    assert_two_writers(&place, &said, "two nodes acknowledged writes at once");
}

#[test]
fn an_agent_that_never_demotes_is_caught_with_two_writers() {
    let place = Place::new();
    let said = run_with(&place, Some(&bad_agent(&place, "never-demotes")), "one-writer").ends(1);
    assert_two_writers(&place, &said, "expected `overlap == []`");
}

#[test]
fn an_agent_that_acknowledges_without_its_standby_is_caught_with_the_writes_lost() {
    let place = Place::new();
    let agent = bad_agent(&place, "acknowledges-without-its-standby");
    let said = run_with(&place, Some(&agent), "acknowledged").ends(1);
    let (history, verdict) = judged(&place, "acknowledged");
    assert_eq!(verdict, Verdict::Fail);
    assert!(said.out.contains("expected `lost == []`"), "{}", said.out);
    assert!(!history["lost"].as_array().unwrap().is_empty(), "{history:#}");
}
