//! What goes wrong ends in an error that says what and what to do, with its exit code, and leaves nothing behind.

use std::net::{Ipv4Addr, TcpListener};

use labrun::deploy::Lock;

use crate::support::{Place, Said, free_offset, lab};

#[test]
fn a_taken_port_names_its_holder_before_anything_starts() {
    let place = Place::new();
    let offset = free_offset();
    let _busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 5000 + offset)).unwrap();
    let said = place.labrun(&["deploy", &lab("reference"), "--port-offset", &offset.to_string()]).ends(4);
    let port = format!("port {} on 127.0.0.1, published by haproxy, is taken by", 5000 + offset);
    assert!(said.err.contains(&port), "{}", said.err);
    assert!(said.err.contains(&format!("(pid {})", std::process::id())), "{}", said.err);
    assert!(said.err.contains("--port-offset"), "{}", said.err);
    place.assert_nothing_left();
    assert!(!place.output.join("reference").exists());
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let place = Place::new();
    for (variable, program, install) in [
        ("LABRUN_HAPROXY", "haproxy", "apt-get install haproxy"),
        ("LABRUN_JAVA", "java", "apt-get install"),
        ("LABRUN_ZOOKEEPER", "zookeeper", "apt-get install"),
        ("LABRUN_POSTGRES_BIN", "PostgreSQL", "apt-get install postgresql"),
        ("LABRUN_AGENT", "labrun-agent", "cargo build"),
    ] {
        let mut command = place.command(&["deploy", &lab("reference"), "--no-publish"]);
        let said = Said::of(command.env(variable, "/nonexistent").output().unwrap()).ends(4);
        assert!(said.err.contains(&format!("{program} is not installed")), "{}", said.err);
        assert!(said.err.contains(install), "{}", said.err);
        let doctor = Said::of(place.command(&["doctor", "--json"]).env(variable, "/nonexistent").output().unwrap());
        let found = doctor.ends(4).json()["findings"].clone();
        let missing: Vec<_> = found.as_array().unwrap().iter().filter(|found| found["level"] == "error").collect();
        assert!(missing.iter().any(|found| found["remedy"].as_str().unwrap().contains(install)), "{missing:?}");
    }
    place.assert_nothing_left();
}

#[test]
fn a_service_that_keeps_failing_ends_the_wait_with_its_log() {
    let place = Place::new();
    let failing = place.dir().join("java");
    std::fs::write(&failing, "#!/bin/sh\necho no such option; exit 3\n").unwrap();
    std::fs::set_permissions(&failing, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let keeper = lab("keeper");
    let deploy = |more: &[&str]| {
        let args = [&["deploy", &keeper, "--no-publish"], more].concat();
        Said::of(place.command(&args).env("LABRUN_JAVA", &failing).output().unwrap()).ends(4)
    };
    let said = deploy(&[]);
    assert!(said.err.contains("zoo is not up") && said.err.contains("no such option"), "{}", said.err);
    assert!(said.err.contains("labrun destroy"), "{}", said.err);
    assert_eq!(place.state("keeper")["phase"], "failed");
    assert!(!place.processes().is_empty(), "it was to be left for a look");
    place.labrun(&["destroy"]).ends(0);
    deploy(&["--clean-on-failure"]);
    place.assert_nothing_left();
}

#[test]
fn a_held_lock_names_its_holder() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    let lock = Lock::take(&place.output.join("keeper"), "labrun verify").unwrap();
    let keeper = lab("keeper");
    for args in [&["destroy"][..], &["stop", "zoo"], &["deploy", &keeper, "--no-publish"], &["verify"]] {
        let said = place.labrun(args).ends(5);
        let holder = format!("`labrun verify` (pid {})", std::process::id());
        assert!(said.err.contains(&holder), "{}", said.err);
    }
    // Looking needs no lock.
    place.labrun(&["status"]).ends(0);
    drop(lock);
    place.labrun(&["destroy"]).ends(0);
}

#[test]
fn a_broken_state_file_does_not_save_a_deployment_from_destroy() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    std::fs::write(place.output.join("keeper/deployment.json"), "{\"format\":").unwrap();
    let said = place.labrun(&["status"]).ends(4);
    assert!(said.err.contains("cannot be understood") && said.err.contains("destroy"), "{}", said.err);
    assert!(!place.processes().is_empty());
    place.labrun(&["destroy"]).ends(0);
    place.assert_nothing_left();
}

#[test]
fn a_removed_folder_does_not_save_its_processes_from_destroy() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    std::fs::remove_dir_all(place.output.join("keeper")).unwrap();
    assert!(!place.processes().is_empty());
    place.labrun(&["destroy", "--name", "keeper"]).ends(0);
    place.assert_nothing_left();
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let place = Place::new();
    let said = place.labrun(&["status"]).ends(6);
    assert!(said.err.contains("labrun deploy"), "{}", said.err);
    place.labrun(&["destroy", "--name", "other"]).ends(6);
    place.labrun(&["deploy", &lab("keeper"), "--name", "../elsewhere"]).ends(2);
    place.labrun(&["deploy", "no-such-lab"]).ends(2);
    place.labrun(&["report"]).ends(6);
    place.labrun(&["destroy", "--all"]).ends(0);
}

#[test]
fn errors_are_json_where_a_program_reads() {
    let place = Place::new();
    let error = place.labrun(&["status", "--json"]).ends(6).json()["error"].clone();
    assert_eq!((error["code"].as_str(), error["exit_code"].as_u64()), (Some("LR0308"), Some(6)));
}
