//! The labs in which agents are asked to do something: each passes on real servers, its questions are answered from what was
//! seen in both languages, and nothing of it is left.

use labrun::lab::model::Lang;
use labrun::report::{Templates, render};
use labrun::verify::{Run, Verdict};

use crate::support::Place;

/// Run a lab that comes with labrun; it must pass in every part.
fn passed(lab: &str) -> (Place, Run) {
    let place = Place::new();
    let said = place.labrun(&["run", lab, "--no-publish", "--lang", "en"]).ends(0);
    assert!(said.out.contains("verdict: pass"), "{}", said.out);
    let path = place.output.join(lab).join("runs/latest/run.json");
    let run: Run = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(run.parts.iter().all(|part| part.verdict == Verdict::Pass));
    every_question_is_answered(&run);
    place.labrun(&["destroy"]).ends(0);
    (place, run)
}

fn every_question_is_answered(run: &Run) {
    assert!(run.lab.questions.len() >= 3);
    for lang in [Lang::Ru, Lang::En] {
        let templates = Templates::builtin();
        let report = render(run, lang, &templates).unwrap();
        let kept_back: Vec<_> = report.withheld.iter().filter(|one| one.template.starts_with("questions/")).collect();
        assert!(kept_back.is_empty(), "{kept_back:#?}");
        let unanswered = templates.words(lang).unwrap().page["no_answer_facts"].clone();
        assert!(!report.markdown.contains(&unanswered), "{}", report.markdown);
    }
}

/// The outages of a workload by their ways, each with the word for what began it.
fn outages<'a>(run: &'a Run, workload: &str) -> Vec<(&'a str, &'a str)> {
    let of_workload = run.outages.iter().filter(|outage| outage.workload == workload);
    of_workload.map(|outage| (outage.path.as_str(), outage.fault.as_str())).collect()
}

#[test]
fn a_rolling_restart_shows_at_the_switchover_alone() {
    let (place, run) = passed("rolling-restart");
    let switched = [("direct", "switchover"), ("proxy", "switchover")];
    assert_eq!(outages(&run, "writers"), switched);
    assert_eq!(outages(&run, "handover"), switched);
    assert_eq!(outages(&run, "standbys"), [], "the restart of standbys is no outage");
    for outage in run.outages.iter().filter(|outage| outage.fault == "switchover") {
        let marks: Vec<&str> = outage.marks.iter().map(|(name, _)| name.as_str()).collect();
        assert!(marks.contains(&"lock_taken") && marks.contains(&"promoted"), "{marks:?}");
    }
    place.assert_nothing_left();
}

#[test]
fn a_standby_whose_wal_is_gone_is_made_anew_and_one_with_a_slot_catches_up() {
    let (place, run) = passed("wal-gone");
    let fact = |scope: &str| run.facts.iter().rfind(|fact| fact.scope == scope).unwrap();
    assert_eq!(fact("kept/wal-kept/data").value["first"], 1, "the same data");
    assert_eq!(fact("gone/wal-gone/data").value["first"], 0, "other data");
    assert!(fact("gone/wal-gone/refused").output.contains("has already been removed"));
    place.assert_nothing_left();
}

#[test]
fn a_cascade_survives_its_upstream_and_its_leader() {
    let (place, run) = passed("cascading");
    let captures = |check: &str| {
        let checks = run.parts.iter().flat_map(|part| &part.checks);
        checks.filter(|one| one.id == check).map(|one| one.captures.clone()).next().unwrap()
    };
    assert_eq!(captures("cascade")["leader"], captures("cascade-failover")["leader"], "the leader stayed until then");
    let risen = captures("cascade-failover");
    assert!(risen["new_timeline"].as_u64() > risen["timeline"].as_u64(), "{risen:?}");
    place.assert_nothing_left();
}
