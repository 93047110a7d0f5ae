//! Lengths of time as a lab writes them.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time: a whole number and `ms`, `s` or `m` (`500ms`, `10s`, `2m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// The pattern of the JSON Schema.
    pub const PATTERN: &str = "^[0-9]+(ms|s|m)$";
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a length of time (like `500ms`, `10s` or `2m`)");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = text[..digits].parse().map_err(|_| bad())?;
        let unit = match &text[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => return Err(bad()),
        };
        number.checked_mul(unit).map(|ms| Span(Duration::from_millis(ms))).ok_or_else(bad)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": Span::PATTERN,
            "description": "A length of time: a whole number and `ms`, `s` or `m`."
        })
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_millis() {
            ms if ms % 60_000 == 0 && ms > 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// How long a condition may take: a fixed time, or a budget that labrun derives from the topology's own
/// constants (ttl, loop_wait, inter x rise/fall) and prints with its derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Deadline {
    /// Derived.
    Budget(Budget),
    /// Fixed.
    Fixed(Span),
}

/// A derived deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// From a fault to a new leader, whatever the fault: the lease runs out, the race, the promotion.
    Failover,
    /// Until HAProxy has marked a server up or down after its node changed.
    Proxy,
    /// Until a started node is a streaming sync standby.
    Rejoin,
    /// Until a change on the leader is visible on a replica.
    Replication,
    /// Until a new deployment is ready.
    Ready,
}
