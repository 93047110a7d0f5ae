//! What an agent can be asked to do: the calls of Patroni's REST API that change something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is asked of an agent, in Patroni's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The leader hands over to another node: `POST /switchover`.
    Switchover,
    /// PostgreSQL of the node is restarted, the agent lives on: `POST /restart`.
    Restart,
    /// The standby's data is made anew from another node's: `POST /reinitialize`.
    Reinitialize,
    /// The cluster's dynamic configuration is changed: `PATCH /config`.
    Configure,
}

impl Operation {
    /// The word for it, in a lab.
    pub fn word(self) -> &'static str {
        match self {
            Operation::Switchover => "switchover",
            Operation::Restart => "restart",
            Operation::Reinitialize => "reinitialize",
            Operation::Configure => "configure",
        }
    }

    /// The call of the REST API: its method and its path.
    pub fn call(self) -> (&'static str, &'static str) {
        match self {
            Operation::Switchover => ("POST", "/switchover"),
            Operation::Restart => ("POST", "/restart"),
            Operation::Reinitialize => ("POST", "/reinitialize"),
            Operation::Configure => ("PATCH", "/config"),
        }
    }
}

/// Ask a node's agent to do something, once, by its REST API. It must answer with a status below 400, unless `expect_status`
/// asks for another or an expression reads `status`; what it takes to happen is looked at by later steps. It may take a
/// failover's time, unless `within` says otherwise. The result is `operation`, `node`, `role` and `member` (of the node, when it
/// was asked), `to`, `status`, `body` (JSON where it is JSON, text otherwise), `error` where there was no answer, `at` (ms since the
/// run's start), `took_ms`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperateStep {
    /// What.
    #[serde(rename = "do")]
    pub operation: Operation,
    /// Whose agent is asked: a role or a node. For `switchover` the node that is to hand over.
    pub on: String,
    /// For `switchover`: who is to take over, a role or a node; the agents choose otherwise.
    #[serde(default)]
    pub to: Option<String>,
    /// For `configure`: what is changed in the dynamic configuration, with its keys; `null` takes a key away. Texts are
    /// templates.
    #[serde(default)]
    pub set: Option<Map<String, Value>>,
    /// The status that must come back.
    #[serde(default)]
    pub expect_status: Option<u16>,
}
