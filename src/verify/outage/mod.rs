//! What an outage was made of, and why no election ended it. Pure: from what was seen to phases, budgets and words.
//!
//! [`marks`] are the moments that were seen between a fault and the first acknowledged write; [`phases`] cut the clients'
//! gap at them, so that they add up to it; [`budget`] says which waits the settings imply; [`advice`] names what would
//! shorten the longest phase; [`election`] tells, candidate by candidate, why nobody took over; [`words`] say it all on a terminal.

pub mod advice;
pub mod budget;
pub mod election;
pub mod marks;
pub mod phases;
pub mod words;

pub use budget::{Bound, bounds};
pub use election::NoElection;
pub use marks::{Mark, marks};
pub use phases::{Phase, dominant, phases};
