//! The summary of a GitHub job: what `$GITHUB_STEP_SUMMARY` is given.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::{checks, line};
use crate::lab::model::Lang;
use crate::report::format;
use crate::report::words::sign;
use crate::verify::Run;
use crate::verify::outage::words;

/// The variable that names the file.
pub const VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// The run as Markdown for a job's page.
pub fn summary(run: &Run, lang: Lang) -> String {
    let (part, check, took, points) = match lang {
        Lang::Ru => ("Часть", "Проверка", "Заняла", "Баллы"),
        Lang::En => ("Part", "Check", "Took", "Points"),
    };
    let (reached, of) = run.points;
    let mut text = format!(
        "### {} {}: {} {} · {reached}/{of}\n\n| | {part} | {check} | {took} | {points} |\n| --- | --- | --- | --- | --- |\n",
        cell(&run.lab.name),
        run.id,
        sign(run.verdict),
        run.verdict.word()
    );
    for (part, check) in checks(run) {
        let why = line(check.reason.as_ref(), lang);
        let why = if why.is_empty() { String::new() } else { format!(": {}", cell(&why)) };
        let took = format::millis(check.span_ms.1.saturating_sub(check.span_ms.0), lang);
        let (reached, of) = check.points;
        text.push_str(&format!(
            "| {} | {part} | {}{why} | {took} | {reached}/{of} |\n",
            sign(check.verdict),
            cell(&check.id)
        ));
    }
    let outages: Vec<String> = run.outages.iter().flat_map(|outage| words::lines(outage, lang)).collect();
    if !outages.is_empty() {
        text.push_str(&format!("\n```text\n{}\n```\n", outages.join("\n").replace("```", "'''")));
    }
    text
}

/// Text that stands in a cell: no markup of its own.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('`', "\\`")
}

/// Append the summary to the file that the job's runner named.
pub fn append(path: &Path, run: &Run, lang: Lang) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{}\n", summary(run, lang)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::verify::outage::budget::tests::outage;

    #[test]
    fn every_check_is_a_row_and_what_is_there_already_stays() {
        let mut run = example::run();
        run.outages = vec![outage((0, 6_200), Some(10), &[]), outage((0, 80), None, &[])];
        let text = summary(&run, Lang::En);
        assert_eq!(text.matches("unavailable").count(), 1, "a workload without a fault has no outage: {text}");
        assert!(text.contains("the longest pause between writes"), "{text}");
        assert!(text.contains("| part | check-fail: why &lt;fail> & \"so\" more |"), "{text}");
        assert!(text.contains("writes through HAProxy were unavailable for 6.2 s"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.md");
        std::fs::write(&path, "before\n").unwrap();
        append(&path, &run, Lang::En).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("before\n### ha-postgres"));
    }
}
