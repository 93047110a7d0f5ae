//! Series and comparisons as Markdown and as a picture.

use super::format;
use super::picture::compare::{Bar, Group, draw};
use super::words::Words;
use super::{ReportError, Templates};
use crate::lab::model::Lang;
use crate::verify::series::{Comparison, Series, Spread, WHOLE};

/// The words of these pages.
struct Said {
    series: &'static str,
    passed: &'static str,
    flakes: &'static str,
    check: &'static str,
    path: &'static str,
    phase: &'static str,
    whole: &'static str,
    median: &'static str,
    longest: &'static str,
    setting: &'static str,
    same: &'static str,
    outages: &'static str,
    failed: &'static str,
}

const RU: Said = Said {
    series: "Серия",
    passed: "пройдено",
    flakes: "не прошло",
    check: "Проверка",
    path: "Путь",
    phase: "Фаза",
    whole: "весь простой",
    median: "медиана",
    longest: "наибольшее",
    setting: "Настройка",
    same: "Настройки одинаковы.",
    outages: "Простой записи, медианы фаз",
    failed: "Не прошли",
};

const EN: Said = Said {
    series: "Series",
    passed: "passed",
    flakes: "did not pass",
    check: "Check",
    path: "Path",
    phase: "Phase",
    whole: "whole outage",
    median: "median",
    longest: "max",
    setting: "Setting",
    same: "The settings are the same.",
    outages: "Writes unavailable, medians of the phases",
    failed: "Did not pass",
};

fn said(lang: Lang) -> &'static Said {
    if lang == Lang::Ru { &RU } else { &EN }
}

/// A series as Markdown.
pub fn series(series: &Series, templates: &Templates, lang: Lang) -> Result<String, ReportError> {
    let (said, words) = (said(lang), templates.words(lang)?);
    let mut page = format!(
        "# {} {}: {} {} / {}, {} {} %\n\n",
        said.series,
        series.name,
        said.passed,
        series.passed,
        series.runs.len(),
        said.flakes,
        series.flake_percent()
    );
    page.push_str(&format!(
        "| {} | {} | {} | n | min | {} | p95 | {} |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
        said.check, said.path, said.phase, said.median, said.longest
    ));
    for figure in &series.figures {
        let Spread { count, min, median, p95, max } = figure.spread;
        let times = [min, median, p95, max].map(|ms| format::millis(ms, lang)).join(" | ");
        let (path, phase) = (words.path(&figure.of.path), phase(&figure.of.phase, &words, said));
        page.push_str(&format!("| {} | {path} | {phase} | {count} | {times} |\n", figure.of.check));
    }
    let failed: Vec<String> = series
        .runs
        .iter()
        .filter_map(|run| Some(format!("- {} {}: {}\n", run.id, run.verdict.word(), run.reason.as_ref()?)))
        .collect();
    if !failed.is_empty() {
        page.push_str(&format!("\n{}:\n\n{}", said.failed, failed.concat()));
    }
    Ok(page)
}

/// A comparison as Markdown; its picture is `picture`.
pub fn comparison(seen: &Comparison, templates: &Templates, lang: Lang, picture: &str) -> Result<String, ReportError> {
    let (said, words) = (said(lang), templates.words(lang)?);
    let [a, b] = &seen.names;
    let mut page = format!("# {a} · {b}\n\n![{}]({picture})\n\n", said.outages);
    page.push_str(&format!("| | {a} | {b} |\n| --- | --- | --- |\n"));
    let [(passed_a, of_a), (passed_b, of_b)] = seen.passed;
    page.push_str(&format!("| {} | {passed_a} / {of_a} | {passed_b} / {of_b} |\n", said.passed));
    for (name, each) in &seen.differences {
        let [one, other] = each.each_ref().map(|value| value.as_deref().unwrap_or("—"));
        page.push_str(&format!("| {}: {name} | {one} | {other} |\n", said.setting));
    }
    if seen.differences.is_empty() {
        page.push_str(&format!("\n{}\n", said.same));
    }
    page.push_str(&format!(
        "\n| {} | {} | {} | {a}: {} (min – {}) | {b}: {} (min – {}) |\n| --- | --- | --- | --- | --- |\n",
        said.check, said.path, said.phase, said.median, said.longest, said.median, said.longest
    ));
    for row in &seen.rows {
        let [one, other] = row.spreads.map(|spread| spread.map_or("—".to_owned(), |spread| range(&spread, lang)));
        let (path, phase) = (words.path(&row.of.path), phase(&row.of.phase, &words, said));
        page.push_str(&format!("| {} | {path} | {phase} | {one} | {other} |\n", row.of.check));
    }
    Ok(page)
}

/// `6.2 s (5.9 s – 6.4 s)`.
fn range(spread: &Spread, lang: Lang) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|ms| format::millis(ms, lang));
    if spread.count == 1 { median } else { format!("{median} ({min} – {max})") }
}

fn phase<'a>(name: &'a str, words: &'a Words, said: &'a Said) -> &'a str {
    if name == WHOLE { said.whole } else { words.phase(name) }
}

/// The picture of a comparison, as a file with its stylesheet.
pub fn comparison_picture(seen: &Comparison, templates: &Templates, lang: Lang) -> Result<String, ReportError> {
    let words = templates.words(lang)?;
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for row in &seen.rows {
        let key = (row.of.check.as_str(), row.of.path.as_str());
        if !groups.contains(&key) {
            groups.push(key);
        }
    }
    let groups: Vec<Group> = groups
        .into_iter()
        .map(|(check, path)| Group {
            title: format!("{check} · {}", words.path(path)),
            bars: (0..2).filter_map(|side| bar(seen, side, (check, path), &words, lang)).collect(),
        })
        .collect();
    let css = templates.get("report/picture.css").unwrap_or_default();
    Ok(draw(said(lang).outages, &groups, lang).file(css))
}

fn bar(seen: &Comparison, side: usize, of: (&str, &str), words: &Words, lang: Lang) -> Option<Bar> {
    let rows = || seen.rows.iter().filter(|row| (row.of.check.as_str(), row.of.path.as_str()) == of);
    let whole = rows().find(|row| row.of.phase == WHOLE)?.spreads[side]?;
    let phases = rows().filter(|row| row.of.phase != WHOLE).filter_map(|row| {
        let ms = row.spreads[side]?.median;
        let tip = format!("{} · {}", words.phase(&row.of.phase), format::millis(ms, lang));
        Some((row.of.phase.clone(), tip, ms))
    });
    Some(Bar {
        name: seen.names[side].clone(),
        phases: phases.collect(),
        range: (whole.min, whole.max),
        words: range(&whole, lang),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::verify::Verdict;
    use crate::verify::series::{Figure, Measure, RunLine, SERIES_FORMAT, compare};

    fn series_of(name: &str, rise: &str, phases: &[(&str, u64)]) -> Series {
        let figure = |(phase, ms): &(&str, u64)| Figure {
            of: Measure { check: "failover/failover".into(), path: "proxy".into(), phase: (*phase).to_owned() },
            spread: Spread { count: 2, min: ms - 50, median: *ms, p95: ms + 100, max: ms + 100 },
        };
        let run = |id: &str, verdict, reason: Option<&str>| RunLine {
            id: id.to_owned(),
            verdict,
            reason: reason.map(str::to_owned),
            took_ms: 9_000,
        };
        Series {
            format: SERIES_FORMAT.to_owned(),
            name: name.to_owned(),
            settings: BTreeMap::from([("rise".to_owned(), rise.to_owned())]),
            runs: vec![run("r1", Verdict::Pass, None), run("r2", Verdict::Fail, Some("failover: lost = [7]"))],
            passed: 1,
            figures: phases.iter().map(figure).collect(),
        }
    }

    #[test]
    fn a_series_is_a_table_with_the_runs_that_did_not_pass() {
        let page =
            series(&series_of("s", "2", &[("proxy_up", 5_000), (WHOLE, 6_000)]), &Templates::builtin(), Lang::En);
        insta::assert_snapshot!(page.unwrap().replace(format::NBSP, " "), @r"
        # Series s: passed 1 / 2, did not pass 50 %

        | Check | Path | Phase | n | min | median | p95 | max |
        | --- | --- | --- | --- | --- | --- | --- | --- |
        | failover/failover | through HAProxy | HAProxy let sessions through | 2 | 5 s | 5 s | 5.1 s | 5.1 s |
        | failover/failover | through HAProxy | whole outage | 2 | 6 s | 6 s | 6.1 s | 6.1 s |

        Did not pass:

        - r2 fail: failover: lost = [7]
        ");
    }

    #[test]
    fn a_comparison_is_a_table_and_a_picture_of_both() {
        let (a, b) = (
            series_of("labrun-agent", "2", &[("proxy_up", 5_000), (WHOLE, 6_000)]),
            series_of("Patroni", "1", &[(WHOLE, 9_000)]),
        );
        let seen = compare(&a, &b);
        let page = comparison(&seen, &Templates::builtin(), Lang::En, "c.svg").unwrap().replace(format::NBSP, " ");
        for line in ["| Setting: rise | 2 | 1 |", "| passed | 1 / 2 | 1 / 2 |"] {
            assert!(page.contains(line), "{page}");
        }
        assert!(page.contains("| whole outage | 6 s (6 s – 6.1 s) | 9 s (9 s – 9.1 s) |"), "{page}");
        assert!(page.contains("| HAProxy let sessions through | 5 s (5 s – 5.1 s) | — |"), "{page}");
        let picture = comparison_picture(&seen, &Templates::builtin(), Lang::En).unwrap();
        assert!(
            picture.contains("labrun-agent") && picture.contains("Patroni") && picture.contains("lr-phase-proxy_up")
        );
    }
}
