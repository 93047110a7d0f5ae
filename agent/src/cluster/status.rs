//! `status`: the leader's WAL position and the positions of the slots.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Lsn, json};

/// The payload; absent parts are not written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The leader's last WAL position.
    pub optime: Lsn,
    /// Slot name to position; holds the leader's own slot name, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<IndexMap<String, Lsn>>,
    /// Slots of members that are kept for a while although the member is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_slots: Option<Vec<String>>,
}

impl Status {
    /// Patroni's own payload, or the bare number of the legacy `optime/leader`.
    pub fn parse(text: &[u8]) -> Status {
        if let Ok(optime) = serde_json::from_slice::<u64>(text) {
            return Status { optime: Lsn(optime), ..Status::default() };
        }
        serde_json::from_slice(text).unwrap_or_default()
    }

    pub fn to_json(&self) -> String {
        json::compact(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_captured_payload_survives_a_round_trip_byte_for_byte() {
        let line = r#"{"optime":50331840,"slots":{"pg2":50331840,"pg1":50331840},"retain_slots":["pg1","pg2"]}"#;
        let status = Status::parse(line.as_bytes());
        assert_eq!((status.optime, status.to_json().as_str()), (Lsn(50331840), line));
        assert_eq!(Status::parse(b"123").optime, Lsn(123));
        assert_eq!(Status::parse(b"garbage"), Status::default());
    }
}
