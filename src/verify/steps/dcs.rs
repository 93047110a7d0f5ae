//! Read a key of the DCS below the cluster's own path.

use serde_json::{Value, json};

use super::{Attempt, Seen, Stage, target};
use crate::lab::expr;
use crate::lab::model::DcsStep;
use crate::observe::{DcsKey, ObserveError};
use crate::verify::say::same;
use crate::verify::{Observation, Source};

pub(super) async fn run(step: &DcsStep, stage: &Stage<'_>) -> Attempt {
    let key = expr::render(&step.get, &stage.context())?;
    let target = target::resolve("dcs", stage.world).await?;
    let path = format!("{}/{}", stage.world.deployment().dcs_base(), key.trim_matches('/'));
    let answer = stage.world.dcs(&key).await;
    Ok(Seen {
        unmet: answer.as_ref().err().map(|error| same(error).into()),
        observation: Observation {
            output: output(&answer),
            value: value(&answer),
            node: Some(target.node),
            role: None,
            source: Source::Dcs { path: path.trim_end_matches('/').to_owned() },
        },
    })
}

type Answer = Result<(Option<DcsKey>, Vec<String>), ObserveError>;

fn output(answer: &Answer) -> String {
    match answer {
        Ok((None, _)) => "(no such key)".to_owned(),
        Ok((Some(key), children)) if key.data.is_empty() => children.join("\n"),
        Ok((Some(key), _)) => key.data.clone(),
        Err(error) => error.to_string(),
    }
}

fn value(answer: &Answer) -> Value {
    match answer {
        Ok((key, children)) => json!({
            "exists": key.is_some(),
            "value": key.as_ref().map(DcsKey::value),
            "owner": key.as_ref().map_or(0, |key| key.owner),
            "children": children,
        }),
        Err(error) => {
            json!({ "exists": false, "value": null, "owner": 0, "children": [], "error": error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_json_where_it_is_json() {
        let key = |data: &str| Some(DcsKey { data: data.into(), version: 0, owner: 7, created_ms: 0 });
        let leader = value(&Ok((key("postgresql0"), vec![])));
        assert_eq!((&leader["value"], &leader["owner"]), (&json!("postgresql0"), &json!(7)));
        let sync = value(&Ok((key("{\"sync_standby\":\"postgresql1\"}"), vec![])));
        assert_eq!(sync["value"]["sync_standby"], "postgresql1");
        let missing = Ok((None, vec![]));
        assert_eq!((value(&missing)["exists"].clone(), output(&missing)), (json!(false), "(no such key)".to_owned()));
    }
}
