//! Chaos: a drawn schedule of faults, carried out one after another. The resolved plan is in the step's fact, so that a
//! run can be repeated by its seed.

pub mod plan;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use self::plan::{Planned, plan};
use super::budget::seconds;
use super::steps::{Attempt, Seen, Stage, Trouble};
use super::{Observation, Source};
use crate::lab::model::{ChaosStep, FaultKind, FaultStep, Lang, Span};

/// How long a fault waits for its target: after a failover there is no leader for a while.
const TARGET_LIMIT: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What became of the faults.
#[derive(Default)]
struct Told {
    injected: Vec<Value>,
    skipped: Vec<Value>,
    lines: Vec<String>,
}

/// Carry out the schedule.
pub async fn run(step: &ChaosStep, stage: &Stage<'_>) -> Attempt {
    let seed = step.seed.unwrap_or_else(|| drawn_from(&stage.scope.run));
    let planned = plan(seed, step).map_err(Trouble::NoValue)?;
    let began = Instant::now();
    let mut told = Told::default();
    for one in &planned {
        sleep_until(began + Duration::from_millis(one.at_ms)).await;
        match hit(one, stage).await {
            Ok(seen) => hold(one, &seen, &mut told, stage).await?,
            Err(Trouble::NotThere(why)) => {
                let why = why.get(Lang::En);
                told.lines.push(format!("{} on {}: skipped, {why}", one.kind.word(), one.on));
                told.skipped.push(json!({"kind": one.kind, "on": one.on, "why": why}));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    let output = format!("seed {seed}: {} faults planned\n{}", planned.len(), told.lines.join("\n"));
    let count = told.injected.len();
    Ok(Seen {
        observation: Observation {
            node: None,
            role: None,
            source: Source::Fault { fault: "chaos".to_owned(), command: format!("chaos with seed {seed}") },
            output,
            value: json!({
                "seed": seed, "plan": planned, "injected": told.injected, "skipped": told.skipped, "count": count,
            }),
        },
        unmet: None,
    })
}

/// Inject it once its target is there.
async fn hit(one: &Planned, stage: &Stage<'_>) -> Attempt {
    let fault = FaultStep {
        kind: one.kind,
        on: one.on.to_owned(),
        to: one.to.map(str::to_owned),
        one_way: false,
        delay: (one.delay_ms > 0).then(|| Span(Duration::from_millis(one.delay_ms))),
        loss: (one.loss > 0).then_some(one.loss),
    };
    let ends = Instant::now() + TARGET_LIMIT;
    loop {
        match stage.faults.inject(&fault, stage).await {
            Err(Trouble::NotThere(_)) if Instant::now() < ends => sleep(LOOK_EVERY).await,
            attempt => return attempt,
        }
    }
}

async fn hold(one: &Planned, seen: &Seen, told: &mut Told, stage: &Stage<'_>) -> Result<(), Trouble> {
    let hit = seen.observation.value.clone();
    sleep(Duration::from_millis(one.hold_ms)).await;
    if one.kind != FaultKind::Restart {
        let on = hit["node"].as_str().unwrap_or_default().to_owned();
        let heal = FaultStep { kind: FaultKind::Heal, on, to: None, one_way: false, delay: None, loss: None };
        stage.faults.inject(&heal, stage).await?;
    }
    told.lines.push(format!("{}; held for {}", seen.observation.output, seconds(one.hold_ms)));
    told.injected.push(json!({
        "kind": one.kind, "nodes": hit["nodes"], "to": hit["to"], "at": hit["at"], "held_ms": one.hold_ms,
    }));
    Ok(())
}

/// A seed for a run that names none.
fn drawn_from(run: &str) -> u64 {
    run.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
