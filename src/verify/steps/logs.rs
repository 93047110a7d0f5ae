//! Read a node's log: the lines since the check began, or all of them.

use regex::RegexBuilder;
use serde_json::json;

use super::{Attempt, Seen, Stage, Trouble, target};
use crate::lab::expr;
use crate::lab::model::LogsStep;
use crate::verify::{Observation, Source};

/// The most lines that a fact keeps unless the step says so.
const LAST: usize = 50;
/// The most lines that a step may ask for.
const MOST: usize = 1_000;
/// The memory that a pattern may take, in bytes: a lab is untrusted.
const PATTERN_SIZE: usize = 1 << 20;

pub(super) async fn run(step: &LogsStep, stage: &Stage<'_>) -> Attempt {
    let context = stage.context();
    let selector = expr::render(&step.on, &context)?;
    let target = target::resolve(&selector, stage.world).await?;
    let offset = if step.from_start { 0 } else { stage.log_marks.get(&target.node).copied().unwrap_or(0) };
    let read = stage.world.logs(&target.node, offset).await;
    let (text, _) = read.map_err(|error| Trouble::Infra(format!("the log of {}: {error}", target.node)))?;
    let pattern = step.matches.as_deref().map(|pattern| expr::render(pattern, &context)).transpose()?;
    let lines = matching(&text, pattern.as_deref()).map_err(Trouble::NoValue)?;
    let last = step.last.unwrap_or(LAST).min(MOST);
    let shown = &lines[lines.len().saturating_sub(last)..];
    let node = stage.world.deployment().node(&target.node);
    let path = node.map(|node| node.log()).unwrap_or_default();
    Ok(Seen {
        unmet: None,
        observation: Observation {
            output: shown.join("\n"),
            value: json!({ "lines": shown, "count": lines.len(), "node": target.node }),
            node: Some(target.node),
            role: target.role,
            source: Source::Logs { path },
        },
    })
}

fn matching<'a>(text: &'a str, pattern: Option<&str>) -> Result<Vec<&'a str>, String> {
    let Some(pattern) = pattern else { return Ok(text.lines().collect()) };
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build();
    let regex = built.map_err(|error| format!("`{pattern}` is no regular expression: {error}"))?;
    Ok(text.lines().filter(|line| regex.is_match(line)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_match_are_kept_in_order() {
        let log = "INFO: promoting\nDEBUG: tick\nINFO: promoted\n";
        assert_eq!(matching(log, Some("promot")).unwrap(), ["INFO: promoting", "INFO: promoted"]);
        assert_eq!(matching(log, None).unwrap().len(), 3);
        assert!(matching(log, Some("(")).unwrap_err().contains("no regular expression"));
        assert!(matching(log, Some("(a{1000}){1000}")).is_err(), "a pattern may not eat the memory");
    }
}
