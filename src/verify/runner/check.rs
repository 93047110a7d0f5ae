//! One check: its steps in order, the first that does not pass decides; then what is always done.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::explain::Explainer;
use super::judge::expects_something;
use super::{InRun, collect};
use crate::lab::Check;
use crate::lab::expr;
use crate::lab::model::{Step, StepAction, Text, WorkloadStep};
use crate::verify::course::{After, Go, Place};
use crate::verify::run::Earlier;
use crate::verify::scope::Scope;
use crate::verify::steps;
use crate::verify::{Cancel, CheckResult, Event, Spine, Verdict, say};

/// A check that is being run.
pub(super) struct CheckRun<'a> {
    pub run: &'a InRun<'a>,
    pub part: &'a str,
    /// The check as it is carried out: a stepping session may put an edited one in its place.
    pub check: Check,
    /// `part/check`.
    pub name: String,
    pub scope: Scope,
    pub log_marks: BTreeMap<String, u64>,
}

/// The result of a check before it was run: skipped, for `reason`.
pub(super) fn unrun(check: &Check, reason: Text) -> CheckResult {
    CheckResult {
        id: check.id.clone(),
        uses: check.check.name.clone(),
        title: check.check.title.clone(),
        proves: check.check.proves.clone(),
        verdict: Verdict::Skipped,
        reason: Some(reason),
        points: (0, check.points),
        params: check.params.clone(),
        captures: IndexMap::new(),
        steps: Vec::new(),
        span_ms: (0, 0),
    }
}

/// How a check ended.
pub(super) enum Ran {
    /// It came to this.
    Done(Box<CheckResult>),
    /// The run is to go back to the beginning of that check.
    Back(String),
}

/// Hears what a check came to so far, after each step.
pub(super) type Keep<'a> = dyn FnMut(&CheckResult) + Send + 'a;

/// Run one check. `before` are the results of the checks that were run before it.
pub(super) async fn run_check(
    run: &InRun<'_>,
    part: &str,
    check: &Check,
    before: &[CheckResult],
    keep: &mut Keep<'_>,
) -> Ran {
    let mut result = unrun(check, say::not_reached());
    result.span_ms.0 = run.spine.now_ms();
    let title = check.check.title.clone();
    run.spine.tell(Event::CheckStarted { part: part.to_owned(), check: check.id.clone(), title });
    match prepare(run, part, check, before) {
        Err((verdict, reason)) => (result.verdict, result.reason) = (verdict, Some(reason)),
        Ok(mut this) => {
            let _closely = injects_faults(check).then(|| Closely::watch(run));
            this.log_marks = log_marks(check, run).await;
            result.params = this.scope.params.clone();
            if let Some(to) = this.steps(&mut result, keep).await {
                return Ran::Back(to);
            }
            result.captures = this.scope.captures;
        }
    }
    result.points = points(check, &result);
    result.span_ms.1 = run.spine.now_ms();
    let (verdict, reason) = (result.verdict, result.reason.clone());
    run.spine.tell(Event::CheckFinished { part: part.to_owned(), check: check.id.clone(), verdict, reason });
    Ran::Done(Box::new(result))
}

/// A pass is worth all; a failure of the machine costs nothing; otherwise the steps that passed may be worth a part.
fn points(check: &Check, result: &CheckResult) -> (u32, u32) {
    match result.verdict {
        Verdict::Pass => (check.points, check.points),
        Verdict::InfraError => (0, 0),
        _ => {
            let passed = |id: &str| result.steps.iter().any(|step| step.id == id && step.verdict == Verdict::Pass);
            let credits =
                named(&check.check.steps, "").filter(|(_, id)| passed(id)).filter_map(|(step, _)| step.credit);
            (check.points * credits.sum::<u32>().min(100) / 100, check.points)
        }
    }
}

/// Whether the check does something to nodes or has it done, so that roles change within it.
fn injects_faults(check: &Check) -> bool {
    let mut all = check.check.steps.iter().chain(&check.check.finally);
    all.any(|step| matches!(step.action, StepAction::Fault(_) | StepAction::Operate(_) | StepAction::Chaos(_)))
}

/// While it lives, the run's watcher looks often: a role that a node takes just before the end must be seen.
struct Closely<'a>(&'a InRun<'a>);

impl<'a> Closely<'a> {
    fn watch(run: &'a InRun<'a>) -> Self {
        run.watch.iter().for_each(|(pace, _)| pace.set_busy(true));
        Closely(run)
    }
}

impl Drop for Closely<'_> {
    fn drop(&mut self) {
        let still = !self.0.workloads.running().is_empty();
        self.0.watch.iter().for_each(|(pace, _)| pace.set_busy(still));
    }
}

/// The check with its parameters' values; or why it cannot be run.
fn prepare<'a>(
    run: &'a InRun<'a>,
    part: &'a str,
    check: &Check,
    before: &[CheckResult],
) -> Result<CheckRun<'a>, (Verdict, Text)> {
    for needed in checks_read(&check.params) {
        if let Some(other) = before.iter().find(|other| other.id == needed && other.verdict != Verdict::Pass) {
            return Err((Verdict::Skipped, say::skipped_for("проверки", "check", &other.id, other.verdict)));
        }
    }
    let mut scope = Scope {
        vars: run.lab.get().lab.file.vars.clone(),
        checks: before.iter().map(|other| (other.id.clone(), other.captures.clone())).collect(),
        run: run.id.clone(),
        ..Scope::default()
    };
    let context = scope.context(&run.workloads.counts());
    for (name, value) in &check.params {
        let value = expr::eval_all(value, &context);
        let value = value.map_err(|error| (Verdict::Inconclusive, say::no_value(&error.to_string())))?;
        scope.params.insert(name.clone(), value);
    }
    let name = format!("{part}/{}", check.id);
    Ok(CheckRun { run, part, check: check.clone(), name, scope, log_marks: BTreeMap::new() })
}

/// The checks whose captures the parameters read: `checks.ID.NAME`.
fn checks_read(params: &IndexMap<String, Value>) -> Vec<String> {
    fn templates<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(items) => items.iter().for_each(|item| templates(item, into)),
            Value::Object(map) => map.values().for_each(|item| templates(item, into)),
            _ => {}
        }
    }
    let mut texts = Vec::new();
    params.values().for_each(|value| templates(value, &mut texts));
    let names = texts.into_iter().filter_map(|text| expr::check_template(text).ok()).flatten();
    names.filter_map(|name| Some(name.strip_prefix("checks.")?.split('.').next()?.to_owned())).collect()
}

/// Where each node's log ends now, where the check reads logs at all.
async fn log_marks(check: &Check, run: &InRun<'_>) -> BTreeMap<String, u64> {
    let all = check.check.steps.iter().chain(&check.check.finally);
    let mut marks = BTreeMap::new();
    if all.clone().any(|step| matches!(step.action, StepAction::Logs(_))) {
        for node in &run.world.deployment().nodes {
            // A log that cannot be read now has no mark: all of it is read later, or that fails and is told.
            if let Ok((_, end)) = run.world.logs(&node.name, 0).await {
                marks.insert(node.name.clone(), end);
            }
        }
    }
    marks
}

impl CheckRun<'_> {
    /// The steps, in order; then what is always done. Gives the check that the run is to go back to, where it is.
    async fn steps(&mut self, result: &mut CheckResult, keep: &mut Keep<'_>) -> Option<String> {
        let running_before = self.run.workloads.running();
        let mut stand = Stand::default();
        while stand.decided.is_none() && stand.back.is_none() {
            if let Some(why) = stopped(&self.run.spine, &self.run.cancel) {
                stand.decided = Some(why);
                break;
            }
            let text = Arc::clone(&self.check.check);
            let Some((step, id)) = named(&text.steps, "").nth(stand.at) else { break };
            self.next(step, &id, &mut stand, result, keep).await;
        }
        if stand.back.is_none() {
            let vacuous = (Verdict::Inconclusive, say::vacuous());
            let decided = stand.decided.take().or_else(|| (!stand.proves).then_some(vacuous));
            if decided.is_some() && !self.run.cancel.is_cancelled() {
                self.look_back(&running_before).await;
            }
            (result.verdict, result.reason) = match decided {
                Some((verdict, reason)) => (verdict, Some(reason)),
                None => (Verdict::Pass, None),
            };
        }
        self.finally(stand.back.take(), result, keep).await
    }

    /// The step at which the check stands: asked for, done, kept.
    async fn next(&mut self, step: &Step, id: &str, stand: &mut Stand, result: &mut CheckResult, keep: &mut Keep<'_>) {
        if matches!(self.when(step), Ok(false)) {
            stand.at += 1;
            return;
        }
        match self.ask(step, id, stand.at, false).await {
            Go::Do => {}
            Go::Edited(check) => return self.check = *check,
            Go::Back(to) => return stand.back = Some(to),
        }
        if self.run.cancel.is_cancelled() {
            return;
        }
        let (captures, faults) = (self.scope.captures.clone(), self.run.faults.injected().len());
        let cancel = self.run.cancel.clone();
        let Some(mut done) = self.step(step, id, &cancel).await else { return stand.at += 1 };
        done.earlier = std::mem::take(&mut stand.earlier);
        let (verdict, reason) = (done.verdict, done.reason.clone());
        result.steps.push(done.clone());
        self.keep(verdict, reason.as_ref(), result, keep);
        if verdict != Verdict::Pass {
            let alone = self.run.faults.injected().len() == faults && !self.has_started(step);
            let explain = Explainer::new(self, step, id, stand.at);
            let after = self.run.course.failed(&self.place(step, id, stand.at, false, &explain), &done, alone).await;
            match after {
                After::GoOn => stand.decided = Some((verdict, reason.unwrap_or_default())),
                After::Back(to) => stand.back = Some(to),
                After::Again(check) => {
                    result.steps.pop();
                    stand.earlier = done.as_earlier();
                    // What a try captured that does not count is not there for the next one.
                    self.scope.captures = captures;
                    if let Some(check) = check {
                        self.check = *check;
                    }
                }
            }
            return;
        }
        stand.proves |= expects_something(step);
        stand.at += 1;
    }

    /// Keep what the check came to so far. Before its end nothing is a pass.
    fn keep(&self, verdict: Verdict, reason: Option<&Text>, result: &mut CheckResult, keep: &mut Keep<'_>) {
        (result.verdict, result.reason) = match verdict {
            Verdict::Pass => (Verdict::Inconclusive, Some(say::unfinished())),
            other => (other, reason.cloned()),
        };
        result.points = points(&self.check, result);
        result.captures.clone_from(&self.scope.captures);
        result.span_ms.1 = self.run.spine.now_ms();
        keep(result);
    }

    /// Ask whether the step may be done.
    async fn ask(&self, step: &Step, id: &str, at: usize, tidying: bool) -> Go {
        let explain = Explainer::new(self, step, id, at);
        self.run.course.before(&self.place(step, id, at, tidying, &explain)).await
    }

    fn place<'b>(
        &'b self,
        step: &'b Step,
        id: &'b str,
        at: usize,
        tidying: bool,
        explain: &'b Explainer<'b>,
    ) -> Place<'b> {
        Place { part: self.part, check: &self.check, step, id, at, tidying, explain }
    }

    /// Whether the step started clients that still run.
    fn has_started(&self, step: &Step) -> bool {
        match &step.action {
            StepAction::Workload(WorkloadStep::Start(start)) => self.run.workloads.running().contains(&start.name),
            _ => false,
        }
    }

    /// What is known of a check that did not pass: its workloads' histories, and what the collectors find.
    async fn look_back(&self, running_before: &[String]) {
        let left = self.run.workloads.running().into_iter().filter(|name| !running_before.contains(name));
        for name in left.collect::<Vec<_>>() {
            self.run.end_workload(&name, &format!("{}/{name}", self.name)).await;
        }
        collect::collect(self.run, &self.name).await;
    }

    /// Steps that are always run, also after Ctrl-C and before the run goes back. One that does not pass makes the
    /// check's verdict no better.
    async fn finally(
        &mut self,
        mut back: Option<String>,
        result: &mut CheckResult,
        keep: &mut Keep<'_>,
    ) -> Option<String> {
        let text = Arc::clone(&self.check.check);
        for ((step, id), at) in named(&text.finally, "finally-").zip(text.steps.len()..) {
            let asks = back.is_none() && !self.run.cancel.is_cancelled() && !matches!(self.when(step), Ok(false));
            if asks && let Go::Back(to) = self.ask(step, &id, at, true).await {
                back = Some(to);
            }
            let Some(done) = self.step(step, &id, &Cancel::never()).await else { continue };
            let whole = Verdict::all([result.verdict, done.verdict]);
            if whole != result.verdict {
                (result.verdict, result.reason) = (whole, done.reason.clone());
            }
            result.steps.push(done);
            if back.is_none() {
                let mut so_far = result.clone();
                self.keep(result.verdict, result.reason.as_ref(), &mut so_far, keep);
            }
        }
        back
    }
}

/// How far a check got.
#[derive(Default)]
struct Stand {
    /// The place of the step that comes next.
    at: usize,
    /// Whether a step that passed expected something.
    proves: bool,
    /// What the step that did not pass made of the check.
    decided: Option<(Verdict, Text)>,
    /// The check that the run is to go back to.
    back: Option<String>,
    /// The tries of the step that comes next which do not count.
    earlier: Vec<Earlier>,
}

/// Steps with their names; one without a name is called by its kind and place.
pub(in crate::verify) fn named<'a>(steps: &'a [Step], prefix: &'a str) -> impl Iterator<Item = (&'a Step, String)> {
    steps.iter().enumerate().map(move |(place, step)| {
        let by_place = || format!("{prefix}{}-{}", steps::kind(&step.action), place + 1);
        (step, step.id.clone().unwrap_or_else(by_place))
    })
}

/// Why no further step may be run, where that is so.
pub(super) fn stopped(spine: &Spine, cancel: &Cancel) -> Option<(Verdict, Text)> {
    if let Some(trouble) = spine.trouble() {
        return Some((Verdict::InfraError, say::infra(&trouble)));
    }
    cancel.is_cancelled().then(|| (Verdict::Inconclusive, say::interrupted()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_checks_that_inject_faults_are_watched_closely() {
        let loaded = crate::lab::load("builtin:ha-postgres").unwrap();
        let checks = loaded.lab.parts.iter().flat_map(|part| &part.checks);
        let close: Vec<&str> = checks.filter(|check| injects_faults(check)).map(|check| check.id.as_str()).collect();
        assert_eq!(close, ["failover", "rejoin"]);
    }

    #[test]
    fn the_checks_that_parameters_read_are_found_wherever_they_stand() {
        let params = IndexMap::from([
            ("node".to_owned(), json!("{{ checks.failover.old_leader }}")),
            ("more".to_owned(), json!({"list": ["a {{ checks.routing.x }} b", 1], "plain": "checks.none.x"})),
        ]);
        assert_eq!(checks_read(&params), ["failover", "routing"]);
    }
}
