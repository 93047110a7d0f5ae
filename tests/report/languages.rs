//! Russian and English: both whole, the same in what they say, none with words of the other.

use std::collections::BTreeSet;

use labrun::lab::model::Lang;
use labrun::report::Templates;
use regex::Regex;

use super::read::{self, Page};
use super::{LANGS, ended, fixture, report};

fn templates(room: &str, lang: &str) -> Vec<(String, String)> {
    let all = Templates::builtin();
    let end = format!(".{lang}.md.j2");
    let own = all.all().filter(|(name, _)| name.starts_with(room) && name.ends_with(&end));
    own.map(|(name, text)| (name.trim_end_matches(&end).to_owned(), text.to_owned())).collect()
}

/// The evidence and the pictures that a template asks for, in order.
fn asks(text: &str) -> Vec<String> {
    let call = Regex::new(r#"\b(claim|terminal|terminals|lanes|outage_picture|has)\(([^)]*)\)"#).expect("a pattern");
    // What is said instead is said in the language.
    let instead = Regex::new(r#",?\s*otherwise="[^"]*""#).expect("a pattern");
    call.captures_iter(text).map(|found| instead.replace(&found[0], "").into_owned()).collect()
}

#[test]
fn every_text_is_there_in_both_languages_and_stands_on_the_same_evidence() {
    for room in ["report/checks/", "questions/"] {
        let (ru, en) = (templates(room, "ru"), templates(room, "en"));
        assert!(ru.len() >= 4, "{room}");
        assert_eq!(
            ru.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            en.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
        for ((name, ru), (_, en)) in ru.iter().zip(&en) {
            assert_eq!(asks(ru), asks(en), "{name}");
        }
    }
}

#[test]
fn every_word_that_templates_use_is_there() {
    let all = Templates::builtin();
    let word = Regex::new(r"\bw\.([a-z_]+)").expect("a pattern");
    let used: BTreeSet<String> = all
        .all()
        .flat_map(|(_, text)| word.captures_iter(text).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect();
    assert!(used.len() > 40, "{used:?}");
    for lang in LANGS {
        let words = all.get(&format!("report/words.{}.yaml", lang.code())).expect("words");
        let words: serde_json::Value = serde_saphyr::from_str(words).expect("YAML");
        let page = words["page"].as_object().expect("the page's words");
        for name in &used {
            assert!(
                page.get(name).and_then(|text| text.as_str()).is_some_and(|text| !text.trim().is_empty()),
                "{name}"
            );
        }
    }
}

#[test]
fn both_reports_have_the_same_shape() {
    for (name, run) in ended::all().into_iter().chain([("passed", fixture::passed())]) {
        let [ru, en] = LANGS.map(|lang| read::page(&report(&run, lang).markdown));
        let shape = |page: &Page| {
            let levels: Vec<u8> = page.headings.iter().map(|(level, _)| *level).collect();
            let languages: Vec<String> = page.fences.iter().map(|(language, _)| language.clone()).collect();
            (levels, languages, page.tables.clone(), page.images.len(), page.anchors.clone())
        };
        assert_eq!(shape(&ru), shape(&en), "{name}");
    }
}

fn is_cyrillic(c: char) -> bool {
    ('\u{400}'..='\u{4ff}').contains(&c)
}

#[test]
fn an_english_report_has_no_russian_letter() {
    for (name, run) in ended::all().into_iter().chain([("passed", fixture::passed())]) {
        let made = report(&run, Lang::En);
        for text in [&made.markdown, &made.html] {
            let found = text.lines().find(|line| line.chars().any(is_cyrillic));
            assert_eq!(found, None, "{name}");
        }
    }
}

/// Names of programs and settings stay what they are; English words between them do not.
#[test]
fn a_russian_report_has_no_english_sentence() {
    const ENGLISH: [&str; 14] = [
        " the ", " is ", " was ", " were ", " and ", " not ", " with ", " this ", " has ", " from ", "The ", " are ",
        " its ", " for ",
    ];
    for (name, run) in ended::all().into_iter().chain([("passed", fixture::passed())]) {
        let made = report(&run, Lang::Ru);
        for line in read::page(&made.markdown).prose.lines() {
            let found = ENGLISH.iter().find(|word| line.contains(**word));
            assert_eq!(found, None, "{name}: {line}");
        }
    }
}

#[test]
fn pictures_speak_the_reports_language() {
    for lang in LANGS {
        let made = report(&fixture::passed(), lang);
        for name in ["topology", "roles", "failover-failover-outage"] {
            let path = format!("images/{name}.{}.svg", lang.code());
            let (_, bytes) =
                made.assets.iter().find(|(known, _)| *known == path).unwrap_or_else(|| panic!("no {path}"));
            let (_, words) = read::xml(std::str::from_utf8(bytes).expect("UTF-8"));
            assert_eq!(words.chars().any(is_cyrillic), lang == Lang::Ru, "{path}: {words}");
        }
    }
}
