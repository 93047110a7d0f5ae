//! An election that does not happen, on real servers: the outage says why, candidate by candidate.

use labrun::lab::model::Lang;
use labrun::verify::outage::election::NoElection;
use labrun::verify::{Run, Verdict};

use crate::support::Place;

const NAME: &str = "unelected";

fn words(texts: &[labrun::lab::model::Text]) -> String {
    texts.iter().map(|text| text.get(Lang::En)).collect::<Vec<_>>().join("; ")
}

/// Why nobody was elected after the fault of `check`, whose clients never wrote again.
fn unelected(run: &Run, check: usize) -> &NoElection {
    let outage = &run.outages[check];
    assert!(!outage.closed && outage.fault == "kill", "{outage:?}");
    outage.no_election.as_ref().unwrap_or_else(|| panic!("no reason: {outage:?}"))
}

/// What speaks against a candidate.
fn against(none: &NoElection, node: &str) -> String {
    let candidate = none.candidates.iter().find(|candidate| candidate.node == node);
    words(&candidate.unwrap_or_else(|| panic!("{node} is no candidate: {none:?}")).reasons)
}

#[test]
fn where_nobody_takes_the_lead_each_candidate_says_why() {
    let place = Place::new();
    let lab = format!("{}/tests/verify/labs/{NAME}", env!("CARGO_MANIFEST_DIR"));
    let said = place.labrun(&["run", &lab, "--no-publish", "--lang", "en"]).ends(1);
    let newest = place.output.join(NAME).join("runs/latest").canonicalize().unwrap();
    let run: Run = serde_json::from_slice(&std::fs::read(newest.join("run.json")).unwrap()).unwrap();
    assert!(run.parts.iter().all(|part| part.verdict == Verdict::Fail), "{}", said.all());
    assert_eq!(run.outages.len(), 2, "{:?}", run.outages);

    // Who leads first, and who then, is not given.
    let unfit = unelected(&run, 0);
    assert_eq!(words(&unfit.because), "", "nothing concerns the cluster as a whole");
    let third = against(unfit, "pg-c");
    assert!(third.contains("the tag nofailover") && third.contains("the sync key does not name it"), "{third}");
    for killed in ["pg-a", "pg-b"] {
        assert!(against(unfit, killed).contains("its agent does not answer"), "{unfit:?}");
    }

    let paused = unelected(&run, 1);
    assert!(words(&paused.because).contains("the cluster is paused"), "{paused:?}");
    let fit: Vec<&str> = ["pg-a", "pg-b"].into_iter().filter(|node| against(paused, node).is_empty()).collect();
    assert_eq!(fit.len(), 1, "nothing but the pause speaks against the standby: {paused:?}");
    assert!(said.out.contains("no election happened: the cluster is paused"), "{}", said.out);
    assert!(said.out.contains("pg-c: the tag nofailover"), "{}", said.out);
    place.labrun(&["destroy"]).ends(0);
    place.assert_nothing_left();
}
