//! The reference lab passes in containers, whoever is the agent. (With labrun's alone: see `life`.)

use std::time::Instant;

use labrun::verify::{Run, Verdict};
use serde_json::json;

use crate::faults;
use crate::support::{Place, Said};

/// One after the other while the first is still there: both are built from the same layers.
pub fn patroni() {
    let mixed = Place::new();
    let lab = mixed.lab(|text| text.replace("member: postgresql1\n", "member: postgresql1\n      agent: patroni\n"));
    run(&mixed, &lab);
    faults::of_parts(&mixed, &["pg-master", "pg-slave"]);
    let patroni = Place::new();
    let lab = patroni
        .lab(|text| text.replace("      image: postgres:15\n", "      image: postgres:15\n      agent: patroni\n"));
    run(&patroni, &lab);
}

/// Deploy, verify, report: every part passes.
pub fn run(place: &Place, lab: &str) -> Said {
    let (begun, offset) = (Instant::now(), place.offset());
    let said = place.labrun(&[&place.words("run", lab, &offset)[..], &["--lang", "en"]].concat()).ends(0);
    for part in ["setup", "replication", "routing", "failover", "rejoin"] {
        let line = said.out.lines().find(|line| line.trim_start().starts_with(part));
        assert!(line.is_some_and(|line| line.contains(" pass ")), "{part}: {}", said.out);
    }
    questions_were_tried(place);
    let ready = said.err.lines().find(|line| line.contains("is ready after")).unwrap_or_default();
    eprintln!("{ready}; the whole run took {:.1} s", begun.elapsed().as_secs_f64());
    said
}

/// The control questions were tried on a copy, which is gone; the answers show what came of it.
fn questions_were_tried(place: &Place) {
    let runs = place.output.join(&place.name).join("runs/latest");
    let run: Run = serde_json::from_slice(&std::fs::read(runs.join("run.json")).unwrap()).unwrap();
    assert_eq!(run.tried.len(), 4);
    for tried in &run.tried {
        assert_eq!(tried.verdict, Verdict::Pass, "{tried:?}");
    }
    let shown = |question: &str, field: &str| {
        let prefix = format!("questions/{question}/");
        let facts = run.facts.iter().filter(|fact| fact.scope.starts_with(&prefix));
        facts.map(|fact| fact.value[field].clone()).collect::<Vec<_>>()
    };
    let same = |question| shown(question, "same_image");
    assert_eq!(same("restart"), [json!(null), json!(true), json!(true), json!(true)]);
    for question in ["edit-yaml", "edit-dockerfile"] {
        assert_eq!(same(question), [json!(null), json!(true), json!(true), json!(false)]);
        assert_eq!(shown(question, "edited"), [json!(null), json!(false), json!(false), json!(true)]);
    }
    for port in shown("expose-ports", "ports").iter().flat_map(|ports| ports.as_array().unwrap()) {
        assert!(port["answer"].is_string(), "{port}");
    }
    let page = std::fs::read_to_string(runs.join("report.en.md")).unwrap();
    assert!(page.contains("the edit **is not** in the container. [F"), "the answers do not show it");
    let left: Vec<String> = place.in_engine().into_iter().filter(|what| what.contains("tried")).collect();
    assert_eq!(left, Vec::<String>::new());
}
