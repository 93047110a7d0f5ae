//! Chaos: faults that are drawn, not written.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FaultKind, Span};

/// Draw a schedule of faults and carry it out: each is injected, held for a while and undone before the next one. The
/// same seed draws the same schedule. The result is `seed`, `plan` (each `at_ms`, `kind`, `on`, `to`, `hold_ms`,
/// `delay_ms`, `loss`), `injected` (each `kind`, `nodes`, `to`, `at`, `held_ms`), `skipped` (with the reason), `count`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChaosStep {
    /// What the schedule is drawn from; from the run's name where there is none (the result names it).
    #[serde(default)]
    pub seed: Option<u64>,
    /// How long faults are injected.
    pub duration: Span,
    /// The faults, each with its weight: `{stop: 2, pause: 1, isolate: 1}`.
    pub mix: IndexMap<String, u32>,
    /// The longest that a fault is held (10s); each is held for a part of it.
    #[serde(default)]
    pub hold: Option<Span>,
    /// The longest pause between two faults (10s).
    #[serde(default)]
    pub calm: Option<Span>,
}

impl ChaosStep {
    /// The faults that the mix names, with their weights; or why it is no mix.
    pub fn faults(&self) -> Result<Vec<(FaultKind, u32)>, String> {
        let kind = |name: &String| {
            let known = FaultKind::ALL.into_iter().find(|kind| kind.word() == name.as_str());
            known.filter(|kind| kind.hits()).ok_or_else(|| format!("`{name}` is no fault that chaos can draw"))
        };
        let mixed: Result<Vec<_>, String> = self.mix.iter().map(|(name, weight)| Ok((kind(name)?, *weight))).collect();
        let mixed = mixed?;
        match mixed.iter().all(|(_, weight)| *weight == 0) {
            true => Err("a mix needs a fault with a weight above 0".to_owned()),
            false => Ok(mixed),
        }
    }
}
