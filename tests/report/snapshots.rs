//! The main reports as a whole, to be read when they change. Files and long outputs are cut to their first line, sums
//! are left out.

use labrun::lab::model::Lang;
use labrun::verify::Run;
use regex::Regex;

use super::{ended, fixture, report};

/// The lines of a fenced block that are kept.
const KEPT: usize = 6;

fn shortened(run: &Run, lang: Lang) -> String {
    let markdown = report(run, lang).markdown;
    let mut out = String::new();
    let mut fence: Option<(usize, usize)> = None;
    for line in markdown.lines() {
        let marks = line.bytes().take_while(|byte| *byte == b'`').count();
        match &mut fence {
            Some((open, length)) if marks >= *open && line.len() == marks => {
                if *length > KEPT {
                    out.push_str(&format!("… {} lines\n", *length - KEPT));
                }
                fence = None;
            }
            Some((_, length)) => {
                *length += 1;
                if *length > KEPT {
                    continue;
                }
            }
            None if marks >= 3 => fence = Some((marks, 0)),
            None => {}
        }
        out.push_str(line);
        out.push('\n');
    }
    let appendix = if lang == Lang::Ru { "\n### Факты\n" } else { "\n### Facts\n" };
    let facts = out.find(appendix).unwrap_or(out.len());
    out.truncate(facts);
    let sums = Regex::new(r"[0-9a-f]{64}").expect("a pattern");
    sums.replace_all(&out, "[sha256]").into_owned()
}

#[test]
fn the_report_of_a_passed_run() {
    insta::assert_snapshot!("passed.ru", shortened(&fixture::passed(), Lang::Ru));
    insta::assert_snapshot!("passed.en", shortened(&fixture::passed(), Lang::En));
}

#[test]
fn the_report_of_a_failed_run() {
    insta::assert_snapshot!("failed.en", shortened(&ended::failed(), Lang::En));
}

#[test]
fn the_report_of_a_run_that_proved_nothing() {
    insta::assert_snapshot!("inconclusive.ru", shortened(&ended::inconclusive(), Lang::Ru));
}
