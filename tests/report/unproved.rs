//! Reports of runs that failed, proved nothing, were skipped, interrupted, or met a broken machine: they say so, with the
//! reason, and claim nothing of what was not seen.

use std::collections::BTreeSet;

use labrun::lab::model::Lang;
use labrun::verify::{Run, Verdict};

use super::read::{section, statements};
use super::{LANGS, ended, fixture, report};

/// The verdict's sign and word.
fn badge(verdict: Verdict, lang: Lang) -> &'static str {
    match (verdict, lang) {
        (Verdict::Pass, Lang::En) => "**✓ passed**",
        (Verdict::Fail, Lang::En) => "**✗ failed**",
        (Verdict::Inconclusive, Lang::En) => "**? nothing proved**",
        (Verdict::Skipped, Lang::En) => "**– not tried**",
        (Verdict::InfraError, Lang::En) => "**! the machine failed**",
        (Verdict::Pass, Lang::Ru) => "**✓ пройдено**",
        (Verdict::Fail, Lang::Ru) => "**✗ не пройдено**",
        (Verdict::Inconclusive, Lang::Ru) => "**? ничего не доказано**",
        (Verdict::Skipped, Lang::Ru) => "**– не проводилось**",
        (Verdict::InfraError, Lang::Ru) => "**! сбой машины**",
    }
}

fn part_heading(place: usize, lang: Lang) -> String {
    let word = if lang == Lang::Ru { "Часть" } else { "Part" };
    format!("## {word} {}.", place + 1)
}

#[test]
fn the_outcome_and_every_part_carry_their_verdict() {
    for (name, run) in ended::all() {
        for lang in LANGS {
            let markdown = report(&run, lang).markdown;
            let outcome = section(&markdown, if lang == Lang::Ru { "## Итог" } else { "## Outcome" });
            let first = outcome.lines().nth(2).expect("a line");
            assert!(first.replace("\\!", "!").starts_with(badge(run.verdict, lang)), "{name}: {first}");
            for (place, part) in run.parts.iter().enumerate() {
                let text = section(&markdown, &part_heading(place, lang)).replace("\\!", "!");
                assert!(
                    text.lines().nth(2).is_some_and(|line| line.starts_with(badge(part.verdict, lang))),
                    "{name}: {text}"
                );
                if let Some(reason) = &part.reason {
                    let words = reason.get(lang).replace(['`', '[', ']', '='], "");
                    let plain = text.replace(['\\', '`', '[', ']', '='], "");
                    assert!(plain.contains(&format!("> {words}")), "{name}: {words} in {text}");
                }
            }
        }
    }
}

#[test]
fn the_page_colours_every_verdict_by_what_it_is() {
    let classes = ["v-pass", "v-fail", "v-inconclusive", "v-skipped", "v-infra"];
    let ends = [("passed", fixture::passed()), ("failed", ended::failed()), ("infra", ended::infra_error())];
    let of = |run: &Run| {
        let html = report(run, Lang::En).html;
        classes.map(|class| html.contains(&format!("<strong class=\"v {class}\">")))
    };
    let [passed, failed, infra] = ends.map(|(_, run)| of(&run));
    assert_eq!(passed, [true, false, false, false, false]);
    assert_eq!(failed, [true, true, false, true, false]);
    assert_eq!(infra, [true, false, false, true, true]);
    assert!(of(&ended::inconclusive())[2]);
}

#[test]
fn only_a_passed_part_says_what_is_proved() {
    for (name, run) in ended::all() {
        for lang in LANGS {
            let (proved, should) = match lang {
                Lang::Ru => ("**Доказано:**", "**Должно было быть доказано:**"),
                Lang::En => ("**Proved:**", "**Should have been proved:**"),
            };
            let markdown = report(&run, lang).markdown;
            for (place, part) in run.parts.iter().enumerate() {
                let text = section(&markdown, &part_heading(place, lang));
                let passed = part.verdict == Verdict::Pass;
                assert_eq!(text.contains(proved), passed, "{name}: {text}");
                assert_eq!(text.contains(should), !passed, "{name}: {text}");
                let proves = part.checks[0].proves.get(lang).trim();
                let row = markdown.lines().find(|line| line.starts_with(&format!("| {} |", place + 1))).expect("a row");
                assert_eq!(row.contains(&proves[..20.min(proves.floor_char_boundary(20))]), passed, "{name}: {row}");
            }
        }
    }
}

/// Whatever the whole run's report says with a fact that this run does not have, this one does not say.
#[test]
fn nothing_is_claimed_of_steps_that_were_not_run() {
    for (name, run) in ended::all() {
        for lang in LANGS {
            let facts: BTreeSet<&str> = run.facts.iter().map(|fact| fact.id.as_str()).collect();
            let markdown = report(&run, lang).markdown;
            for said in statements(&report(&fixture::passed(), lang).markdown) {
                if !said.facts.iter().all(|fact| facts.contains(fact.as_str())) {
                    assert!(!markdown.contains(&said.text), "{name}: {}", said.text);
                }
            }
        }
    }
}

#[test]
fn a_failed_run_shows_where_it_stopped_and_what_was_gathered() {
    for (lang, stopped, gathered) in [
        (Lang::En, "#### Where the check stopped", "Gathered to find out why: [F900](#f900)"),
        (Lang::Ru, "#### Где проверка остановилась", "Что собрано для разбора: [F900](#f900)"),
    ] {
        let markdown = report(&ended::failed(), lang).markdown;
        let part = section(&markdown, &part_heading(3, lang));
        assert!(part.contains(stopped) && part.contains(gathered), "{part}");
        assert!(markdown.contains("not healthy enough for the leader race"), "the evidence itself is in the appendix");
    }
}

#[test]
fn a_failed_failover_names_no_new_leader_and_no_outage() {
    for run in [ended::failed(), ended::inconclusive(), ended::infra_error()] {
        let markdown = report(&run, Lang::En).markdown;
        for claim in [
            "The new leader is",
            "It took the leader key",
            "**no acknowledged write was lost**",
            "Writes unavailable",
            "took it. Both rows",
        ] {
            assert!(!markdown.contains(claim), "{claim}");
        }
    }
}

#[test]
fn lost_writes_are_told_by_number() {
    let markdown = report(&ended::lossy(), Lang::En).markdown;
    assert!(markdown.contains("1 acknowledged write was lost**, by number: 77"), "{markdown}");
    assert!(!markdown.contains("no acknowledged write was lost"));
    assert!(markdown.contains("| Acknowledged writes lost | 1 of 405 |"), "{markdown}");
    let markdown = report(&ended::lossy(), Lang::Ru).markdown;
    assert!(markdown.contains("Потеряна 1 подтверждённая запись**, номера: 77"), "{markdown}");
}

#[test]
fn a_machine_that_failed_costs_no_point() {
    let markdown = report(&ended::infra_error(), Lang::En).markdown;
    let part = section(&markdown, &part_heading(3, Lang::En));
    assert!(part.contains("points: 0 of 0"), "{part}");
    assert!(section(&markdown, "## Outcome").contains("points: 3 of 4"));
}

#[test]
fn an_interrupted_run_says_so_at_its_top() {
    for (run, words) in [
        (ended::interrupted(), "> the verification was interrupted"),
        (ended::not_begun(), "> the verification was interrupted"),
    ] {
        let markdown = report(&run, Lang::En).markdown;
        assert!(section(&markdown, "## Outcome").contains(words));
    }
}

#[test]
fn parts_that_the_run_did_not_record_are_told_as_not_reached() {
    let mut run: Run = fixture::passed();
    run.parts.truncate(2);
    for (lang, words) in
        [(Lang::En, "The run ended before this part."), (Lang::Ru, "Прогон закончился раньше этой части.")]
    {
        let markdown = report(&run, lang).markdown;
        for place in 2..5 {
            let part = section(&markdown, &part_heading(place, lang));
            assert!(part.contains(words) && part.contains(badge(Verdict::Skipped, lang)), "{part}");
        }
    }
}

/// What the author asks of a part is told as a task, never as something that was done.
#[test]
fn the_task_of_a_part_that_did_not_pass_is_told_as_intended() {
    let markdown = report(&ended::failed(), Lang::En).markdown;
    assert!(section(&markdown, &part_heading(3, Lang::En)).contains("**What was to be achieved.** *While two clients"));
    assert!(!section(&markdown, &part_heading(0, Lang::En)).contains("What was to be achieved"));
}
