//! Run SQL on a role, a node, or through the proxy.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Attempt, Seen, Stage, Unmet, bounded, target};
use crate::lab::expr;
use crate::lab::model::{SqlStep, Text};
use crate::observe::table;
use crate::observe::{SqlError, SqlOutput};
use crate::verify::say::{both, same};
use crate::verify::{Observation, Source};

/// The longest table that a fact keeps, in characters.
const MAX_OUTPUT: usize = 20_000;
/// The most rows that a result keeps.
const MAX_ROWS: usize = 1_000;
/// The most sessions that one step opens.
const MAX_SESSIONS: u32 = 1_000;

pub(super) async fn run(step: &SqlStep, asked: &BTreeSet<String>, stage: &Stage<'_>, limit: Duration) -> Attempt {
    let context = stage.context();
    let selector = expr::render(&step.on, &context)?;
    let statement = expr::render(&step.run, &context)?;
    let target = target::resolve(&selector, stage.world).await?;
    let is_proxy = stage.world.deployment().proxy().is_some_and(|proxy| proxy.name == target.node);
    let answer = sessions(step, &target.node, &statement, stage, limit).await;
    let unmet = unmet(step, asked, &answer).map(Unmet::from);
    let via = if is_proxy { "proxy".to_owned() } else { target.node.clone() };
    Ok(Seen {
        observation: Observation {
            output: bounded(&output(&statement, &answer), MAX_OUTPUT),
            value: value(&target.node, &answer),
            node: Some(target.node),
            role: target.role,
            source: Source::Sql { statement: statement.trim().to_owned(), via },
        },
        unmet,
    })
}

/// Run the statement in as many sessions as the step asks for, one after another; the rows of all are joined.
async fn sessions(
    step: &SqlStep,
    node: &str,
    statement: &str,
    stage: &Stage<'_>,
    limit: Duration,
) -> Result<SqlOutput, SqlError> {
    let dial = stage.world.dial();
    let mut all = SqlOutput::default();
    for _ in 0..step.sessions.unwrap_or(1).clamp(1, MAX_SESSIONS) {
        let one = dial.open(node, limit).await?.run(statement).await?;
        all.columns = one.columns;
        all.rows.extend(one.rows);
        all.count += one.count;
    }
    Ok(all)
}

fn unmet(step: &SqlStep, asked: &BTreeSet<String>, answer: &Result<SqlOutput, SqlError>) -> Option<Text> {
    match (&step.expect_error, answer) {
        (Some(wanted), Err(SqlError::Refused { sqlstate, .. })) if wanted == sqlstate => None,
        (Some(wanted), Ok(_)) => Some(both(
            format!("PostgreSQL принял запрос, а ожидался SQLSTATE {wanted}"),
            format!("PostgreSQL took the statement; SQLSTATE {wanted} was expected"),
        )),
        (Some(wanted), Err(error)) => Some(both(
            format!("ожидался SQLSTATE {wanted}, а не: {error}"),
            format!("SQLSTATE {wanted} was expected, not: {error}"),
        )),
        (None, Ok(_)) => None,
        (None, Err(SqlError::Refused { .. })) if asked.contains("sqlstate") || asked.contains("error") => None,
        (None, Err(error)) => Some(same(error)),
    }
}

fn output(statement: &str, answer: &Result<SqlOutput, SqlError>) -> String {
    match answer {
        Ok(output) => table::result(statement, output),
        Err(SqlError::Refused { sqlstate, message }) => format!("ERROR:  {sqlstate}: {message}"),
        Err(error) => format!("connection failed: {error}"),
    }
}

fn value(node: &str, answer: &Result<SqlOutput, SqlError>) -> Value {
    let none = SqlOutput::default();
    let output = answer.as_ref().unwrap_or(&none);
    let rows: Vec<Vec<Value>> =
        output.rows.iter().take(MAX_ROWS).map(|row| row.iter().map(|cell| typed(cell.as_deref())).collect()).collect();
    let first = rows.first().and_then(|row| row.first()).cloned().unwrap_or(Value::Null);
    let (sqlstate, error) = match answer {
        Ok(_) => (Value::Null, Value::Null),
        Err(SqlError::Refused { sqlstate, message }) => (json!(sqlstate), json!(message)),
        Err(error) => (Value::Null, json!(error.to_string())),
    };
    json!({
        "rows": rows, "columns": output.columns, "count": output.count, "first": first, "node": node,
        "sqlstate": sqlstate, "error": error,
    })
}

/// A cell as a value: the simple query protocol carries text alone, so a whole number in its shortest form becomes a
/// number, NULL becomes null, and anything else (`t`, `0042`) stays text.
fn typed(cell: Option<&str>) -> Value {
    let Some(text) = cell else { return Value::Null };
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => json!(number),
        _ => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::model::Lang;

    fn step(expect_error: Option<&str>) -> SqlStep {
        let expect_error = expect_error.map(str::to_owned);
        SqlStep { on: "replica".into(), run: "insert".into(), expect_error, sessions: None }
    }

    fn refused(sqlstate: &str) -> Result<SqlOutput, SqlError> {
        Err(SqlError::Refused { sqlstate: sqlstate.into(), message: "cannot execute INSERT".into() })
    }

    fn broken() -> Result<SqlOutput, SqlError> {
        Err(SqlError::Broken { address: ([127, 0, 0, 1], 5432).into(), why: "refused".into() })
    }

    #[test]
    fn only_the_expected_refusal_is_what_was_asked_for() {
        let nothing = BTreeSet::new();
        assert_eq!(unmet(&step(Some("25006")), &nothing, &refused("25006")), None);
        assert!(
            unmet(&step(Some("25006")), &nothing, &refused("42P01"))
                .unwrap()
                .get(Lang::En)
                .contains("25006 was expected")
        );
        assert!(
            unmet(&step(Some("25006")), &nothing, &Ok(SqlOutput::default()))
                .unwrap()
                .get(Lang::En)
                .contains("took the statement")
        );
        assert!(unmet(&step(Some("25006")), &nothing, &broken()).is_some(), "an outage is no refusal");
    }

    #[test]
    fn a_refusal_is_a_failure_unless_the_author_judges_it() {
        let asked = BTreeSet::from(["sqlstate".to_owned()]);
        assert!(unmet(&step(None), &BTreeSet::new(), &refused("25006")).is_some());
        assert_eq!(unmet(&step(None), &asked, &refused("25006")), None);
        assert!(unmet(&step(None), &asked, &broken()).is_some());
    }

    #[test]
    fn whole_numbers_become_numbers_and_nothing_else_does() {
        let cells = [Some("42"), Some("-7"), Some("0042"), Some("4.2"), Some("t"), Some(""), None];
        assert_eq!(json!(cells.map(typed)), json!([42, -7, "0042", "4.2", "t", "", null]),);
    }

    #[test]
    fn a_refused_statement_has_every_field_of_a_result() {
        let value = value("b", &refused("25006"));
        assert_eq!(value["sqlstate"], "25006");
        assert_eq!((&value["first"], &value["count"], &value["rows"]), (&Value::Null, &json!(0), &json!([])));
    }
}
