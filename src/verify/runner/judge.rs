//! From one try of a step to what it comes to. Pure: the try, the step and the values of expressions decide.

use indexmap::IndexMap;
use serde_json::Value;

use crate::lab::expr;
use crate::lab::model::{Lang, Step, StepAction, Text, WorkloadStep};
use crate::verify::scope::Scope;
use crate::verify::steps::{Attempt, Trouble};
use crate::verify::{Verdict, say};

/// What one try comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for anything but a pass.
    pub reason: Option<Text>,
    /// What the step's author has to say to that.
    pub hint: Option<Text>,
    /// The reason in a few words, for whoever waits.
    pub words: Text,
    /// What was captured, as far as it could be.
    pub captures: IndexMap<String, Value>,
}

/// Judge one try of `step`. `workload` holds the counts of the running workloads.
pub fn rule(step: &Step, attempt: &Attempt, scope: &Scope, workload: &Value) -> Ruling {
    let mut captures = IndexMap::new();
    let judged = weigh(step, attempt, scope, workload, &mut captures);
    let Err((verdict, reason)) = judged else {
        return Ruling { verdict: Verdict::Pass, reason: None, hint: None, words: Text::default(), captures };
    };
    let words = words(attempt, &reason);
    let hint = hint(step, attempt, scope, workload, &captures);
    Ruling { verdict, reason: Some(reason), hint, words, captures }
}

/// What is not yet true, in a few words.
fn words(attempt: &Attempt, reason: &Text) -> Text {
    let unmet = attempt.as_ref().ok().and_then(|seen| seen.unmet.as_ref());
    unmet.map_or_else(|| say::brief(reason), |unmet| unmet.words.clone())
}

/// Whether a pass of the step proves anything: it expects something of the system.
pub fn expects_something(step: &Step) -> bool {
    let by_itself = match &step.action {
        StepAction::Sql(sql) => sql.expect_error.is_some(),
        StepAction::Http(http) => http.expect_status.is_some(),
        StepAction::Operate(operate) => operate.expect_status.is_some(),
        StepAction::Wait(wait) => !wait.until.is_empty(),
        _ => false,
    };
    by_itself || !step.expect.is_empty() || !step.never.is_empty()
}

fn weigh(
    step: &Step,
    attempt: &Attempt,
    scope: &Scope,
    workload: &Value,
    captures: &mut IndexMap<String, Value>,
) -> Result<(), (Verdict, Text)> {
    let seen = attempt.as_ref().map_err(|trouble| match trouble {
        Trouble::NotThere(words) => unmet(step, words.clone()),
        Trouble::NoValue(words) => (Verdict::Inconclusive, say::no_value(words)),
        Trouble::Infra(words) => (Verdict::InfraError, say::infra(words)),
    })?;
    let captured = capture(step, &seen.observation.value, scope, workload, captures);
    if let Some(words) = &seen.unmet {
        return Err(unmet(step, words.text()));
    }
    let context = own_context(step, scope, captures, workload, &seen.observation.value);
    // What can be read is judged even where a capture has no value: an unmet requirement or expectation says more of the
    // system than the value that is missing because of it.
    all_hold(&step.require, &context, (Verdict::Inconclusive, say::required), &captured)?;
    all_hold(&step.expect, &context, (Verdict::Fail, say::expected), &captured)?;
    none_holds(&step.never, &context)?;
    captured.map_err(|error| (Verdict::Inconclusive, say::no_value(&error)))
}

/// The first expression that holds, though it must never, decides; else the first that has no value proves nothing.
fn none_holds(expressions: &[String], context: &Value) -> Result<(), (Verdict, Text)> {
    let mut without_value = None;
    for expression in expressions {
        match expr::holds(expression, context) {
            Ok(truth) if truth.holds => return Err((Verdict::Fail, say::never(expression, &truth.to_string()))),
            Ok(_) => {}
            Err(error) => without_value = without_value.or(Some(error.to_string())),
        }
    }
    without_value.map_or(Ok(()), |error| Err((Verdict::Inconclusive, say::no_value(&error))))
}

/// An action that did not get what it asked for fails the step; where the step is but a precondition (it requires
/// and expects nothing), nothing is proved.
fn unmet(step: &Step, words: Text) -> (Verdict, Text) {
    if !step.require.is_empty() && !expects_something(step) {
        (Verdict::Inconclusive, say::unproved(words))
    } else {
        (Verdict::Fail, words)
    }
}

/// How an expression that does not hold is told: its text and what was observed.
type Words = fn(&str, &str) -> Text;

/// The first expression that does not hold decides; else the first that has no value, which proves nothing. Where a
/// capture has no value that is the cause, and named instead.
fn all_hold(
    expressions: &[String],
    context: &Value,
    (otherwise, words): (Verdict, Words),
    captured: &Result<(), String>,
) -> Result<(), (Verdict, Text)> {
    let mut without_value = None;
    for expression in expressions {
        match expr::holds(expression, context) {
            Ok(truth) if truth.holds => {}
            Ok(truth) => return Err((otherwise, words(expression, &truth.to_string()))),
            Err(error) => without_value = without_value.or(Some(error.to_string())),
        }
    }
    let cause = without_value.map(|error| captured.as_ref().err().cloned().unwrap_or(error));
    cause.map_or(Ok(()), |cause| Err((Verdict::Inconclusive, say::no_value(&cause))))
}

/// Every capture that has a value; the first that has none is the error.
fn capture(
    step: &Step,
    result: &Value,
    scope: &Scope,
    workload: &Value,
    captures: &mut IndexMap<String, Value>,
) -> Result<(), String> {
    let mut failed = Ok(());
    for (name, expression) in &step.capture {
        match expr::value(expression, &context(scope, captures, workload, result)) {
            Ok(value) => {
                captures.insert(name.clone(), value);
            }
            Err(error) if failed.is_ok() => failed = Err(error.to_string()),
            Err(_) => {}
        }
    }
    failed
}

/// The context of a step's own expressions: its captures count already.
fn context(scope: &Scope, captures: &IndexMap<String, Value>, workload: &Value, result: &Value) -> Value {
    let mut scope = scope.clone();
    scope.captures.extend(captures.clone());
    scope.with_result(workload, result)
}

/// The same for what is asked of the step: a capture without a value must not be read as an earlier step's of that name.
fn own_context(
    step: &Step,
    scope: &Scope,
    captures: &IndexMap<String, Value>,
    workload: &Value,
    result: &Value,
) -> Value {
    let mut scope = scope.clone();
    scope.captures.retain(|name, _| !step.capture.contains_key(name));
    context(&scope, captures, workload, result)
}

/// The step's hint. One that reads what is not there is left out: the reason stands by itself.
fn hint(
    step: &Step,
    attempt: &Attempt,
    scope: &Scope,
    workload: &Value,
    captures: &IndexMap<String, Value>,
) -> Option<Text> {
    let hint = step.hint.as_ref()?;
    let nothing = Value::Object(serde_json::Map::new());
    let result = attempt.as_ref().map_or(&nothing, |seen| &seen.observation.value);
    let context = context(scope, captures, workload, result);
    let rendered = |lang| expr::render(hint.get(lang), &context).ok();
    Some(say::both(rendered(Lang::Ru)?, rendered(Lang::En)?))
}

/// The name of the workload that the step judges, where it judges one.
pub fn judged_workload(step: &Step) -> Option<&str> {
    match &step.action {
        StepAction::Workload(WorkloadStep::Stop(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::steps::Seen;
    use crate::verify::{Observation, Source};

    fn step(more: Value) -> Step {
        let mut step = json!({"cluster": {}});
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(step).unwrap()
    }

    fn seen(value: Value, unmet: Option<&str>) -> Attempt {
        let observation = Observation { node: None, role: None, source: Source::Cluster, output: String::new(), value };
        Ok(Seen { observation, unmet: unmet.map(|words| say::same(words).into()) })
    }

    fn ruled(step: &Step, attempt: &Attempt) -> (Verdict, String) {
        let ruling = rule(step, attempt, &Scope::default(), &json!({}));
        (ruling.verdict, ruling.reason.map(|text| text.get(Lang::En).to_owned()).unwrap_or_default())
    }

    fn hinted(step: &Step, attempt: &Attempt) -> Option<String> {
        let hint = rule(step, attempt, &Scope::default(), &json!({})).hint;
        hint.map(|hint| hint.get(Lang::En).to_owned())
    }

    #[test]
    fn an_expectation_that_does_not_hold_fails_with_what_was_observed() {
        let step =
            step(json!({"expect": ["count == 3"], "hint": {"ru": "мало: {{ count }}", "en": "few: {{ count }}"}}));
        assert_eq!(ruled(&step, &seen(json!({"count": 3}), None)).0, Verdict::Pass);
        assert_eq!(
            ruled(&step, &seen(json!({"count": 2}), None)),
            (Verdict::Fail, "expected `count == 3`, but count = 2".to_owned())
        );
        assert_eq!(hinted(&step, &seen(json!({"count": 2}), None)).as_deref(), Some("few: 2"));
        assert_eq!(hinted(&step, &seen(json!({"count": 3}), None)), None);
    }

    #[test]
    fn a_requirement_comes_before_an_expectation_and_proves_nothing() {
        let step = step(json!({"require": ["alive == 2"], "expect": ["up == 1"]}));
        let (verdict, reason) = ruled(&step, &seen(json!({"alive": 1, "up": 1}), None));
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(reason.contains("`alive == 2` must hold, but alive = 1"), "{reason}");
        assert_eq!(ruled(&step, &seen(json!({"alive": 2, "up": 2}), None)).0, Verdict::Fail);
    }

    #[test]
    fn an_expression_without_a_value_never_passes_and_never_fails() {
        let (verdict, reason) = ruled(&step(json!({"expect": ["missing == 1"]})), &seen(json!({}), None));
        assert_eq!(verdict, Verdict::Inconclusive, "{reason}");
        let capturing = step(json!({"capture": {"x": "missing"}, "expect": ["true"]}));
        assert_eq!(ruled(&capturing, &seen(json!({}), None)).0, Verdict::Inconclusive);
    }

    #[test]
    fn a_capture_without_a_value_hides_no_requirement_and_no_expectation() {
        let nobody = seen(json!({"leader": null, "rows": []}), None);
        let asked = json!({"capture": {"first": "rows[0].id"}, "require": ["leader == 'a'"], "expect": ["first == 1"]});
        let (verdict, reason) = ruled(&step(asked), &nobody);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(reason.contains("`leader == 'a'` must hold"), "{reason}");
        let asked = json!({"capture": {"first": "rows[0].id"}, "expect": ["rows | length == 1"]});
        let (verdict, reason) = ruled(&step(asked), &nobody);
        assert_eq!(verdict, Verdict::Fail, "{reason}");
        assert!(reason.contains("expected `rows | length == 1`"), "{reason}");
    }

    #[test]
    fn a_requirement_that_reads_a_missing_capture_names_the_capture() {
        let asked = json!({"capture": {"first": "rows[0].id"}, "require": ["first == 1", "alive == 2"]});
        let one_alive = seen(json!({"rows": [], "alive": 1}), None);
        assert!(
            ruled(&step(asked.clone()), &one_alive).1.contains("`alive == 2` must hold"),
            "what is false comes first"
        );
        let (verdict, reason) = ruled(&step(asked), &seen(json!({"rows": [], "alive": 2}), None));
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(reason.contains("rows[0].id"), "{reason}");
    }

    #[test]
    fn an_earlier_capture_is_not_read_for_one_that_has_no_value() {
        let scope = Scope { captures: IndexMap::from([("first".to_owned(), json!(7))]), ..Scope::default() };
        let asked = step(json!({"capture": {"first": "rows[0].id"}, "expect": ["first == 1"]}));
        let ruling = rule(&asked, &seen(json!({"rows": []}), None), &scope, &json!({}));
        assert_eq!(ruling.verdict, Verdict::Inconclusive, "{:?}", ruling.reason);
    }

    #[test]
    fn what_the_action_asked_for_decides_before_expressions_do() {
        let fails = step(json!({"expect": ["true"]}));
        assert_eq!(ruled(&fails, &seen(json!({}), Some("connection refused"))).0, Verdict::Fail);
        let precondition = step(json!({"require": ["true"]}));
        assert_eq!(ruled(&precondition, &seen(json!({}), Some("connection refused"))).0, Verdict::Inconclusive);
        let act_only = step(json!({}));
        assert_eq!(ruled(&act_only, &seen(json!({}), Some("connection refused"))).0, Verdict::Fail);
    }

    #[test]
    fn troubles_are_told_apart() {
        let step = step(json!({"expect": ["true"]}));
        let not_there = Err(Trouble::NotThere(say::same("nobody holds the leader key")));
        assert_eq!(ruled(&step, &not_there), (Verdict::Fail, "nobody holds the leader key".to_owned()));
        assert_eq!(ruled(&step, &Err(Trouble::Infra("disk full".into()))).0, Verdict::InfraError);
        assert_eq!(ruled(&step, &Err(Trouble::NoValue("`x`".into()))).0, Verdict::Inconclusive);
    }

    #[test]
    fn captures_count_within_their_own_step_and_survive_a_failure() {
        let step = step(json!({"capture": {"twice": "count * 2"}, "expect": ["twice == 7"]}));
        let ruling = rule(&step, &seen(json!({"count": 3}), None), &Scope::default(), &json!({}));
        assert_eq!((ruling.verdict, &ruling.captures["twice"]), (Verdict::Fail, &json!(6)));
    }

    #[test]
    fn a_hint_that_cannot_be_rendered_is_left_out() {
        let step = step(json!({"expect": ["count == 1"], "hint": "see {{ missing }}"}));
        assert_eq!(ruled(&step, &seen(json!({"count": 2}), None)).1, "expected `count == 1`, but count = 2");
        assert_eq!(hinted(&step, &seen(json!({"count": 2}), None)), None);
    }

    #[test]
    fn only_what_expects_something_proves_something() {
        assert!(!expects_something(&step(json!({"require": ["true"], "capture": {"a": "1"}}))));
        assert!(expects_something(&step(json!({"expect": ["true"]}))));
        let sql: Step =
            serde_json::from_value(json!({"sql": {"on": "replica", "run": "x", "expect_error": "25006"}})).unwrap();
        assert!(expects_something(&sql));
    }
}
