//! Read HAProxy's own statistics.

use serde_json::{Value, json};

use super::{Attempt, Seen, Stage, target};
use crate::lab::expr;
use crate::lab::model::HaproxyStep;
use crate::observe::table;
use crate::observe::{ObserveError, ProxyView};
use crate::verify::say::same;
use crate::verify::{Observation, Source};

pub(super) async fn run(step: &HaproxyStep, stage: &Stage<'_>) -> Attempt {
    let selector = expr::render(&step.on, &stage.context())?;
    let target = target::resolve(&selector, stage.world).await?;
    let answer = stage.world.statistics(&target.node).await;
    Ok(Seen {
        unmet: answer.as_ref().err().map(|error| same(error).into()),
        observation: observation(&target.node, answer, stage),
    })
}

pub(crate) fn observation(node: &str, answer: Result<ProxyView, ObserveError>, stage: &Stage<'_>) -> Observation {
    let deployment = stage.world.deployment();
    let side = deployment.node(node).and_then(|node| node.side);
    let path = deployment.statistics_page().csv();
    let url = format!("http://{}{path}", side.map_or_else(|| node.to_owned(), |side| side.to_string()));
    let output = answer.as_ref().map_or_else(ToString::to_string, print);
    let view = answer.unwrap_or_default();
    Observation {
        node: Some(node.to_owned()),
        role: None,
        source: Source::Haproxy { url },
        output,
        value: value(&view, |name| deployment.node(name).is_some()),
    }
}

/// A proxy's view as expressions read it; `is_node` says whether a server's name is a node's.
fn value(view: &ProxyView, is_node: impl Fn(&str) -> bool) -> Value {
    let servers: Vec<Value> = view
        .servers
        .iter()
        .map(|server| {
            let node = is_node(&server.name).then(|| server.name.clone());
            json!({
                "name": server.name, "section": server.section, "status": server.status, "node": node,
                "check_status": server.check_status, "check_code": server.check_code, "sessions": server.sessions,
                "settled": server.is_settled(),
            })
        })
        .collect();
    json!({ "servers": servers, "up": view.up, "down": view.down })
}

/// The servers as a table.
pub(crate) fn print(view: &ProxyView) -> String {
    let header = ["section", "server", "status", "check", "code", "sessions"];
    let rows: Vec<Vec<String>> = view
        .servers
        .iter()
        .map(|server| {
            let code = server.check_code.map(|code| code.to_string()).unwrap_or_default();
            let (section, name) = (server.section.clone(), server.name.clone());
            let sessions = server.sessions.to_string();
            vec![section, name, server.status.clone(), server.check_status.clone(), code, sessions]
        })
        .collect();
    table::table(&header, &rows).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ServerView;

    #[test]
    fn servers_are_shown_and_read() {
        let server = |name: &str, status: &str, code| ServerView {
            name: name.into(),
            section: "postgres".into(),
            status: status.into(),
            check_status: if code == 200 { "L7OK".into() } else { "L7STS".into() },
            check_code: Some(code),
            sessions: 2,
        };
        let view = ProxyView {
            servers: vec![server("pg-master", "UP", 200), server("pg-slave", "DOWN", 503)],
            up: vec!["pg-master".into()],
            down: vec!["pg-slave".into()],
        };
        let value = value(&view, |name| name == "pg-master");
        assert_eq!(value["up"], json!(["pg-master"]));
        assert_eq!((&value["servers"][0]["node"], &value["servers"][1]["node"]), (&json!("pg-master"), &Value::Null));
        insta::assert_snapshot!(print(&view), @r"
         section  |  server   | status | check | code | sessions
        ----------+-----------+--------+-------+------+----------
         postgres | pg-master | UP     | L7OK  |  200 |        2
         postgres | pg-slave  | DOWN   | L7STS |  503 |        2
        ");
    }
}
