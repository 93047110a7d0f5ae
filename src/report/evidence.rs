//! The binding of sentences to facts: a template can say something of a run only by naming the evidence that it stands on.
//!
//! Evidence is named by the step that recorded it (`write`, or `failover/write`, or `failover/failover/write` from
//! elsewhere), or by one of `outage:PATH`, `roles`, `run`, `settings`, `file:PATH`. What is named and is not there makes
//! the sentence vanish. A step that did not pass is no evidence for a sentence unless the sentence asks for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::words::Words;
use crate::import::project::Project;
use crate::verify::outage;
use crate::verify::run::{Outage, RoleChange};
use crate::verify::{Fact, Run, StepResult, Verdict, tried};

/// How long the first look at the roles may take.
const FIRST_LOOK_MS: u64 = 500;

/// The check from which evidence is named: its part and its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The part.
    pub part: String,
    /// The check.
    pub check: String,
}

/// A place in the appendix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// What is written: `F12`.
    pub text: String,
    /// The anchor: `f12`.
    pub anchor: String,
}

/// Evidence that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// What a template reads of it.
    pub value: Value,
    /// Where it stands in the appendix.
    pub references: Vec<Reference>,
}

/// A run's evidence, by name.
#[derive(Debug)]
pub struct Evidence {
    run: Run,
    project: Project,
    words: Words,
    facts: BTreeMap<String, usize>,
}

impl Evidence {
    /// All evidence of a run.
    pub fn of(run: &Run, words: &Words) -> Self {
        let facts = run.facts.iter().enumerate().map(|(at, fact)| (fact.id.clone(), at)).collect();
        Evidence { run: run.clone(), project: Project::read(&run.project), words: words.clone(), facts }
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// What the files of its project say.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The words that it is told in.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// The fact of that name.
    pub fn fact(&self, id: &str) -> Option<&Fact> {
        self.facts.get(id).map(|at| &self.run.facts[*at])
    }

    /// The role that a node had at first. The very first looks come from several sources one after another, so the last one
    /// of the first half second counts.
    pub fn first_role(&self, node: &str) -> Option<&RoleChange> {
        let mut changes = self.run.timeline.iter().filter(|change| change.node == node);
        let first = changes.next()?;
        Some(changes.take_while(|change| change.at_ms <= first.at_ms + FIRST_LOOK_MS).last().unwrap_or(first))
    }

    /// The evidence of that name, seen from a check; `any` takes a step of any verdict.
    pub fn see(&self, scope: &Scope, name: &str, any: bool) -> Option<Seen> {
        match name.split_once(':') {
            Some(("outage", path)) => self.outage(scope, path),
            Some(("file", path)) => self.file(path),
            _ => match name {
                "roles" => self.roles(),
                "run" => Some(self.record()),
                "settings" => Some(self.settings()),
                _ => self.step(scope, name, any),
            },
        }
    }

    /// A step and its facts, the last first: a step that waited looked more than once.
    pub fn step_facts(&self, scope: &Scope, name: &str) -> Option<(&StepResult, Vec<&Fact>)> {
        if scope.part == tried::PART {
            let tried = self.run.tried.iter().find(|tried| tried.question == scope.check)?;
            return Some(self.with_facts(tried.steps.iter().find(|step| step.id == name)?));
        }
        let mut names = name.rsplit('/');
        let step = names.next()?;
        let check = names.next();
        let part = names.next();
        let step = self.run.parts.iter().find_map(|result| {
            if result.id != part.unwrap_or(if check.is_some() { &result.id } else { &scope.part }) {
                return None;
            }
            let check = result.checks.iter().find(|result| result.id == check.unwrap_or(&scope.check))?;
            check.steps.iter().find(|result| result.id == step)
        })?;
        Some(self.with_facts(step))
    }

    fn with_facts<'s>(&'s self, step: &'s StepResult) -> (&'s StepResult, Vec<&'s Fact>) {
        (step, step.facts.iter().rev().filter_map(|id| self.fact(id)).collect())
    }

    fn step(&self, scope: &Scope, name: &str, any: bool) -> Option<Seen> {
        let (step, facts) = self.step_facts(scope, name)?;
        if !any && step.verdict != Verdict::Pass {
            return None;
        }
        let last = facts.first()?;
        let mut value = self.told(last);
        value["all"] = facts.iter().rev().map(|fact| self.told(fact)).collect();
        value["verdict"] = json!(step.verdict.word());
        Some(Seen { value, references: vec![reference(&last.id)] })
    }

    /// A fact as templates read it.
    pub fn told(&self, fact: &Fact) -> Value {
        json!({
            "id": fact.id,
            "node": fact.node,
            "role": fact.role,
            "role_word": fact.role.as_deref().map(|role| self.words.role(role)),
            "at_ms": fact.at_ms,
            "took_ms": fact.took_ms,
            "source": fact.source,
            "output": fact.output,
            "value": fact.value,
        })
    }

    /// The outages whose facts were recorded by a check.
    pub fn outages(&self, scope: &Scope) -> impl Iterator<Item = &Outage> {
        let prefix = format!("{}/{}/", scope.part, scope.check);
        self.run
            .outages
            .iter()
            .filter(move |outage| self.fact(&outage.fact).is_some_and(|fact| fact.scope.starts_with(&prefix)))
    }

    fn outage(&self, scope: &Scope, path: &str) -> Option<Seen> {
        let outage = self.outages(scope).find(|outage| outage.path == path)?;
        Some(self.outage_seen(outage))
    }

    /// An outage as templates read it.
    pub fn outage_seen(&self, outage: &Outage) -> Seen {
        let phases = outage::phases(outage);
        let phase = |phase: &outage::Phase| {
            let budget = outage::budget::of_phase(&phase.name, &outage.fault, &outage.path, &self.run.timing);
            json!({
                "by": outage.seen_by.get(&phase.name),
                "budget_ms": budget.map(|budget| budget.0),
                "budget": budget.map(|budget| budget.1),
                "name": phase.name,
                "word": self.words.phase(&phase.name),
                "from": phase.from,
                "to": phase.to,
                "ms": phase.took(),
            })
        };
        let marks: serde_json::Map<String, Value> =
            outage.marks.iter().map(|(name, at)| (name.clone(), json!(at))).collect();
        let value = json!({
            "workload": outage.workload,
            "path": outage.path,
            "path_word": self.words.path(&outage.path),
            "gap_ms": outage.gap_ms,
            "gap": outage.gap,
            "closed": outage.closed,
            "is_outage": !outage.closed || (outage.fault_at_ms.is_some() && !outage.unhurt),
            "fault_at_ms": outage.fault_at_ms,
            "marks": marks,
            "phases": phases.iter().map(phase).collect::<Vec<_>>(),
            "dominant": outage::dominant(&phases).map(phase),
            "advice": outage.advice,
            "no_election": outage.no_election,
            "acked": outage.counts.0,
            "rejected": outage.counts.1,
            "indeterminate": outage.counts.2,
        });
        Seen { value, references: vec![reference(&outage.fact)] }
    }

    fn roles(&self) -> Option<Seen> {
        let changes = self.run.timeline.iter().map(|change| {
            json!({
                "at_ms": change.at_ms,
                "node": change.node,
                "role": change.role,
                "role_word": self.words.role(&change.role),
                "timeline": change.timeline,
            })
        });
        let value = json!({ "changes": changes.collect::<Vec<_>>() });
        let references = vec![Reference { text: "R".to_owned(), anchor: "roles".to_owned() }];
        (!self.run.timeline.is_empty()).then_some(Seen { value, references })
    }

    fn record(&self) -> Seen {
        let value = json!({
            "id": self.run.id,
            "started": self.run.started,
            "took_ms": self.run.took_ms,
            "ready_after_ms": self.run.ready_after_ms,
            "backend": self.run.backend,
            "versions": self.run.versions,
        });
        Seen { value, references: vec![Reference { text: "run.json".to_owned(), anchor: "record".to_owned() }] }
    }

    fn settings(&self) -> Seen {
        let text = self.words.page.get("settings").cloned().unwrap_or_default();
        Seen { value: json!(self.run.timing), references: vec![Reference { text, anchor: "settings".to_owned() }] }
    }

    fn file(&self, path: &str) -> Option<Seen> {
        let file = self.run.project.iter().find(|file| file.path == path)?;
        let read = self.project.files.iter().find(|read| read.path == path);
        let value = json!({ "path": path, "reach": read, "lines": file.content.lines().count() });
        let references = vec![Reference { text: path.to_owned(), anchor: file_anchor(path) }];
        Some(Seen { value, references })
    }
}

/// A fact's place in the appendix.
pub fn reference(id: &str) -> Reference {
    Reference { text: id.to_owned(), anchor: super::markdown::slug(id) }
}

/// A project file's anchor.
pub fn file_anchor(path: &str) -> String {
    format!("file-{}", super::markdown::slug(path))
}
