//! Runs a lab against a deployment: parts, their checks, their steps; and in the end undoes what it did. When it goes on,
//! and with what, is decided by its [`Course`].

mod check;
mod collect;
#[cfg(test)]
mod course_tests;
mod explain;
mod finish;
mod judge;
#[cfg(test)]
mod operate_tests;
#[cfg(test)]
mod schema_tests;
mod step;
#[cfg(test)]
mod temporal_tests;
#[cfg(test)]
mod tests;
mod time;

pub(in crate::verify) use self::check::named;
pub use self::explain::first;

use std::sync::Arc;

use self::check::{Ran, run_check, stopped, unrun};
use super::course::{Course, CurrentLab};
use super::faults::Faults;
use super::spine::Spine;
use super::steps::{Attempt, Stage};
use super::tried::Trier;
use super::watch::{Pace, Samples};
use super::workload::Workloads;
use super::world::World;
use super::{Cancel, CheckResult, Event, PartResult, Run, Verdict, say};
use crate::lab::model::Text;
use crate::lab::{Lab, Part};

/// What everything in a run works with.
pub struct InRun<'a> {
    /// The run's name.
    pub id: String,
    /// The lab.
    pub lab: &'a CurrentLab,
    /// The world outside.
    pub world: &'a dyn World,
    /// One clock, one order of events.
    pub spine: Arc<Spine>,
    /// The workloads.
    pub workloads: Workloads,
    /// The faults.
    pub faults: Faults,
    /// Whether to stop.
    pub cancel: Cancel,
    /// The watcher's pace, and what it saw.
    pub watch: Option<(Pace, Samples)>,
    /// When it goes on, and with what.
    pub course: &'a dyn Course,
}

/// Keeps a run as far as it got. An error is told, and ends the run.
pub type Save<'a> = dyn FnMut(&Run) -> std::io::Result<()> + Send + 'a;

impl InRun<'_> {
    /// Run the parts, or the only one asked for, into `run`, which is saved after every check. Whatever happens, what
    /// was done to the deployment is undone in the end.
    pub async fn run(&self, run: &mut Run, only: Option<usize>, save: &mut Save<'_>) {
        self.spine.tell(Event::RunStarted { run: self.id.clone(), deployment: run.deployment.clone() });
        self.heal(run).await;
        run.versions = finish::versions(self.world).await;
        run.notes.extend(only.and_then(|place| self.unverified_needs(place)));
        let mut done = Vec::new();
        self.lay_out(only, &done, run);
        self.save(run, save);
        // Where the run went back to a check, its part is told again.
        let mut went_back = false;
        loop {
            let loaded = self.lab.get();
            let Some(at) = next_check(&loaded.lab, only, done.len()) else { break };
            if at.check == 0 || went_back {
                self.spine.tell(Event::PartStarted { part: at.part.id.clone(), title: at.part.title.clone() });
            }
            went_back = match self.check(&loaded.lab, &at, only, &done, run, save).await {
                Ran::Done(result) => {
                    done.push(*result);
                    self.checked(&at, only, &done, run, save);
                    false
                }
                Ran::Back(to) => {
                    self.take_back(&to, &mut done, run).await;
                    self.lay_out(only, &done, run);
                    finish::complete(self, run);
                    self.save(run, save);
                    true
                }
            };
        }
        self.undo(run).await;
        if only.is_none() && !self.cancel.is_cancelled() {
            let trier = Trier { world: self.world, spine: &self.spine, cancel: &self.cancel };
            let loaded = self.lab.get();
            run.tried = trier.all(&loaded.lab.file.questions).await;
        }
        finish::complete(self, run);
        let (verdict, points) = (run.verdict, run.points);
        self.spine.tell(Event::RunFinished { verdict, points });
        self.save(run, save);
    }

    /// Run the check at this place, or say why it is not run.
    async fn check(
        &self,
        lab: &Lab,
        at: &At<'_>,
        only: Option<usize>,
        done: &[CheckResult],
        run: &mut Run,
        save: &mut Save<'_>,
    ) -> Ran {
        let check = &at.part.checks[at.check];
        let why = stopped(&self.spine, &self.cancel).map(|(_, reason)| reason);
        if let Some(why) = why.or_else(|| why_skipped(lab, at.part, &run.parts[..at.slot])) {
            return Ran::Done(Box::new(unrun(check, why)));
        }
        let mut keep = |so_far: &CheckResult| {
            if self.course.keeps_steps() {
                let with: Vec<CheckResult> = done.iter().chain([so_far]).cloned().collect();
                self.lay_out(only, &with, run);
                finish::complete(self, run);
                self.save(run, save);
            }
        };
        run_check(self, &at.part.id, check, done, &mut keep).await
    }

    /// After a check: what the run came to so far is told and kept.
    fn checked(&self, at: &At<'_>, only: Option<usize>, done: &[CheckResult], run: &mut Run, save: &mut Save<'_>) {
        self.lay_out(only, done, run);
        let known: Vec<String> = run.outages.iter().map(|outage| outage.fact.clone()).collect();
        finish::complete(self, run);
        for outage in run.outages.iter().filter(|outage| !known.contains(&outage.fact)) {
            self.spine.tell(Event::OutageMeasured { outage: Box::new(outage.clone()) });
        }
        self.save(run, save);
        let is_last = next_check(&self.lab.get().lab, only, done.len()).is_none_or(|next| next.slot != at.slot);
        if let Some(PartResult { id, verdict, reason, .. }) = run.parts.get(at.slot).filter(|_| is_last) {
            let (part, verdict, reason) = (id.clone(), *verdict, reason.clone());
            self.spine.tell(Event::PartFinished { part, verdict, reason });
        }
    }

    /// Put the results of the checks that were done where they belong; the others were not reached.
    fn lay_out(&self, only: Option<usize>, done: &[CheckResult], run: &mut Run) {
        let loaded = self.lab.get();
        run.lab.clone_from(&loaded.lab.file);
        run.lab_sha256.clone_from(&loaded.sha256);
        let mut done = done.iter();
        let mut parts: Vec<PartResult> = Vec::new();
        for part in chosen(&loaded.lab, only) {
            let mut result = unrun_part(part);
            let begun = done.len() > 0;
            for (slot, check) in result.checks.iter_mut().zip(&mut done) {
                slot.clone_from(check);
            }
            if begun {
                conclude(&mut result, why_skipped(&loaded.lab, part, &parts).as_ref());
            }
            parts.push(result);
        }
        run.parts = parts;
    }

    /// Go back to the beginning of a check: what was done from there on no longer counts, and nothing of it stays in
    /// effect.
    async fn take_back(&self, to: &str, done: &mut Vec<CheckResult>, run: &mut Run) {
        let at = done.iter().position(|check| check.id == to).unwrap_or(done.len());
        let taken: Vec<CheckResult> = done.drain(at..).collect();
        let facts = self.spine.facts();
        let of_taken = |id: &String| {
            let scope = facts.iter().find(|fact| fact.id == *id).map(|fact| fact.scope.as_str());
            let check = scope.and_then(|scope| scope.split('/').nth(1));
            taken.iter().any(|taken| check == Some(taken.id.as_str()))
        };
        let judged = self.workloads.judged().into_iter().filter(|judged| judged.fact.as_ref().is_some_and(of_taken));
        for name in self.workloads.running().into_iter().chain(judged.map(|judged| judged.name)) {
            self.workloads.forget(&name).await;
        }
        self.undo_faults(run).await;
        run.notes.extend(taken.iter().map(|check| say::taken_back(&check.id, check.verdict, check.reason.as_ref())));
        self.spine.tell(Event::WentBack { check: to.to_owned() });
    }

    /// Undo what an earlier labrun left behind that was killed.
    async fn heal(&self, run: &mut Run) {
        let healed = match super::faults::heal::heal(self.world).await {
            Ok(healed) => healed,
            Err(why) => return run.notes.push(say::infra(&why)),
        };
        let (whole, troubles): (Vec<_>, Vec<_>) = healed.into_iter().partition(|healed| healed.trouble.is_none());
        if !whole.is_empty() {
            let words: Vec<_> = whole.iter().map(|healed| healed.entry.deed.words()).collect();
            run.notes.push(say::both(
                format!("прошлая проверка была убита и оставила сбои; отменены: {}", words.join("; ")),
                format!("an earlier verification was killed and left faults behind; undone: {}", words.join("; ")),
            ));
        }
        for healed in troubles {
            let why = healed.trouble.unwrap_or_default();
            run.notes.push(say::infra(&format!("`{}` cannot be undone: {why}", healed.entry.deed.words())));
        }
    }

    /// End what still runs, and undo what is still in effect.
    async fn undo(&self, run: &mut Run) {
        for name in self.workloads.running() {
            self.end_workload(&name, &format!("run/workload/{name}")).await;
        }
        self.undo_faults(run).await;
        if self.cancel.is_cancelled() {
            run.notes.push(say::interrupted());
        }
        if let Some(trouble) = self.spine.trouble() {
            run.notes.push(say::infra(&trouble));
        }
    }

    /// Undo every fault of this run that is in effect.
    async fn undo_faults(&self, run: &mut Run) {
        for (fault, undone) in self.faults.undo_all(self.world).await {
            if let Err(why) = undone {
                let words = fault.deed().words();
                run.notes.push(say::both(
                    format!("сбой `{words}` не удалось отменить: {why}"),
                    format!("`{words}` could not be undone: {why}"),
                ));
            }
        }
    }

    /// Stop a workload outside of its own step, and keep what it shows.
    async fn end_workload(&self, name: &str, scope_name: &str) {
        let (scope, log_marks) = Default::default();
        let stage = Stage {
            world: self.world,
            spine: &self.spine,
            workloads: &self.workloads,
            faults: &self.faults,
            scope_name,
            scope: &scope,
            log_marks: &log_marks,
        };
        let began_ms = self.spine.now_ms();
        let judged: Attempt = match self.workloads.stop(name, &stage).await {
            Ok(seen) => Ok(seen),
            Err(_) => self.workloads.stop_unread(name).await,
        };
        // Without a judgement there is nothing to show; that the history is not whole is told by its own check.
        if let Ok(seen) = judged {
            let fact = self.spine.observed(scope_name, began_ms, seen.observation);
            self.workloads.attach_fact(name, &fact);
        }
    }

    /// That a part was run though what it needs was not.
    fn unverified_needs(&self, place: usize) -> Option<Text> {
        let loaded = self.lab.get();
        let parts = &loaded.lab.parts;
        let part = parts.get(place)?;
        let needs: Vec<&str> = part.needs.iter().map(|need| parts[*need].id.as_str()).collect();
        let (id, needs) = (&part.id, needs.join("`, `"));
        (!needs.is_empty()).then(|| {
            say::both(
                format!("проверена только часть `{id}`; то, что ей нужно, не проверялось: `{needs}`"),
                format!("only part `{id}` was verified; what it needs was not: `{needs}`"),
            )
        })
    }

    fn save(&self, run: &Run, save: &mut Save<'_>) {
        if let Err(error) = save(run) {
            self.spine.fail(&format!("the run could not be stored: {error}"));
        }
    }
}

fn unrun_part(part: &Part) -> PartResult {
    PartResult {
        id: part.id.clone(),
        title: part.title.clone(),
        verdict: Verdict::Skipped,
        reason: Some(say::not_reached()),
        checks: part.checks.iter().map(|check| unrun(check, say::not_reached())).collect(),
    }
}

/// Where a check stands.
struct At<'a> {
    /// The place of its part among those that are run.
    slot: usize,
    part: &'a Part,
    /// Its place in its part.
    check: usize,
}

/// The check that comes after `done` others.
fn next_check(lab: &Lab, only: Option<usize>, done: usize) -> Option<At<'_>> {
    let parts = chosen(lab, only).enumerate();
    let mut all = parts.flat_map(|(slot, part)| (0..part.checks.len()).map(move |check| At { slot, part, check }));
    all.nth(done)
}

/// The parts that are run.
fn chosen(lab: &Lab, only: Option<usize>) -> impl Iterator<Item = &Part> {
    let parts = lab.parts.iter().enumerate();
    parts.filter(move |(place, _)| only.is_none_or(|only| only == *place)).map(|(_, part)| part)
}

/// The part that this one needs and that did not pass, as a reason to skip this one.
fn why_skipped(lab: &Lab, part: &Part, before: &[PartResult]) -> Option<Text> {
    part.needs.iter().find_map(|need| {
        let id = &lab.parts[*need].id;
        let needed = before.iter().find(|result| result.id == *id)?;
        let failed = needed.verdict != Verdict::Pass;
        failed.then(|| say::skipped_for("части", "part", id, needed.verdict))
    })
}

fn conclude(part: &mut PartResult, skipped_for: Option<&Text>) {
    part.verdict = Verdict::all(part.checks.iter().map(|check| check.verdict));
    let worst = part.checks.iter().find(|check| check.verdict == part.verdict);
    part.reason = match (part.verdict, skipped_for, worst) {
        (Verdict::Pass, _, _) => None,
        (_, Some(cause), _) => Some(cause.clone()),
        (_, None, worst) => worst.and_then(|check| check.reason.clone()),
    };
}
