//! Run a program on a node; no shell reads its arguments.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::{Attempt, Seen, Stage, Trouble, Unmet, bounded, target};
use crate::lab::expr;
use crate::lab::model::ExecStep;
use crate::verify::say::both;
use crate::verify::{Observation, Source};

/// The longest output that a fact keeps, in characters.
const MAX_OUTPUT: usize = 20_000;

pub(super) async fn run(step: &ExecStep, asked: &BTreeSet<String>, stage: &Stage<'_>, limit: Duration) -> Attempt {
    let context = stage.context();
    let selector = expr::render(&step.on, &context)?;
    let argv = step.argv.iter().map(|word| expr::render(word, &context)).collect::<Result<Vec<_>, _>>()?;
    let target = target::resolve(&selector, stage.world).await?;
    let ran = stage.world.exec(&target.node, &argv, limit).await;
    let ran = ran.map_err(|error| Trouble::Infra(format!("{} on {}: {error}", argv.join(" "), target.node)))?;
    let unmet = (ran.code != Some(0) && !asked.contains("code")).then(|| {
        let last = ran.stderr.trim_end().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        Unmet::from(match ran.code {
            Some(code) => both(format!("код завершения {code}{last}"), format!("exit code {code}{last}")),
            None => both(format!("завершён сигналом{last}"), format!("ended by a signal{last}")),
        })
    });
    let output = [ran.stdout.trim_end(), ran.stderr.trim_end()]
        .iter()
        .filter(|text| !text.is_empty())
        .copied()
        .collect::<Vec<_>>();
    Ok(Seen {
        unmet,
        observation: Observation {
            output: bounded(&output.join("\n"), MAX_OUTPUT),
            value: json!({
                "code": ran.code, "stdout": bounded(&ran.stdout, MAX_OUTPUT),
                "stderr": bounded(&ran.stderr, MAX_OUTPUT), "node": target.node,
            }),
            node: Some(target.node),
            role: target.role,
            source: Source::Exec { argv },
        },
    })
}
