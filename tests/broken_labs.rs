//! A gallery of broken labs: what is said about each of them. The snapshots are what a user sees.

use std::fs;
use std::path::{Path, PathBuf};

use labrun::lab::{self, Code, LabError, Loaded};
use miette::{GraphicalReportHandler, GraphicalTheme};
use tempfile::TempDir;

/// A copy of the small lab, to be broken.
struct Copy {
    dir: TempDir,
}

impl Copy {
    fn new() -> Self {
        let copy = Self { dir: tempfile::tempdir().expect("a folder") };
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/labs/small");
        copy_all(&from, copy.dir.path());
        copy
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Replaces text in one of its files; it must be there once.
    fn edit(self, file: &str, from: &str, to: &str) -> Self {
        let text = fs::read_to_string(self.path(file)).expect(file);
        assert_eq!(text.matches(from).count(), 1, "{from:?} must stand in {file} once");
        fs::write(self.path(file), text.replace(from, to)).expect(file);
        self
    }

    fn lab(self, from: &str, to: &str) -> Self {
        self.edit("lab.yaml", from, to)
    }

    fn load(&self) -> Result<Loaded, LabError> {
        lab::load(&self.dir.path().display().to_string())
    }

    fn broken(&self) -> LabError {
        self.load().map(|_| ()).expect_err("a broken lab")
    }

    /// What a user sees of the error.
    fn shown(&self) -> String {
        self.without_folder(&shown(&self.broken()))
    }

    fn without_folder(&self, text: &str) -> String {
        let folder = self.dir.path().display().to_string();
        text.replace(&format!("{folder}/"), "").replace(&folder, "small")
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn shown(error: &dyn miette::Diagnostic) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
    handler.render_report(&mut text, error).expect("rendered");
    text
}

/// Asserts what is shown, and that exactly these codes are told.
macro_rules! told {
    ($copy:expr, $name:expr, $codes:expr) => {
        let copy = $copy;
        let codes: Vec<Code> = copy.broken().diagnostics.iter().map(|finding| finding.code).collect();
        insta::assert_snapshot!($name, copy.shown());
        assert_eq!(codes, $codes);
    };
}

#[test]
fn the_small_lab_is_sound() {
    let loaded = Copy::new().load().expect("sound");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.lab.parts[1].needs, [0]);
    assert_eq!(loaded.lab.parts[0].checks[0].params["rows"], "{{ vars.rows }}");
    assert_eq!(loaded.sha256.len(), 64);
}

#[test]
fn indentation_lost_in_a_file_that_is_still_yaml() {
    let copy = Copy::new();
    let flat: String = fs::read_to_string(copy.path("lab.yaml"))
        .expect("the lab")
        .lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    fs::write(copy.path("lab.yaml"), flat).expect("written");
    told!(copy, "indentation-lost", [Code::IndentationLost]);
}

#[test]
fn indentation_lost_so_that_it_is_no_yaml() {
    let text = lab::library::builtin("labs/ha-postgres/lab.yaml").expect("the reference lab");
    let copy = Copy::new();
    let flat: String = text.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    fs::write(copy.path("lab.yaml"), flat).expect("written");
    told!(copy, "indentation-lost-no-yaml", [Code::IndentationLost]);
}

#[test]
fn indentation_lost_at_one_place() {
    let copy = Copy::new().lab("      publish:\n        sql: 5433\n", "      publish:\n      sql: 5433\n");
    told!(copy, "indentation-lost-once", [Code::IndentationLost]);
}

#[test]
fn not_yaml() {
    told!(Copy::new().lab("needs: [zoo, pg-a]", "needs: [zoo, pg-a"), "not-yaml", [Code::NotYaml]);
}

#[test]
fn unknown_keys() {
    let copy = Copy::new()
        .lab("      needs: [zoo]\n", "      neds: [zoo]\n")
        .lab("vars:\n  rows: 3\n", "vars:\n  rows: 3\npublish:\n  sql: 1\nflavour: sweet\n");
    told!(copy, "unknown-key", [Code::UnknownKey, Code::UnknownKey, Code::UnknownKey]);
}

#[test]
fn wrong_types_and_values() {
    let copy = Copy::new()
        .lab("kind: haproxy", "kind: haproxi")
        .lab("sql: 5433", "sql: \"5433\"")
        .lab("sql: 5434", "sql: 70000")
        .lab("title: Writing", "title: 7")
        .lab("needs: [write]", "needs: write");
    let codes = [Code::WrongType, Code::UnknownValue, Code::UnknownValue, Code::WrongType, Code::WrongType];
    told!(copy, "wrong-types", codes);
}

#[test]
fn missing_and_repeated_keys() {
    let copy = Copy::new()
        .lab("  - id: write\n    title: Writing\n", "  - id: write\n")
        .lab("      needs: [zoo, pg-a]\n", "      needs: [zoo, pg-a]\n      needs: [zoo]\n")
        .lab("    zoo:\n      kind: zookeeper\n", "    zoo: {}\n");
    told!(copy, "missing-keys", [Code::MissingKey, Code::Twice, Code::MissingKey]);
}

#[test]
fn a_misspelt_role() {
    let copy = Copy::new().edit("checks/writes.yaml", "on: leader", "on: leadr");
    told!(copy, "misspelt-role", [Code::UnknownTarget]);
}

#[test]
fn cyclic_needs() {
    let copy = Copy::new()
        .lab("      needs: [zoo]\n", "      needs: [proxy-1]\n")
        .lab("    title: Writing\n", "    title: Writing\n    needs: [read]\n");
    told!(copy, "cyclic-needs", [Code::CyclicNeeds, Code::CyclicNeeds]);
}

#[test]
fn unknown_needs() {
    let copy = Copy::new().lab("needs: [pg-a, pg-b]", "needs: [pg-a, pg-bb]").lab("needs: [write]", "needs: [rite]");
    told!(copy, "unknown-needs", [Code::UnknownNeed, Code::UnknownNeed]);
}

#[test]
fn parameters() {
    let copy = Copy::new()
        .lab("          rows: \"{{ vars.rows }}\"", "          row: 1")
        .lab("        with:\n          wanted: \"{{ checks.writes.written }}\"\n", "");
    told!(copy, "parameters", [Code::UnknownParam, Code::MissingParam]);
}

#[test]
fn names_that_are_not_there() {
    let copy = Copy::new()
        .lab("{{ checks.writes.written }}", "{{ checks.writes.writen }}")
        .lab("{{ vars.rows }}", "{{ vars.row }}")
        .edit("checks/writes.yaml", "count == params.rows", "cout == params.row");
    told!(copy, "unknown-names", [Code::UnknownName, Code::UnknownName, Code::UnknownName, Code::UnknownName]);
}

#[test]
fn bad_expressions() {
    let copy = Copy::new()
        .edit("checks/writes.yaml", "count == params.rows", "count == == 3")
        .edit("checks/reads.yaml", "first == params.wanted", "\"{{ first == 3 }}\"")
        .lab("{{ vars.rows }}", "{{ vars.rows");
    told!(copy, "bad-expressions", [Code::BadExpression, Code::BadExpression, Code::BadExpression]);
}

#[test]
fn steps_do_exactly_one_thing() {
    let copy = Copy::new()
        .edit("checks/reads.yaml", "    expect:\n", "    cluster: {}\n    expect:\n")
        .edit(
            "checks/writes.yaml",
            "  - wait:\n      until:\n        a leader: cluster.leader is not none\n",
            "  - title: x\n",
        )
        .edit("checks/writes.yaml", "within: failover", "within: failovr");
    told!(copy, "one-action", [Code::NotOneAction, Code::NotOneAction, Code::UnknownValue]);
}

#[test]
fn workloads_that_cannot_go() {
    let workload = |paths: &str| {
        format!(
            "    workload:\n      start: {{name: w, paths: {paths}, clients: 5000, readers: 1, keys: 0}}\n  - title: x\n    wait:"
        )
    };
    let copy = Copy::new().edit(
        "checks/writes.yaml",
        "  - wait:",
        &format!("  - title: w\n{}", workload("[proxi, direct, direct]")),
    );
    told!(copy, "workloads", [Code::UnknownValue, Code::Twice, Code::UnknownValue, Code::UnknownValue]);
}

#[test]
fn modes_of_time_that_do_not_fit() {
    let step = |keys: &str| format!("  - title: x\n    cluster: {{}}\n{keys}");
    let steps = [
        step("    during: 5s\n    within: 5s\n    expect: [cluster.leader is none]\n"),
        step("    during: 5s\n"),
        step("    never: [cluster.leader is none]\n"),
        step("    stable_for: 5s\n    credit: 101\n"),
        "  - title: x\n    fault: {do: stop, on: leader}\n    during: 5s\n    expect: [role == 'leader']\n".to_owned(),
    ];
    let copy = Copy::new().edit("checks/writes.yaml", "  - wait:", &format!("{}  - wait:", steps.concat()));
    told!(copy, "modes", [Code::Modes; 6]);
}

#[test]
fn faults_that_lack_what_they_need() {
    let faults = [
        "{do: cut, on: leader}",
        "{do: slow, on: leader, to: replica}",
        "{do: slow, on: leader, to: replica, delay: 90s}",
        "{do: stop, on: leader, to: replica, one_way: true, loss: 5}",
        "{do: isolate, on: all}",
        "{do: cut, on: leader, to: leader}",
        "{do: hang, on: proxy}",
    ];
    let steps = faults.map(|fault| format!("  - title: x\n    fault: {fault}\n"));
    let copy = Copy::new().edit("checks/writes.yaml", "  - wait:", &format!("{}  - wait:", steps.concat()));
    told!(copy, "faults", [Code::FaultShape; 9]);
}

#[test]
fn a_check_that_cannot_fail() {
    let copy = Copy::new().edit("checks/reads.yaml", "    expect:\n      - first == params.wanted\n", "").edit(
        "checks/reads.yaml",
        "      expect_error: \"25006\"\n",
        "",
    );
    told!(copy, "vacuous", [Code::Vacuous]);
}

#[test]
fn operations_that_lack_something() {
    let steps = "steps:
  - operate: {do: restart, on: leader, to: replica}
  - operate: {do: configure, on: leader}
  - operate: {do: configure, on: leader, set: {}}
  - operate: {do: switchover, on: leader, to: leader, set: {ttl: 30}}
  - operate: {do: reinitialize, on: proxy, expect_status: 200}
  - operate: {do: configure, on: leader, set: {ttl: \"{{ params.tll }}\"}}
";
    let copy = Copy::new().edit("checks/reads.yaml", "steps:\n", steps);
    let shape = [Code::FaultShape; 6];
    told!(copy, "operations", [&shape[..], &[Code::UnknownName]].concat());
}

#[test]
fn unknown_files_and_checks() {
    let copy = Copy::new()
        .lab("use: reads", "use: read")
        .lab("files: [haproxy.cfg]", "files: [haproxy.conf]")
        .lab("answer: why", "answer: whi");
    told!(copy, "unknown-files", [Code::MissingFile, Code::UnknownCheck, Code::MissingFile, Code::MissingFile]);
}

#[test]
fn ports_names_and_formats() {
    let copy = Copy::new()
        .lab("sql: 5434", "sql: 5433")
        .lab("name: small", "name: Small Lab")
        .lab("lab: labrun/v1", "lab: labrun/v2")
        .lab("    zoo:\n", "    leader:\n")
        .lab("needs: [zoo]", "needs: [leader]")
        .lab("needs: [zoo, pg-a]", "needs: [leader, pg-a]");
    told!(copy, "ports-and-names", [Code::WrongFormat, Code::BadName, Code::BadName, Code::PortTwice]);
}

#[test]
fn patroni_settings() {
    let copy = Copy::new()
        .lab("        scope: small\n", "        scope: small\n        name: mine\n        etcd: {hosts: a}\n")
        .lab("            ttl: 30\n", "            ttl: 25\n            postgresql: {listen: x}\n")
        .lab(
            "        postgresql:\n          authentication:\n",
            "        recovery_conf: {}\n        postgresql:\n          authentication:\n",
        )
        .lab(
            "replication: {username: replicator, password: secret}",
            "replication: {username: replicator, password: 5}",
        );
    let codes = [Code::OwnSetting, Code::OwnSetting, Code::WrongType, Code::Timing, Code::Misplaced, Code::Misplaced];
    told!(copy, "patroni", codes);
}

#[test]
fn a_proxy_that_would_lead_to_replicas() {
    let copy = Copy::new().lab("inter: 1s", "inter: 1 s\n        check_path: /health");
    told!(copy, "proxy", [Code::UnknownValue, Code::ProxyCheck]);
}

#[test]
fn kinds_that_are_missing() {
    let copy = Copy::new()
        .lab("    zoo:\n      kind: zookeeper\n", "")
        .lab("      needs: [zoo]\n", "")
        .lab("needs: [zoo, pg-a]", "needs: [pg-a]");
    told!(copy, "kinds", [Code::MissingKind, Code::MissingKind, Code::MissingKind]);
}

#[test]
fn several_at_once() {
    let copy = Copy::new()
        .lab("      needs: [zoo]\n", "      neds: [zoo]\n")
        .lab("needs: [write]", "needs: [wirte]")
        .lab("sql: 5434", "sql: 5433")
        .edit("checks/writes.yaml", "on: leader", "on: master")
        .edit("checks/reads.yaml", "first == params.wanted", "first = params.wanted");
    let codes = [Code::UnknownTarget, Code::BadExpression, Code::UnknownKey, Code::PortTwice, Code::UnknownNeed];
    let mut told: Vec<Code> = copy.broken().diagnostics.iter().map(|finding| finding.code).collect();
    insta::assert_snapshot!("several", copy.shown());
    told.sort();
    let mut expected = codes.to_vec();
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn alias_bombs() {
    let mut bomb = String::from("lab: labrun/v1\nvars:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("  a{level}: &a{level} [{uses}]\n"));
    }
    let copy = Copy::new();
    fs::write(copy.path("lab.yaml"), bomb).expect("written");
    told!(copy, "alias-bomb", [Code::TooLarge]);
}

#[test]
fn deep_nesting() {
    let copy = Copy::new().lab("  rows: 3\n", &format!("  rows: {}{}\n", "[".repeat(2000), "]".repeat(2000)));
    told!(copy, "deep", [Code::TooLarge]);
}

#[test]
fn oversized_files() {
    let copy = Copy::new();
    let file = fs::File::create(copy.path("lab.yaml")).expect("created");
    file.set_len(1 << 30).expect("a gigabyte, sparse");
    told!(copy, "oversized", [Code::TooLarge]);
}

#[test]
fn files_outside_of_the_folder() {
    let copy = Copy::new().lab("use: reads", "use: ../../secret");
    std::os::unix::fs::symlink("/etc/passwd", copy.path("checks/stolen.yaml")).expect("a link");
    let copy = copy.lab("use: writes", "use: stolen");
    let codes: Vec<Code> = copy.broken().diagnostics.iter().map(|finding| finding.code).collect();
    assert!(codes.iter().filter(|code| **code == Code::OutsideFolder).count() == 2, "{codes:?}");
    assert!(!copy.shown().contains("root:"), "nothing of the file is shown");
}
