//! A step as it is shown before it is done.

use serde::{Deserialize, Serialize};

use crate::lab::model::{FaultKind, Operation, Text};

/// What a step would do if it were done now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// `part/check/step`.
    pub scope: String,
    /// Which one of how many it is in its check.
    pub place: (usize, usize),
    /// The check's title.
    pub check: Text,
    /// What a pass of the check proves.
    pub proves: Text,
    /// The step's title.
    pub title: Text,
    /// The kind of action (`sql`).
    pub kind: String,
    /// What it does.
    pub deed: Deed,
    /// Whom it is aimed at.
    pub aims: Vec<Aim>,
    /// What is known already of what is asked, by name.
    pub known: Vec<(String, String)>,
    /// What must hold for it to mean anything.
    pub require: Vec<String>,
    /// What must hold for a pass.
    pub expect: Vec<String>,
    /// What must never hold.
    pub never: Vec<String>,
    /// How long it may take, or looks.
    pub limit: Option<Limit>,
    /// For how long what is expected must hold without a break.
    pub stable_for: Option<String>,
    /// The workloads whose clients are at work.
    pub workloads: Vec<String>,
    /// The faults in effect.
    pub faults: Vec<String>,
}

/// Whom a step is aimed at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aim {
    /// As the lab says it: a role, or a node.
    pub selector: String,
    /// The node that it means now; none where it means nobody.
    pub node: Option<String>,
    /// The role that the node has now.
    pub role: Option<String>,
    /// Why it means nobody.
    pub why: Option<Text>,
}

impl Aim {
    /// At that node.
    pub fn at(selector: &str, node: &str, role: Option<String>) -> Aim {
        Aim { selector: selector.to_owned(), node: Some(node.to_owned()), role, why: None }
    }

    /// At nobody, for now.
    pub fn at_nobody(selector: &str, why: Text) -> Aim {
        Aim { selector: selector.to_owned(), node: None, role: None, why: Some(why) }
    }
}

/// How long a step may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Whether it looks all that time, instead of waiting at most so long.
    pub during: bool,
    /// The time.
    pub ms: u64,
    /// How it was derived.
    pub derivation: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Runs SQL.
    Sql {
        /// The statements, with their values.
        statement: String,
        /// In how many sessions, one after another.
        sessions: u32,
    },
    /// Asks by HTTP.
    Http {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// Reads a key of the DCS.
    Dcs {
        /// Which.
        key: String,
    },
    /// Reads HAProxy's statistics.
    Haproxy,
    /// Looks at the cluster as a whole.
    Cluster,
    /// Runs a program.
    Exec {
        /// With these words.
        argv: Vec<String>,
    },
    /// Reads a log.
    Logs {
        /// The lines that match this.
        matches: Option<String>,
    },
    /// Injects a fault, or undoes some.
    Fault {
        /// Which.
        kind: FaultKind,
        /// Only what goes from the one to the other.
        one_way: bool,
        /// How much longer packets take (`200ms`).
        delay: Option<String>,
        /// How many of 100 packets are lost.
        loss: Option<u8>,
    },
    /// Has an agent do something.
    Operate {
        /// What.
        operation: Operation,
        /// The new configuration, as JSON, where there is one.
        set: Option<String>,
    },
    /// Draws faults.
    Chaos {
        /// From these.
        mix: String,
        /// For so long.
        lasts: String,
    },
    /// Waits.
    Wait {
        /// While this is so.
        not_yet: Vec<Text>,
    },
    /// Starts clients.
    Start {
        /// Their workload.
        workload: String,
        /// Their table.
        table: String,
        /// Their ways.
        paths: Vec<String>,
        /// How many write on each way.
        clients: u32,
        /// How many read on each way.
        readers: u32,
        /// The pause between two operations.
        every_ms: u64,
    },
    /// Stops clients and judges.
    Stop {
        /// Their workload.
        workload: String,
    },
}
