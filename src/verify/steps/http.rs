//! Ask a node's HTTP port: REST of an agent, the statistics page of HAProxy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Attempt, Seen, Stage, Unmet, bounded, target};
use crate::lab::expr;
use crate::lab::model::{HttpMethod, HttpStep, Text};
use crate::observe::ObserveError;
use crate::observe::http::Answer;
use crate::verify::say::{both, same};
use crate::verify::{Observation, Source};

/// The longest body that a fact keeps, in characters.
const MAX_OUTPUT: usize = 20_000;

pub(super) async fn run(step: &HttpStep, asked: &BTreeSet<String>, stage: &Stage<'_>) -> Attempt {
    let context = stage.context();
    let selector = expr::render(&step.on, &context)?;
    let path = expr::render(&step.path, &context)?;
    let target = target::resolve(&selector, stage.world).await?;
    let side = stage.world.deployment().node(&target.node).and_then(|node| node.side);
    let url = format!("http://{}{path}", side.map_or_else(|| target.node.clone(), |side| side.to_string()));
    let answer = stage.world.http(&target.node, step.method, &path).await;
    Ok(Seen {
        unmet: unmet(step.expect_status, asked, &answer).map(Unmet::from),
        observation: Observation {
            output: bounded(&output(&answer), MAX_OUTPUT),
            value: value(&target.node, &answer),
            node: Some(target.node),
            role: target.role,
            source: Source::Http { method: word(step.method).to_owned(), url },
        },
    })
}

fn word(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
        HttpMethod::Options => "OPTIONS",
    }
}

pub(super) fn unmet(
    wanted: Option<u16>,
    asked: &BTreeSet<String>,
    answer: &Result<Answer, ObserveError>,
) -> Option<Text> {
    match (wanted, answer) {
        (Some(wanted), Ok(answer)) if answer.status != wanted => Some(both(
            format!("ожидался ответ {wanted}, а не {}", answer.status),
            format!("status {wanted} was expected, not {}", answer.status),
        )),
        (None, Ok(answer)) if answer.status >= 400 && !asked.contains("status") => {
            Some(both(format!("ответ {}", answer.status), format!("status {}", answer.status)))
        }
        (_, Ok(_)) => None,
        (_, Err(error)) => Some(same(error)),
    }
}

pub(super) fn output(answer: &Result<Answer, ObserveError>) -> String {
    match answer {
        Ok(answer) => {
            let pretty = answer.json().and_then(|json| serde_json::to_string_pretty(&json).ok());
            format!("HTTP {}\n{}", answer.status, pretty.as_deref().unwrap_or(answer.body.trim_end()))
        }
        Err(error) => error.to_string(),
    }
}

pub(super) fn value(node: &str, answer: &Result<Answer, ObserveError>) -> Value {
    match answer {
        Ok(answer) => {
            let body = answer.json().unwrap_or_else(|| json!(bounded(&answer.body, MAX_OUTPUT)));
            json!({ "status": answer.status, "body": body, "node": node, "error": null })
        }
        Err(error) => json!({ "status": null, "body": null, "node": node, "error": error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::model::Lang;

    fn answer(status: u16) -> Result<Answer, ObserveError> {
        Ok(Answer { status, body: "{\"role\": \"replica\"}".into() })
    }

    #[test]
    fn the_expected_status_must_come_back_even_when_it_is_an_error() {
        let nothing = BTreeSet::new();
        assert_eq!(unmet(Some(503), &nothing, &answer(503)), None);
        let refused = unmet(Some(200), &nothing, &answer(503)).unwrap();
        assert_eq!(refused.get(Lang::En), "status 200 was expected, not 503");
        assert!(unmet(Some(200), &nothing, &Err(ObserveError::TimedOut { what: "x".into(), ms: 1 })).is_some());
    }

    #[test]
    fn an_error_status_is_a_failure_unless_the_author_judges_it() {
        assert!(unmet(None, &BTreeSet::new(), &answer(503)).is_some());
        assert_eq!(unmet(None, &BTreeSet::from(["status".to_owned()]), &answer(503)), None);
        assert_eq!(value("b", &answer(200))["body"]["role"], "replica");
    }
}
