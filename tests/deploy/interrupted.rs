//! labrun killed or interrupted at any moment: a destroy from elsewhere removes all of it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, lab, until};

/// Start a deployment and wait until its progress says `moment`.
fn deploy_until(place: &Place, moment: &str) -> Child {
    let mut deploying =
        place.command(&["deploy", &lab("reference"), "--no-publish"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(deploying.stderr.take().unwrap()).lines();
    let reached = lines.by_ref().map_while(Result::ok).any(|line| line.contains(moment));
    assert!(reached, "it never came to `{moment}`");
    // Keep reading, so that it is never held up by us.
    std::thread::spawn(move || lines.for_each(drop));
    deploying
}

fn killed_at(moment: &str) {
    let place = Place::new();
    let mut deploying = deploy_until(&place, moment);
    deploying.kill().unwrap();
    deploying.wait().unwrap();
    assert_eq!(place.state("reference")["phase"], "deploying");
    let said = place.labrun(&["destroy"]).ends(0);
    assert!(said.out.contains("reference is removed"), "{}", said.out);
    place.assert_nothing_left();
}

#[test]
fn killed_while_the_first_node_starts() {
    killed_at("starting zoo");
}

#[test]
fn killed_while_the_database_is_made() {
    killed_at("starting pg-master");
}

#[test]
fn killed_while_the_replica_is_copied() {
    killed_at("starting pg-slave");
}

#[test]
fn a_killed_deployment_can_also_be_gone_on_with() {
    let place = Place::new();
    let mut deploying = deploy_until(&place, "starting pg-master");
    deploying.kill().unwrap();
    deploying.wait().unwrap();
    let said = place.labrun(&["deploy", &lab("reference"), "--no-publish", "--json"]).ends(0).json();
    assert_eq!((said["phase"].as_str(), said["already"].as_bool()), (Some("ready"), Some(false)));
}

#[test]
fn ctrl_c_says_what_is_left_and_how_to_remove_it() {
    let place = Place::new();
    let mut deploying =
        place.command(&["deploy", &lab("reference"), "--no-publish"]).stderr(Stdio::piped()).spawn().unwrap();
    until("nothing was begun", || place.output.join("reference/nodes/zoo/supervisor.pid").exists());
    kill(Pid::from_raw(deploying.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(deploying.wait().unwrap().code(), Some(130));
    let mut told = String::new();
    deploying.stderr.unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("labrun destroy --name reference"), "{told}");
    place.labrun(&["destroy"]).ends(0);
    place.assert_nothing_left();
}

#[test]
fn a_killed_destroy_is_done_again() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    let mut destroying = place.command(&["destroy"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it never began", || {
        let state = std::fs::read_to_string(place.output.join("keeper/deployment.json")).unwrap_or_default();
        state.is_empty() || state.contains("\"destroying\"")
    });
    destroying.kill().unwrap();
    destroying.wait().unwrap();
    let deploying = place.labrun(&["deploy", &lab("keeper"), "--no-publish"]);
    if place.output.join("keeper/deployment.json").exists() && deploying.code != 0 {
        assert!(deploying.err.contains("half destroyed"), "{}", deploying.err);
    }
    place.labrun(&["destroy"]);
    place.assert_nothing_left();
}

#[test]
fn a_killed_supervisor_leaves_its_service_to_destroy() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    let pid = std::fs::read_to_string(place.output.join("keeper/nodes/zoo/supervisor.pid")).unwrap();
    let pid = pid.split_whitespace().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let status = place
        .status_when("keeper", "the supervisor is gone", |status| status["nodes"][0]["status"]["state"] == "failing");
    assert!(status["not_ready"].as_str().unwrap().contains("zoo"), "{status:#}");
    assert_eq!(place.processes().len(), 1, "{:?}", place.processes());
    // A start takes over from it.
    place.labrun(&["start", "zoo"]).ends(0);
    let status = place.labrun(&["status", "--json"]).ends(0).json();
    assert_eq!(status["nodes"][0]["status"]["state"], "running");
    assert_eq!(place.processes().len(), 2, "{:?}", place.processes());
    place.labrun(&["destroy"]).ends(0);
    place.assert_nothing_left();
}
