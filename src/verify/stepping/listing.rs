//! The parts, checks and steps of a lab in their order, and how far a session got with each. Pure.

use serde::{Deserialize, Serialize};

use crate::lab::model::{Lang, Step, Text};
use crate::lab::{Check, Lab};
use crate::verify::runner::named;
use crate::verify::{CheckResult, PartResult, Verdict, say, steps};

/// How far one thing got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not yet.
    Todo,
    /// It comes next.
    Next,
    /// Begun, and not at its end.
    Begun,
    /// Its `when` was false.
    LeftOut,
    /// An earlier step decided the check, so it is not done.
    NotDone,
    /// Done, with this verdict.
    #[serde(untagged)]
    Done(Verdict),
}

/// A part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedPart {
    /// Its name.
    pub id: String,
    /// Its heading.
    pub title: Text,
    /// Its checks.
    pub checks: Vec<ListedCheck>,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedCheck {
    /// Its name.
    pub id: String,
    /// Its title.
    pub title: Text,
    /// How far it got.
    pub state: State,
    /// Its steps; those that tidy up are the last.
    pub steps: Vec<ListedStep>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedStep {
    /// `part/check/step`.
    pub scope: String,
    /// Its name within its check.
    pub id: String,
    /// Its title.
    pub title: Text,
    /// The kind of action.
    pub kind: String,
    /// How far it got.
    pub state: State,
    /// How often it was tried.
    pub tries: usize,
}

/// The lab's order. `results` is what a session has of it so far; `next` the step that it waits before.
pub fn listing(lab: &Lab, results: &[PartResult], next: Option<&str>) -> Vec<ListedPart> {
    let parts = lab.parts.iter().map(|part| {
        let found = results.iter().find(|result| result.id == part.id);
        let checks = part.checks.iter().map(|check| {
            let result = found.and_then(|part| part.checks.iter().find(|result| result.id == check.id));
            listed(&part.id, check, result, next)
        });
        ListedPart { id: part.id.clone(), title: part.title.clone(), checks: checks.collect() }
    });
    parts.collect()
}

fn listed(part: &str, check: &Check, result: Option<&CheckResult>, next: Option<&str>) -> ListedCheck {
    let state = result.map_or(State::Todo, state_of);
    let all: Vec<(&Step, String)> = steps_of(check).collect();
    let last_done = all.iter().rposition(|(_, id)| tried(result, id).is_some());
    let steps = all.iter().enumerate().map(|(at, (step, id))| {
        let scope = format!("{part}/{}/{id}", check.id);
        let done = tried(result, id);
        let state = match done {
            Some(done) => State::Done(done.verdict),
            None if next == Some(&scope) => State::Next,
            // What tidies up is done whatever decided the check.
            None if at >= check.check.steps.len() && step.when.is_none() => State::Todo,
            None if last_done.is_some_and(|last| at < last) && !decided_before(result, at, &all) => State::LeftOut,
            None => match state {
                State::Done(Verdict::Pass) => State::LeftOut,
                State::Done(_) => State::NotDone,
                _ if decided_before(result, at, &all) => State::NotDone,
                _ => State::Todo,
            },
        };
        let title = done.map_or(&step.title, |done| &done.title).clone();
        let tries = done.map_or(0, |done| done.earlier.len() + 1);
        ListedStep { scope, id: id.clone(), title, kind: steps::kind(&step.action).to_owned(), state, tries }
    });
    let steps: Vec<ListedStep> = steps.collect();
    let is_next = steps.iter().all(|step| matches!(step.state, State::Todo | State::Next | State::LeftOut))
        && steps.iter().any(|step| step.state == State::Next);
    let title = check.check.title.clone();
    ListedCheck { id: check.id.clone(), title, state: if is_next { State::Next } else { state }, steps }
}

/// All steps of a check, with their names, in the order in which they are done.
pub fn steps_of(check: &Check) -> impl Iterator<Item = (&Step, String)> {
    named(&check.check.steps, "").chain(named(&check.check.finally, "finally-"))
}

fn tried<'a>(result: Option<&'a CheckResult>, id: &str) -> Option<&'a crate::verify::StepResult> {
    result?.steps.iter().find(|step| step.id == id)
}

/// Whether a step before the one at `at` did not pass.
fn decided_before(result: Option<&CheckResult>, at: usize, all: &[(&Step, String)]) -> bool {
    let before = all[..at].iter().filter_map(|(_, id)| tried(result, id));
    before.into_iter().any(|done| done.verdict != Verdict::Pass)
}

fn state_of(result: &CheckResult) -> State {
    match &result.reason {
        Some(reason) if *reason == say::not_reached() => State::Todo,
        Some(reason) if *reason == say::unfinished() => State::Begun,
        _ => State::Done(result.verdict),
    }
}

/// The scopes of all steps, in order.
pub fn order(lab: &Lab) -> Vec<String> {
    let checks = lab.parts.iter().flat_map(|part| part.checks.iter().map(move |check| (part, check)));
    let steps =
        checks.flat_map(|(part, check)| steps_of(check).map(move |(_, id)| format!("{}/{}/{id}", part.id, check.id)));
    steps.collect()
}

/// The last step that `target` means: a part, a check, `check/step`, or all three; none where there is no such.
pub fn last_of(lab: &Lab, target: &str) -> Option<usize> {
    let order = order(lab);
    let means = |scope: &String| {
        let mut names = scope.split('/');
        let (part, check, step) = (names.next()?, names.next()?, names.next()?);
        let forms =
            [part.to_owned(), check.to_owned(), format!("{part}/{check}"), format!("{check}/{step}"), scope.clone()];
        forms.contains(&target.to_owned()).then_some(())
    };
    order.iter().rposition(|scope| means(scope).is_some())
}

/// The listing for a terminal.
pub fn show(parts: &[ListedPart], lang: Lang) -> String {
    let mut text = String::new();
    for part in parts {
        text += &format!("{}  {}\n", part.id, part.title.get(lang));
        for check in &part.checks {
            text += &line(2, check.state, &check.id, check.title.get(lang), 1, lang);
            for step in &check.steps {
                text += &line(4, step.state, &step.id, step.title.get(lang), step.tries, lang);
            }
        }
    }
    text
}

fn line(indent: usize, state: State, id: &str, title: &str, tries: usize, lang: Lang) -> String {
    let again = match (tries, lang) {
        (0 | 1, _) => String::new(),
        (tries, Lang::Ru) => format!("  (попытка {tries})"),
        (tries, Lang::En) => format!("  (try {tries})"),
    };
    let line = format!("{:indent$}{:<14}{id:<16}  {title}{again}", "", word(state, lang));
    format!("{}\n", line.trim_end())
}

fn word(state: State, lang: Lang) -> &'static str {
    match (state, lang) {
        (State::Todo, _) => "",
        (State::Next, Lang::Ru) => "следующий",
        (State::Next, Lang::En) => "next",
        (State::Begun, Lang::Ru) => "начата",
        (State::Begun, Lang::En) => "begun",
        (State::LeftOut, Lang::Ru) => "не нужен",
        (State::LeftOut, Lang::En) => "left out",
        (State::NotDone, Lang::Ru) => "не сделан",
        (State::NotDone, Lang::En) => "not done",
        (State::Done(verdict), Lang::Ru) => say::verdict_ru(verdict),
        (State::Done(verdict), Lang::En) => verdict.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::StepResult;

    fn lab() -> Lab {
        crate::lab::load("builtin:ha-postgres").unwrap().lab
    }

    fn step(id: &str, verdict: Verdict) -> StepResult {
        let reason = (verdict != Verdict::Pass).then(|| say::same("why"));
        StepResult {
            id: id.to_owned(),
            title: say::same(format!("{id} done")),
            action: "sql".to_owned(),
            verdict,
            reason,
            deadline: None,
            facts: Vec::new(),
            span_ms: (0, 1),
            earlier: Vec::new(),
        }
    }

    /// The results of the lab's first two checks: the first as it came to its end, the second as far as `steps` say.
    fn results(lab: &Lab, first: Verdict, reason: Text, steps: Vec<StepResult>) -> Vec<PartResult> {
        let result = |check: &Check, verdict, reason: Option<Text>, steps| CheckResult {
            id: check.id.clone(),
            uses: check.check.name.clone(),
            title: check.check.title.clone(),
            proves: check.check.proves.clone(),
            verdict,
            reason,
            points: (0, 1),
            params: Default::default(),
            captures: Default::default(),
            steps,
            span_ms: (0, 1),
        };
        let parts = lab.parts.iter().enumerate().map(|(at, part)| {
            let check = &part.checks[0];
            let checks = vec![match at {
                0 => {
                    let all = named(&check.check.steps, "").map(|(_, id)| step(&id, first));
                    result(check, first, None, all.collect())
                }
                1 => result(check, Verdict::Inconclusive, Some(reason.clone()), steps.clone()),
                _ => result(check, Verdict::Skipped, Some(say::not_reached()), Vec::new()),
            }];
            PartResult {
                id: part.id.clone(),
                title: part.title.clone(),
                verdict: Verdict::Skipped,
                reason: None,
                checks,
            }
        });
        parts.collect()
    }

    #[test]
    fn a_lab_is_listed_in_its_order_with_what_is_done_and_next() {
        let lab = lab();
        let ids: Vec<String> = named(&lab.parts[1].checks[0].check.steps, "").map(|(_, id)| id).collect();
        let mut again = step(&ids[0], Verdict::Pass);
        again.earlier = step(&ids[0], Verdict::Fail).as_earlier();
        let results = results(&lab, Verdict::Pass, say::unfinished(), vec![again]);
        let next = format!("replication/replication/{}", ids[1]);
        let listed = listing(&lab, &results, Some(&next));
        let shown = [Lang::En, Lang::Ru].map(|lang| show(&listed[..3], lang));
        insta::assert_snapshot!(shown.join("\n"));
        let back: Vec<ListedPart> = serde_json::from_value(serde_json::to_value(&listed).unwrap()).unwrap();
        assert_eq!(back, listed, "a program reads the same");
    }

    #[test]
    fn behind_a_step_that_did_not_pass_nothing_is_done_nor_next() {
        let lab = lab();
        let ids: Vec<String> = named(&lab.parts[1].checks[0].check.steps, "").map(|(_, id)| id).collect();
        let results =
            results(&lab, Verdict::Pass, say::same("expected `count == 3`"), vec![step(&ids[0], Verdict::Fail)]);
        let listed = listing(&lab, &results, None);
        let states: Vec<State> = listed[1].checks[0].steps.iter().map(|step| step.state).collect();
        assert_eq!(states[0], State::Done(Verdict::Fail));
        assert!(states[1..].iter().all(|state| *state == State::NotDone), "{states:?}");
        assert_eq!(listed[2].checks[0].state, State::Todo);
    }

    #[test]
    fn a_step_whose_condition_was_false_is_left_out() {
        let lab = lab();
        let ids: Vec<String> = named(&lab.parts[1].checks[0].check.steps, "").map(|(_, id)| id).collect();
        let results = results(&lab, Verdict::Pass, say::unfinished(), vec![step(&ids[1], Verdict::Pass)]);
        let listed = listing(&lab, &results, None);
        let states: Vec<State> = listed[1].checks[0].steps.iter().take(3).map(|step| step.state).collect();
        assert_eq!(states, [State::LeftOut, State::Done(Verdict::Pass), State::Todo]);
    }

    #[test]
    fn a_target_is_a_part_a_check_or_a_step() {
        let lab = lab();
        let order = order(&lab);
        let at = |target: &str| last_of(&lab, target).map(|at| order[at].as_str());
        assert_eq!(at("failover/stop"), Some("failover/failover/stop"));
        assert_eq!(at("failover/failover/stop"), Some("failover/failover/stop"));
        assert!(at("setup").unwrap().starts_with("setup/cluster-ready/"), "{:?}", at("setup"));
        assert_eq!(at("cluster-ready"), at("setup"));
        assert_eq!(at("failovr"), None);
        assert_eq!(order.last().map(String::as_str), at("rejoin"));
    }
}
