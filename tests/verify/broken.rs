//! The reference lab broken by hand: the right verdict, with the cause, and never a hollow pass.

use labrun::lab::model::Lang;
use labrun::verify::{Run, Verdict};

use crate::run::{LAB, deployed, run, verdicts, verify};
use crate::support::Place;

fn reasons(run: &Run) -> String {
    let reasons = run.parts.iter().flat_map(|part| &part.checks).filter_map(|check| check.reason.as_ref());
    reasons.map(|reason| reason.get(Lang::En)).collect::<Vec<_>>().join("\n")
}

/// Change a file of a node by hand, and restart the node.
fn edit(place: &Place, node: &str, file: &str, from: &str, to: &str) {
    let path = format!("{}/{LAB}/nodes/{node}/{file}", run_dir(place));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {path}:\n{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    place.labrun(&["restart", node]).ends(0);
}

/// The folder above the deployment's nodes, which may lie elsewhere than its state.
fn run_dir(place: &Place) -> String {
    let state = place.state(LAB);
    let node = state["nodes"][0]["dir"].as_str().unwrap();
    node.split(&format!("/{LAB}/nodes/")).next().unwrap().to_owned()
}

#[test]
fn a_standby_that_was_stopped_before_the_failover_makes_it_prove_nothing() {
    let place = deployed();
    place.labrun(&["stop", "sync_standby"]).ends(0);
    verify(&place, &["--only", "failover"]).ends(3);
    let run = run(&place);
    assert_eq!(verdicts(&run), [("failover", Verdict::Inconclusive)]);
    assert!(reasons(&run).contains("Without a live synchronous standby"), "{}", reasons(&run));
    assert!(run.facts.iter().any(|fact| fact.scope == "failover/failover/collect/dcs-leader"), "what explains it");
    assert!(!run.facts.iter().any(|fact| fact.scope.ends_with("/stop")), "the leader is left alone");
}

#[test]
fn a_health_check_that_passes_on_a_replica_fails_the_routing() {
    let place = deployed();
    edit(&place, "haproxy", "haproxy.cfg", "option httpchk", "option httpchk OPTIONS /health\n    #");
    verify(&place, &["--only", "routing"]).ends(1);
    let run = run(&place);
    assert_eq!(verdicts(&run), [("routing", Verdict::Fail)]);
    assert!(reasons(&run).contains("the health check passes on it as well"), "{}", reasons(&run));
}

#[test]
fn a_wrong_replication_password_on_one_node_is_no_ready_cluster() {
    let place = deployed();
    edit(&place, "pg-slave", "postgres1.yml", "rep-pass", "wrong-pass");
    verify(&place, &[]).ends(1);
    let run = run(&place);
    assert_eq!(verdicts(&run)[0], ("setup", Verdict::Fail));
    assert!(verdicts(&run)[1..].iter().all(|(_, verdict)| *verdict == Verdict::Skipped), "{:?}", verdicts(&run));
    let log = run.facts.iter().find(|fact| fact.scope == "setup/cluster-ready/collect/log-pg-slave").unwrap();
    assert!(log.output.contains("password authentication failed"), "{}", log.output);
}

#[test]
fn an_unknown_part_is_a_usage_error_that_names_the_parts() {
    let place = Place::new();
    place.labrun(&["deploy", &crate::support::lab("keeper"), "--no-publish"]).ends(0);
    let said = verify(&place, &["--only", "failovr"]).ends(2);
    assert!(said.err.contains("there is no part `failovr`"), "{}", said.err);
}
