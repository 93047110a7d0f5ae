//! Verification: steps against a deployment, faults, a workload with its history, and verdicts.
//!
//! [`event::Event`] is the spine: the runner tells everything as events; the terminal, the run store and the
//! report are peers that consume them.

pub mod event;
pub mod fact;
pub mod run;
pub mod verdict;

pub use event::{Event, Stamped};
pub use fact::{Fact, Source};
pub use run::{CheckResult, NodeFacts, PartResult, Run, StepResult};
pub use verdict::Verdict;
