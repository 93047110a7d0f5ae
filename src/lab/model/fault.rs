//! What can be done to nodes and to the ways between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// A fault, or the undoing of some. `labrun faults` prints what each one does and exercises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// SIGTERM to the node's service: a clean shutdown, as `docker stop` does it.
    Stop,
    /// SIGKILL to everything on the node.
    Kill,
    /// Start a node that is stopped or was killed.
    Start,
    /// Stop, then start.
    Restart,
    /// SIGKILL to the postmaster alone; the agent lives on.
    Crash,
    /// SIGSTOP to all of PostgreSQL; the agent lives on.
    Hang,
    /// SIGSTOP to the agent alone; PostgreSQL lives on.
    Freeze,
    /// SIGSTOP to everything on the node, as `docker pause` does it.
    Pause,
    /// No traffic between the node and any other; labrun itself still reaches it.
    Isolate,
    /// No traffic between two nodes, or from the one to the other alone.
    Cut,
    /// What goes between two nodes takes longer, or is lost in part.
    Slow,
    /// Undo whatever was done to the node, or to `all`.
    Heal,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 12] = [
        FaultKind::Stop,
        FaultKind::Kill,
        FaultKind::Start,
        FaultKind::Restart,
        FaultKind::Crash,
        FaultKind::Hang,
        FaultKind::Freeze,
        FaultKind::Pause,
        FaultKind::Isolate,
        FaultKind::Cut,
        FaultKind::Slow,
        FaultKind::Heal,
    ];

    /// The word for it, in a lab and as labrun's own command.
    pub fn word(self) -> &'static str {
        match self {
            FaultKind::Stop => "stop",
            FaultKind::Kill => "kill",
            FaultKind::Start => "start",
            FaultKind::Restart => "restart",
            FaultKind::Crash => "crash",
            FaultKind::Hang => "hang",
            FaultKind::Freeze => "freeze",
            FaultKind::Pause => "pause",
            FaultKind::Isolate => "isolate",
            FaultKind::Cut => "cut",
            FaultKind::Slow => "slow",
            FaultKind::Heal => "heal",
        }
    }

    /// Whether the node should run after it.
    pub fn is_start(self) -> bool {
        matches!(self, FaultKind::Start | FaultKind::Restart)
    }

    /// Whether something is taken from the cluster by it.
    pub fn hits(self) -> bool {
        !matches!(self, FaultKind::Start | FaultKind::Heal)
    }

    /// Whether it is done to the network, so that nodes need one of their own.
    pub fn is_of_network(self) -> bool {
        matches!(self, FaultKind::Isolate | FaultKind::Cut | FaultKind::Slow)
    }

    /// Whether it is done to a way between two nodes.
    pub fn is_of_edge(self) -> bool {
        matches!(self, FaultKind::Cut | FaultKind::Slow)
    }

    /// Whether it is done to PostgreSQL or its agent, so that it needs a postgres node.
    pub fn is_of_postgres(self) -> bool {
        matches!(self, FaultKind::Crash | FaultKind::Hang | FaultKind::Freeze)
    }

    /// Whether undoing it starts what it hit.
    pub fn starts_what_it_hit(self) -> bool {
        matches!(self, FaultKind::Stop | FaultKind::Kill | FaultKind::Restart | FaultKind::Crash)
    }
}

/// Do something to a node or to the way between two, once, and see that it took effect. It is undone by a later `heal` or
/// `start`, and in any case at the run's end. The result is `kind`, `node`, `nodes` (all that were hit), `to`, `role`
/// (that the node had when it was hit), `member`, `timeline`, `lease_holder` (the node that held the leader key), `at`
/// (ms since the run's start), `took_ms`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultStep {
    /// What.
    #[serde(rename = "do")]
    pub kind: FaultKind,
    /// To whom: a role, resolved at injection, or a node. `dcs` is every ZooKeeper server; for `heal` also `all`.
    pub on: String,
    /// The other end of the way, for `cut` and `slow`: a role or a node.
    #[serde(default)]
    pub to: Option<String>,
    /// Only what goes from `on` to `to`; both ways otherwise.
    #[serde(default)]
    pub one_way: bool,
    /// For `slow`: how much longer each packet takes.
    #[serde(default)]
    pub delay: Option<Span>,
    /// For `slow`: how many of 100 packets are lost.
    #[serde(default)]
    #[schemars(range(max = 100))]
    pub loss: Option<u8>,
}
