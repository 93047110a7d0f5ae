//! A check by itself: its names, its steps' expressions, and whether it can fail at all.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Meaning;
use super::names::{ALL, ROLES};
use super::text::Form;
use crate::lab::diagnostic::{Code, File};
use crate::lab::expr;
use crate::lab::model::{CheckFile, Condition, Step, StepAction, WorkloadStep};
use crate::lab::yaml::Node;

/// What every expression of a check can read beside captures and its step's result.
pub const SCOPE: [&str; 6] = ["vars", "params", "checks", "run", "workload", "result"];

/// A check that was read, with its places.
#[derive(Debug, Clone)]
pub struct CheckSource {
    /// The check.
    pub check: Arc<CheckFile>,
    /// Its file.
    pub file: Arc<File>,
    /// Its tree.
    pub tree: Arc<Node>,
}

/// What the expressions of one step can read.
struct Scope<'a> {
    check: &'a CheckFile,
    captures: BTreeSet<String>,
    result: &'static [&'static str],
}

impl Scope<'_> {
    /// Whether a name is there; otherwise the names of its kind that are.
    fn known(&self, name: &str) -> Result<(), Vec<String>> {
        let mut steps = name.split('.');
        let (root, field) = (steps.next().unwrap_or_default(), steps.next());
        match (root, field) {
            ("params", Some(field)) if !self.check.params.contains_key(field) => {
                Err(self.check.params.keys().map(|param| format!("params.{param}")).collect())
            }
            ("run", Some(field)) if field != "id" => Err(vec!["run.id".to_owned()]),
            ("result", Some(field)) if !self.result.contains(&field) => {
                Err(self.result.iter().map(|name| format!("result.{name}")).collect())
            }
            ("result", _) if self.result.is_empty() => Err(self.captures.iter().cloned().collect()),
            (root, _) if SCOPE.contains(&root) || self.captures.contains(root) || self.result.contains(&root) => Ok(()),
            _ => {
                let fields = self.result.iter().map(|name| (*name).to_owned());
                let scope = ["vars", "params", "checks"].map(str::to_owned);
                Err(self.captures.iter().cloned().chain(fields).chain(scope).collect())
            }
        }
    }
}

impl Meaning<'_> {
    pub(super) fn check(&mut self, check: &CheckFile, name: &str) {
        self.format(&check.check, "check");
        if check.name != name {
            let place = self.value(&["name"]);
            self.error(
                Code::BadName,
                format!("the check is named `{}`, but its file `{name}.yaml`", check.name),
                place,
            )
            .with_help("give both the same name");
        }
        let place = self.value(&["name"]);
        self.id(&check.name, place);
        if !check.steps.iter().any(expects) {
            let place = self.key(&["steps"]);
            self.error(Code::Vacuous, "this check expects nothing, so that it could never fail", place)
                .with_help("give a step an `expect`, or wait `until` something holds");
        }
        let mut captures = BTreeSet::new();
        let mut ids: Vec<&str> = Vec::new();
        for (list, steps) in [("steps", &check.steps), ("finally", &check.finally)] {
            for (index, step) in steps.iter().enumerate() {
                let at = index.to_string();
                self.step(check, step, &[list, &at], &mut captures);
                if let Some(id) = &step.id {
                    let place = self.value(&[list, &at, "id"]);
                    self.id(id, place.clone());
                    if ids.contains(&id.as_str()) {
                        self.error(Code::Twice, format!("two steps are named `{id}`"), place);
                    }
                    ids.push(id);
                }
            }
        }
    }

    fn step(&mut self, check: &CheckFile, step: &Step, path: &[&str], captures: &mut BTreeSet<String>) {
        let before = Scope { check, captures: captures.clone(), result: &[] };
        let known_before = |name: &str| before.known(name);
        if let Some(when) = &step.when {
            let place = self.value(&[path, &["when"]].concat());
            self.reads(Form::Expression, when, place, &known_before);
        }
        for (place, text) in self.templates(&step.action, path) {
            self.reads(Form::Template, &text, place, &known_before);
        }
        if let StepAction::Fault(fault) = &step.action {
            self.fault(fault, path);
        }
        if let StepAction::Operate(operate) = &step.action {
            self.operate(operate, path);
        }
        if let StepAction::Chaos(chaos) = &step.action
            && let Err(words) = chaos.faults()
        {
            let place = self.value(&[path, &["chaos", "mix"]].concat());
            self.error(Code::FaultShape, words, place).with_help("`labrun faults` prints what there is");
        }
        if let StepAction::Wait(wait) = &step.action {
            let scope = Scope { check, captures: captures.clone(), result: step.action.result() };
            for (words, condition) in &wait.until {
                let holds: &[&str] = if matches!(condition, Condition::Told(_)) { &["holds"] } else { &[] };
                let place = self.value(&[path, &["wait", "until", words], holds].concat());
                self.reads(Form::Expression, condition.holds(), place, &|name| scope.known(name));
            }
        }
        if let StepAction::Workload(WorkloadStep::Start(start)) = &step.action {
            self.workload(start, path);
        }
        self.captures(check, step, path, captures);
        let after = Scope { check, captures: captures.clone(), result: step.action.result() };
        self.modes(step, path);
        for (list, expressions) in [("require", &step.require), ("expect", &step.expect), ("never", &step.never)] {
            for (index, expression) in expressions.iter().enumerate() {
                let place = self.value(&[path, &[list, &index.to_string()]].concat());
                self.reads(Form::Expression, expression, place, &|name| after.known(name));
            }
        }
        if let Some(hint) = &step.hint {
            self.reads_text(hint, &[path, &["hint"]].concat(), &|name| after.known(name));
        }
        self.reads_text(&step.title, &[path, &["title"]].concat(), &known_before);
    }

    /// The modes of time must fit each other and the action.
    fn modes(&mut self, step: &Step, path: &[&str]) {
        let repeatable = step.action.is_repeatable();
        let mut wrong = Vec::new();
        if step.during.is_some() && step.within.is_some() {
            wrong.push(("during", "`during` looks all the time and `within` waits: a step can do one of them"));
        }
        if step.during.is_some() && step.expect.is_empty() && step.never.is_empty() {
            wrong.push(("during", "`during` needs an `expect` that holds all the time, or a `never`"));
        }
        if !step.never.is_empty() && step.during.is_none() {
            wrong.push(("never", "`never` needs a `during`: the time in which it may not happen"));
        }
        if step.stable_for.is_some() && step.within.is_none() {
            wrong.push(("stable_for", "`stable_for` needs a `within`: when it must have come to rest"));
        }
        for (key, written) in [("during", step.during.is_some()), ("stable_for", step.stable_for.is_some())] {
            if written && !repeatable {
                wrong.push((key, "this action is done once, so there is nothing to look at again and again"));
            }
        }
        if step.credit.is_some_and(|credit| credit == 0 || credit > 100) {
            wrong.push(("credit", "`credit` is a part of the check's points in per cent, 1 to 100"));
        }
        for (key, words) in wrong {
            let place = self.key(&[path, &[key]].concat());
            self.error(Code::Modes, words, place);
        }
    }

    fn captures(&mut self, check: &CheckFile, step: &Step, path: &[&str], captures: &mut BTreeSet<String>) {
        for (name, expression) in &step.capture {
            let scope = Scope { check, captures: captures.clone(), result: step.action.result() };
            let at = [path, &["capture", name]].concat();
            let place = self.value(&at);
            self.reads(Form::Expression, expression, place, &|name| scope.known(name));
            let key = self.key(&at);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
                self.error(Code::BadName, format!("`{name}` cannot be the name of a captured value"), key)
                    .with_help("expressions read it by that name: use lower-case letters, digits and underscores");
            } else if SCOPE.contains(&name.as_str()) {
                self.error(Code::BadName, format!("`{name}` would hide what every expression can read"), key)
                    .with_help("choose another name for the captured value");
            }
            captures.insert(name.clone());
        }
    }

    /// Every text of an action that is a template, with its place.
    fn templates(&self, action: &StepAction, path: &[&str]) -> Vec<(Range<usize>, String)> {
        let one = |keys: &[&str], text: &str| vec![(self.value(&[path, keys].concat()), text.to_owned())];
        match action {
            StepAction::Sql(step) => [one(&["sql", "on"], &step.on), one(&["sql", "run"], &step.run)].concat(),
            StepAction::Http(step) => [one(&["http", "on"], &step.on), one(&["http", "path"], &step.path)].concat(),
            StepAction::Dcs(step) => one(&["dcs", "get"], &step.get),
            StepAction::Haproxy(step) => one(&["haproxy", "on"], &step.on),
            StepAction::Exec(step) => {
                let argv = step.argv.iter().enumerate();
                let argv = argv.flat_map(|(index, text)| one(&["exec", "argv", &index.to_string()], text));
                one(&["exec", "on"], &step.on).into_iter().chain(argv).collect()
            }
            StepAction::Logs(step) => {
                let matches = step.matches.iter().flat_map(|text| one(&["logs", "matches"], text));
                one(&["logs", "on"], &step.on).into_iter().chain(matches).collect()
            }
            StepAction::Fault(step) => {
                let to = step.to.iter().flat_map(|to| one(&["fault", "to"], to));
                one(&["fault", "on"], &step.on).into_iter().chain(to).collect()
            }
            StepAction::Operate(step) => {
                let to = step.to.iter().flat_map(|to| one(&["operate", "to"], to));
                let set = step.set.iter().flat_map(|set| self.texts(set, &[path, &["operate", "set"]].concat()));
                one(&["operate", "on"], &step.on).into_iter().chain(to).chain(set).collect()
            }
            StepAction::Workload(WorkloadStep::Start(start)) => one(&["workload", "start", "table"], &start.table),
            StepAction::Cluster(_)
            | StepAction::Wait(_)
            | StepAction::Chaos(_)
            | StepAction::Workload(WorkloadStep::Stop(_)) => Vec::new(),
        }
    }

    /// Every text within a mapping, with its place.
    fn texts(&self, map: &Map<String, Value>, path: &[&str]) -> Vec<(Range<usize>, String)> {
        let below = map.iter().flat_map(|(key, value)| {
            let path = [path, &[key]].concat();
            match value {
                Value::String(text) => vec![(self.value(&path), text.clone())],
                Value::Object(map) => self.texts(map, &path),
                _ => Vec::new(),
            }
        });
        below.collect()
    }
}

/// Whether a step can turn out otherwise than a pass because of what it looks at.
fn expects(step: &Step) -> bool {
    let action = match &step.action {
        StepAction::Sql(sql) => sql.expect_error.is_some(),
        StepAction::Http(http) => http.expect_status.is_some(),
        StepAction::Operate(operate) => operate.expect_status.is_some(),
        StepAction::Wait(wait) => !wait.until.is_empty(),
        _ => false,
    };
    action || !step.expect.is_empty() || !step.never.is_empty()
}

/// Where a step is aimed, with the key that says so; none where it is aimed at nothing.
pub fn aim(action: &StepAction) -> Option<(&'static str, &str)> {
    match action {
        StepAction::Sql(step) => Some(("sql", &step.on)),
        StepAction::Http(step) => Some(("http", &step.on)),
        StepAction::Haproxy(step) => Some(("haproxy", &step.on)),
        StepAction::Exec(step) => Some(("exec", &step.on)),
        StepAction::Logs(step) => Some(("logs", &step.on)),
        StepAction::Fault(step) => Some(("fault", &step.on)),
        StepAction::Operate(step) => Some(("operate", &step.on)),
        StepAction::Dcs(_)
        | StepAction::Cluster(_)
        | StepAction::Chaos(_)
        | StepAction::Wait(_)
        | StepAction::Workload(_) => None,
    }
}

/// Whether `on` names a node, not a role and not an expression.
pub fn names_node(on: &str) -> bool {
    !expr::is_template(on) && !ROLES.contains(&on) && on != ALL
}
