//! What expressions of a check can read.
//!
//! | name | what |
//! | --- | --- |
//! | `vars.NAME` | the lab's values |
//! | `params.NAME` | the check's parameters |
//! | `checks.ID.NAME` | what an earlier check captured |
//! | `run.id` | the run's name |
//! | `workload.NAME.PATH.acked` (`.rejected`, `.indeterminate`, `.acked_after_fault`) | the counts of a workload so far |
//! | `NAME` | what an earlier step of this check captured |
//! | `result.FIELD`, and `FIELD` by itself | this step's result; it hides a capture of the same name |

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

/// The names that captures may not have, since they would hide what every expression can read.
pub const RESERVED: [&str; 6] = ["vars", "params", "checks", "run", "workload", "result"];

/// What the expressions of one check can read, apart from the step's own result.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The lab's values.
    pub vars: IndexMap<String, Value>,
    /// The check's parameters.
    pub params: IndexMap<String, Value>,
    /// What earlier checks captured, by check.
    pub checks: IndexMap<String, IndexMap<String, Value>>,
    /// What earlier steps of this check captured.
    pub captures: IndexMap<String, Value>,
    /// The run's name.
    pub run: String,
}

impl Scope {
    /// The context before a step has a result.
    pub fn context(&self, workload: &Value) -> Value {
        let mut all: Map<String, Value> = Map::new();
        all.extend(self.captures.iter().map(|(name, value)| (name.clone(), value.clone())));
        all.insert("vars".to_owned(), json!(self.vars));
        all.insert("params".to_owned(), json!(self.params));
        all.insert("checks".to_owned(), json!(self.checks));
        all.insert("run".to_owned(), json!({ "id": self.run }));
        all.insert("workload".to_owned(), workload.clone());
        Value::Object(all)
    }

    /// The context with a step's result.
    pub fn with_result(&self, workload: &Value, result: &Value) -> Value {
        let mut context = self.context(workload);
        if let Value::Object(all) = &mut context {
            if let Value::Object(fields) = result {
                let visible = fields.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
                all.extend(visible.map(|(name, value)| (name.clone(), value.clone())));
            }
            all.insert("result".to_owned(), result.clone());
        }
        context
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::expr;

    fn scope() -> Scope {
        Scope {
            params: IndexMap::from([("node".to_owned(), json!("pg-master"))]),
            checks: IndexMap::from([(
                "failover".to_owned(),
                IndexMap::from([("old_leader".to_owned(), json!("pg-slave"))]),
            )]),
            captures: IndexMap::from([("node".to_owned(), json!("captured")), ("rows_before".to_owned(), json!(3))]),
            ..Scope::default()
        }
    }

    #[test]
    fn a_result_hides_a_capture_of_the_same_name_and_nothing_else() {
        let workload = json!({"writers": {"proxy": {"acked": 7}}});
        let context = scope().with_result(&workload, &json!({"node": "pg-slave", "params": "hostile"}));
        for (expression, value) in [
            ("node", json!("pg-slave")),
            ("params.node", json!("pg-master")),
            ("result.node", json!("pg-slave")),
            ("rows_before + 1", json!(4)),
            ("checks.failover.old_leader", json!("pg-slave")),
            ("workload.writers.proxy.acked", json!(7)),
        ] {
            assert_eq!(expr::value(expression, &context), Ok(value), "{expression}");
        }
    }

    #[test]
    fn before_a_step_has_a_result_captures_show() {
        assert_eq!(expr::value("node", &scope().context(&json!({}))), Ok(json!("captured")));
    }
}
