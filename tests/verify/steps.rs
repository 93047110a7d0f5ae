//! A verification step by step, on real servers: its clients write between two commands, a step that failed is mended and
//! tried again, and whatever becomes of the session, nothing stays broken.

use std::path::{Path, PathBuf};

use labrun::lab::model::Lang;
use labrun::verify::{Run, Verdict};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Place, Said, until};

const NAME: &str = "stepped";

/// A place with a copy of the lab, which may be edited, deployed.
struct Stepped {
    place: Place,
    lab: PathBuf,
}

impl Stepped {
    fn new() -> Stepped {
        let place = Place::new();
        let lab = place.dir().join("lab");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify/labs/stepped");
        std::fs::create_dir_all(lab.join("checks")).unwrap();
        for file in ["lab.yaml", "checks/switch.yaml", "checks/after.yaml"] {
            std::fs::copy(from.join(file), lab.join(file)).unwrap();
        }
        Stepped { place, lab }
    }

    fn deployed() -> Stepped {
        let stepped = Stepped::new();
        stepped.place.labrun(&["deploy", stepped.lab.to_str().unwrap(), "--no-publish"]).ends(0);
        stepped
    }

    /// Whether the newest run waits for its step `new`.
    fn waits(&self) -> bool {
        let events = std::fs::read_to_string(self.place.output.join(NAME).join("runs/latest/events.jsonl"));
        let of_new = |line: &str| line.contains("\"event\":\"waiting\"") && line.contains("/new\"");
        events.unwrap_or_default().lines().any(of_new)
    }

    /// The runs that there are.
    fn runs(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.place.output.join(NAME).join("runs")).into_iter().flatten().flatten();
        folders
            .map(|folder| folder.path())
            .filter(|path| path.join("events.jsonl").exists() && !path.is_symlink())
            .collect()
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.lab.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from:?} is not in {}", path.display());
        std::fs::write(&path, text.replace(from, to)).unwrap();
    }

    fn step(&self, more: &[&str]) -> Said {
        self.place.labrun(&[&["step", "--lang", "en"], more].concat())
    }

    /// The state of a step by `labrun steps`.
    fn state(&self, scope: &str) -> String {
        let listed = self.place.labrun(&["steps", "--json"]).ends(0).json();
        let parts = listed["parts"].as_array().unwrap().iter();
        let checks = parts.flat_map(|part| part["checks"].as_array().unwrap());
        let mut steps = checks.flat_map(|check| check["steps"].as_array().unwrap());
        steps.find(|step| step["scope"] == scope).unwrap()["state"].as_str().unwrap().to_owned()
    }

    fn folder(&self) -> PathBuf {
        self.place.output.join(NAME).join("runs/latest").canonicalize().unwrap()
    }

    fn run(&self) -> Run {
        serde_json::from_slice(&std::fs::read(self.folder().join("run.json")).unwrap()).unwrap()
    }

    /// How many operations the clients saw through so far.
    fn operations(&self) -> usize {
        let history = std::fs::read_to_string(self.folder().join("history.jsonl")).unwrap();
        history.lines().filter(|line| line.contains("\"line\":\"end\"")).count()
    }

    /// The session's process, which holds the lock.
    fn session(&self) -> Pid {
        let lock = std::fs::read_to_string(self.place.output.join(NAME).join("lock")).unwrap();
        assert!(lock.contains("labrun step"), "{lock}");
        Pid::from_raw(lock.split_whitespace().next().unwrap().parse().unwrap())
    }

    fn node_states(&self) -> Vec<String> {
        let status = self.place.labrun(&["status", "--json"]).ends(0).json();
        let nodes = status["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["status"]["state"].as_str().unwrap_or("?").to_owned()).collect()
    }
}

fn notes(run: &Run) -> String {
    run.notes.iter().map(|note| note.get(Lang::En)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_session_goes_step_by_step_and_a_failed_step_is_mended_and_tried_again() {
    let stepped = Stepped::deployed();
    assert_eq!(stepped.state("first/switch/who"), "todo");
    let shown = stepped.step(&["--dry-run"]).ends(0);
    assert!(shown.out.contains("looks at the whole cluster") && shown.out.contains("at most 60 s"), "{}", shown.out);
    assert!(!stepped.place.output.join(NAME).join("runs").exists(), "nothing was begun");
    stepped.place.labrun(&["step", "--quit"]).ends(6);

    let said = stepped.step(&[]).ends(0);
    assert!(said.out.contains("[1/7]") && said.out.contains("next: first/switch/writers"), "{}", said.out);
    assert_eq!(
        (stepped.state("first/switch/who"), stepped.state("first/switch/writers")),
        ("pass".into(), "next".into())
    );
    stepped.place.labrun(&["verify"]).ends(5);
    stepped.step(&["--to", "switch/nothing"]).ends(2);
    stepped.step(&["--again"]).ends(2);
    stepped.step(&["--to", "switch/enough"]).ends(0);

    // Nobody asks for anything, and the clients write all the same.
    let then = stepped.operations();
    until("the clients do not write between two commands", || stepped.operations() > then + 100);

    let shown = stepped.place.labrun(&["step", "--dry-run"]).ends(0);
    assert!(shown.out.contains("leader: сейчас это pg-") && shown.out.contains("writers"), "{}", shown.out);
    assert_eq!(stepped.node_states(), ["running"; 3], "it was only shown");
    let said = stepped.step(&[]).ends(0);
    assert!(said.out.contains("fault `stop`: SIGTERM"), "{}", said.out);
    stepped.step(&[]).ends(0);

    let said = stepped.step(&[]).ends(1);
    assert!(said.out.contains("expected `first == 41`, but first = 42"), "{}", said.out);
    assert!(said.out.contains("did not pass; again: labrun step --again"), "{}", said.out);
    assert_eq!(stepped.state("first/switch/sum"), "fail");
    assert_eq!(stepped.run().verdict, Verdict::Fail, "it is kept as far as it got");
    stepped.step(&["--again"]).ends(1);
    let writing = stepped.operations();
    until("the clients stopped when the step failed", || stepped.operations() > writing + 10);
    stepped.edit("checks/switch.yaml", "first == 41", "first == (");
    let said = stepped.step(&["--again"]).ends(2);
    assert!(said.err.contains("the edited lab is not sound"), "{}", said.err);
    stepped.edit("checks/switch.yaml", "first == (", "first == 42");
    stepped.edit("checks/switch.yaml", "Who leads", "Who leads now");
    let said = stepped.step(&["--again"]).ends(0);
    assert!(said.err.contains("`switch/who` was edited after it was done"), "{}", said.err);

    let said = stepped.step(&["--all"]).ends(0);
    assert!(said.out.contains("verdict: pass, points: 2/2"), "{}", said.out);
    let run = stepped.run();
    assert_eq!(run.verdict, Verdict::Pass);
    let sum = run.parts[0].checks[0].steps.iter().find(|step| step.id == "sum").unwrap();
    assert_eq!(sum.earlier.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::Fail; 2]);
    for told in ["step by step", "`switch/sum` was tried again", "`switch/who` was edited after it was done"] {
        assert!(notes(&run).contains(told), "{told} in {}", notes(&run));
    }
    let outage = run.outages.iter().find(|outage| outage.path == "direct").unwrap();
    assert!(outage.closed && outage.fault == "stop" && outage.phases.len() > 1, "{outage:?}");
    assert_eq!(run.parts[1].checks[0].params["node"], run.parts[0].checks[0].captures["old_leader"]);
    stepped.place.labrun(&["report", "--lang", "en"]).ends(0);
    let report = std::fs::read_to_string(stepped.folder().join("report.en.md")).unwrap();
    assert!(report.contains("was tried again"), "{report}");
    stepped.place.labrun(&["recheck"]).ends(0);
    assert_eq!(stepped.node_states(), ["running"; 3], "what was stopped runs again");
}

#[test]
fn a_session_that_is_ended_killed_or_destroyed_leaves_nothing() {
    let stepped = Stepped::deployed();
    stepped.step(&["--to", "switch/stop"]).ends(0);
    assert_eq!(stepped.node_states().iter().filter(|state| *state == "running").count(), 2);
    kill(stepped.session(), Signal::SIGKILL).unwrap();
    until("the session is still there", || stepped.place.labrun(&["step", "--quit"]).code == 6);
    let killed = stepped.run();
    assert_ne!(killed.verdict, Verdict::Pass);
    assert_eq!(killed.parts[0].checks[0].verdict, Verdict::Inconclusive);
    assert_eq!(killed.parts[0].checks[0].steps.len(), 4, "the steps that were done are kept");
    assert!(notes(&killed).contains("nothing is proved of it: `switch`, `after`"), "{}", notes(&killed));
    stepped.place.labrun(&["report", "--lang", "en"]).ends(0);
    let report = std::fs::read_to_string(stepped.folder().join("report.en.md")).unwrap();
    assert!(report.contains("nothing is proved of it"), "{report}");
    let healed: Value = stepped.place.labrun(&["heal", "--json"]).ends(0).json();
    assert_eq!(healed.as_array().unwrap().len(), 1, "{healed}");

    // A new one begins at the beginning, and ends in order when it is told to.
    stepped.step(&["--to", "switch/stop"]).ends(0);
    let said = stepped.step(&["--quit"]).ends(0);
    assert!(said.out.contains("verdict: inconclusive"), "{}", said.out);
    assert_eq!(stepped.node_states(), ["running"; 3], "the fault is undone");
    assert!(notes(&stepped.run()).contains("interrupted"), "{}", notes(&stepped.run()));

    // Going back to a check's beginning undoes what it did, and its result does not count.
    stepped.step(&["--to", "switch/stop"]).ends(0);
    let said = stepped.step(&["--again", "switch"]).ends(0);
    assert!(said.out.contains("[1/7]"), "{}", said.out);
    assert_eq!(stepped.node_states(), ["running"; 3]);
    assert_eq!(stepped.state("first/switch/writers"), "next");
    stepped.step(&["--again", "after"]).ends(2);

    stepped.step(&["--to", "switch/enough"]).ends(0);
    let said = stepped.place.labrun(&["destroy"]).ends(0);
    assert!(said.out.contains("is removed"), "{}", said.out);
    stepped.place.assert_nothing_left();
    assert_eq!(stepped.run().parts[0].checks[0].verdict, Verdict::Inconclusive, "the run was stored before");
}

/// Has the check tidy up: `switch/tidy` leaves a row.
fn tidies_up(stepped: &Stepped) {
    let judge = "expect: [\"lost == []\"]\n";
    let tidy = "finally:\n  - id: tidy\n    title: Tidying up\n    \
                sql: {on: leader, run: \"CREATE TABLE IF NOT EXISTS tidied (at int); INSERT INTO tidied VALUES (1)\"}\n";
    stepped.edit("checks/switch.yaml", judge, &format!("{judge}{tidy}"));
}

fn tidied(stepped: &Stepped) -> String {
    stepped.place.labrun(&["sql", "--on", "leader", "SELECT count(*) AS rows FROM tidied"]).ends(0).out
}

#[test]
fn what_tidies_up_is_a_step_of_its_own_and_is_done_however_the_session_ends() {
    let stepped = Stepped::new();
    tidies_up(&stepped);
    stepped.place.labrun(&["deploy", stepped.lab.to_str().unwrap(), "--no-publish"]).ends(0);
    stepped.step(&["--to", "switch/sum"]).ends(1);
    assert_eq!(stepped.state("first/switch/tidy"), "todo", "the failed step can still be tried again");
    // It is left as it is; what is behind it is skipped, so that this is the last one.
    let said = stepped.step(&[]).ends(1);
    assert!(said.out.contains("first/switch/tidy  [8/8]") && said.out.contains("INSERT INTO tidied"), "{}", said.out);
    assert!(tidied(&stepped).contains('1'), "{}", tidied(&stepped));
    let check = &stepped.run().parts[0].checks[0];
    assert_eq!(check.verdict, Verdict::Fail, "what tidies up makes nothing better");
    assert_eq!(check.steps.last().map(|step| (step.id.as_str(), step.verdict)), Some(("tidy", Verdict::Pass)));
    assert_eq!(stepped.node_states(), ["running"; 3]);

    // Nobody asks for anything any more.
    let before = stepped.folder();
    stepped.step(&["--patience", "4s", "--to", "switch/stop"]).ends(0);
    let session = stepped.session();
    until("the session does not end by itself", || kill(session, None).is_err());
    assert_ne!(stepped.folder(), before);
    let run = stepped.run();
    assert_eq!(run.verdict, Verdict::Inconclusive);
    assert!(notes(&run).contains("the session ended by itself: for 4 s nobody asked"), "{}", notes(&run));
    let done: Vec<&str> = run.parts[0].checks[0].steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(done, ["who", "writers", "enough", "stop", "tidy"]);
    assert!(tidied(&stepped).contains('2'), "{}", tidied(&stepped));
    assert_eq!(stepped.node_states(), ["running"; 3], "the fault is undone");
    stepped.place.labrun(&["step", "--quit"]).ends(6);
}

#[test]
fn ctrl_c_ends_the_session_in_order() {
    let stepped = Stepped::deployed();
    stepped.edit("checks/switch.yaml", "cluster.leader != old_leader", "cluster.leader == 'nobody'");
    stepped.step(&["--to", "switch/stop"]).ends(0);
    let mut stepping = stepped.place.command(&["step"]).spawn().unwrap();
    until("the step does not wait", || stepped.waits());
    kill(Pid::from_raw(stepping.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(stepping.wait().unwrap().code(), Some(130));
    assert_eq!(stepped.node_states(), ["running"; 3], "the fault is undone");
    assert_eq!(stepped.run().verdict, Verdict::Inconclusive);
    stepped.place.labrun(&["step", "--quit"]).ends(6);
}

#[test]
fn edited_checks_need_no_new_deployment_and_what_does_is_told() {
    let stepped = Stepped::deployed();
    let verify = || stepped.place.labrun(&["verify", "--lang", "en"]);
    let said = verify().ends(1);
    assert!(said.all().contains("expected `first == 41`"), "{}", said.all());
    stepped.edit("checks/switch.yaml", "first == 41", "first == 42");
    stepped.edit("lab.yaml", "The second part", "The other part");
    let said = verify().ends(0);
    assert!(!said.err.contains("new deployment"), "{}", said.err);
    assert_eq!(stepped.run().parts[1].title.get(Lang::En), "The other part");

    stepped.step(&[]).ends(0);
    stepped.edit("lab.yaml", "ttl: 20", "ttl: 25");
    let said = stepped.step(&[]).ends(2);
    assert!(said.err.contains("the edit needs a new deployment: pg-a: "), "{}", said.err);
    stepped.step(&["--quit"]).ends(0);
    let said = stepped.place.labrun(&["verify", "--lang", "en", "--only", "second"]).ends(3);
    assert!(said.err.contains("these need a new deployment: pg-a: "), "{}", said.err);
    assert!(notes(&stepped.run()).contains("these need a new deployment"), "{}", notes(&stepped.run()));
}

#[test]
fn a_series_that_is_interrupted_ends_with_that_run_and_is_kept_as_far_as_it_got() {
    let stepped = Stepped::new();
    stepped.edit("checks/switch.yaml", "cluster.leader != old_leader", "cluster.leader == 'nobody'");
    stepped.edit("checks/switch.yaml", "within: failover", "within: 20s");
    let lab = stepped.lab.to_str().unwrap().to_owned();
    let args = ["run", &lab, "--no-publish", "--repeat", "2", "--lang", "en"];
    let mut running = stepped.place.command(&args).spawn().unwrap();
    until("the second run does not come to its fault", || stepped.runs().len() == 2 && stepped.waits());
    kill(Pid::from_raw(running.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let series = stepped.place.output.join(NAME).join("runs/series");
    let series = std::fs::read_dir(series).unwrap().next().unwrap().unwrap().path();
    let kept: Value = serde_json::from_slice(&std::fs::read(series.join("series.json")).unwrap()).unwrap();
    let verdicts: Vec<&str> =
        kept["runs"].as_array().unwrap().iter().map(|run| run["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["fail", "inconclusive"]);
    assert!(series.join("series.md").exists());
    assert_eq!(stepped.node_states(), ["running"; 3], "the fault is undone");
    stepped.place.labrun(&["destroy"]).ends(0);
    stepped.place.assert_nothing_left();
}
