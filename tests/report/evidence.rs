//! What a report says is bound to the run's facts: without one, whatever stood on it is gone or says less.

use std::collections::BTreeSet;

use labrun::lab::model::Lang;
use labrun::verify::Run;
use serde_json::json;

use super::read::{Statement, outside_fences, section, statements};
use super::{LANGS, fixture, report};

fn without(run: &Run, fact: &str) -> Run {
    let mut run = run.clone();
    run.facts.retain(|known| known.id != fact);
    run
}

fn with(change: impl FnOnce(&mut Run)) -> Run {
    let mut run = fixture::passed();
    change(&mut run);
    run
}

/// The fact of a step of the fixture.
fn fact_of(run: &Run, scope: &str) -> String {
    let fact = run.facts.iter().find(|fact| fact.scope == scope);
    fact.unwrap_or_else(|| panic!("no fact of {scope}")).id.clone()
}

#[test]
fn a_passed_run_says_something_on_every_step_that_it_could() {
    for lang in LANGS {
        let said: BTreeSet<String> =
            statements(&report(&fixture::passed(), lang).markdown).into_iter().flat_map(|said| said.facts).collect();
        assert!(said.len() > 30, "{}: {said:?}", lang.code());
    }
}

/// For every fact: nothing links to it any more, no picture shows it, and what was said with it is not said.
fn each_fact_is_needed(lang: Lang) {
    let run = fixture::passed();
    let whole: Vec<Statement> = statements(&report(&run, lang).markdown);
    for fact in run.facts.iter().map(|fact| fact.id.clone()) {
        let made = report(&without(&run, &fact), lang);
        let link = format!("(#{})", fact.to_lowercase());
        assert!(!made.markdown.contains(&link), "{fact}: a link to nothing");
        let named = |text: &str| text.contains(&format!("# {fact} ·")) || text.contains(&format!(">{fact}<"));
        assert!(!named(&made.html), "{fact} is shown");
        let left: BTreeSet<String> = statements(&made.markdown).into_iter().map(|said| said.text).collect();
        let plain: BTreeSet<&str> = outside_fences(&made.markdown).into_iter().map(str::trim).collect();
        for said in whole.iter().filter(|said| said.facts.contains(&fact)) {
            assert!(!left.contains(&said.text) && !plain.contains(said.text.as_str()), "{fact}: {}", said.text);
        }
    }
}

#[test]
fn no_sentence_stands_without_its_facts() {
    each_fact_is_needed(Lang::En);
}

#[test]
fn no_russian_sentence_stands_without_its_facts() {
    each_fact_is_needed(Lang::Ru);
}

#[test]
fn a_check_with_a_missing_fact_no_longer_says_what_it_proves() {
    let run = fixture::passed();
    let fact = fact_of(&run, "replication/replication/refuse");
    let (whole, less) = (report(&run, Lang::En), report(&without(&run, &fact), Lang::En));
    let part = |report: &labrun::report::Report| section(&report.markdown, "## Part 2.").to_owned();
    assert!(part(&whole).contains("**Proved:**"));
    assert!(!part(&less).contains("**Proved:**") && part(&less).contains("Some of this check's facts are missing"));
    assert!(section(&less.markdown, "## Outcome").contains("Some of this check's facts are missing"));
    assert!(
        part(&less).contains("| *missing from the record* |") && !whole.markdown.contains("missing from the record")
    );
    assert_eq!(whole.withheld, []);
    assert!(less.withheld.iter().any(|withheld| withheld.missing == "refuse"), "{:?}", less.withheld);
}

#[test]
fn without_the_judgement_nothing_is_said_of_losses_and_the_outage() {
    let run = fixture::passed();
    let fact = fact_of(&run, "failover/failover/judge");
    for (lang, lost, unavailable, instead) in [
        (Lang::En, "**no acknowledged write was lost**", "Writes unavailable", "Not checked"),
        (Lang::Ru, "ни одна подтверждённая запись не потеряна", "Перерыв в записи через", "Не проверено"),
    ] {
        let said = |run: &Run| report(run, lang).markdown;
        assert!(said(&run).contains(lost) && said(&run).contains(unavailable), "{}", lang.code());
        let less = said(&without(&run, &fact));
        assert!(!less.contains(lost) && !less.contains(unavailable) && less.contains(instead), "{}", lang.code());
    }
}

#[test]
fn without_the_fault_it_is_not_said_that_one_happened() {
    let run = fixture::passed();
    let fact = fact_of(&run, "failover/failover/stop");
    let part = |run: &Run| section(&report(run, Lang::En).markdown, "## Part 4.").to_owned();
    assert!(part(&run).contains("**pg-master** was stopped") && part(&run).contains("What such a fault means"));
    let less = part(&without(&run, &fact));
    assert!(!less.contains("was stopped") && !less.contains("What such a fault means"), "{less}");
}

#[test]
fn without_the_roles_over_time_no_role_is_told() {
    let less = report(&with(|run| run.timeline.clear()), Lang::En);
    assert!(!less.markdown.contains("Who was what") && !less.markdown.contains("(#roles)"));
    assert!(less.assets.iter().all(|(path, _)| !path.contains("roles")));
}

#[test]
fn without_a_measured_start_none_is_told() {
    let said = |run: &Run| report(run, Lang::En).markdown;
    assert!(said(&fixture::passed()).contains("From the start of the deployment"));
    let less = said(&with(|run| run.ready_after_ms = None));
    assert!(!less.contains("From the start of the deployment"), "neither as a figure nor as a sentence");
}

/// A report follows what was seen, not what a passed lab usually shows.
#[test]
fn other_facts_make_other_sentences() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change, &str, &str); 6] = [
        (
            "failover/failover/judge",
            |v| {
                v["lost"] = json!([77]);
                v["lost_count"] = json!(1);
            },
            "no acknowledged write was lost",
            "1 acknowledged write was lost**, by number: 77",
        ),
        (
            "failover/failover/judge",
            |v| v["overlap"] = json!([{"older": {"node": "pg-master"}, "newer": {"node": "pg-slave"}}]),
            "No two nodes acknowledged",
            "Two nodes acknowledged writes at the same time**: pg-master and pg-slave",
        ),
        (
            "failover/failover/stop",
            |v| v["role"] = json!("replica"),
            "At that moment it was the leader",
            "At that moment it was not the leader",
        ),
        ("replication/replication/read", |v| v["rows"] = json!([[9, "other"]]), "the same rows were read", ""),
        (
            "routing/routing/sessions",
            |v| v["rows"] = json!([["127.64.1.11"], ["127.64.1.12"]]),
            "Every one of them",
            "**pg-master**, **pg-slave**",
        ),
        ("setup/cluster-ready/cluster", |v| v["cluster"]["disagreements"] = json!(["x"]), "all say the same", ""),
    ];
    for (scope, change, gone, instead) in cases {
        let other = with(|run| change(&mut run.facts.iter_mut().find(|fact| fact.scope == scope).expect(scope).value));
        let part = |run: &Run| outside_fences(&report(run, Lang::En).markdown).join("\n");
        let (before, after) = (part(&fixture::passed()), part(&other));
        assert!(before.contains(gone), "{scope}: {gone} in\n{before}");
        assert!(!after.contains(gone), "{scope}: {gone} in\n{after}");
        assert!(after.contains(instead), "{scope}: {instead} in\n{after}");
    }
}

#[test]
fn a_log_that_shows_no_leader_is_no_proof_of_one() {
    let other = with(|run| {
        let log = run.facts.iter_mut().find(|fact| fact.scope == "setup/cluster-ready/log-leader").expect("a log");
        log.value["lines"] = json!(["INFO: waiting for ZooKeeper"]);
    });
    let part = |run: &Run| section(&report(run, Lang::En).markdown, "## Part 1.").to_owned();
    assert!(part(&fixture::passed()).contains("records how it made the cluster and took the leader key"));
    assert!(!part(&other).contains("took the leader key"));
}
