//! A session: the course of a run that waits for requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedReceiver;

use super::edit::{Standing, edit, same};
use super::listing::last_of;
use super::protocol::{Again, Message, Outcome, Request};
use super::shared::{Ask, Goal, Shared};
use crate::deploy::Deployment;
use crate::lab::model::Text;
use crate::lab::{self, Check, Loaded};
use crate::verify::course::{After, Course, Go, Place};
use crate::verify::say::{both, same as as_it_is};
use crate::verify::spine::Spine;
use crate::verify::{Cancel, Event, Run, StepResult};

/// The course of a run that is done step by step.
pub struct Session {
    shared: Arc<Shared>,
    queue: tokio::sync::Mutex<UnboundedReceiver<Ask>>,
    deployment: Deployment,
    cancel: Cancel,
    /// How long it waits for somebody to ask.
    patience: Duration,
    spine: Mutex<Option<Arc<Spine>>>,
}

impl Session {
    /// A session on `deployment`, that hears `queue` and ends after `patience` without a request.
    pub fn new(
        shared: Arc<Shared>,
        queue: UnboundedReceiver<Ask>,
        deployment: Deployment,
        cancel: Cancel,
        patience: Duration,
    ) -> Session {
        let (queue, spine) = (tokio::sync::Mutex::new(queue), Mutex::new(None));
        Session { shared, queue, deployment, cancel, patience, spine }
    }

    /// The next request; none where the run is to end.
    async fn asked(&self) -> Option<Ask> {
        if let Some(ask) = self.shared.lock().pending.take() {
            return Some(ask);
        }
        let mut queue = self.queue.lock().await;
        let ask = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return None,
            () = tokio::time::sleep(self.patience) => {
                self.shared.lock().notes.push(impatient(self.patience));
                self.shared.canceller.cancel();
                return None;
            }
            ask = queue.recv() => ask?,
        };
        let mut state = self.shared.lock();
        state.clients.push(ask.client.clone());
        state.worst = None;
        drop(state);
        Some(ask)
    }

    /// Wait at a step, and give what is asked for. The lab is read anew then; an edit that cannot take effect refuses what
    /// was asked for. Gives the current check, too, where that was edited.
    async fn wait(&self, place: &Place<'_>, failed: Option<Again>) -> Option<(Ask, Option<Check>)> {
        loop {
            let step = place.scope();
            {
                let mut state = self.shared.lock();
                state.next = failed.is_none().then(|| step.clone());
                state.failed = failed.map(|_| step.clone());
                if state.pending.is_none() {
                    let verdict = state.worst;
                    state.answer(Outcome::Waits { verdict, step, failed });
                }
            }
            let ask = self.asked().await?;
            match self.read_lab(place) {
                Ok(edited) => return Some((ask, edited)),
                Err(why) => self.shared.lock().answer(Outcome::Refused { why }),
            }
        }
    }

    /// Read the lab anew. Gives the current check, where the edit takes effect in it.
    fn read_lab(&self, place: &Place<'_>) -> Result<Option<Check>, Text> {
        let old = self.shared.lab.get();
        let new = lab::load(&old.source).map_err(|error| unsound(&error))?;
        if same(&old, &new) {
            return Ok(None);
        }
        self.fits(&new)?;
        let standing = Standing { part: place.part, check: place.check, at: place.at, tidying: place.tidying };
        let edit = edit(&old, &new, &standing)?;
        self.shared.lab.set(new);
        let mut state = self.shared.lock();
        for note in &edit.notes {
            state.tell(&Message::Note(note.clone()));
            if !state.notes.contains(note) {
                state.notes.push(note.clone());
            }
        }
        drop(state);
        if let Some(spine) = &*self.spine.lock().unwrap_or_else(PoisonError::into_inner) {
            spine.tell(Event::LabEdited { notes: edit.notes });
        }
        Ok(edit.current)
    }

    /// Whether the edited lab can be carried out on this deployment.
    fn fits(&self, new: &Loaded) -> Result<(), Text> {
        let differences = self.deployment.differs_from(new).map_err(as_it_is)?;
        if !differences.is_empty() {
            let differences = differences.join("; ");
            return Err(both(
                format!("правка требует нового развёртывания: {differences}"),
                format!("the edit needs a new deployment: {differences}"),
            ));
        }
        let backend = self.deployment.backend();
        let lacking = new.lab.faults().find_map(|fault| Some((fault, backend.lacks(&self.deployment, fault)?)));
        lacking.map_or(Ok(()), |(fault, why)| {
            let fault = fault.word();
            Err(both(
                format!("сбоя `{fault}` у этого развёртывания быть не может: {why}"),
                format!("`{fault}` cannot be done to this deployment: {why}"),
            ))
        })
    }

    /// What follows from a request that is no step forward.
    fn goal_of(&self, request: &Request) -> Result<Goal, Text> {
        match request {
            Request::Step => Ok(Goal::One),
            Request::All => Ok(Goal::All),
            Request::To(target) => match last_of(&self.shared.lab.get().lab, target) {
                Some(_) => Ok(Goal::To(target.clone())),
                None => Err(both(
                    format!("нет ни части, ни проверки, ни шага `{target}`; все шаги: labrun steps"),
                    format!("there is no part, check or step `{target}`; all steps: labrun steps"),
                )),
            },
            _ => Ok(Goal::Stay),
        }
    }

    /// Whether the run may go back to that check: it was begun.
    fn may_go_back(&self, check: &str, place: &Place<'_>) -> Result<(), Text> {
        let lab = self.shared.lab.get();
        let checks: Vec<&Check> = lab.lab.parts.iter().flat_map(|part| &part.checks).collect();
        let at = |id: &str| checks.iter().position(|other| other.id == id);
        match (at(check), at(&place.check.id)) {
            (Some(to), Some(here)) if to <= here => Ok(()),
            (Some(_), _) => {
                Err(both(format!("проверка `{check}` ещё не начата"), format!("check `{check}` was not begun yet")))
            }
            (None, _) => Err(both(
                format!("проверки `{check}` нет; все: labrun steps"),
                format!("there is no check `{check}`; all of them: labrun steps"),
            )),
        }
    }

    /// Answer those who asked for something that the run did not come to any more.
    pub async fn refuse_the_rest(&self, outcome: &Outcome) {
        let mut queue = self.queue.lock().await;
        queue.close();
        while let Some(ask) = queue.recv().await {
            let _ = ask.client.send(Message::Outcome(outcome.clone()));
        }
    }

    fn go_back(&self, check: String) -> String {
        let mut state = self.shared.lock();
        state.goal = Goal::One;
        (state.next, state.failed) = (None, None);
        check
    }
}

#[async_trait]
impl Course for Session {
    async fn before(&self, place: &Place<'_>) -> Go {
        loop {
            let goal = self.shared.lock().goal.clone();
            if self.cancel.is_cancelled() || self.shared.reaches(&goal, &place.scope()) {
                if goal == Goal::One {
                    let shown = place.explain.explain().await;
                    let mut state = self.shared.lock();
                    state.goal = Goal::Stay;
                    state.tell(&Message::Shown(Box::new(shown)));
                }
                let mut state = self.shared.lock();
                (state.next, state.failed) = (None, None);
                return Go::Do;
            }
            let Some((ask, edited)) = self.wait(place, None).await else { return Go::Do };
            if let Some(check) = edited {
                self.shared.lock().pending = Some(ask);
                return Go::Edited(Box::new(check));
            }
            let refused = match &ask.request {
                Request::Show => {
                    let shown = place.explain.explain().await;
                    self.shared.lock().tell(&Message::Shown(Box::new(shown)));
                    continue;
                }
                Request::Again(Some(check)) => match self.may_go_back(check, place) {
                    Ok(()) => return Go::Back(self.go_back(check.clone())),
                    Err(why) => Some(why),
                },
                Request::Again(None) => Some(both(
                    "пробовать заново нечего: последний шаг прошёл; проверку с начала: labrun step --again ПРОВЕРКА",
                    "nothing to try again: the last step passed; a check from its beginning: labrun step --again CHECK",
                )),
                other => self.goal_of(other).map(|goal| self.shared.lock().goal = goal).err(),
            };
            if let Some(why) = refused {
                self.shared.lock().answer(Outcome::Refused { why });
            }
        }
    }

    async fn failed(&self, place: &Place<'_>, _result: &StepResult, alone: bool) -> After {
        let again = Again::of(alone);
        self.shared.lock().goal = Goal::Stay;
        loop {
            if self.cancel.is_cancelled() {
                return After::GoOn;
            }
            let Some((ask, edited)) = self.wait(place, Some(again)).await else { return After::GoOn };
            let answer = match (&ask.request, again) {
                (Request::Show, _) => {
                    let shown = place.explain.explain().await;
                    self.shared.lock().tell(&Message::Shown(Box::new(shown)));
                    continue;
                }
                (Request::Again(None), Again::Alone) => {
                    let mut state = self.shared.lock();
                    state.goal = Goal::One;
                    return After::Again(edited.map(Box::new));
                }
                (Request::Again(None), Again::WithCheck) => Ok(After::Back(self.go_back(place.check.id.clone()))),
                (Request::Again(Some(check)), _) => {
                    self.may_go_back(check, place).map(|()| After::Back(self.go_back(check.clone())))
                }
                (other, _) => self.goal_of(other).map(|goal| {
                    self.shared.lock().goal = goal;
                    After::GoOn
                }),
            };
            match answer {
                Ok(after) => return after,
                Err(why) => self.shared.lock().answer(Outcome::Refused { why }),
            }
        }
    }

    fn keeps_steps(&self) -> bool {
        true
    }

    fn notes(&self, run: &Run) -> Vec<Text> {
        let mut state = self.shared.lock();
        state.parts.clone_from(&run.parts);
        state.run.clone_from(&run.id);
        let mut notes = super::notes(run);
        notes.extend(state.notes.iter().cloned());
        notes
    }

    fn told_by(&self, spine: &Arc<Spine>) {
        *self.spine.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(spine));
    }
}

fn unsound(error: &lab::LabError) -> Text {
    let first = error.diagnostics.iter().find(|finding| !finding.warning);
    let place = |finding: &lab::Diagnostic| finding.place().map(|place| format!("{place}: ")).unwrap_or_default();
    let words = first.map(|finding| format!("{}{}", place(finding), finding.message)).unwrap_or_default();
    both(
        format!("исправленная лаборатория неверна, ничего не сделано: {words} (всё сразу: labrun validate)"),
        format!("the edited lab is not sound, nothing was done: {words} (all of it: labrun validate)"),
    )
}

fn impatient(patience: Duration) -> Text {
    let (ru, en) = match patience.as_secs() {
        short @ 0..60 => (format!("{short} с"), format!("{short} s")),
        long => (format!("{} мин", long / 60), format!("{} min", long / 60)),
    };
    both(
        format!("пошаговый запуск закончился сам: {ru} никто не просил следующего шага"),
        format!("the session ended by itself: for {en} nobody asked for the next step"),
    )
}
