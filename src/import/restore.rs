//! Indentation that was lost on the way (a chat, a word processor), put back: which key belongs under which is known
//! for Patroni's files and for compose files, so that their likely original can be shown.

use std::sync::Arc;

use super::project::COMPOSE_NAMES;
use crate::lab::diagnostic::{Code, Diagnostic, File};
use crate::lab::{indentation, yaml};

/// What may stand under a key.
enum Shape {
    /// A value on the key's own line, or nothing.
    Value,
    /// Items that begin with `-`.
    List,
    /// Keys of any name.
    Free,
    /// Names of any kind, each with the same keys.
    Named(&'static Shape),
    /// These keys.
    Keys(&'static [(&'static str, Shape)]),
}

use Shape::{Free, Keys, List, Named, Value};

const USER: Shape = Keys(&[("username", Value), ("password", Value), ("sslmode", Value)]);

/// Patroni's documents, "YAML Configuration Settings".
static PATRONI: Shape = Keys(&[
    ("scope", Value),
    ("namespace", Value),
    ("name", Value),
    (
        "restapi",
        Keys(&[
            ("listen", Value),
            ("connect_address", Value),
            ("authentication", USER),
            ("certfile", Value),
            ("keyfile", Value),
            ("cafile", Value),
        ]),
    ),
    ("zookeeper", Keys(&[("hosts", List), ("use_ssl", Value)])),
    (
        "bootstrap",
        Keys(&[
            (
                "dcs",
                Keys(&[
                    ("ttl", Value),
                    ("loop_wait", Value),
                    ("retry_timeout", Value),
                    ("maximum_lag_on_failover", Value),
                    ("master_start_timeout", Value),
                    ("primary_start_timeout", Value),
                    ("synchronous_mode", Value),
                    ("synchronous_mode_strict", Value),
                    ("synchronous_node_count", Value),
                    ("failsafe_mode", Value),
                    (
                        "postgresql",
                        Keys(&[
                            ("use_pg_rewind", Value),
                            ("use_slots", Value),
                            ("parameters", Free),
                            ("recovery_conf", Free),
                        ]),
                    ),
                ]),
            ),
            ("initdb", List),
            ("pg_hba", List),
            ("users", Named(&Keys(&[("password", Value), ("options", List)]))),
            ("post_bootstrap", Value),
            ("post_init", Value),
        ]),
    ),
    (
        "postgresql",
        Keys(&[
            ("listen", Value),
            ("connect_address", Value),
            ("data_dir", Value),
            ("bin_dir", Value),
            ("config_dir", Value),
            ("pgpass", Value),
            ("authentication", Keys(&[("replication", USER), ("superuser", USER), ("rewind", USER)])),
            ("parameters", Free),
            ("pg_hba", List),
            ("use_pg_rewind", Value),
            ("use_slots", Value),
        ]),
    ),
    ("watchdog", Keys(&[("mode", Value), ("device", Value), ("safety_margin", Value)])),
    ("tags", Free),
]);

/// The Compose specification, as far as such projects use it.
static COMPOSE: Shape = Keys(&[
    ("version", Value),
    ("name", Value),
    (
        "services",
        Named(&Keys(&[
            ("image", Value),
            ("build", Keys(&[("context", Value), ("dockerfile", Value)])),
            ("container_name", Value),
            ("hostname", Value),
            ("restart", Value),
            ("environment", Free),
            ("ports", List),
            ("expose", List),
            ("volumes", List),
            ("command", List),
            ("depends_on", List),
            ("networks", List),
            ("healthcheck", Keys(&[("test", List), ("interval", Value), ("timeout", Value), ("retries", Value)])),
        ])),
    ),
    ("volumes", Named(&Keys(&[("driver", Value)]))),
    ("networks", Named(&Keys(&[("driver", Value)]))),
]);

fn shape_of(file: &File) -> &'static Shape {
    if COMPOSE_NAMES.contains(&file.name.as_str()) { &COMPOSE } else { &PATRONI }
}

/// The finding, where a section has nothing under it and what belongs there follows at its own level. Such a file
/// may well be YAML, and then says something quite different.
pub fn lost(file: &Arc<File>) -> Option<Diagnostic> {
    let lost = indentation::first_lost(&file.text)?;
    has_children(shape_of(file), lost.key).then(|| {
        let finding = indentation::lost(file, lost.header, lost.child);
        with_likely_original(file, finding)
    })
}

/// A finding about the indentation, with what the file looked like before, where that can be told.
pub fn with_likely_original(file: &Arc<File>, finding: Diagnostic) -> Diagnostic {
    if !matches!(finding.code, Code::IndentationLost | Code::NotYaml) {
        return finding;
    }
    match likely_original(file) {
        Some(text) => finding.advice(format!(
            "copying through a chat or a word processor often loses indentation; the likely original:\n\n{text}"
        )),
        None => finding,
    }
}

/// Whether a key of this name has keys under it anywhere.
fn has_children(shape: &Shape, name: &str) -> bool {
    match shape {
        Value | List | Free => false,
        Named(below) => has_children(below, name),
        Keys(keys) => keys
            .iter()
            .any(|(key, below)| (*key == name && !matches!(below, Value | List)) || has_children(below, name)),
    }
}

/// An open key.
struct Frame {
    shape: &'static Shape,
    seen: Vec<String>,
}

/// The text with every line where its key belongs; none where a line fits nowhere, or the result is no YAML.
pub fn likely_original(file: &File) -> Option<String> {
    let mut stack = vec![Frame { shape: shape_of(file), seen: Vec::new() }];
    let mut out = String::new();
    for line in file.text.lines() {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || text == "---" {
            out.push_str(&format!("{}{text}\n", " ".repeat(if text.is_empty() { 0 } else { 2 * (stack.len() - 1) })));
            continue;
        }
        if text.starts_with("- ") || text == "-" {
            let list = stack.iter().rposition(|frame| matches!(frame.shape, List | Free))?;
            stack.truncate(list + 1);
            out.push_str(&format!("{}{text}\n", " ".repeat(2 * list)));
            continue;
        }
        let (key, value) = text.split_once(':')?;
        let value = value.trim();
        if !value.is_empty() && !text[key.len() + 1..].starts_with([' ', '\t']) {
            return None;
        }
        let at = home(&stack, key, value.is_empty())?;
        stack.truncate(at + 1);
        out.push_str(&format!("{}{text}\n", " ".repeat(2 * at)));
        stack[at].seen.push(key.to_owned());
        if let Some(shape) = below(stack[at].shape, key)
            && value.is_empty()
        {
            stack.push(Frame { shape, seen: Vec::new() });
        }
    }
    let restored = Arc::new(File { name: file.name.clone(), text: out });
    yaml::parse(&restored).ok()?;
    (restored.text != file.text).then(|| restored.text.clone())
}

/// The frame that a key belongs to: the innermost that knows it and has it not yet.
fn home(stack: &[Frame], key: &str, header: bool) -> Option<usize> {
    let knows = |frame: &Frame| match frame.shape {
        Keys(keys) => keys.iter().any(|(known, _)| *known == key) && !frame.seen.iter().any(|seen| seen == key),
        _ => false,
    };
    let by_name = stack.iter().rposition(knows);
    // A name of its own choosing: a parameter has a value, a service has none.
    let free = stack.iter().rposition(|frame| match frame.shape {
        Free => !header,
        Named(_) => header,
        _ => false,
    });
    by_name.or(free)
}

/// What may stand under a key.
fn below(shape: &'static Shape, key: &str) -> Option<&'static Shape> {
    match shape {
        Keys(keys) => keys.iter().find(|(known, _)| *known == key).map(|(_, shape)| shape),
        Named(below) => Some(below),
        Value | List | Free => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(name: &str, text: &str) -> Arc<File> {
        let text = text.lines().map(|line| format!("{}\n", line.trim_start())).collect();
        Arc::new(File { name: name.to_owned(), text })
    }

    const PATRONI_FILE: &str = "\
scope: my_cluster
name: postgresql0

restapi:
  listen: 0.0.0.0:8008
  connect_address: pg-master:8008

bootstrap:
  dcs:
    ttl: 30
    postgresql:
      use_pg_rewind: true
      parameters:
        wal_level: replica
        hot_standby: \"on\"
  pg_hba:
    - host all all 0.0.0.0/0 md5

postgresql:
  listen: 0.0.0.0:5432
  authentication:
    replication:
      username: replicator
      password: rep-pass
    superuser:
      username: postgres
      password: postgres
  parameters:
    unix_socket_directories: '.'

tags:
  nofailover: false
";

    #[test]
    fn a_flattened_configuration_gets_its_indentation_back() {
        let file = flat("postgres0.yml", PATRONI_FILE);
        let finding = lost(&file).expect("lost");
        assert_eq!(finding.code, Code::IndentationLost);
        assert_eq!(likely_original(&file).as_deref(), Some(PATRONI_FILE));
        assert!(finding.help.unwrap().contains("\n    postgresql:\n      use_pg_rewind: true\n"));
    }

    #[test]
    fn a_flattened_compose_file_gets_its_indentation_back() {
        let text = "services:\n  zoo:\n    image: zookeeper\n    ports:\n      - 2181:2181\n    environment:\n      A: 1\n  \
                    pg:\n    build: .\n    depends_on:\n      - zoo\n";
        let file = flat("docker-compose.yml", text);
        assert!(lost(&file).is_some());
        assert_eq!(likely_original(&file).as_deref(), Some(text));
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let whole = |name: &str, text: &str| Arc::new(File { name: name.to_owned(), text: text.to_owned() });
        assert!(lost(&whole("postgres0.yml", PATRONI_FILE)).is_none());
        assert!(likely_original(&whole("postgres0.yml", PATRONI_FILE)).is_none());
        // Volumes without settings stand below each other, with nothing under them.
        let volumes = "services:\n  a:\n    image: x\nvolumes:\n  one:\n  two:\n";
        assert!(lost(&whole("docker-compose.yml", volumes)).is_none());
        // What cannot be told is not guessed.
        assert!(likely_original(&whole("postgres0.yml", "scope: a\nwhat is this\n")).is_none());
    }
}
