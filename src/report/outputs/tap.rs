//! The Test Anything Protocol, version 14: a line for each check, with what it came to in a block of YAML.

use super::{checks, line};
use crate::lab::model::Lang;
use crate::verify::{CheckResult, Run, Verdict};

/// The run as TAP.
pub fn tap(run: &Run, lang: Lang) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", checks(run).count());
    for (number, (part, check)) in (1..).zip(checks(run)) {
        let ok = if matches!(check.verdict, Verdict::Pass | Verdict::Skipped) { "ok" } else { "not ok" };
        text.push_str(&format!("{ok} {number} - {part}/{}", check.id));
        let why = line(check.reason.as_ref(), lang);
        match check.verdict {
            Verdict::Pass => text.push('\n'),
            // A `#` would begin a directive of its own.
            Verdict::Skipped => text.push_str(&format!(" # SKIP {}\n", why.replace('#', "\\#"))),
            _ => text.push_str(&block(check, &why)),
        }
    }
    text
}

fn block(check: &CheckResult, why: &str) -> String {
    let message = serde_json::to_string(why).unwrap_or_default();
    let (reached, of) = check.points;
    format!("\n  ---\n  verdict: {}\n  message: {message}\n  points: {reached}/{of}\n  ...\n", check.verdict.word())
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn only_a_pass_and_what_was_not_tried_are_ok() {
        insta::assert_snapshot!(tap(&example::run(), Lang::En), @r##"
        TAP version 14
        1..5
        ok 1 - part/check-pass
        not ok 2 - part/check-fail
          ---
          verdict: fail
          message: "why <fail> & \"so\" more"
          points: 0/1
          ...
        not ok 3 - part/check-inconclusive
          ---
          verdict: inconclusive
          message: "why <inconclusive> & \"so\" more"
          points: 0/1
          ...
        ok 4 - part/check-skipped # SKIP why <skipped> & "so" more
        not ok 5 - part/check-infra_error
          ---
          verdict: infra_error
          message: "why <infra_error> & \"so\" more"
          points: 0/1
          ...
        "##);
    }
}
