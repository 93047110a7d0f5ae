//! The use of checks by a lab: which they are, their parameters, and whether the topology has what they need.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::Value;

use super::Meaning;
use super::check::{CheckSource, aim, names_node};
use super::names::ROLES;
use super::text::Form;
use crate::lab::diagnostic::{Code, Diagnostic, listed, nearest};
use crate::lab::library::Library;
use crate::lab::model::{CheckFile, CheckUse, LabFile, Node, Operation, Step, StepAction, Topology, WorkloadStep};

/// The checks that a lab uses, by name; none for one that is there but not sound.
pub type Checks = IndexMap<String, Option<CheckSource>>;

/// What is known at the use of a check.
struct Uses<'a> {
    lab: &'a LabFile,
    checks: &'a Checks,
    /// What earlier uses captured, by their id.
    captured: IndexMap<String, BTreeSet<String>>,
}

impl Meaning<'_> {
    pub(super) fn uses(&mut self, lab: &LabFile, library: &Library, checks: &Checks) {
        let mut uses = Uses { lab, checks, captured: IndexMap::new() };
        for (part, written) in lab.parts.iter().enumerate() {
            for (index, used) in written.checks.iter().enumerate() {
                let (part, index) = (part.to_string(), index.to_string());
                self.one_use(used, &["parts", &part, "checks", &index], library, &mut uses);
            }
        }
    }

    fn one_use(&mut self, used: &CheckUse, path: &[&str], library: &Library, uses: &mut Uses<'_>) {
        let id = used.id.as_ref().unwrap_or(&used.uses);
        let place = self.value(&[path, &[if used.id.is_some() { "id" } else { "use" }]].concat());
        if used.id.is_some() {
            self.id(id, place.clone());
        }
        let Some(found) = uses.checks.get(&used.uses) else {
            self.unknown_check(used, path, library);
            return;
        };
        // A check that is not sound is told about by itself.
        let Some(source) = found else {
            uses.captured.insert(id.clone(), BTreeSet::new());
            return;
        };
        self.params(used, &source.check, path, uses);
        self.needed_kinds(&source.check, path, &uses.lab.topology);
        self.aims(source, &uses.lab.topology);
        if uses.captured.contains_key(id) {
            self.error(Code::Twice, format!("two uses of checks are named `{id}`"), place)
                .with_help("give one of them an `id:` of its own");
        }
        let steps = source.check.steps.iter().chain(&source.check.finally);
        uses.captured.insert(id.clone(), steps.flat_map(|step| step.capture.keys().cloned()).collect());
    }

    fn unknown_check(&mut self, used: &CheckUse, path: &[&str], library: &Library) {
        let names = library.names("checks", ".yaml");
        let help = match nearest(&used.uses, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "write it as checks/{}.yaml beside the lab, or use one of {}",
                used.uses,
                listed(names.iter().map(String::as_str))
            ),
        };
        let place = self.value(&[path, &["use"]].concat());
        self.error(Code::UnknownCheck, format!("there is no check `{}`", used.uses), place).with_help(help);
    }

    fn params(&mut self, used: &CheckUse, check: &CheckFile, path: &[&str], uses: &Uses<'_>) {
        for (name, value) in &used.with {
            let at = [path, &["with", name]].concat();
            if !check.params.contains_key(name) {
                let place = self.key(&at);
                let names = || check.params.keys().map(String::as_str);
                let help = match nearest(name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if check.params.is_empty() => "it has no parameters".to_owned(),
                    None => format!("its parameters are {}", listed(names())),
                };
                self.error(Code::UnknownParam, format!("the check `{}` has no parameter `{name}`", check.name), place)
                    .with_help(help);
            }
            self.values(value, &at, uses);
        }
        for (name, param) in &check.params {
            if param.default.is_none() && !used.with.contains_key(name) {
                let place = self.value(&[path, &["use"]].concat());
                let about = param.about.get(crate::lab::model::Lang::En).to_owned();
                self.error(Code::MissingParam, format!("the check `{}` must be given `{name}`", check.name), place)
                    .with_help(format!("write `with: {{{name}: …}}`. It is {about}"));
            }
        }
    }

    /// Every text within a parameter's value.
    fn values(&mut self, value: &Value, path: &[&str], uses: &Uses<'_>) {
        match value {
            Value::String(text) => {
                let place = self.value(path);
                self.reads(Form::Template, text, place, &|name| uses.known(name));
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.values(item, &[path, &[&index.to_string()]].concat(), uses);
                }
            }
            Value::Object(map) => {
                map.iter().for_each(|(key, item)| self.values(item, &[path, &[key.as_str()]].concat(), uses));
            }
            _ => {}
        }
    }

    /// Whether the topology has the kinds of nodes that the check works on.
    fn needed_kinds(&mut self, check: &CheckFile, path: &[&str], topology: &Topology) {
        let count = |kind: fn(&Node) -> bool| topology.nodes.values().filter(|node| kind(node)).count();
        let has = [
            count(|node| matches!(node, Node::Postgres(_))),
            count(|node| matches!(node, Node::Haproxy(_))),
            count(|node| matches!(node, Node::Zookeeper(_))),
        ];
        let mut needs = [0, 0, 0];
        for step in check.steps.iter().chain(&check.finally) {
            for (most, one) in needs.iter_mut().zip(needed(step)) {
                *most = one.max(*most);
            }
        }
        let kinds = ["postgres", "haproxy", "zookeeper"];
        for ((kind, needed), has) in kinds.into_iter().zip(needs).zip(has) {
            if has < needed {
                let place = self.value(&[path, &["use"]].concat());
                let nodes = if needed == 1 { "a node".to_owned() } else { format!("{needed} nodes") };
                let message =
                    format!("the check `{}` needs {nodes} of kind `{kind}`, and the topology has {has}", check.name);
                self.error(Code::MissingKind, message, place).with_help(format!("add a node of kind `{kind}`"));
            }
        }
    }

    /// Whether the nodes that the check's steps name are nodes of this lab.
    fn aims(&mut self, source: &CheckSource, topology: &Topology) {
        for (list, steps) in [("steps", &source.check.steps), ("finally", &source.check.finally)] {
            for (index, step) in steps.iter().enumerate() {
                let Some((action, on)) = aim(&step.action).filter(|(_, on)| names_node(on)) else { continue };
                if topology.nodes.contains_key(on) {
                    continue;
                }
                let names = || ROLES.into_iter().chain(topology.nodes.keys().map(String::as_str));
                let help = match other_word(on).or(nearest(on, names())) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("roles and nodes are {}", listed(names())),
                };
                let mut findings = Vec::new();
                let inner = Meaning { file: &source.file, tree: &source.tree, findings: &mut findings };
                let place = inner.value(&[list, &index.to_string(), action, "on"]);
                let finding =
                    Diagnostic::error(Code::UnknownTarget, format!("`{on}` is neither a role nor a node of this lab"));
                self.findings.push(finding.at(&source.file, place, "").advice(help));
            }
        }
    }
}

impl Uses<'_> {
    /// Whether the template of a parameter can read a name.
    fn known(&self, name: &str) -> Result<(), Vec<String>> {
        let mut steps = name.split('.');
        match (steps.next().unwrap_or_default(), steps.next(), steps.next()) {
            ("vars", Some(var), _) if !self.lab.vars.contains_key(var) => {
                Err(self.lab.vars.keys().map(|var| format!("vars.{var}")).collect())
            }
            ("checks", Some(id), field) => match (self.captured.get(id), field) {
                (None, _) => Err(self.captured.keys().map(|id| format!("checks.{id}")).collect()),
                (Some(fields), Some(field)) if !fields.is_empty() && !fields.contains(field) => {
                    Err(fields.iter().map(|field| format!("checks.{id}.{field}")).collect())
                }
                _ => Ok(()),
            },
            ("run", Some(field), _) if field != "id" => Err(vec!["run.id".to_owned()]),
            ("vars" | "checks" | "run", ..) => Ok(()),
            _ => Err(["checks", "run.id", "vars"].map(str::to_owned).to_vec()),
        }
    }
}

/// The role that people call by another word.
fn other_word(word: &str) -> Option<&'static str> {
    match word {
        "master" | "primary" => Some("leader"),
        "slave" | "standby" | "secondary" => Some("replica"),
        "haproxy" | "balancer" => Some("proxy"),
        "zookeeper" | "zk" => Some("dcs"),
        _ => None,
    }
}

/// How many postgres, haproxy and zookeeper nodes a step works on.
fn needed(step: &Step) -> [usize; 3] {
    let by_role = match aim(&step.action).map(|(_, on)| on) {
        Some("leader") => [1, 0, 1],
        Some("sync_standby" | "replica") => [2, 0, 1],
        Some("proxy") => [0, 1, 0],
        Some("dcs" | "dcs_leader") => [0, 0, 1],
        Some("dcs_follower") => [0, 0, 2],
        _ => [0, 0, 0],
    };
    let by_action = match &step.action {
        StepAction::Cluster(_) | StepAction::Wait(_) => [1, 0, 1],
        StepAction::Operate(operate) if operate.operation == Operation::Switchover => [2, 0, 1],
        StepAction::Operate(_) => [1, 0, 1],
        StepAction::Chaos(_) => [2, 0, 1],
        StepAction::Dcs(_) => [0, 0, 1],
        StepAction::Haproxy(_) => [1, 1, 0],
        StepAction::Workload(WorkloadStep::Start(start)) => {
            [1, usize::from(start.paths.iter().any(|path| path == "proxy")), 0]
        }
        _ => [0, 0, 0],
    };
    std::array::from_fn(|kind| by_role[kind].max(by_action[kind]))
}
