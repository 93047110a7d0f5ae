//! Runs a lab against a deployment: parts, their checks, their steps; and in the end undoes what it did.

mod check;
mod collect;
mod finish;
mod judge;
#[cfg(test)]
mod schema_tests;
mod step;
#[cfg(test)]
mod temporal_tests;
#[cfg(test)]
mod tests;
mod time;

use std::sync::Arc;

use self::check::{run_check, stopped, unrun};
use super::faults::Faults;
use super::spine::Spine;
use super::steps::{Attempt, Stage};
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
    pub lab: &'a Lab,
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
        let chosen: Vec<usize> =
            (0..self.lab.parts.len()).filter(|place| only.is_none_or(|only| only == *place)).collect();
        run.parts = chosen.iter().map(|place| unrun_part(&self.lab.parts[*place])).collect();
        run.notes.extend(only.and_then(|place| self.unverified_needs(place)));
        self.save(run, save);
        for (slot, place) in chosen.into_iter().enumerate() {
            self.part(place, slot, run, save).await;
        }
        self.undo(run).await;
        finish::complete(self, run);
        let (verdict, points) = (run.verdict, run.points);
        self.spine.tell(Event::RunFinished { verdict, points });
        self.save(run, save);
    }

    async fn part(&self, place: usize, slot: usize, run: &mut Run, save: &mut Save<'_>) {
        let part = &self.lab.parts[place];
        self.spine.tell(Event::PartStarted { part: part.id.clone(), title: part.title.clone() });
        let cause = self.why_skipped(part, &run.parts[..slot]);
        for (index, check) in part.checks.iter().enumerate() {
            let before: Vec<CheckResult> = run.parts.iter().flat_map(|part| part.checks.clone()).collect();
            let ran = match stopped(&self.spine, &self.cancel) {
                Some((_, reason)) => unrun(check, reason),
                None => match &cause {
                    Some(cause) => unrun(check, cause.clone()),
                    None => run_check(self, &part.id, check, &before[..checks_before(run, slot) + index]).await,
                },
            };
            run.parts[slot].checks[index] = ran;
            self.conclude(&mut run.parts[slot], cause.as_ref());
            let known: Vec<String> = run.outages.iter().map(|outage| outage.fact.clone()).collect();
            finish::complete(self, run);
            for outage in run.outages.iter().filter(|outage| !known.contains(&outage.fact)) {
                self.spine.tell(Event::OutageMeasured { outage: Box::new(outage.clone()) });
            }
            self.save(run, save);
        }
        let PartResult { id, verdict, reason, .. } = &run.parts[slot];
        let (part, verdict, reason) = (id.clone(), *verdict, reason.clone());
        self.spine.tell(Event::PartFinished { part, verdict, reason });
    }

    /// The part that this one needs and that did not pass, as a reason to skip this one.
    fn why_skipped(&self, part: &Part, before: &[PartResult]) -> Option<Text> {
        part.needs.iter().find_map(|need| {
            let id = &self.lab.parts[*need].id;
            let needed = before.iter().find(|result| result.id == *id)?;
            let failed = needed.verdict != Verdict::Pass;
            failed.then(|| say::skipped_for("части", "part", id, needed.verdict))
        })
    }

    fn conclude(&self, part: &mut PartResult, skipped_for: Option<&Text>) {
        part.verdict = Verdict::all(part.checks.iter().map(|check| check.verdict));
        let worst = part.checks.iter().find(|check| check.verdict == part.verdict);
        part.reason = match (part.verdict, skipped_for, worst) {
            (Verdict::Pass, _, _) => None,
            (_, Some(cause), _) => Some(cause.clone()),
            (_, None, worst) => worst.and_then(|check| check.reason.clone()),
        };
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
        for (fault, undone) in self.faults.undo_all(self.world).await {
            if let Err(why) = undone {
                let words = fault.deed().words();
                run.notes.push(say::both(
                    format!("сбой `{words}` не удалось отменить: {why}"),
                    format!("`{words}` could not be undone: {why}"),
                ));
            }
        }
        if self.cancel.is_cancelled() {
            run.notes.push(say::interrupted());
        }
        if let Some(trouble) = self.spine.trouble() {
            run.notes.push(say::infra(&trouble));
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
        let part = &self.lab.parts[place];
        let needs: Vec<&str> = part.needs.iter().map(|need| self.lab.parts[*need].id.as_str()).collect();
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

/// How many checks stand before the part in `slot`.
fn checks_before(run: &Run, slot: usize) -> usize {
    run.parts[..slot].iter().map(|part| part.checks.len()).sum()
}
