//! Facts: what was observed. Every sentence of a report stands on one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// `F1`, `F2`, …: unique in its run; reports link to it.
    pub id: String,
    /// The part, the check and the step that it was made for: `failover/failover/inject`.
    pub scope: String,
    /// When, in ms since the run's start (one monotonic clock).
    pub at_ms: u64,
    /// How long it took, in ms.
    pub took_ms: u64,
    /// The node that was asked, where one was.
    pub node: Option<String>,
    /// The role that the node had then (`leader`, `sync_standby`, `replica`), as far as known.
    pub role: Option<String>,
    /// How it was observed.
    pub source: Source,
    /// What came back, as a person would see it on a terminal. Never holds a secret.
    pub output: String,
    /// The same for programs: the step's result.
    pub value: Value,
}

/// How a fact was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// By SQL.
    Sql {
        /// The statement.
        statement: String,
        /// `proxy`, or the node it was sent to directly.
        via: String,
    },
    /// From an HTTP endpoint.
    Http {
        /// The method.
        method: String,
        /// The URL.
        url: String,
    },
    /// From ZooKeeper.
    Dcs {
        /// The key's full path.
        path: String,
    },
    /// From HAProxy's statistics.
    Haproxy {
        /// The URL.
        url: String,
    },
    /// From the whole cluster at once.
    Cluster,
    /// From a program's output.
    Exec {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// From a node's log.
    Logs {
        /// The file.
        path: String,
    },
    /// From a fault that was injected.
    Fault {
        /// What was done (`stop`).
        fault: String,
        /// The command that does the same by hand (`labrun stop pg-master`).
        command: String,
    },
    /// From what an agent was asked to do by its REST API.
    Operation {
        /// What (`switchover`).
        operation: String,
        /// The method.
        method: String,
        /// The URL.
        url: String,
        /// What was sent, as JSON.
        body: String,
    },
    /// From an experiment for a control question.
    Tried {
        /// The commands that show the same by hand.
        command: String,
    },
    /// From the clients of a workload.
    Workload {
        /// The workload's name.
        name: String,
    },
}
