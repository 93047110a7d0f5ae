//! The event spine: everything that labrun does and sees, as it happens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fact, Verdict};
use crate::lab::model::Text;
use crate::verify::run::{Outage, RoleChange};

/// An event with its place in the run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Stamped {
    /// Counted from 1, without gaps.
    pub seq: u64,
    /// ms since the run's start, on one monotonic clock.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A verification began.
    RunStarted {
        /// The run.
        run: String,
        /// The deployment.
        deployment: String,
    },
    /// A part began.
    PartStarted {
        /// The part.
        part: String,
        /// Its heading.
        title: Text,
    },
    /// A check began.
    CheckStarted {
        /// The part.
        part: String,
        /// The check.
        check: String,
        /// Its title.
        title: Text,
    },
    /// A step began.
    StepStarted {
        /// `part/check/step`.
        scope: String,
        /// Its title.
        title: Text,
    },
    /// A step waits. Sent once a second at the most.
    Waiting {
        /// `part/check/step`.
        scope: String,
        /// What is not yet true.
        not_yet: Text,
        /// How long it has waited, in ms.
        waited_ms: u64,
        /// How long it may, in ms.
        deadline_ms: u64,
    },
    /// Something was observed.
    Observed {
        /// The fact.
        fact: Box<Fact>,
    },
    /// A node's role changed.
    RoleChanged {
        /// The change.
        change: RoleChange,
    },
    /// An outage was measured.
    OutageMeasured {
        /// The outage, with its phases.
        outage: Box<Outage>,
    },
    /// A step ended.
    StepFinished {
        /// `part/check/step`.
        scope: String,
        /// What it came to.
        verdict: Verdict,
        /// Why, for anything but a pass.
        reason: Option<Text>,
    },
    /// A check ended.
    CheckFinished {
        /// The part.
        part: String,
        /// The check.
        check: String,
        /// What it came to.
        verdict: Verdict,
        /// Why, for anything but a pass.
        reason: Option<Text>,
    },
    /// A stepping session went back to the beginning of a check: what was done from there on no longer counts.
    WentBack {
        /// The check.
        check: String,
    },
    /// A stepping session goes by an edited lab from now on.
    LabEdited {
        /// What of what was done already stands on the earlier text.
        notes: Vec<Text>,
    },
    /// A part ended.
    PartFinished {
        /// The part.
        part: String,
        /// What it came to.
        verdict: Verdict,
        /// Why, for anything but a pass.
        reason: Option<Text>,
    },
    /// A verification ended.
    RunFinished {
        /// What it came to.
        verdict: Verdict,
        /// Points reached and to be reached.
        points: (u32, u32),
    },
}
