//! Wait until the cluster is as it should be: every expression is asked of a new look.

use super::{Attempt, Seen, Stage, Unmet, cluster};
use crate::lab::expr;
use crate::lab::model::WaitStep;

pub(super) async fn run(step: &WaitStep, stage: &Stage<'_>) -> Attempt {
    let view = stage.world.cluster().await;
    let observation = cluster::observation(&view);
    let context = stage.scope.with_result(&stage.workloads.counts(), &observation.value);
    let mut unmet = None;
    for (words, expression) in &step.until {
        // What an expression reads may not be there yet, such as the leader's timeline without a leader.
        let values = match expr::holds(expression, &context) {
            Ok(truth) if truth.holds => continue,
            Ok(truth) => truth.to_string(),
            Err(error) => error.message,
        };
        let guard = stage.faults.wrong_target(&view).map(|guard| format!("; {guard}")).unwrap_or_default();
        unmet = Some(Unmet { words: words.clone(), detail: Some(format!("{values}{guard}")) });
        break;
    }
    Ok(Seen { observation, unmet })
}
