//! One step: its action is tried, and where it may wait tried again, until what is asked of it holds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::check::CheckRun;
use super::judge::{Ruling, judged_workload, rule};
use super::time::{Looks, Rest};
use crate::lab::expr;
use crate::lab::model::{Budget, Deadline, Lang, Step, StepAction, Text};
use crate::verify::budget::{Allowed, allowed};
use crate::verify::steps::{self, Attempt, Stage, Trouble};
use crate::verify::{Cancel, Event, StepResult, Verdict, say};
use crate::wait::{Answer, Unmet, until};

/// How long one try of an action may take, where the step's own deadline is not shorter.
pub(super) const TRY_LIMIT: Duration = Duration::from_secs(10);
/// The least that one try is given, however little is left.
pub(super) const LEAST_TRY: Duration = Duration::from_secs(1);
/// The time between two words about what is not yet true.
pub(super) const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The last try of a step.
pub(super) struct Try {
    began_ms: u64,
    attempt: Attempt,
    pub(super) ruling: Ruling,
}

/// How the tries of a step ended.
pub(super) enum End {
    /// Some try decided it.
    Decided,
    /// It was looked at all the time; the last look decides.
    Watched(Looks),
    /// Time was up.
    Late,
    /// It was interrupted.
    Interrupted,
}

impl CheckRun<'_> {
    /// Run a step, tell it, and keep what it captured. None where its `when` leaves it out.
    pub(super) async fn step(&mut self, step: &Step, id: &str, cancel: &Cancel) -> Option<StepResult> {
        let name = format!("{}/{id}", self.name);
        let began_ms = self.run.spine.now_ms();
        let left_out = match self.when(step) {
            Ok(false) => return None,
            Ok(true) => None,
            Err(reason) => Some(reason),
        };
        let title = self.title(step);
        self.run.spine.tell(Event::StepStarted { scope: name.clone(), title: title.clone() });
        let allowed = deadline(step).map(|deadline| self.allowed(deadline));
        let mut result = StepResult {
            id: id.to_owned(),
            title,
            action: steps::kind(&step.action).to_owned(),
            verdict: Verdict::Inconclusive,
            reason: left_out.clone(),
            deadline: allowed.as_ref().map(|allowed| (millis(allowed.time), allowed.derivation.clone())),
            facts: Vec::new(),
            span_ms: (began_ms, began_ms),
            earlier: Vec::new(),
        };
        if left_out.is_none() {
            self.carry_out(step, &name, allowed.as_ref(), cancel, &mut result).await;
        }
        result.span_ms.1 = self.run.spine.now_ms();
        let (verdict, reason) = (result.verdict, result.reason.clone());
        self.run.spine.tell(Event::StepFinished { scope: name, verdict, reason });
        Some(result)
    }

    /// The step's title, which is a template; as it is written where that has no value.
    pub(super) fn title(&self, step: &Step) -> Text {
        let context = self.scope.context(&self.run.workloads.counts());
        let [ru, en] = [Lang::Ru, Lang::En].map(|lang| {
            let title = step.title.get(lang);
            expr::render(title, &context).unwrap_or_else(|_| title.to_owned())
        });
        if ru == en { Text::Same(en) } else { Text::Each { ru, en } }
    }

    pub(super) fn when(&self, step: &Step) -> Result<bool, Text> {
        let Some(when) = &step.when else { return Ok(true) };
        let context = self.scope.context(&self.run.workloads.counts());
        expr::holds(when, &context).map(|truth| truth.holds).map_err(|error| say::no_value(&error.to_string()))
    }

    async fn carry_out(
        &mut self,
        step: &Step,
        name: &str,
        allowed: Option<&Allowed>,
        cancel: &Cancel,
        result: &mut StepResult,
    ) {
        let started = Instant::now();
        let (last, end) = self.tries(step, name, allowed, cancel).await;
        let Some(last) = last else {
            (result.verdict, result.reason) = match end {
                End::Interrupted => (Verdict::Inconclusive, Some(say::interrupted())),
                _ => (Verdict::Fail, Some(say::both("ответа в срок не было", "there was no answer in time"))),
            };
            return;
        };
        let Try { began_ms, attempt, mut ruling } = last;
        if let (End::Late, Verdict::Pass, Some(stable)) = (&end, ruling.verdict, self.stable_for(step)) {
            (ruling.verdict, ruling.reason) = (Verdict::Fail, Some(say::unstable(&stable.derivation)));
        }
        if let End::Watched(looks) = &end {
            let during = result.deadline.get_or_insert_default();
            during.1 = looks.told(&during.1);
            (ruling.verdict, ruling.reason) = looks.rule(ruling.verdict, ruling.reason, started.elapsed());
        }
        if let Ok(seen) = attempt {
            let fact = self.run.spine.observed(name, began_ms, seen.observation);
            if let Some(workload) = judged_workload(step) {
                self.run.workloads.attach_fact(workload, &fact);
            }
            result.facts.push(fact);
        }
        let derivation = allowed.map_or("", |allowed| allowed.derivation.as_str());
        let reason = ruling.reason.map(|reason| match end {
            End::Late => say::and(reason, " ", &say::waited(millis(started.elapsed()), derivation)),
            _ => reason,
        });
        let explained = reason.map(|reason| match &ruling.hint {
            Some(hint) => say::explained(reason, hint),
            None => reason,
        });
        (result.verdict, result.reason) = match end {
            End::Interrupted => (Verdict::Inconclusive, Some(say::interrupted())),
            _ => (ruling.verdict, explained),
        };
        self.scope.captures.extend(ruling.captures);
    }

    /// Try until a try decides the step, and give the last one.
    async fn tries(&self, step: &Step, name: &str, allowed: Option<&Allowed>, cancel: &Cancel) -> (Option<Try>, End) {
        let last: Mutex<Option<Try>> = Mutex::new(None);
        let end = match allowed {
            None => {
                let tried = self.attempt(step, name, TRY_LIMIT);
                self.unless_interrupted(step, cancel, async { (keep(&last, tried.await), End::Decided).1 }).await
            }
            Some(allowed) if step.during.is_some() => {
                let watching = self.watch(step, name, allowed, &last);
                self.unless_interrupted(step, cancel, watching).await
            }
            Some(allowed) => {
                let waiting = self.wait(step, name, allowed, &last);
                self.unless_interrupted(step, cancel, waiting).await
            }
        };
        (last.into_inner().unwrap_or_else(PoisonError::into_inner), end)
    }

    /// A change to the deployment is seen through, so that it is known what there is to undo.
    async fn unless_interrupted(&self, step: &Step, cancel: &Cancel, tries: impl Future<Output = End>) -> End {
        if !step.action.can_be_broken_off() {
            return tries.await;
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => End::Interrupted,
            end = tries => end,
        }
    }

    pub(super) fn allowed(&self, deadline: Deadline) -> Allowed {
        allowed(deadline, self.run.world.deployment().timing())
    }

    /// How long the step's expectations must hold without a break, where they must.
    pub(super) fn stable_for(&self, step: &Step) -> Option<Allowed> {
        step.stable_for.map(|stable| self.allowed(stable))
    }

    async fn wait(&self, step: &Step, name: &str, allowed: &Allowed, last: &Mutex<Option<Try>>) -> End {
        let ends = Instant::now() + allowed.time;
        let mut told: Option<Instant> = None;
        let rest = Mutex::new(self.stable_for(step).map(Rest::new));
        let tell = |_: &str, waited: Duration| {
            if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                told = Some(Instant::now());
                self.run.spine.tell(Event::Waiting {
                    scope: name.to_owned(),
                    not_yet: words_of(last),
                    waited_ms: millis(waited),
                    deadline_ms: millis(allowed.time),
                });
            }
        };
        let waited = until(allowed.time, tell, || async {
            let left = ends.saturating_duration_since(Instant::now());
            // What is done once has all the time that there is; a look that hangs must leave time for another one.
            let most = if step.action.is_repeatable() { TRY_LIMIT } else { allowed.time };
            let tried = self.attempt(step, name, most.min(left.max(LEAST_TRY))).await;
            let answer = match (answer(step, &tried), rest.lock().unwrap_or_else(PoisonError::into_inner).as_mut()) {
                (answer, Some(rest)) => rest.judge(answer),
                (answer, None) => answer,
            };
            keep(last, tried);
            answer
        })
        .await;
        match waited {
            Err(Unmet::TimedOut { .. }) => End::Late,
            Ok(()) | Err(Unmet::Never(())) => End::Decided,
        }
    }

    pub(super) async fn attempt(&self, step: &Step, name: &str, limit: Duration) -> Try {
        let stage = Stage {
            world: self.run.world,
            spine: &self.run.spine,
            workloads: &self.run.workloads,
            faults: &self.run.faults,
            scope_name: name,
            scope: &self.scope,
            log_marks: &self.log_marks,
        };
        let began_ms = self.run.spine.now_ms();
        let attempt = steps::attempt(step, &stage, limit).await;
        let ruling = rule(step, &attempt, &self.scope, &self.run.workloads.counts());
        Try { began_ms, attempt, ruling }
    }
}

/// What the last try found not yet true.
fn words_of(last: &Mutex<Option<Try>>) -> Text {
    let last = last.lock().unwrap_or_else(PoisonError::into_inner);
    last.as_ref().map(|tried| tried.ruling.words.clone()).unwrap_or_default()
}

pub(super) fn keep(last: &Mutex<Option<Try>>, tried: Try) {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(tried);
}

/// Whether a try decides its step: a pass, a failure of the machine, or a change that was made and is not made twice.
fn answer(step: &Step, tried: &Try) -> Answer<(), ()> {
    let changed = tried.attempt.is_ok() && !step.action.is_repeatable();
    match (&tried.attempt, tried.ruling.verdict) {
        (_, Verdict::Pass) => Answer::Done(()),
        (Err(Trouble::Infra(_)), _) => Answer::Never(()),
        _ if changed => Answer::Done(()),
        _ => Answer::NotYet(tried.ruling.words.get(Lang::En).to_owned()),
    }
}

/// How long the step looks, or may wait; a `wait` or an operation that does not say it may take a failover's time.
pub(super) fn deadline(step: &Step) -> Option<Deadline> {
    let may_last = matches!(step.action, StepAction::Wait(_) | StepAction::Operate(_));
    let default = may_last.then_some(Deadline::Budget(Budget::Failover));
    step.during.or(step.within).or(default)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
