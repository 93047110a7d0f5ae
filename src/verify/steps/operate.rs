//! Ask an agent to do something by its REST API, once.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::http::{output, unmet, value};
use super::target::{self, Target};
use super::{Attempt, Seen, Stage, Trouble, Unmet, bounded};
use crate::lab::expr;
use crate::lab::model::{OperateStep, Operation};
use crate::verify::say::both;
use crate::verify::{Observation, Source};

/// The longest body that a fact keeps, in characters.
const MAX_OUTPUT: usize = 20_000;

pub(super) async fn run(step: &OperateStep, asked: &BTreeSet<String>, stage: &Stage<'_>, limit: Duration) -> Attempt {
    let context = stage.context();
    let target = target::resolve(&expr::render(&step.on, &context)?, stage.world).await?;
    let to = match &step.to {
        Some(to) => Some(target::resolve(&expr::render(to, &context)?, stage.world).await?),
        None => None,
    };
    if to.as_ref().is_some_and(|to| to.node == target.node) {
        return Err(Trouble::NotThere(both(
            format!("{} не может передать роль самому себе", target.node),
            format!("{} cannot hand over to itself", target.node),
        )));
    }
    let set = step.set.as_ref().map(|set| expr::eval_all(&Value::Object(set.clone()), &context)).transpose()?;
    let body = body(step.operation, &target, to.as_ref(), set);
    let (method, path) = step.operation.call();
    let side = stage.world.deployment().node(&target.node).and_then(|node| node.side);
    let url = format!("http://{}{path}", side.map_or_else(|| target.node.clone(), |side| side.to_string()));
    let at_us = stage.spine.now_us();
    if takes_the_leader_away(step.operation, &target) {
        stage.faults.mark(step.operation.word(), &target.node, at_us, stage.workloads);
    }
    let answer = stage.world.operate(&target.node, step.operation, &body, limit).await;
    let took_ms = (stage.spine.now_us() - at_us) / 1000;
    let mut value = value(&target.node, &answer);
    let more = json!({
        "operation": step.operation.word(), "role": target.role, "member": target.member,
        "to": to.map(|to| to.node), "at": at_us / 1000, "took_ms": took_ms,
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    Ok(Seen {
        unmet: unmet(step.expect_status, asked, &answer).map(Unmet::from),
        observation: Observation {
            output: bounded(&output(&answer), MAX_OUTPUT),
            value,
            node: Some(target.node),
            role: target.role,
            source: Source::Operation {
                operation: step.operation.word().to_owned(),
                method: method.to_owned(),
                url,
                body: body.to_string(),
            },
        },
    })
}

/// What the REST API is sent: members are called by their own names there.
fn body(operation: Operation, on: &Target, to: Option<&Target>, set: Option<Value>) -> Value {
    let member = |target: &Target| target.member.clone().unwrap_or_else(|| target.node.clone());
    match operation {
        Operation::Switchover => {
            let mut body = Map::from_iter([("leader".to_owned(), json!(member(on)))]);
            body.extend(to.map(|to| ("candidate".to_owned(), json!(member(to)))));
            Value::Object(body)
        }
        Operation::Restart | Operation::Reinitialize => json!({}),
        Operation::Configure => set.unwrap_or_else(|| json!({})),
    }
}

/// Whether writes are bound to be interrupted: the outage that follows is this operation's.
fn takes_the_leader_away(operation: Operation, target: &Target) -> bool {
    match operation {
        Operation::Switchover => true,
        Operation::Restart => target.role.as_deref() == Some("leader"),
        Operation::Reinitialize | Operation::Configure => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(node: &str, role: &str) -> Target {
        let (role, member) = (Some(role.to_owned()), Some(format!("m-{node}")));
        Target { role, member, ..Target::without_role(node.to_owned()) }
    }

    #[test]
    fn members_are_called_by_their_own_names() {
        let (a, b) = (target("a", "leader"), target("b", "replica"));
        assert_eq!(body(Operation::Switchover, &a, Some(&b), None), json!({"leader": "m-a", "candidate": "m-b"}));
        assert_eq!(body(Operation::Switchover, &a, None, None), json!({"leader": "m-a"}));
        assert_eq!(body(Operation::Restart, &a, None, None), json!({}));
        let set = json!({"postgresql": {"parameters": {"max_connections": 120}}});
        assert_eq!(body(Operation::Configure, &a, None, Some(set.clone())), set);
    }

    #[test]
    fn only_what_befalls_the_leader_begins_an_outage() {
        let (leader, replica) = (target("a", "leader"), target("b", "replica"));
        assert!(takes_the_leader_away(Operation::Switchover, &leader));
        assert!(takes_the_leader_away(Operation::Restart, &leader));
        assert!(!takes_the_leader_away(Operation::Restart, &replica));
        assert!(!takes_the_leader_away(Operation::Configure, &leader));
    }
}
