//! Whatever stands in a file, it is either a sound lab or a list of findings with places that can be shown.

use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

use super::diagnostic::{Diagnostic, File};
use super::library::{Library, builtin, find};
use super::load::{load_found, read_check};
use super::{Loaded, load, validate};
use crate::lab::model::{Lang, Text};

fn small(path: &str) -> String {
    format!("{}/tests/labs/small/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(path).expect(path)
}

fn library() -> Library {
    find(&small("")).expect("found").library
}

/// Loads a text as if it were the small lab's file.
fn load_text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let file = Arc::new(File { name: "lab.yaml".to_owned(), text: text.to_owned() });
    load_found("lab.yaml", &file, library()).map_err(|error| error.diagnostics)
}

/// Reads a text as a check.
fn check_text(text: &str) -> Vec<Diagnostic> {
    let file = Arc::new(File { name: "writes.yaml".to_owned(), text: text.to_owned() });
    let mut findings = Vec::new();
    let check = read_check(&file, "writes", &mut findings);
    assert!(check.is_some() || findings.iter().any(|finding| !finding.warning), "neither sound nor told why not");
    findings
}

/// Every finding stands within its file, and can be shown.
fn assert_showable(findings: &[Diagnostic]) {
    for finding in findings {
        for (span, _) in &finding.labels {
            let file = finding.file.as_ref().expect("a place is one in a file");
            assert!(file.text.get(span.clone()).is_some(), "{span:?} is no place in the file: {}", finding.message);
        }
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
        handler.render_report(&mut text, finding).expect("rendered");
        assert!(text.contains(&finding.code.to_string()));
        serde_json::to_string(finding).expect("written for programs");
    }
}

fn assert_judged(text: &str) {
    match load_text(text) {
        Ok(loaded) => assert_showable(&loaded.warnings),
        Err(findings) => {
            assert!(findings.iter().any(|finding| !finding.warning), "refused without an error");
            assert_showable(&findings);
        }
    }
}

/// One change to a text, as people and machines make them.
#[derive(Debug, Clone)]
enum Change {
    DropLine(usize),
    RepeatLine(usize),
    SwapLines(usize, usize),
    Indent(usize, usize),
    Insert(usize, String),
    Cut(usize),
    Replace(usize, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop::sample::select(vec![
        "null",
        "~",
        "[]",
        "{}",
        "true",
        "1e999",
        ".nan",
        "-1",
        "18446744073709551616",
        "'",
        "\"",
        "*a",
        "&a x",
        "!!t x",
        "<<: {a: 1}",
        "{{ x",
        "{{ checks.a.b }}",
        "leader",
        "postgres",
        "1s",
        "%",
        "@",
        "|",
        ">-",
        "? a",
        "- b",
        "😀: 1",
        "zoo",
        "/etc/passwd",
        "../x",
        "\u{feff}",
        "---",
        "...",
    ]);
    prop_oneof![
        any::<usize>().prop_map(Change::DropLine),
        any::<usize>().prop_map(Change::RepeatLine),
        any::<(usize, usize)>().prop_map(|(a, b)| Change::SwapLines(a, b)),
        (any::<usize>(), 0usize..9).prop_map(|(line, indent)| Change::Indent(line, indent)),
        (any::<usize>(), ".{0,4}").prop_map(|(at, text)| Change::Insert(at, text)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), words).prop_map(|(line, word)| Change::Replace(line, word)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for change in changes {
        if lines.is_empty() {
            break;
        }
        let count = lines.len();
        match change {
            Change::DropLine(at) => drop(lines.remove(at % count)),
            Change::RepeatLine(at) => lines.insert(at % count, lines[at % count].clone()),
            Change::SwapLines(a, b) => lines.swap(a % count, b % count),
            Change::Indent(at, by) => {
                let line = &mut lines[at % count];
                *line = format!("{}{}", " ".repeat(*by), line.trim_start());
            }
            Change::Insert(at, text) => {
                let line = &mut lines[at % count];
                let place = line.char_indices().map(|(place, _)| place).nth(at / count % (line.len() + 1)).unwrap_or(0);
                line.insert_str(place, text);
            }
            Change::Cut(at) => lines.truncate(at % count + 1),
            Change::Replace(at, word) => {
                let line = &mut lines[at % count];
                let key = line.find(": ").map_or(0, |colon| colon + 2);
                line.replace_range(key.., word);
            }
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_lab_is_judged(changes in prop::collection::vec(change(), 1..6)) {
        assert_judged(&changed(&text_of(&small("lab.yaml")), &changes));
    }

    #[test]
    fn a_changed_reference_lab_is_judged(changes in prop::collection::vec(change(), 1..6)) {
        assert_judged(&changed(builtin("labs/ha-postgres/lab.yaml").expect("there"), &changes));
    }

    #[test]
    fn a_changed_check_is_judged(changes in prop::collection::vec(change(), 1..6)) {
        assert_showable(&check_text(&changed(&text_of(&small("checks/writes.yaml")), &changes)));
    }

    #[test]
    fn any_text_is_judged(text in prop_oneof![".{0,200}", "[ \\-:{}\\[\\],&*!|>'\"%@`#?a\n\t]{0,200}"]) {
        assert_judged(&text);
        assert_showable(&check_text(&text));
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lab.yaml");
        std::fs::write(&path, bytes).expect("written");
        let validation = validate(&path.display().to_string());
        prop_assert!(!validation.is_sound(), "no such bytes are a lab");
        assert_showable(&validation.diagnostics);
    }
}

#[test]
fn every_built_in_lab_and_check_is_sound() {
    let mut sources: Vec<String> = super::library::builtin_labs().map(|name| format!("builtin:{name}")).collect();
    let root = env!("CARGO_MANIFEST_DIR");
    sources.extend(library().names("checks", ".yaml").iter().map(|name| format!("{root}/checks/{name}.yaml")));
    sources.retain(|source| source.starts_with("builtin:") || std::path::Path::new(source).exists());
    for source in sources {
        let validation = validate(&source);
        assert!(validation.diagnostics.is_empty(), "{source}: {:#?}", validation.diagnostics);
    }
}

#[test]
fn a_check_beside_a_lab_is_looked_at_even_where_it_is_not_used() {
    let dir = tempfile::tempdir().expect("a folder");
    super::init(&dir.path().join("mine")).expect("made");
    let lab = dir.path().join("mine");
    std::fs::create_dir_all(lab.join("checks")).expect("a folder");
    std::fs::write(lab.join("checks/unused.yaml"), "check: labrun/v1\nname: other\n").expect("written");
    let validation = validate(&lab.display().to_string());
    assert!(!validation.is_sound() && validation.summary.is_none());
    let alone = validate(&lab.join("checks/unused.yaml").display().to_string());
    assert_eq!(alone.kind, super::Kind::Check);
    assert!(!alone.is_sound());
}

#[test]
fn a_sound_lab_is_summed_up() {
    let validation = validate(&small(""));
    assert_eq!(validation.summary.as_deref(), Some("lab small: 4 nodes, 2 parts, 2 checks, 1 question"));
    let validation = validate(&small("checks/writes.yaml"));
    assert_eq!(validation.summary.as_deref(), Some("check writes: 2 steps"));
}

/// Whatever a person reads of a text that is written in both languages is in the language that it is said to be in; one that is
/// the same in both has no words of Russian.
fn assert_both_languages(what: &str, text: &Text) {
    let is_russian = |text: &str| text.chars().any(|c| ('\u{400}'..='\u{4ff}').contains(&c));
    let (ru, en) = (text.get(Lang::Ru), text.get(Lang::En));
    assert!(!is_russian(en), "{what}: {en:?}");
    // Names of settings and of routes are the same everywhere.
    assert!(is_russian(ru) || ru == en, "{what}: {ru:?}");
}

#[test]
fn every_built_in_lab_speaks_both_languages_and_has_its_mutants() {
    let mut seen = Vec::new();
    for name in super::library::builtin_labs() {
        let loaded = load(&format!("builtin:{name}")).expect("sound");
        let file = &loaded.lab.file;
        for (what, text) in [("title", &file.title), ("goal", &file.goal)] {
            assert_both_languages(&format!("{name}: {what}"), text);
        }
        for (part, written) in loaded.lab.parts.iter().zip(&file.parts) {
            for text in [&written.title, &written.text] {
                assert_both_languages(&format!("{name}: part {}", part.id), text);
                assert!(!text.get(Lang::Ru).is_empty(), "{name}: part {} says nothing of itself", part.id);
            }
            for check in &part.checks {
                let file = &check.check;
                let about = file.params.values().map(|param| &param.about);
                let steps = file.steps.iter().chain(&file.finally);
                let of_steps = steps.flat_map(|step| std::iter::once(&step.title).chain(&step.hint));
                for text in [&file.title, &file.proves].into_iter().chain(about).chain(of_steps) {
                    assert_both_languages(&format!("{name}: check {}", file.name), text);
                }
            }
        }
        for question in &file.questions {
            assert_both_languages(&format!("{name}: question {}", question.id), &question.ask);
            for lang in [Lang::Ru, Lang::En] {
                let answer = format!("templates/questions/{}.{}.md.j2", question.answer, lang.code());
                assert!(builtin(&answer).is_some(), "{name}: {answer} is not there");
            }
        }
        let mutants = crate::mutants::of(&loaded.library).expect("mutants");
        assert!(mutants.len() >= 2, "{name} has {} mutants", mutants.len());
        mutants.iter().for_each(|mutant| assert_both_languages(&format!("{name}/{}", mutant.name), &mutant.title));
        seen.push(name);
    }
    for lab in ["asynchronous", "cascading", "ensemble", "frozen-agent", "ha-postgres", "partition", "quorum"] {
        assert!(seen.contains(&lab), "{lab} in {seen:?}");
    }
    assert!(seen.contains(&"rolling-restart") && seen.contains(&"wal-gone"), "{seen:?}");
}
