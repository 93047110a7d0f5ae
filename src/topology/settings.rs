//! What a node's settings come to: the node's own over the kind's defaults over labrun's.

use serde_json::{Map, Value};

use crate::lab::model::{
    AgentKind, HaproxyNode, HaproxySettings, NodeDefaults, PostgresNode, ZookeeperNode, ZookeeperSettings,
};

/// The image of a ZooKeeper container, where a lab names none.
const ZOOKEEPER_IMAGE: &str = "confluentinc/cp-zookeeper:7.7.1";
/// The base image of PostgreSQL's container, where a lab names none.
const POSTGRES_IMAGE: &str = "postgres:15";
/// The image of HAProxy's container, where a lab names none.
const HAPROXY_IMAGE: &str = "haproxy:2.4";

/// ZooKeeper's settings; the defaults of the limits are those of `zoo_sample.cfg`.
pub fn zookeeper(defaults: &NodeDefaults, node: &ZookeeperNode) -> ZookeeperSettings {
    let (own, kind) = (&node.settings, &defaults.zookeeper.settings);
    ZookeeperSettings {
        tick_time: own.tick_time.or(kind.tick_time).or(Some(2000)),
        min_session_timeout: own.min_session_timeout.or(kind.min_session_timeout),
        max_session_timeout: own.max_session_timeout.or(kind.max_session_timeout),
        init_limit: own.init_limit.or(kind.init_limit).or(Some(10)),
        sync_limit: own.sync_limit.or(kind.sync_limit).or(Some(5)),
    }
}

/// HAProxy's settings, each with a value.
pub fn haproxy(defaults: &NodeDefaults, node: &HaproxyNode) -> HaproxySettings {
    let (own, kind) = (node.settings.clone(), defaults.haproxy.settings.clone());
    let text = |value: &str| Some(value.to_owned());
    HaproxySettings {
        maxconn: own.maxconn.or(kind.maxconn).or(Some(100)),
        server_maxconn: own.server_maxconn.or(kind.server_maxconn).or(Some(100)),
        retries: own.retries.or(kind.retries).or(Some(2)),
        timeout_client: own.timeout_client.or(kind.timeout_client).or(text("30m")),
        timeout_connect: own.timeout_connect.or(kind.timeout_connect).or(text("4s")),
        timeout_server: own.timeout_server.or(kind.timeout_server).or(text("30m")),
        timeout_check: own.timeout_check.or(kind.timeout_check).or(text("5s")),
        check_path: own.check_path.or(kind.check_path).or(text("/")),
        inter: own.inter.or(kind.inter).or(text("3s")),
        fall: own.fall.or(kind.fall).or(Some(3)),
        rise: own.rise.or(kind.rise).or(Some(2)),
        shutdown_sessions: own.shutdown_sessions.or(kind.shutdown_sessions).or(Some(true)),
    }
}

/// A postgres node's fragment of Patroni's YAML: its own merged over the kind's. Mappings are merged key by key,
/// anything else is replaced, and nothing (`null`) takes a key away, as Patroni's own configuration patches do it.
pub fn patroni(defaults: &NodeDefaults, node: &PostgresNode) -> Map<String, Value> {
    let mut merged = defaults.postgres.patroni.clone();
    merge(&mut merged, &node.patroni);
    merged
}

fn merge(into: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (into.get_mut(key), value) {
            (_, Value::Null) => {
                into.shift_remove(key);
            }
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The HA agent of a postgres node.
pub fn agent(defaults: &NodeDefaults, node: &PostgresNode) -> AgentKind {
    node.agent.unwrap_or(defaults.postgres.agent)
}

/// The image of a ZooKeeper node.
pub fn zookeeper_image<'a>(defaults: &'a NodeDefaults, node: &'a ZookeeperNode) -> &'a str {
    node.image.as_deref().or(defaults.zookeeper.image.as_deref()).unwrap_or(ZOOKEEPER_IMAGE)
}

/// The base image of a postgres node.
pub fn postgres_image<'a>(defaults: &'a NodeDefaults, node: &'a PostgresNode) -> &'a str {
    node.image.as_deref().or(defaults.postgres.image.as_deref()).unwrap_or(POSTGRES_IMAGE)
}

/// The image of an HAProxy node.
pub fn haproxy_image<'a>(defaults: &'a NodeDefaults, node: &'a HaproxyNode) -> &'a str {
    node.image.as_deref().or(defaults.haproxy.image.as_deref()).unwrap_or(HAPROXY_IMAGE)
}

/// A value below a Patroni fragment, by its path.
pub fn at<'a>(patroni: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(patroni.get(*first)?, |value, key| value.get(key))
}

/// A time as HAProxy writes it, in ms: a number and `us`, `ms` (also where there is none), `s`, `m`, `h` or `d`
/// (HAProxy's Configuration Manual, section 2.5, "Time format").
pub fn haproxy_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "us" => Some(number / 1_000),
        "" | "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fragment_is_merged_key_by_key() {
        let Value::Object(mut below) = json!({"a": {"x": 1, "y": 2}, "b": [1], "c": 3}) else { unreachable!() };
        let Value::Object(above) = json!({"a": {"y": 9, "z": 4}, "b": [2, 3], "c": null, "d": {}}) else {
            unreachable!()
        };
        merge(&mut below, &above);
        assert_eq!(Value::Object(below), json!({"a": {"x": 1, "y": 9, "z": 4}, "b": [2, 3], "d": {}}));
    }

    #[test]
    fn haproxy_times_are_read() {
        let times = ["30m", "4s", "500", "250ms", "1500us", "1h", "1d", "", "3 s", "s", "1w", "99999999999999999999s"];
        let ms = [
            Some(1_800_000),
            Some(4_000),
            Some(500),
            Some(250),
            Some(1),
            Some(3_600_000),
            Some(86_400_000),
            None,
            None,
            None,
            None,
            None,
        ];
        assert_eq!(times.map(haproxy_ms), ms);
    }
}
