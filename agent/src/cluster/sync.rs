//! `sync`: which standbys hold every acknowledged commit, and so may take over.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::json as text;

/// The payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sync {
    /// The leader that wrote the key; `None` where synchronous mode is off.
    pub leader: Option<String>,
    /// In quorum mode, how many of the standbys must agree in a leader race; else 0.
    pub quorum: u32,
    /// Names of the synchronous standbys, sorted.
    pub standbys: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct Raw {
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    quorum: Value,
    #[serde(default)]
    sync_standby: Option<String>,
}

impl Sync {
    pub fn new(leader: &str, standbys: impl IntoIterator<Item = String>) -> Sync {
        let mut standbys: Vec<_> = standbys.into_iter().collect();
        standbys.sort();
        Sync { leader: Some(leader.into()), quorum: 0, standbys }
    }

    /// What cannot be read, names nobody.
    pub fn parse(bytes: &[u8]) -> Sync {
        let Ok(raw) = serde_json::from_slice::<Raw>(bytes) else {
            return Sync::default();
        };
        let names = raw.sync_standby.unwrap_or_default();
        let standbys = names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let quorum = raw.quorum.as_u64().or_else(|| raw.quorum.as_str()?.parse().ok()).unwrap_or(0);
        Sync { leader: raw.leader.filter(|name| !name.is_empty()), quorum: quorum as u32, standbys: standbys.collect() }
    }

    pub fn to_json(&self) -> String {
        let Some(leader) = &self.leader else {
            return "{}".into();
        };
        let standbys = if self.standbys.is_empty() { Value::Null } else { Value::from(self.standbys.join(",")) };
        text::compact(&json!({"leader": leader, "quorum": self.quorum, "sync_standby": standbys}))
    }

    /// Whether synchronous mode was on when the key was written.
    pub fn is_active(&self) -> bool {
        self.leader.is_some()
    }

    /// Whether `name` is one of the synchronous standbys. Names match without regard to case.
    pub fn has_standby(&self, name: &str) -> bool {
        self.standbys.iter().any(|standby| standby.eq_ignore_ascii_case(name))
    }

    /// Whether `name` wrote the key as the leader.
    pub fn is_leader(&self, name: &str) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.eq_ignore_ascii_case(name))
    }

    /// Whether `name` is the leader or a standby of this key.
    pub fn names(&self, name: &str) -> bool {
        self.is_leader(name) || self.has_standby(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_payloads_survive_a_round_trip_byte_for_byte() {
        for line in [
            r#"{"leader":"pg1","quorum":0,"sync_standby":"pg2,pg3"}"#,
            r#"{"leader":"pg2","quorum":0,"sync_standby":null}"#,
            r#"{"leader":"pg2","quorum":1,"sync_standby":"pg1,pg3"}"#,
            "{}",
        ] {
            assert_eq!(Sync::parse(line.as_bytes()).to_json(), line);
        }
    }

    #[test]
    fn names_match_without_case_and_garbage_names_nobody() {
        let sync = Sync::new("PG1", ["pg3".into(), "Pg2".into()]);
        assert!(sync.names("pg1") && sync.has_standby("PG2") && !sync.has_standby("pg1"));
        assert_eq!(Sync::parse(b"nonsense"), Sync::default());
        assert!(!Sync::parse(b"{}").is_active());
    }
}
