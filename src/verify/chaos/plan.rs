//! Drawing a schedule of faults from a seed. Pure: the same seed, mix and times give the same schedule, on any machine.

use std::time::Duration;

use serde::Serialize;

use crate::lab::model::{ChaosStep, FaultKind};

/// The longest that a fault is held unless told.
const HOLD: Duration = Duration::from_secs(10);
/// The longest pause between two faults unless told.
const CALM: Duration = Duration::from_secs(10);
/// The least of both.
const LEAST_MS: u64 = 1_000;
/// The slowest of slow ways.
const SLOWEST_MS: u64 = 400;
/// The most that a slow way loses.
const MOST_LOSS: u64 = 10;

/// One fault of the schedule. Roles are resolved when it is injected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// When, in ms since the step began.
    pub at_ms: u64,
    /// What.
    pub kind: FaultKind,
    /// To whom.
    pub on: &'static str,
    /// The other end, for a fault of a way.
    pub to: Option<&'static str>,
    /// How long it is held.
    pub hold_ms: u64,
    /// For a slow way.
    pub delay_ms: u64,
    /// For a slow way.
    pub loss: u8,
}

/// The schedule.
pub fn plan(seed: u64, step: &ChaosStep) -> Result<Vec<Planned>, String> {
    let mix = step.faults()?;
    let mut dice = Dice(seed);
    let end = millis(step.duration.0);
    let (hold, calm) = (millis(step.hold.map_or(HOLD, |span| span.0)), millis(step.calm.map_or(CALM, |span| span.0)));
    let mut planned = Vec::new();
    let mut at_ms = dice.between(0, calm);
    while at_ms < end {
        let one = draw(&mix, at_ms, hold, &mut dice);
        at_ms += one.hold_ms + dice.between(LEAST_MS, calm);
        planned.push(one);
    }
    Ok(planned)
}

fn draw(mix: &[(FaultKind, u32)], at_ms: u64, hold: u64, dice: &mut Dice) -> Planned {
    let all: u64 = mix.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut left = dice.below(all);
    let kind = mix.iter().find(|(_, weight)| {
        let here = left < u64::from(*weight);
        left = left.saturating_sub(u64::from(*weight));
        here
    });
    let kind = kind.map_or(FaultKind::Stop, |(kind, _)| *kind);
    // Leaders are hit more often than replicas: their faults say more.
    let on = if dice.below(3) < 2 { "leader" } else { "replica" };
    let other = if on == "leader" { "replica" } else { "leader" };
    let to = kind.is_of_edge().then(|| if dice.below(2) == 0 { "dcs" } else { other });
    let momentary = matches!(kind, FaultKind::Crash | FaultKind::Restart);
    let is_slow = kind == FaultKind::Slow;
    Planned {
        at_ms,
        kind,
        on,
        to,
        hold_ms: if momentary { 0 } else { dice.between(LEAST_MS, hold) },
        delay_ms: if is_slow { dice.between(50, SLOWEST_MS) } else { 0 },
        loss: if is_slow { u8::try_from(dice.below(MOST_LOSS + 1)).unwrap_or(0) } else { 0 },
    }
}

/// splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(mix: serde_json::Value) -> ChaosStep {
        serde_json::from_value(serde_json::json!({"duration": "10m", "mix": mix})).unwrap()
    }

    #[test]
    fn the_same_seed_draws_the_same_schedule_and_another_one_another() {
        let mixed = step(serde_json::json!({"stop": 2, "pause": 1, "cut": 1, "slow": 1}));
        let first = plan(7, &mixed).unwrap();
        assert_eq!(first, plan(7, &mixed).unwrap());
        assert_ne!(first, plan(8, &mixed).unwrap());
        assert!(first.len() > 20, "{}", first.len());
        insta::assert_json_snapshot!(&first[..4]);
    }

    #[test]
    fn weights_count_and_faults_do_not_overlap() {
        let drawn = plan(1, &step(serde_json::json!({"stop": 3, "crash": 1, "hang": 0}))).unwrap();
        let count = |kind| drawn.iter().filter(|one| one.kind == kind).count();
        assert!(count(FaultKind::Stop) > count(FaultKind::Crash));
        assert_eq!(count(FaultKind::Hang), 0);
        assert!(drawn.windows(2).all(|two| two[0].at_ms + two[0].hold_ms < two[1].at_ms));
        assert!(drawn.iter().all(|one| one.at_ms < 600_000 && one.to.is_none()));
    }

    #[test]
    fn what_is_no_fault_is_told() {
        assert!(plan(1, &step(serde_json::json!({"explode": 1}))).unwrap_err().contains("`explode`"));
        assert!(plan(1, &step(serde_json::json!({"heal": 1}))).is_err());
        assert!(plan(1, &step(serde_json::json!({"stop": 0}))).is_err());
    }
}
