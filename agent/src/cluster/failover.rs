//! `failover`: a request to hand over, by REST, patronictl or by hand.

use serde::{Deserialize, Serialize};

use super::json;

/// The payload. With `leader` it is a switchover, without it a failover.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Failover {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Who shall take over; anybody fit if absent.
    #[serde(rename = "member", skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// ISO 8601 with a time zone; at once if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<String>,
}

impl Failover {
    /// JSON, or the legacy `leader:candidate`.
    pub fn parse(bytes: &[u8]) -> Failover {
        if let Ok(failover) = serde_json::from_slice::<Failover>(bytes) {
            let some = |text: Option<String>| text.filter(|text| !text.is_empty());
            return Failover {
                leader: some(failover.leader),
                candidate: some(failover.candidate),
                scheduled_at: some(failover.scheduled_at),
            };
        }
        let text = String::from_utf8_lossy(bytes);
        let Some((leader, candidate)) = text.split_once(':').filter(|_| !text.contains('{')) else {
            return Failover::default();
        };
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Failover { leader: some(leader), candidate: some(candidate), scheduled_at: None }
    }

    pub fn to_json(&self) -> String {
        json::compact(self)
    }

    /// Nothing is asked for (the key is cleared by writing `{}`).
    pub fn is_empty(&self) -> bool {
        *self == Failover::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_and_legacy_payloads_are_read() {
        for line in [
            r#"{"leader":"pg1"}"#,
            r#"{"leader":"pg2","member":"pg1","scheduled_at":"2027-01-01T00:00:00+00:00"}"#,
            "{}",
        ] {
            assert_eq!(Failover::parse(line.as_bytes()).to_json(), line);
        }
        let legacy = Failover::parse(b"a:b");
        assert_eq!((legacy.leader.as_deref(), legacy.candidate.as_deref()), (Some("a"), Some("b")));
        assert!(Failover::parse(b"").is_empty() && Failover::parse(b"{}").is_empty());
        assert!(Failover::parse(br#"{"leader":null,"member":""}"#).is_empty());
    }
}
