//! Verification: steps against a deployment, faults, a workload with its history, and verdicts.
//!
//! [`event::Event`] is the spine: the runner tells everything as events; the terminal, the run store and the
//! report are peers that consume them.

pub mod budget;
pub mod cancel;
pub mod chaos;
pub mod course;
pub(crate) mod entry;
pub mod event;
pub mod fact;
pub mod faults;
pub mod history;
pub mod outage;
pub mod recheck;
pub mod run;
pub(crate) mod runner;
pub mod say;
pub mod schema;
pub mod scope;
pub mod series;
pub mod spine;
pub mod stepping;
pub mod steps;
pub mod store;
pub mod terminal;
pub mod tried;
pub mod verdict;
pub mod watch;
pub mod workload;
pub mod world;

pub use cancel::{Cancel, Canceller, cancellation};
pub use entry::{Options, Verified, VerifyError, check_faults, verify};
pub use event::{Event, Stamped};
pub use fact::{Fact, Source};
pub use history::Judgement;
pub use run::{CheckResult, NodeFacts, PartResult, Run, StepResult};
pub use spine::{Consumer, Observation, Spine};
pub use store::JsonLines;
pub use terminal::Terminal;
pub use verdict::Verdict;
