//! Who decides when a run goes on, and with what: `verify` goes straight through; a stepping session waits for its
//! user before each step, and may go back to an earlier check.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::spine::Spine;
use super::{Run, StepResult};
use crate::lab::model::{Step, Text};
use crate::lab::{Check, Loaded};
use crate::verify::stepping::Explained;

/// Where a run is: at a step of a check.
pub struct Place<'a> {
    /// The part.
    pub part: &'a str,
    /// The check, as it is carried out.
    pub check: &'a Check,
    /// The step.
    pub step: &'a Step,
    /// Its name within the check.
    pub id: &'a str,
    /// How many steps of the check stand before it.
    pub at: usize,
    /// Whether it is one of those that tidy up at the check's end.
    pub tidying: bool,
    /// Says what the step would do now.
    pub explain: &'a dyn Explain,
}

impl Place<'_> {
    /// `part/check/step`.
    pub fn scope(&self) -> String {
        format!("{}/{}/{}", self.part, self.check.id, self.id)
    }
}

/// Says what a step would do if it were done now: whom it is aimed at, with which statement.
#[async_trait]
pub trait Explain: Send + Sync {
    /// The step, explained.
    async fn explain(&self) -> Explained;
}

/// What happens before a step.
#[derive(Debug)]
pub enum Go {
    /// It is done.
    Do,
    /// The check was edited from this step on: the step that stands there now is looked at first.
    Edited(Box<Check>),
    /// The run goes back to the beginning of that check.
    Back(String),
}

/// What becomes of a step that did not pass.
#[derive(Debug)]
pub enum After {
    /// It decides its check.
    GoOn,
    /// It is tried again, perhaps with another text.
    Again(Option<Box<Check>>),
    /// The run goes back to the beginning of that check.
    Back(String),
}

/// The course of a run.
#[async_trait]
pub trait Course: Send + Sync {
    /// Before a step: returns when it may be done, or the run is cancelled.
    async fn before(&self, place: &Place<'_>) -> Go;

    /// After a step that did not pass. `alone` says that it can be tried again by itself: nothing that it did is in
    /// effect.
    async fn failed(&self, place: &Place<'_>, result: &StepResult, alone: bool) -> After;

    /// Whether the run is kept after every step, not only after every check.
    fn keeps_steps(&self) -> bool {
        false
    }

    /// The run tells its events there.
    fn told_by(&self, _spine: &Arc<Spine>) {}

    /// What is to be said of the run as far as it got.
    fn notes(&self, _run: &Run) -> Vec<Text> {
        Vec::new()
    }
}

/// Every step, one after another; the first of a check that does not pass decides it.
pub struct Straight;

#[async_trait]
impl Course for Straight {
    async fn before(&self, _place: &Place<'_>) -> Go {
        Go::Do
    }

    async fn failed(&self, _place: &Place<'_>, _result: &StepResult, _alone: bool) -> After {
        After::GoOn
    }
}

/// The lab that a run goes by. A stepping session may put an edited one in its place, of which what was done already is
/// the same.
#[derive(Debug)]
pub struct CurrentLab(Mutex<Arc<Loaded>>);

impl CurrentLab {
    /// That one.
    pub fn of(loaded: &Loaded) -> CurrentLab {
        CurrentLab(Mutex::new(Arc::new(loaded.clone())))
    }

    /// The lab now.
    pub fn get(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this one.
    pub fn set(&self, loaded: Loaded) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
    }
}
