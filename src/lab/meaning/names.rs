//! Names: what they may be made of, and that none stands for two things.

use std::collections::HashMap;

use super::Meaning;
use crate::lab::diagnostic::{Code, listed};
use crate::lab::model::{FORMAT, LabFile, Node};

/// The roles that steps are aimed at; no node may be named so.
pub const ROLES: [&str; 7] = ["leader", "sync_standby", "replica", "proxy", "dcs", "dcs_leader", "dcs_follower"];
/// What `heal` may be aimed at beside roles and nodes; no node may be named so.
pub const ALL: &str = "all";
/// The longest name: that of a host (RFC 1123).
const LONGEST: usize = 63;

impl Meaning<'_> {
    pub(super) fn format(&mut self, given: &str, key: &str) {
        if given != FORMAT {
            let place = self.value(&[key]);
            let message = format!("this is written for the format `{given}`, and this labrun reads `{FORMAT}`");
            self.error(Code::WrongFormat, message, place).with_help(format!("write `{key}: {FORMAT}`"));
        }
    }

    pub(super) fn names(&mut self, lab: &LabFile) {
        self.format(&lab.lab, "lab");
        self.host_name(&lab.name, &["name"], "the lab's name");
        for name in lab.topology.nodes.keys() {
            let path = ["topology", "nodes", name];
            self.host_name(name, &path, "a node's name");
            if ROLES.contains(&name.as_str()) || name == ALL {
                let place = self.key(&path);
                self.error(Code::BadName, format!("`{name}` is a role, and no name for a node"), place)
                    .with_help(format!("roles are {}", listed(ROLES)));
            }
        }
        self.members(lab);
        let parts: Vec<_> = lab.parts.iter().map(|part| part.id.as_str()).collect();
        self.ids("parts", &parts);
        let questions: Vec<_> = lab.questions.iter().map(|question| question.id.as_str()).collect();
        self.ids("questions", &questions);
    }

    /// A name that is also a host name.
    fn host_name(&mut self, name: &str, path: &[&str], what: &str) {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let sound = name.chars().all(inner)
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.ends_with(ends)
            && name.len() <= LONGEST;
        if !sound {
            // A node's name is a key, the lab's is a value.
            let place = if path.len() > 1 { self.key(path) } else { self.value(path) };
            self.error(Code::BadName, format!("`{name}` cannot be {what}"), place).with_help(format!(
                "use lower-case letters, digits and dashes, a letter first, at most {LONGEST} characters"
            ));
        }
    }

    /// Members' names are Patroni's: no two alike, and fit for a ZooKeeper key and a slot's name.
    fn members(&mut self, lab: &LabFile) {
        let mut seen: HashMap<String, &str> = HashMap::new();
        for (name, node) in &lab.topology.nodes {
            let Node::Postgres(postgres) = node else { continue };
            let member = postgres.member.as_deref().unwrap_or(name);
            let place = self.value(&["topology", "nodes", name, "member"]);
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if member.is_empty() || !member.chars().all(fits) || member.len() > LONGEST {
                self.error(Code::BadName, format!("`{member}` cannot be a member's name"), place.clone())
                    .with_help("use letters, digits, dashes, underscores and dots");
            }
            // Patroni compares members' names without regard to case in the sync key.
            if let Some(other) = seen.insert(member.to_lowercase(), name) {
                let message = format!("`{member}` is the member name of both {other} and {name}");
                self.error(Code::Twice, message, place).with_help("members of one cluster need names of their own");
            }
        }
    }

    /// The `id`s of a list.
    fn ids(&mut self, list: &str, ids: &[&str]) {
        for (index, id) in ids.iter().enumerate() {
            let at = index.to_string();
            let place = self.value(&[list, &at, "id"]);
            self.id(id, place.clone());
            if let Some(first) = ids[..index].iter().position(|other| other == id) {
                let before = self.value(&[list, &first.to_string(), "id"]);
                self.error(Code::Twice, format!("`{id}` stands in `{list}` twice"), place)
                    .with_label("the second time")
                    .with_place(before, "the first time");
            }
        }
    }

    /// A name that expressions and commands use.
    pub(super) fn id(&mut self, id: &str, place: std::ops::Range<usize>) {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if !id.starts_with(|c: char| c.is_ascii_lowercase()) || !id.chars().all(inner) || id.len() > LONGEST {
            self.error(Code::BadName, format!("`{id}` cannot be a name here"), place)
                .with_help("use lower-case letters, digits, dashes and underscores, a letter first");
        }
    }
}
