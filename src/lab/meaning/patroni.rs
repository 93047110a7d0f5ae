//! The fragments of Patroni's YAML: keys that labrun sets itself, keys where Patroni does not read them, what
//! must be there, and timing.

use serde_json::{Map, Value};

use super::Meaning;
use crate::lab::diagnostic::Code;
use crate::lab::model::{Node, Topology};
use crate::lab::patroni_keys::{OWN, SECTIONS, advice, is_of_another_cluster};
use crate::lab::settings::{self, at};

/// Where a fragment stands: its path in the lab.
type At<'a> = &'a [&'a str];

impl Meaning<'_> {
    pub(super) fn patroni(&mut self, topology: &Topology) {
        self.fragment(&topology.defaults.postgres.patroni, &["topology", "defaults", "postgres", "patroni"]);
        let mut judged = false;
        for (name, node) in &topology.nodes {
            let Node::Postgres(node) = node else { continue };
            self.fragment(&node.patroni, &["topology", "nodes", name, "patroni"]);
            let merged = settings::patroni(&topology.defaults, node);
            self.complete(name, &merged);
            // What holds for the whole cluster is judged once, or where a node sets it anew.
            let dcs = ["topology", "nodes", name, "patroni", "bootstrap", "dcs"];
            if !judged || self.tree.find(&dcs).is_some() {
                self.timing(topology, name, &merged);
                judged = true;
            }
        }
    }

    /// A fragment as it is written.
    fn fragment(&mut self, fragment: &Map<String, Value>, place: At<'_>) {
        for path in OWN {
            let keys: Vec<&str> = path.split('.').collect();
            if at(fragment, &keys).is_some() {
                let span = self.key(&[place, &keys].concat());
                self.error(Code::OwnSetting, format!("labrun sets `{path}` itself"), span).with_help(
                    "it depends on where the node runs; take it away (a member's name is its node's `member`)",
                );
            }
        }
        for known in SECTIONS {
            let keys: Vec<&str> = known.path.split('.').filter(|key| !key.is_empty()).collect();
            let found = if keys.is_empty() { None } else { at(fragment, &keys) };
            let map = if keys.is_empty() { Some(fragment) } else { found.and_then(Value::as_object) };
            if let (None, Some(value)) = (map, found) {
                let span = self.value(&[place, &keys].concat());
                let kind = if value.is_null() { "nothing" } else { "no mapping" };
                self.error(
                    Code::WrongType,
                    format!("under `{}` stands {kind}, but a mapping is wanted", known.path),
                    span,
                );
            }
            for key in map.into_iter().flat_map(Map::keys).filter(|key| !known.keys.contains(&key.as_str())) {
                self.stray(fragment, known.path, key, &[place, &keys, &[key]].concat());
            }
        }
    }

    /// A key that Patroni does not read where it stands.
    fn stray(&mut self, fragment: &Map<String, Value>, path: &str, key: &str, place: At<'_>) {
        if is_custom_method(fragment, path, key) {
            return;
        }
        let span = self.key(place);
        if is_of_another_cluster(path, key) {
            let text = format!("a lab is one cluster that keeps its state in ZooKeeper: `{key}` has no place in it");
            self.error(Code::OwnSetting, text, span)
                .with_help("take it away: labrun writes the section `zookeeper` from the lab's nodes");
            return;
        }
        let shown = if path.is_empty() { "at the top level".to_owned() } else { format!("under `{path}`") };
        self.warning(Code::Misplaced, format!("Patroni does not read `{key}` {shown}"), span)
            .with_help(advice(path, key));
    }

    /// What every member's whole configuration must have.
    fn complete(&mut self, name: &str, merged: &Map<String, Value>) {
        let span = self.key(&["topology", "nodes", name]);
        let scope = merged.get("scope");
        if !scope.and_then(Value::as_str).is_some_and(|scope| !scope.is_empty() && !scope.contains('/')) {
            self.error(Code::MissingKey, format!("`{name}` has no `scope` in its Patroni settings"), span.clone())
                .with_help("`scope` names the cluster; write it under `topology.defaults.postgres.patroni`");
        }
        for user in ["superuser", "replication"] {
            for key in ["username", "password"] {
                let path = ["postgresql", "authentication", user, key];
                match at(merged, &path) {
                    None => {
                        let path = path.join(".");
                        self.error(Code::MissingKey, format!("`{name}` has no `{path}`"), span.clone())
                            .with_help("write it under `topology.defaults.postgres.patroni`");
                    }
                    Some(value) if value.as_str().is_none_or(str::is_empty) => {
                        let span = self.setting_of(name, &path);
                        self.error(Code::WrongType, format!("`{key}` must be a text, and not empty"), span)
                            .with_help("put it in quotes");
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// The rules of the lease.
    fn timing(&mut self, topology: &Topology, name: &str, merged: &Map<String, Value>) {
        const SOURCE: &str = "(Patroni's documents, \"Dynamic Configuration Settings\")";
        let mut seconds = [("ttl", 30, 20), ("loop_wait", 10, 1), ("retry_timeout", 10, 3)];
        for (key, value, least) in &mut seconds {
            let Some(given) = at(merged, &["bootstrap", "dcs", key]) else { continue };
            let span = self.dcs(name, key);
            match given.as_i64() {
                None => {
                    self.error(Code::WrongType, format!("`{key}` must be a whole number of seconds"), span);
                    return;
                }
                Some(given) if given < *least => {
                    self.warning(Code::Timing, format!("`{key}: {given}` is less than Patroni's least, {least}"), span)
                        .with_help(format!("Patroni takes {least} instead {SOURCE}"));
                    *value = *least;
                }
                Some(given) => *value = given,
            }
        }
        let [ttl, loop_wait, retry_timeout] = seconds.map(|(_, value, _)| value);
        let budget = retry_timeout.saturating_mul(2).saturating_add(loop_wait);
        if budget > ttl {
            let message =
                format!("loop_wait {loop_wait} + 2 * retry_timeout {retry_timeout} = {budget} is more than ttl {ttl}");
            let span = self.dcs(name, "ttl");
            self.warning(Code::Timing, message, span).with_help(format!(
                "a leader that retries its DCS may lose its lease before it gives up; Patroni lowers loop_wait and \
                 retry_timeout until the sum fits {SOURCE}"
            ));
        }
        self.session_limit(topology, name, ttl);
    }

    /// ZooKeeper bounds sessions to 2 and 20 ticks unless told (ZooKeeper, "Administrator's Guide").
    fn session_limit(&mut self, topology: &Topology, name: &str, ttl: i64) {
        for node in topology.nodes.values() {
            let Node::Zookeeper(node) = node else { continue };
            let settings = settings::zookeeper(&topology.defaults, node);
            let tick = i64::from(settings.tick_time.unwrap_or_default());
            let most = settings.max_session_timeout.map_or(tick * 20, i64::from);
            if ttl.saturating_mul(1000) > most {
                let message = format!("`ttl: {ttl}` is longer than ZooKeeper lets a session live, {most} ms");
                let span = self.dcs(name, "ttl");
                self.warning(Code::Timing, message, span)
                    .with_help("the lease would run out sooner than `ttl`; raise `maxSessionTimeout` or lower `ttl`");
                return;
            }
        }
    }

    /// Where a dynamic setting stands.
    fn dcs(&self, name: &str, key: &str) -> std::ops::Range<usize> {
        self.setting_of(name, &["bootstrap", "dcs", key])
    }

    /// Where a setting stands: at the node, or among the defaults.
    fn setting_of(&self, name: &str, path: &[&str]) -> std::ops::Range<usize> {
        let own = [&["topology", "nodes", name, "patroni"], path].concat();
        match self.tree.find(&own) {
            Some(_) => self.value(&own),
            None => self.value(&[&["topology", "defaults", "postgres", "patroni"], path].concat()),
        }
    }
}

/// Whether a key is the section of a bootstrap or replica method that the fragment itself names.
fn is_custom_method(fragment: &Map<String, Value>, path: &str, key: &str) -> bool {
    match path {
        "bootstrap" => at(fragment, &["bootstrap", "method"]).and_then(Value::as_str) == Some(key),
        "postgresql" => {
            let methods = at(fragment, &["postgresql", "create_replica_methods"]).and_then(Value::as_array);
            methods.is_some_and(|methods| methods.iter().any(|method| method == key))
        }
        _ => false,
    }
}
