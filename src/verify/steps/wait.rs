//! Wait until the cluster is as it should be: every expression is asked of a new look.

use super::{Attempt, Seen, Stage, Unmet, cluster};
use crate::lab::expr;
use crate::lab::model::WaitStep;
use crate::verify::say::{and, same};

pub(super) async fn run(step: &WaitStep, stage: &Stage<'_>) -> Attempt {
    let view = stage.world.cluster().await;
    let observation = cluster::observation(&view);
    let context = stage.scope.with_result(&stage.workloads.counts(), &observation.value);
    let mut unmet = None;
    for (words, condition) in &step.until {
        // What an expression reads may not be there yet, such as the leader's timeline without a leader.
        let values = match expr::holds(condition.holds(), &context) {
            Ok(truth) if truth.holds => continue,
            Ok(truth) => same(truth),
            Err(error) => same(error.message),
        };
        let detail = match stage.faults.wrong_target(&view) {
            Some(guard) => and(values, "; ", &guard),
            None => values,
        };
        unmet = Some(Unmet { words: condition.not_yet(words), detail: Some(detail) });
        break;
    }
    Ok(Seen { observation, unmet })
}
