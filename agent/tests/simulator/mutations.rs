//! Rules of the agent that are weakened, one at a time, to see that the simulator finds it.

use labrun_agent::clock::Moment;
use labrun_agent::decide::{self, Decision, View};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    None,
}

impl Mutation {
    pub fn decide(self, view: &View, now: Moment) -> Decision {
        decide::decide(view, now)
    }

    pub fn guard(self, view: &View, now: Moment) -> Option<Decision> {
        decide::guard(view, now)
    }
}
