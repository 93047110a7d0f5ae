//! `config`: the dynamic configuration, shared by all nodes.

use serde_json::{Map, Value};

use super::json;

/// The payload: an object whose key order is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DynamicConfig(pub Map<String, Value>);

impl DynamicConfig {
    /// `None` if the payload is not a JSON object; nodes then keep what they had.
    pub fn parse(bytes: &[u8]) -> Option<DynamicConfig> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Some(DynamicConfig(map)),
            _ => None,
        }
    }

    pub fn to_json(&self) -> String {
        json::compact(&self.0)
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Applies a patch as `PATCH /config` does: objects are merged, `null` removes a key.
    pub fn patch(&mut self, patch: &Map<String, Value>) {
        json::merge(&mut self.0, patch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_is_kept_and_a_patch_merges_and_removes() {
        let text = r#"{"ttl":30,"loop_wait":10,"postgresql":{"use_slots":true,"parameters":{"b":1,"a":"x"}}}"#;
        let mut config = DynamicConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.to_json(), text);
        let patch: Value =
            serde_json::from_str(r#"{"ttl":null,"pause":true,"postgresql":{"parameters":{"b":2}}}"#).unwrap();
        config.patch(patch.as_object().unwrap());
        assert_eq!(
            config.to_json(),
            r#"{"loop_wait":10,"postgresql":{"use_slots":true,"parameters":{"b":2,"a":"x"}},"pause":true}"#
        );
        assert_eq!(DynamicConfig::parse(b"[1]"), None);
    }
}
