//! JUnit XML: a test suite for each part, a test case for each check.

use std::fmt::Write;

use super::line;
use crate::lab::model::Lang;
use crate::report::picture::svg::escape;
use crate::verify::run::PartResult;
use crate::verify::{CheckResult, Run, Verdict};

/// The run as JUnit XML.
pub fn junit(run: &Run, lang: Lang) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Vec<&CheckResult> = run.parts.iter().flat_map(|part| &part.checks).collect();
    let _ = writeln!(
        xml,
        "<testsuites name=\"{}\" {} time=\"{}\">",
        escape(&format!("{} {}", run.lab.name, run.id)),
        counts(&all),
        seconds(run.took_ms)
    );
    run.parts.iter().for_each(|part| suite(&mut xml, run, part, lang));
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(xml: &mut String, run: &Run, part: &PartResult, lang: Lang) {
    let checks: Vec<&CheckResult> = part.checks.iter().collect();
    let took: u64 = checks.iter().map(|check| check.span_ms.1.saturating_sub(check.span_ms.0)).sum();
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{}\" {} time=\"{}\" timestamp=\"{}\">",
        escape(&part.id),
        counts(&checks),
        seconds(took),
        escape(&run.started)
    );
    checks.into_iter().for_each(|check| case(xml, part, check, lang));
    xml.push_str("  </testsuite>\n");
}

fn case(xml: &mut String, part: &PartResult, check: &CheckResult, lang: Lang) {
    let took = check.span_ms.1.saturating_sub(check.span_ms.0);
    let name = format!("{}: {}", check.id, line(Some(&check.title), lang));
    let (class, name) = (escape(&format!("{}.{}", part.id, check.id)), escape(&name));
    let _ = writeln!(xml, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{}\">", seconds(took));
    let (reached, of) = check.points;
    let _ = writeln!(
        xml,
        "      <properties><property name=\"points\" value=\"{reached}\"/><property name=\"points_of\" value=\"{of}\"/></properties>"
    );
    let why = escape(&line(check.reason.as_ref(), lang));
    let _ = match check.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Skipped => writeln!(xml, "      <skipped message=\"{why}\"/>"),
        Verdict::InfraError => writeln!(xml, "      <error type=\"infra_error\" message=\"{why}\"/>"),
        other => writeln!(xml, "      <failure type=\"{}\" message=\"{why}\"/>", other.word()),
    };
    xml.push_str("    </testcase>\n");
}

fn counts(checks: &[&CheckResult]) -> String {
    let of = |wanted: &[Verdict]| checks.iter().filter(|check| wanted.contains(&check.verdict)).count();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        checks.len(),
        of(&[Verdict::Fail, Verdict::Inconclusive]),
        of(&[Verdict::InfraError]),
        of(&[Verdict::Skipped])
    )
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn every_verdict_has_its_element_and_the_xml_is_well_formed() {
        let xml = junit(&example::run(), Lang::En);
        let mut reader = quick_xml::Reader::from_str(&xml);
        while !matches!(reader.read_event().expect("well-formed"), quick_xml::events::Event::Eof) {}
        assert!(xml.contains(r#"tests="5" failures="2" errors="1" skipped="1" time="12.340""#), "{xml}");
        for element in [
            r#"<failure type="fail" message="why &lt;fail&gt; &amp; &quot;so&quot; more"/>"#,
            r#"<failure type="inconclusive""#,
            r#"<skipped message="why"#,
            r#"<error type="infra_error""#,
            r#"<testcase classname="part.check-pass" name="check-pass: A title" time="2.500">"#,
        ] {
            assert!(xml.contains(element), "{element} in {xml}");
        }
    }
}
