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
    assert!(err(&warned).contains("the lab `mine` is sound, with a warning"), "{}", err(&warned));
    assert_eq!(code(&labrun(&["validate", "--strict", "mine"], dir.path())), 2);
}

#[test]
fn schemas_are_printed_as_committed() {
    for of in ["lab", "check", "endpoints", "run", "event", "series"] {
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

/// The project of a folder of `tests/projects`.
fn project(name: &str) -> String {
    format!("{}/tests/projects/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_project_is_linted_with_places_in_its_own_files() {
    let dir = tempfile::tempdir().expect("a folder");
    // Ports of this machine may be taken while the tests run; all else is silent.
    let clean = labrun(&["lint", &project("clean")], dir.path());
    assert_eq!(code(&clean), 0, "{}", err(&clean));
    assert!(
        !err(&clean).lines().any(|line| line.starts_with("LR07") && !line.starts_with("LR0718")),
        "{}",
        err(&clean)
    );

    let flat = labrun(&["lint", &project("flattened")], dir.path());
    assert_eq!(code(&flat), 1);
    for part in ["LR0104", "docker-compose.yml:1:", "the likely original", "      use_pg_rewind: true"] {
        assert!(err(&flat).contains(part), "{part} in {}", err(&flat));
    }
    assert!(out(&flat).starts_with("broken: ") && out(&flat).trim_end().ends_with(": 3 errors"), "{}", out(&flat));

    let strict = labrun(&["lint", "--strict", "--json", &project("reference")], dir.path());
    assert_eq!(code(&strict), 1);
    let told: Value = serde_json::from_str(&out(&strict)).expect("JSON");
    let codes: Vec<_> = told["findings"].as_array().expect("a list").iter().map(|one| one["code"].as_str()).collect();
    assert!(codes.contains(&Some("LR0719")) && told["findings"][0]["severity"] == "warning", "{told}");

    let nothing = labrun(&["lint", "."], dir.path());
    assert_eq!(code(&nothing), 2);
    assert!(err(&nothing).contains("LR0721"), "{}", err(&nothing));
}

#[test]
fn a_code_is_explained_in_both_languages() {
    let dir = tempfile::tempdir().expect("a folder");
    let page = labrun(&["explain", "lr0701", "--lang", "ru"], dir.path());
    assert_eq!(
        (code(&page), out(&page).lines().next()),
        (0, Some("# LR0701: проверка HAProxy проходит там, где не должна"))
    );
    let all = labrun(&["explain", "--lang", "en"], dir.path());
    assert!(out(&all).lines().count() > 50 && out(&all).contains("LR0719: one ZooKeeper"), "{}", out(&all));
    let unknown = labrun(&["explain", "LR0799"], dir.path());
    assert_eq!(code(&unknown), 2);
    assert!(err(&unknown).contains("did you mean LR07"), "{}", err(&unknown));
}

#[test]
fn a_project_is_exported_and_imported_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let exported = labrun(&["export", "compose", "project"], dir.path());
    assert_eq!(code(&exported), 0, "{}", err(&exported));
    let readme = std::fs::read_to_string(dir.path().join("project/README.md")).expect("a README");
    assert!(readme.contains("| `haproxy`: the entry point, always the leader | 127.0.0.1:5000 |"), "{readme}");
    let linted = labrun(&["lint", "project", "--json"], dir.path());
    let told: Value = serde_json::from_str(&out(&linted)).expect("JSON");
    let codes: Vec<_> =
        told["findings"].as_array().expect("a list").iter().filter_map(|one| one["code"].as_str()).collect();
    // One ZooKeeper, and the socket in the data directory: both are the assignment's own.
    assert!(codes.iter().all(|code| ["LR0706", "LR0718", "LR0719"].contains(code)), "{told}");
    let imported = labrun(&["import", "project", "--to", "course"], dir.path());
    assert_eq!((code(&imported), out(&imported).as_str()), (0, "course/lab.yaml\n"), "{}", err(&imported));
    let sound = labrun(&["validate", "--strict", "course"], dir.path());
    assert_eq!(code(&sound), 0, "{}", err(&sound));
    let lab = std::fs::read_to_string(dir.path().join("course/lab.yaml")).expect("a lab");
    assert!(lab.contains("\nname: course\n") && lab.contains("sql: 5000"), "{lab}");
    let again = labrun(&["import", "project", "--to", "course"], dir.path());
    assert_eq!(code(&again), 2);
    assert!(err(&again).contains("LR0130"), "{}", err(&again));
}
