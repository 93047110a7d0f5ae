//! Programs of the user's own: hooks, callbacks, ways to make a cluster or a replica.
//!
//! Patroni splits a command into words as a shell would and runs it without one; so do we.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::parameters::{Parameters, text};

/// Programs that are run when something happens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// `callbacks`: the command by the action's name, such as `on_role_change`.
    pub callbacks: IndexMap<String, String>,
    /// Must succeed before a promotion.
    pub pre_promote: Option<String>,
    /// Runs to its end before PostgreSQL is stopped; its failure stops nothing.
    pub before_stop: Option<String>,
}

/// One of `create_replica_methods`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaMethod {
    Basebackup,
    Script(ReplicaScript),
}

/// A program that makes a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaScript {
    pub name: String,
    pub command: String,
    /// It is told nothing beyond `arguments`.
    pub no_params: bool,
    /// It needs no running member to copy from.
    pub no_leader: bool,
    /// What lies in the data directory is left to it, before and after.
    pub keep_data: bool,
    pub arguments: Vec<(String, String)>,
}

/// `bootstrap.<method>`: a program that makes a new cluster instead of initdb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomBootstrap {
    pub command: String,
    pub no_params: bool,
    pub arguments: Vec<(String, String)>,
    pub recovery: RestoredRecovery,
}

/// What becomes of the recovery settings that a custom bootstrap leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoredRecovery {
    /// They are removed: what was made is a primary.
    Removed,
    /// `keep_existing_recovery_conf`: they are those of the tool that restored the data.
    Kept,
    /// `recovery_conf`: these take their place, until the recovery that they describe has ended.
    Replaced(Parameters),
}

/// The command's words; none if its quotes are not closed, or if it is empty.
pub fn words(command: &str) -> Option<Vec<String>> {
    shlex::split(command).filter(|words| !words.is_empty())
}

impl ReplicaMethod {
    /// The method `name` with its section of the `postgresql` section.
    pub(super) fn new(name: &str, section: Option<&Value>) -> ReplicaMethod {
        if name == "basebackup" {
            return ReplicaMethod::Basebackup;
        }
        let none = Map::new();
        let section = section.and_then(Value::as_object).unwrap_or(&none);
        let no_params = is_on(section.get("no_params"));
        let hidden = |key: &str| key == "command" || no_params && OPTIONS.contains(&key);
        ReplicaMethod::Script(ReplicaScript {
            name: name.to_owned(),
            command: section.get("command").and_then(Value::as_str).unwrap_or(name).to_owned(),
            no_params,
            no_leader: is_on(section.get("no_leader")),
            keep_data: is_on(section.get("keep_data")),
            arguments: arguments(section, hidden),
        })
    }

    pub fn needs_leader(&self) -> bool {
        !matches!(self, ReplicaMethod::Script(ReplicaScript { no_leader: true, .. }))
    }
}

/// Options of a method that are for the agent; Patroni tells them to the script unless `no_params` is set.
const OPTIONS: [&str; 3] = ["no_params", "no_leader", "keep_data"];

/// Keys of a bootstrap method that are for the agent.
const BOOTSTRAP_KEYS: [&str; 6] =
    ["command", "no_params", "keep_existing_recovery_conf", "recovery_conf", "scope", "datadir"];

impl CustomBootstrap {
    /// The method that the `bootstrap` section names, unless that is initdb or has no command.
    pub(super) fn of(bootstrap: &Map<String, Value>) -> Option<CustomBootstrap> {
        let method = bootstrap.get("method")?.as_str().filter(|method| *method != "initdb")?;
        let section = bootstrap.get(method)?.as_object()?;
        let recovery = match section.get("recovery_conf").and_then(Value::as_object) {
            Some(map) => RestoredRecovery::Replaced(
                map.iter().filter_map(|(name, value)| Some((name.to_ascii_lowercase(), text(value)?))).collect(),
            ),
            None if is_on(section.get("keep_existing_recovery_conf")) => RestoredRecovery::Kept,
            None => RestoredRecovery::Removed,
        };
        Some(CustomBootstrap {
            command: section.get("command")?.as_str()?.to_owned(),
            no_params: is_on(section.get("no_params")),
            arguments: arguments(section, |key| BOOTSTRAP_KEYS.contains(&key)),
            recovery,
        })
    }
}

impl Hooks {
    pub(super) fn new<'a>(get: impl Fn(&str) -> Option<&'a Value>) -> Hooks {
        let command = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let callbacks = get("callbacks").and_then(Value::as_object).cloned().unwrap_or_default();
        Hooks {
            callbacks: callbacks.iter().filter_map(|(name, value)| Some((name.clone(), command(value)?))).collect(),
            pre_promote: get("pre_promote").and_then(command),
            before_stop: get("before_stop").and_then(command),
        }
    }
}

fn arguments(section: &Map<String, Value>, hidden: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let shown = section.iter().filter(|(key, _)| !hidden(key));
    shown.map(|(key, value)| (key.clone(), as_python(value))).collect()
}

/// A value as Python prints it.
fn as_python(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Null => "None".into(),
        other => other.to_string(),
    }
}

fn is_on(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(on)) => *on,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !matches!(text.to_ascii_lowercase().as_str(), "" | "false" | "off" | "no" | "0"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_are_split_as_a_shell_does_and_unclosed_quotes_are_refused() {
        assert_eq!(words("/bin/sh -c 'exit 1' a\\ b").unwrap(), ["/bin/sh", "-c", "exit 1", "a b"]);
        assert_eq!(words("echo 'x"), None);
        assert_eq!(words("  "), None);
    }

    #[test]
    fn a_replica_script_is_told_its_section_and_may_hide_the_options() {
        let section = json!({"command": "/x --y", "no_leader": true, "retries": 3, "flag": false});
        let ReplicaMethod::Script(script) = ReplicaMethod::new("wal_g", Some(&section)) else { panic!() };
        assert_eq!(script.command, "/x --y");
        assert!(script.no_leader && !script.no_params && !script.keep_data);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(script.arguments, [pair("no_leader", "True"), pair("retries", "3"), pair("flag", "False")]);
        let section = json!({"no_params": true, "keep_data": true, "a": "b"});
        let ReplicaMethod::Script(script) = ReplicaMethod::new("by-name", Some(&section)) else { panic!() };
        assert_eq!((script.command.as_str(), script.arguments), ("by-name", vec![pair("a", "b")]));
        assert_eq!(ReplicaMethod::new("basebackup", None), ReplicaMethod::Basebackup);
    }

    #[test]
    fn a_custom_bootstrap_has_a_command_and_says_what_becomes_of_recovery() {
        let of = |value: Value| CustomBootstrap::of(value.as_object().unwrap());
        assert_eq!(of(json!({"method": "initdb", "initdb": []})), None);
        assert_eq!(of(json!({"method": "mine", "mine": {"no": "command"}})), None);
        let custom = of(json!({"method": "mine", "mine": {
            "command": "/x", "extra": "word", "recovery_conf": {"Recovery_Target_Action": "promote", "x": 1},
        }}))
        .unwrap();
        assert_eq!(custom.arguments, [("extra".to_owned(), "word".to_owned())]);
        let RestoredRecovery::Replaced(recovery) = custom.recovery else { panic!() };
        assert_eq!((recovery["recovery_target_action"].as_str(), recovery["x"].as_str()), ("promote", "1"));
        let kept = of(json!({"method": "m", "m": {"command": "/x", "keep_existing_recovery_conf": true}})).unwrap();
        assert_eq!(kept.recovery, RestoredRecovery::Kept);
    }
}
