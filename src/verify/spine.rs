//! The spine of a run: one clock, one order of events, and the consumers that hear them.
//!
//! Everything that a run does and sees goes through [`Spine::tell`]; the terminal, the run store and JSON lines are
//! [`Consumer`]s and peers. The spine also keeps the facts and role changes, of which the run is made in the end.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::time::Instant;

use super::run::RoleChange;
use super::{Event, Fact, Source, Stamped};

/// Hears every event, in order.
pub trait Consumer: Send {
    /// An event. An error (a full disk) ends the run as an infrastructure error; consumers that can do without what
    /// they write swallow theirs.
    fn hear(&mut self, event: &Stamped) -> io::Result<()>;
}

/// What was observed, before it has its place in the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The node that was asked, where one was.
    pub node: Option<String>,
    /// The role that the node had then, as far as known.
    pub role: Option<String>,
    /// How it was observed.
    pub source: Source,
    /// What came back, as a person would see it on a terminal.
    pub output: String,
    /// The same for programs: an object whose fields expressions read.
    pub value: Value,
}

/// One clock and one order of events for everything in a run.
pub struct Spine {
    start: Instant,
    state: Mutex<State>,
}

struct State {
    last_seq: u64,
    consumers: Vec<Box<dyn Consumer>>,
    facts: Vec<Fact>,
    roles: Vec<RoleChange>,
    trouble: Option<String>,
}

impl Spine {
    /// A spine whose clock starts now.
    pub fn new(consumers: Vec<Box<dyn Consumer>>) -> Spine {
        let state = State { last_seq: 0, consumers, facts: Vec::new(), roles: Vec::new(), trouble: None };
        Spine { start: Instant::now(), state: Mutex::new(state) }
    }

    /// µs since the run's start.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// ms since the run's start.
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    /// Tell every consumer.
    pub fn tell(&self, event: Event) {
        let mut state = self.lock();
        state.tell(self.now_ms(), event);
    }

    /// Keep what was observed between `began_ms` and now as a fact, tell it, and give its id.
    pub fn observed(&self, scope: &str, began_ms: u64, seen: Observation) -> String {
        let mut state = self.lock();
        let now = self.now_ms();
        let fact = Fact {
            id: format!("F{}", state.facts.len() + 1),
            scope: scope.to_owned(),
            at_ms: began_ms,
            took_ms: now.saturating_sub(began_ms),
            node: seen.node,
            role: seen.role,
            source: seen.source,
            output: seen.output,
            value: seen.value,
        };
        let id = fact.id.clone();
        state.facts.push(fact.clone());
        state.tell(now, Event::Observed { fact: Box::new(fact) });
        id
    }

    /// Keep and tell a node's new role.
    pub fn role_changed(&self, change: RoleChange) {
        let mut state = self.lock();
        state.roles.push(change.clone());
        state.tell(self.now_ms(), Event::RoleChanged { change });
    }

    /// All facts so far.
    pub fn facts(&self) -> Vec<Fact> {
        self.lock().facts.clone()
    }

    /// All role changes so far, in order of time.
    pub fn roles(&self) -> Vec<RoleChange> {
        let mut roles = self.lock().roles.clone();
        roles.sort_by_key(|change| change.at_ms);
        roles
    }

    /// Something of the run could not be kept; it cannot go on.
    pub fn fail(&self, why: &str) {
        self.lock().trouble.get_or_insert_with(|| why.to_owned());
    }

    /// Why a consumer could not keep an event, where one could not.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A consumer that panicked leaves the state whole: it is changed before consumers are called.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, at_ms: u64, event: Event) {
        self.last_seq += 1;
        let stamped = Stamped { seq: self.last_seq, at_ms, event };
        for consumer in &mut self.consumers {
            if let Err(error) = consumer.hear(&stamped) {
                self.trouble.get_or_insert_with(|| format!("an event could not be kept: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::verify::Verdict;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<Stamped>>>);

    impl Consumer for Heard {
        fn hear(&mut self, event: &Stamped) -> io::Result<()> {
            self.0.lock().unwrap().push(event.clone());
            Ok(())
        }
    }

    struct FullDisk;

    impl Consumer for FullDisk {
        fn hear(&mut self, _: &Stamped) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
    }

    fn finished() -> Event {
        Event::RunFinished { verdict: Verdict::Pass, points: (1, 1) }
    }

    #[test]
    fn events_are_counted_without_gaps_and_facts_are_numbered() {
        let heard = Heard::default();
        let spine = Spine::new(vec![Box::new(heard.clone())]);
        let seen =
            Observation { node: None, role: None, source: Source::Cluster, output: String::new(), value: json!({}) };
        assert_eq!(spine.observed("a/b/c", 0, seen.clone()), "F1");
        assert_eq!(spine.observed("a/b/c", 0, seen), "F2");
        spine.tell(finished());
        let sequence: Vec<u64> = heard.0.lock().unwrap().iter().map(|event| event.seq).collect();
        assert_eq!(sequence, [1, 2, 3]);
        assert_eq!(spine.facts().len(), 2);
    }

    #[test]
    fn a_consumer_that_fails_is_a_trouble_and_the_others_still_hear() {
        let heard = Heard::default();
        let spine = Spine::new(vec![Box::new(FullDisk), Box::new(heard.clone())]);
        spine.tell(finished());
        assert_eq!(heard.0.lock().unwrap().len(), 1);
        assert!(spine.trouble().unwrap().contains("could not be kept"));
    }
}
