//! `labrun validate`, `schema` and `init` as a user and as a program meets them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn labrun(args: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labrun"));
    command.args(args).current_dir(dir).env("NO_COLOR", "1").output().expect("labrun runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

/// A lab with a file that is changed.
fn changed(dir: &Path, from: &str, to: &str) {
    let output = labrun(&["init", "mine"], dir);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let lab = dir.join("mine/lab.yaml");
    let text = std::fs::read_to_string(&lab).expect("the lab");
    assert!(text.contains(from), "{from}");
    std::fs::write(lab, text.replacen(from, to, 1)).expect("written");
}

#[test]
fn a_new_lab_is_sound_and_never_overwritten() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = labrun(&["init", "course"], dir.path());
    assert_eq!(code(&made), 0);
    assert!(out(&made).lines().any(|line| line == "course/lab.yaml"), "{}", out(&made));
    assert!(err(&made).contains("labrun run course"), "what to do next goes to stderr");

    let sound = labrun(&["validate", "--strict", "course", "course/checks/failover.yaml", "ha-postgres"], dir.path());
    assert_eq!((code(&sound), err(&sound)), (0, String::new()));
    assert!(out(&sound).lines().all(|line| line.starts_with("ok ")) && out(&sound).lines().count() == 3);

    let again = labrun(&["init", "course"], dir.path());
    assert_eq!((code(&again), out(&again)), (2, String::new()));
    assert!(err(&again).contains("LR0130"), "{}", err(&again));
}

#[test]
fn every_error_is_told_with_its_place() {
    let dir = tempfile::tempdir().expect("a folder");
    changed(dir.path(), "      needs: [zoo]\n", "      neds: [zoo]\n");
    let broken = labrun(&["validate", "mine"], dir.path());
    assert_eq!(code(&broken), 2);
    assert_eq!(out(&broken), "broken  mine: 1 error\n");
    for part in ["LR0105", "mine/lab.yaml:", "`neds` is not known here", "did you mean `needs`?"] {
        assert!(err(&broken).contains(part), "{part} in {}", err(&broken));
    }
    let json = labrun(&["validate", "--json", "mine", "ha-postgres"], dir.path());
    assert_eq!(code(&json), 2);
    let found: Value = serde_json::from_str(&out(&json)).expect("JSON");
    let finding = &found[0]["diagnostics"][0];
    assert_eq!((finding["code"].as_str(), finding["severity"].as_str()), (Some("LR0105"), Some("error")));
    assert!(finding["line"].as_u64() > Some(1) && finding["column"] == 7 && finding["length"] == 4, "{finding}");
    assert_eq!(found[1]["diagnostics"], Value::Array(vec![]));

    let deploy = labrun(&["deploy", "mine", "--json"], dir.path());
    assert_eq!(code(&deploy), 2, "a broken lab is not deployed");
    let error: Value = serde_json::from_str(&out(&deploy)).expect("JSON");
    assert_eq!(error["error"]["diagnostics"][0]["code"], "LR0105");
}

#[test]
fn warnings_are_no_errors_unless_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    changed(dir.path(), "        check_path: /\n", "        check_path: /health\n");
    let warned = labrun(&["validate", "mine"], dir.path());
    assert_eq!(code(&warned), 0);
    assert!(out(&warned).ends_with("(1 warning)\n"), "{}", out(&warned));
    assert!(err(&warned).contains("LR0131"), "{}", err(&warned));
    assert_eq!(code(&labrun(&["validate", "--strict", "mine"], dir.path())), 2);
}

#[test]
fn schemas_are_printed_as_committed() {
    for of in ["lab", "check"] {
        let printed = labrun(&["schema", of], Path::new("."));
        let committed = format!("{}/schema/{of}.schema.json", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(out(&printed), std::fs::read_to_string(committed).expect("committed"));
    }
}

#[test]
fn words_that_cannot_be_written_change_no_exit_code() {
    let dir = tempfile::tempdir().expect("a folder");
    changed(dir.path(), "      needs: [zoo]\n", "      neds: [zoo]\n");
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labrun"));
        command.args(args).current_dir(dir.path()).env("NO_COLOR", "1");
        command
    };
    // Nothing to say it on: the exit code is all there is, and it is still the right one.
    let broken = run(&["validate", "mine"]).stderr(full()).output().expect("labrun runs");
    assert_eq!((code(&broken), out(&broken).as_str()), (2, "broken  mine: 1 error\n"));
    let lost = run(&["schema"]).stdout(full()).output().expect("labrun runs");
    assert_eq!(code(&lost), 4);
    assert!(err(&lost).contains("No space left on device"), "{}", err(&lost));
    let lost = run(&["schema"]).stdout(full()).stderr(full()).status().expect("labrun runs");
    assert_eq!(lost.code(), Some(4));
}
