//! What templates read: the run, laid out for a page. Values stay plain (numbers, texts); filters give them their form.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::commands::{self, Command};
use super::evidence::{Evidence, Reference, Seen, file_anchor, reference};
use super::words::{Words, sign};
use crate::deploy::BackendKind;
use crate::lab::model::{Lang, Text};
use crate::topology::Service;
use crate::verify::{CheckResult, Fact, Run, Source, StepResult, Verdict, tried};

/// Bytes of a fact's output that the appendix shows; its file in `facts/` has all.
const SHOWN_BYTES: usize = 8 * 1024;

/// Lays out a run.
pub struct Layout<'r> {
    /// The evidence.
    pub evidence: &'r Evidence,
    /// The language.
    pub lang: Lang,
}

impl Layout<'_> {
    fn run(&self) -> &Run {
        self.evidence.run()
    }

    fn words(&self) -> &Words {
        self.evidence.words()
    }

    fn text(&self, text: &Text) -> String {
        text.get(self.lang).trim().to_owned()
    }

    /// The whole page's values, without parts and answers: those are rendered before and added.
    pub fn page(&self) -> Value {
        let run = self.run();
        json!({
            "w": self.words().page,
            "lang": self.lang.code(),
            "lab": {
                "name": run.lab.name,
                "title": self.text(&run.lab.title),
                "topic": self.text(&run.lab.topic),
                "goal": self.text(&run.lab.goal),
                "sha256": run.lab_sha256,
            },
            "run": {
                "id": run.id,
                "labrun_version": run.labrun_version,
                "deployment": run.deployment,
                "backend": run.backend,
                "started": run.started,
                "took_ms": run.took_ms,
                "verdict": self.verdict(run.verdict),
                "points": points(run.points),
                "versions": run.versions,
                "notes": run.notes.iter().map(|note| self.text(note)).collect::<Vec<_>>(),
                "passed": run.parts.iter().filter(|part| part.verdict == Verdict::Pass).count(),
                "parts": run.lab.parts.len(),
            },
            "figures": self.figures(),
            "nodes": self.nodes(),
            "facts": run.facts.iter().map(|fact| self.fact(fact)).collect::<Vec<_>>(),
            "roles": self.roles(),
            "settings": self.settings(),
            "project_files": run.project.iter().map(|file| json!({
                "path": file.path,
                "anchor": file_anchor(&file.path),
                "printed": run.lab.parts.iter().any(|part| part.files.contains(&file.path)),
                "sha256": sha256(file.content.as_bytes()),
                "bytes": file.content.len(),
                "lines": file.content.lines().count(),
            })).collect::<Vec<_>>(),
        })
    }

    /// A verdict's sign and word.
    pub fn verdict(&self, verdict: Verdict) -> Value {
        json!({ "id": verdict.word(), "sign": sign(verdict), "word": self.words().verdict(verdict) })
    }

    /// The parts in the lab's order, those too that the run did not come to; `sections` are their checks' texts.
    pub fn parts(&self, sections: &dyn Fn(&str, &CheckResult) -> Value) -> Value {
        let run = self.run();
        let parts = run.lab.parts.iter().enumerate().map(|(place, part)| {
            let result = run.parts.iter().find(|result| result.id == part.id);
            let verdict = result.map_or(Verdict::Skipped, |result| result.verdict);
            let checks: &[CheckResult] = result.map_or(&[], |result| &result.checks);
            let files: Vec<Value> = part.files.iter().filter_map(|path| self.file(path)).collect();
            json!({
                "number": place + 1,
                "id": part.id,
                "title": self.text(&part.title),
                "text": self.text(&part.text),
                "reached": result.is_some(),
                "verdict": self.verdict(verdict),
                "reason": result.and_then(|result| result.reason.as_ref()).map(|reason| self.text(reason)),
                "points": points(sum_points(checks)),
                "proves": checks.iter().map(|check| self.text(&check.proves)).collect::<Vec<_>>(),
                "complete": checks.iter().all(|check| self.is_complete(check)),
                "files": files,
                "checks": checks.iter().map(|check| sections(&part.id, check)).collect::<Vec<_>>(),
            })
        });
        parts.collect()
    }

    /// A check's values.
    pub fn check(&self, part: &str, check: &CheckResult) -> Value {
        let alone = self.run().parts.iter().any(|result| result.id == part && result.checks.len() == 1);
        json!({
            "w": self.words().page,
            "lang": self.lang.code(),
            "part_id": part,
            "check_id": check.id,
            "alone": alone,
            "check": {
                "id": check.id,
                "uses": check.uses,
                "title": self.text(&check.title),
                "proves": self.text(&check.proves),
                "verdict": self.verdict(check.verdict),
                "reason": check.reason.as_ref().map(|reason| self.text(reason)),
                "points": points(check.points),
                "took_ms": check.span_ms.1.saturating_sub(check.span_ms.0),
                "params": check.params,
                "steps": check.steps.iter().map(|step| self.step(step)).collect::<Vec<_>>(),
                "failed": check.steps.iter().find(|step| step.verdict != Verdict::Pass).map(|step| self.step(step)),
                "collected": self.collected(part, check),
                "commands": self.commands(check),
                "complete": self.is_complete(check),
            },
            "settings": self.settings(),
        })
    }

    /// Whether every fact that the check's steps recorded is there: only then its verdict proves something to a reader.
    fn is_complete(&self, check: &CheckResult) -> bool {
        check.steps.iter().flat_map(|step| &step.facts).all(|id| self.evidence.fact(id).is_some())
    }

    fn step(&self, step: &StepResult) -> Value {
        let mut found = step.facts.iter().filter(|id| self.evidence.fact(id).is_some());
        json!({
            "id": step.id,
            "title": self.text(&step.title),
            "action": step.action,
            "verdict": self.verdict(step.verdict),
            "reason": step.reason.as_ref().map(|reason| self.text(reason)),
            "took_ms": step.span_ms.1.saturating_sub(step.span_ms.0),
            "deadline_ms": step.deadline.as_ref().map(|(ms, _)| ms),
            "derivation": step.deadline.as_ref().map(|(_, derivation)| self.words().derivation(derivation)),
            "fact": found.next_back().map(|id| pair(&reference(id))),
            "complete": step.facts.iter().all(|id| self.evidence.fact(id).is_some()),
        })
    }

    /// Facts that belong to the check and to none of its steps: what was gathered when it did not pass.
    fn collected(&self, part: &str, check: &CheckResult) -> Value {
        let prefix = format!("{part}/{}/", check.id);
        let of_steps = |id: &String| check.steps.iter().any(|step| step.facts.contains(id));
        let facts = self.run().facts.iter().filter(|fact| fact.scope.starts_with(&prefix) && !of_steps(&fact.id));
        facts.map(|fact| pair(&reference(&fact.id))).collect()
    }

    /// The commands of a check, each once, in order.
    fn commands(&self, check: &CheckResult) -> Value {
        let facts = check.steps.iter().filter_map(|step| self.evidence.fact(step.facts.last()?));
        let (mut labrun, mut by_hand): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for fact in facts {
            let command = self.command(fact);
            for (list, text) in [(&mut labrun, command.labrun), (&mut by_hand, command.by_hand)] {
                if let Some(text) = text.filter(|text| !list.contains(text)) {
                    list.push(text);
                }
            }
        }
        json!({ "labrun": labrun, "by_hand": by_hand })
    }

    fn command(&self, fact: &Fact) -> Command {
        commands::of(fact, self.run(), self.evidence.project())
    }

    /// A fact for the appendix.
    fn fact(&self, fact: &Fact) -> Value {
        let output = &fact.output;
        let shown = cut(output, SHOWN_BYTES);
        let link = reference(&fact.id);
        json!({
            "id": fact.id,
            "anchor": link.anchor,
            "scope": fact.scope,
            "at_ms": fact.at_ms,
            "took_ms": fact.took_ms,
            "node": fact.node,
            "role": fact.role.as_deref().map(|role| self.words().role(role)),
            "source": source_word(&fact.source),
            "command": self.command(fact).labrun,
            "output": shown,
            "left_bytes": output.len() - shown.len(),
            "sha256": sha256(output.as_bytes()),
        })
    }

    fn file(&self, path: &str) -> Option<Value> {
        let file = self.run().project.iter().find(|file| file.path == path)?;
        Some(json!({
            "path": path,
            "anchor": file_anchor(path),
            "language": language(path),
            "content": file.content,
        }))
    }

    /// What answers are made of: the project's files as facts, and the two ports of a database node.
    pub fn question(&self) -> Value {
        let project = self.evidence.project();
        let ports = project.services.iter().flat_map(|service| {
            service.ports.iter().map(|port| {
                json!({
                    "service": service.name,
                    "directive": port.directive,
                    "container": port.container,
                    "host": port.host,
                    "host_ip": port.host_ip,
                    "at": port.at,
                })
            })
        });
        let database = self.run().nodes.iter().find_map(|node| match &node.service {
            Service::Postgres { sql_port, rest_port, .. } => Some((sql_port.to_string(), rest_port.to_string())),
            _ => None,
        });
        json!({
            "w": self.words().page,
            "project": project,
            "ports": ports.collect::<Vec<_>>(),
            "sql_port": database.as_ref().map(|(sql, _)| sql),
            "rest_port": database.as_ref().map(|(_, rest)| rest),
        })
    }

    /// What was tried for a question; none where nothing was, and there is nothing to say about that.
    pub fn tried(&self, question: &str) -> Option<Value> {
        let run = self.run();
        let tried = run.tried.iter().find(|tried| tried.question == question)?;
        if tried.verdict == Verdict::Skipped && run.backend == BackendKind::Local.name() {
            return None;
        }
        Some(json!({
            "w": self.words().page,
            "part_id": tried::PART,
            "check_id": tried.question,
            "experiment": tried.experiment,
            "verdict": self.verdict(tried.verdict),
            "reason": tried.reason.as_ref().map(|reason| self.text(reason)),
            "steps": tried.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(),
        }))
    }

    fn nodes(&self) -> Value {
        let run = self.run();
        let nodes = run.nodes.iter().map(|node| {
            let first = self.evidence.first_role(&node.name);
            let last = run.timeline.iter().rfind(|change| change.node == node.name);
            let (kind, member) = match &node.service {
                Service::Zookeeper { .. } => ("zookeeper", None),
                Service::Haproxy { .. } => ("haproxy", None),
                Service::Postgres { member, .. } => ("postgres", Some(member)),
            };
            json!({
                "name": node.name,
                "kind": kind,
                "kind_word": self.words().services.get(kind),
                "member": member,
                "address": node.address,
                "published": node.published,
                "first_role": first.map(|change| self.words().role(&change.role)),
                "last_role": last.map(|change| self.words().role(&change.role)),
            })
        });
        nodes.collect()
    }

    fn roles(&self) -> Value {
        let changes = self.run().timeline.iter().enumerate().map(|(place, change)| {
            json!({
                "id": format!("R{}", place + 1),
                "at_ms": change.at_ms,
                "node": change.node,
                "role": self.words().role(&change.role),
                "timeline": change.timeline,
            })
        });
        changes.collect()
    }

    fn settings(&self) -> Value {
        let timing = &self.run().timing;
        json!({
            "ttl_ms": timing.ttl_ms,
            "loop_wait_ms": timing.loop_wait_ms,
            "retry_timeout_ms": timing.retry_timeout_ms,
            "inter_ms": timing.inter_ms,
            "fall": timing.fall,
            "rise": timing.rise,
            "rise_ms": u64::from(timing.rise) * timing.inter_ms,
            "rise_least_ms": u64::from(timing.rise.saturating_sub(1)) * timing.inter_ms,
            "fall_ms": u64::from(timing.fall) * timing.inter_ms,
            "other": timing.other,
        })
    }

    /// The run in numbers, each with the facts that it stands on: the outages, and the writes that were checked.
    fn figures(&self) -> Value {
        let run = self.run();
        let outages = run.outages.iter().filter(|outage| self.evidence.fact(&outage.fact).is_some());
        let outages: Vec<Value> = outages
            .map(|outage| {
                let Seen { mut value, references } = self.evidence.outage_seen(outage);
                value["references"] = references.iter().map(pair).collect();
                value
            })
            .collect();
        let workloads = run.facts.iter().filter_map(|fact| {
            let Source::Workload { name } = &fact.source else { return None };
            let (acked, lost) = (fact.value.get("acked")?.as_u64()?, fact.value.get("lost")?.as_array()?);
            Some(json!({ "name": name, "acked": acked, "lost": lost.len(), "reference": pair(&reference(&fact.id)) }))
        });
        json!({ "ready_after_ms": run.ready_after_ms, "outages": outages, "workloads": workloads.collect::<Vec<_>>() })
    }
}

fn pair(reference: &Reference) -> Value {
    json!({ "text": reference.text, "anchor": reference.anchor })
}

fn points((reached, of): (u32, u32)) -> Value {
    json!({ "reached": reached, "of": of })
}

/// A machine's failure counts in neither number.
fn sum_points(checks: &[CheckResult]) -> (u32, u32) {
    let counted = checks.iter().filter(|check| check.verdict != Verdict::InfraError);
    counted.fold((0, 0), |(reached, of), check| (reached + check.points.0, of + check.points.1))
}

fn source_word(source: &Source) -> &'static str {
    match source {
        Source::Sql { .. } => "SQL",
        Source::Http { .. } => "HTTP",
        Source::Dcs { .. } => "ZooKeeper",
        Source::Haproxy { .. } => "HAProxy",
        Source::Cluster => "cluster",
        Source::Exec { .. } => "exec",
        Source::Logs { .. } => "log",
        Source::Fault { .. } => "fault",
        Source::Operation { .. } => "REST",
        Source::Tried { .. } => "experiment",
        Source::Workload { .. } => "workload",
    }
}

fn language(path: &str) -> &'static str {
    match path.rsplit('/').next().unwrap_or(path) {
        name if name.contains("Dockerfile") => "dockerfile",
        name if name.ends_with(".yml") || name.ends_with(".yaml") => "yaml",
        "haproxy.cfg" => "haproxy",
        name if name.ends_with(".sql") => "sql",
        name if name.ends_with(".json") => "json",
        _ => "text",
    }
}

/// The text up to a limit, never within a character.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
