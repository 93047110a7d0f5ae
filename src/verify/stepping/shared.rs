//! What the parts of a session share: how far it is, how far it may go without being asked, and who is to be answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::listing::{last_of, listing, order};
use super::protocol::{Message, Outcome, Request};
use crate::lab::model::Text;
use crate::verify::course::CurrentLab;
use crate::verify::{Canceller, Consumer, Event, PartResult, Stamped, Verdict};

/// What one asked for, and where the answers go.
pub struct Ask {
    /// What.
    pub request: Request,
    /// Whither.
    pub client: UnboundedSender<Message>,
}

/// How far the session may go without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// Not at all.
    Stay,
    /// One step, which is shown first.
    One,
    /// Up to the last step that this means.
    To(String),
    /// To the end.
    All,
}

/// What the session's parts share.
pub struct Shared {
    pub(super) lab: Arc<CurrentLab>,
    pub(super) canceller: Arc<Canceller>,
    state: Mutex<State>,
}

/// How far it is, and what goes on.
pub(super) struct State {
    pub(super) clients: Vec<UnboundedSender<Message>>,
    pub(super) goal: Goal,
    /// What was asked for, and is to be looked at by the step that stands there after an edit.
    pub(super) pending: Option<Ask>,
    pub(super) run: String,
    pub(super) parts: Vec<PartResult>,
    /// The step that the session waits before.
    pub(super) next: Option<String>,
    /// The step that did not pass, and behind which it waits.
    pub(super) failed: Option<String>,
    /// The worst verdict since somebody asked.
    pub(super) worst: Option<Verdict>,
    pub(super) notes: Vec<Text>,
}

impl Shared {
    /// What a session shares with those who hear requests. `canceller` ends the run.
    pub fn new(lab: Arc<CurrentLab>, canceller: Arc<Canceller>) -> Shared {
        let state = State {
            clients: Vec::new(),
            goal: Goal::Stay,
            pending: None,
            run: String::new(),
            parts: Vec::new(),
            next: None,
            failed: None,
            worst: None,
            notes: Vec::new(),
        };
        Shared { lab, canceller, state: Mutex::new(state) }
    }

    /// How far it is.
    pub fn listing(&self) -> Message {
        let state = self.lock();
        let parts = listing(&self.lab.get().lab, &state.parts, state.next.as_deref());
        Message::Listing { run: state.run.clone(), parts, failed: state.failed.clone() }
    }

    /// End the run in order; `client` hears how it ended.
    pub fn quit(&self, client: UnboundedSender<Message>) {
        self.lock().clients.push(client);
        self.canceller.cancel();
    }

    /// Answer everybody who asked: that is all.
    pub fn end(&self, outcome: &Outcome) {
        self.lock().answer(outcome.clone());
    }

    /// Whether a step lies within what was asked for.
    pub(super) fn reaches(&self, goal: &Goal, scope: &str) -> bool {
        match goal {
            Goal::Stay => false,
            Goal::One | Goal::All => true,
            Goal::To(target) => {
                let lab = self.lab.get();
                let here = order(&lab.lab).iter().position(|other| other == scope);
                here.is_some_and(|here| last_of(&lab.lab, target).is_some_and(|last| here <= last))
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tell everybody who asked. One who has gone is told nothing.
    pub(super) fn tell(&mut self, message: &Message) {
        self.clients.retain(|client| client.send(message.clone()).is_ok());
    }

    pub(super) fn answer(&mut self, outcome: Outcome) {
        self.tell(&Message::Outcome(outcome));
        self.clients.clear();
        self.goal = Goal::Stay;
    }
}

/// Hears a run's events for those who asked.
pub struct Ear(pub Arc<Shared>);

impl Consumer for Ear {
    fn hear(&mut self, event: &Stamped) -> std::io::Result<()> {
        let mut state = self.0.lock();
        if let Event::StepFinished { verdict, .. } = &event.event {
            state.worst = Some(Verdict::all(state.worst.into_iter().chain([*verdict])));
        }
        state.tell(&Message::Event(Box::new(event.clone())));
        Ok(())
    }
}
