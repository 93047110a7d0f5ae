//! Rules of the agent that are weakened, one at a time, to see that the simulator finds it.

use labrun_agent::clock::Moment;
use labrun_agent::decide::{self, Decision, Permit, View};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    None,
}

/// `decide::decide`, unless this run weakens it.
pub fn decided(mutation: Option<Mutation>, view: &View, now: Moment) -> Decision {
    match mutation {
        _ => decide::decide(view, now),
    }
}

pub fn guarded(mutation: Option<Mutation>, view: &View, now: Moment) -> Option<Decision> {
    match mutation {
        _ => decide::guard(view, now),
    }
}

pub fn permitted(mutation: Option<Mutation>, view: &View) -> Permit {
    match mutation {
        _ => decide::permit(view),
    }
}
