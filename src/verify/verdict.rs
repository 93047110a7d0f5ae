//! The verdicts, and how they add up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a step, a check, a part or a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What had to hold was observed.
    Pass,
    /// What had to hold was observed not to hold.
    Fail,
    /// What must hold for a pass to mean anything did not hold, so nothing is proved.
    Inconclusive,
    /// Not tried, since something that it stands on did not pass.
    Skipped,
    /// The machine or labrun itself failed; never costs a point.
    InfraError,
}

impl Verdict {
    /// The verdict of a whole from those of its parts: the worst one decides, in the order
    /// fail, infra_error, inconclusive, skipped, pass. A whole without parts proves nothing.
    pub fn all(parts: impl IntoIterator<Item = Verdict>) -> Verdict {
        parts.into_iter().max_by_key(|verdict| verdict.weight()).unwrap_or(Verdict::Inconclusive)
    }

    fn weight(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::Skipped => 1,
            Verdict::Inconclusive => 2,
            Verdict::InfraError => 3,
            Verdict::Fail => 4,
        }
    }

    /// The verdict that a word stands for.
    pub fn of_word(word: &str) -> Option<Verdict> {
        let all = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Skipped, Verdict::InfraError];
        all.into_iter().find(|verdict| verdict.word() == word)
    }

    /// The word used in files and on the terminal.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Skipped => "skipped",
            Verdict::InfraError => "infra_error",
        }
    }
}
