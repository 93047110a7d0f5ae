//! What a step would do if it were done now: its templates with their values, its roles with the nodes that have them.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::check::{CheckRun, named};
use super::step::{deadline, millis};
use crate::lab::expr;
use crate::lab::model::{FaultStep, OperateStep, Step, StepAction, WorkloadStart, WorkloadStep};
use crate::lab::{Check, Loaded};
use crate::verify::budget::allowed;
use crate::verify::course::Explain;
use crate::verify::say::same;
use crate::verify::scope::Scope;
use crate::verify::stepping::{Aim, Deed, Explained, Limit};
use crate::verify::steps::{self, Trouble, target};
use crate::verify::workload;
use crate::verify::world::World;

/// Explains a step of a check that is being run.
pub(super) struct Explainer<'a> {
    check: &'a CheckRun<'a>,
    step: &'a Step,
    id: &'a str,
    at: usize,
}

impl<'a> Explainer<'a> {
    pub(super) fn new(check: &'a CheckRun<'a>, step: &'a Step, id: &'a str, at: usize) -> Explainer<'a> {
        Explainer { check, step, id, at }
    }
}

#[async_trait]
impl Explain for Explainer<'_> {
    async fn explain(&self) -> Explained {
        let CheckRun { run, check, scope, name, .. } = self.check;
        let place = Place { name: format!("{name}/{}", self.id), at: self.at, check };
        let mut explained = explain(self.step, &place, scope, &run.workloads.counts(), run.world).await;
        explained.title = self.check.title(self.step);
        explained.workloads = run.workloads.running();
        explained.faults = run.faults.in_effect().iter().map(|fault| fault.deed().words()).collect();
        explained
    }
}

/// The first step of a lab, before anything was done.
pub async fn first(loaded: &Loaded, world: &dyn World) -> Option<Explained> {
    let part = loaded.lab.parts.first()?;
    let check = part.checks.first()?;
    let mut scope = Scope { vars: loaded.lab.file.vars.clone(), ..Scope::default() };
    for (name, value) in &check.params {
        // One without a value is told by the step itself.
        scope.params.extend(expr::eval_all(value, &scope.context(&json!({}))).map(|value| (name.clone(), value)));
    }
    let (step, id) = named(&check.check.steps, "").next()?;
    let place = Place { name: format!("{}/{}/{id}", part.id, check.id), at: 0, check };
    Some(explain(step, &place, &scope, &json!({}), world).await)
}

/// Where a step stands.
struct Place<'a> {
    name: String,
    at: usize,
    check: &'a Check,
}

async fn explain(step: &Step, place: &Place<'_>, scope: &Scope, workload: &Value, world: &dyn World) -> Explained {
    let context = scope.context(workload);
    let fill = |text: &str| expr::render(text, &context).unwrap_or_else(|_| text.to_owned());
    let mut aims = Vec::new();
    for selector in selectors(&step.action) {
        aims.extend(aim(&fill(&selector), world).await);
    }
    let timing = world.deployment().timing();
    let limit = deadline(step).map(|deadline| {
        let allowed = allowed(deadline, timing);
        Limit { during: step.during.is_some(), ms: millis(allowed.time), derivation: allowed.derivation }
    });
    let asked = asked(step);
    Explained {
        scope: place.name.clone(),
        place: (place.at + 1, place.check.check.steps.len() + place.check.check.finally.len()),
        check: place.check.check.title.clone(),
        proves: place.check.check.proves.clone(),
        title: step.title.clone(),
        kind: steps::kind(&step.action).to_owned(),
        deed: deed(&step.action, &fill),
        aims,
        known: known(&asked, &context),
        require: step.require.clone(),
        expect: asked.expect,
        never: step.never.clone(),
        limit,
        stable_for: step.stable_for.map(|stable| allowed(stable, timing).derivation),
        workloads: Vec::new(),
        faults: Vec::new(),
    }
}

/// Whom an action is aimed at, as the lab writes it.
fn selectors(action: &StepAction) -> Vec<String> {
    match action {
        StepAction::Sql(step) => vec![step.on.clone()],
        StepAction::Http(step) => vec![step.on.clone()],
        StepAction::Haproxy(step) => vec![step.on.clone()],
        StepAction::Exec(step) => vec![step.on.clone()],
        StepAction::Logs(step) => vec![step.on.clone()],
        StepAction::Fault(FaultStep { on, to, .. }) => [on.clone()].into_iter().chain(to.clone()).collect(),
        StepAction::Operate(OperateStep { on, to, .. }) => [on.clone()].into_iter().chain(to.clone()).collect(),
        // They are aimed while they go on, or look at everything.
        StepAction::Dcs(_) | StepAction::Cluster(_) | StepAction::Chaos(_) | StepAction::Wait(_) => Vec::new(),
        StepAction::Workload(_) => Vec::new(),
    }
}

/// The nodes that a selector means now.
async fn aim(selector: &str, world: &dyn World) -> Vec<Aim> {
    let deployment = world.deployment();
    let all: Vec<String> = match selector {
        "all" => deployment.nodes.iter().map(|node| node.name.clone()).collect(),
        "dcs" => deployment.zookeeper_nodes().map(|node| node.name.clone()).collect(),
        _ => Vec::new(),
    };
    if !all.is_empty() {
        return all.into_iter().map(|node| Aim::at(selector, &node, None)).collect();
    }
    match target::resolve(selector, world).await {
        Ok(target) => vec![Aim::at(selector, &target.node, target.role)],
        Err(Trouble::NotThere(why)) => vec![Aim::at_nobody(selector, why)],
        Err(Trouble::NoValue(why) | Trouble::Infra(why)) => vec![Aim::at_nobody(selector, same(why))],
    }
}

fn deed(action: &StepAction, fill: &dyn Fn(&str) -> String) -> Deed {
    match action {
        StepAction::Sql(sql) => Deed::Sql { statement: fill(&sql.run), sessions: sql.sessions.unwrap_or(1) },
        StepAction::Http(http) => {
            let method = serde_json::to_value(http.method).ok();
            let method = method.as_ref().and_then(Value::as_str).unwrap_or("GET").to_owned();
            Deed::Http { method, path: fill(&http.path) }
        }
        StepAction::Dcs(dcs) => Deed::Dcs { key: fill(&dcs.get) },
        StepAction::Haproxy(_) => Deed::Haproxy,
        StepAction::Cluster(_) => Deed::Cluster,
        StepAction::Exec(exec) => Deed::Exec { argv: exec.argv.iter().map(|word| fill(word)).collect() },
        StepAction::Logs(logs) => Deed::Logs { matches: logs.matches.clone() },
        StepAction::Fault(FaultStep { kind, one_way, delay, loss, .. }) => {
            let delay = delay.map(|delay| delay.to_string());
            Deed::Fault { kind: *kind, one_way: *one_way, delay, loss: *loss }
        }
        StepAction::Operate(OperateStep { operation, set, .. }) => {
            let set = set.as_ref().map(|set| fill(&Value::Object(set.clone()).to_string()));
            Deed::Operate { operation: *operation, set }
        }
        StepAction::Chaos(chaos) => {
            let kinds = chaos.mix.iter().map(|(kind, weight)| format!("{kind}: {weight}"));
            Deed::Chaos { mix: kinds.collect::<Vec<_>>().join(", "), lasts: chaos.duration.to_string() }
        }
        StepAction::Wait(wait) => {
            let until = wait.until.iter().map(|(words, condition)| condition.not_yet(words));
            Deed::Wait { not_yet: until.collect() }
        }
        StepAction::Workload(WorkloadStep::Start(start)) => start_deed(start, fill),
        StepAction::Workload(WorkloadStep::Stop(name)) => Deed::Stop { workload: name.clone() },
    }
}

fn start_deed(start: &WorkloadStart, fill: &dyn Fn(&str) -> String) -> Deed {
    Deed::Start {
        workload: start.name.clone(),
        table: fill(&start.table),
        paths: start.paths.clone(),
        clients: start.clients,
        readers: start.readers,
        every_ms: millis(workload::every(start)),
    }
}

/// What is asked of a step: its own expectations, and what its action asks for by itself.
struct Asked {
    expect: Vec<String>,
    all: Vec<String>,
}

fn asked(step: &Step) -> Asked {
    let by_itself = match &step.action {
        StepAction::Sql(sql) => sql.expect_error.iter().map(|state| format!("sqlstate == '{state}'")).collect(),
        StepAction::Http(http) => http.expect_status.iter().map(|status| format!("status == {status}")).collect(),
        StepAction::Operate(step) => step.expect_status.iter().map(|status| format!("status == {status}")).collect(),
        StepAction::Wait(wait) => wait.until.values().map(|condition| condition.holds().to_owned()).collect(),
        _ => Vec::new(),
    };
    let expect: Vec<String> = by_itself.into_iter().chain(step.expect.iter().cloned()).collect();
    let all = step.require.iter().chain(&expect).chain(&step.never).cloned().collect();
    Asked { expect, all }
}

/// The values that what is asked reads and that are known before the step is done.
fn known(asked: &Asked, context: &Value) -> Vec<(String, String)> {
    let names = asked.all.iter().filter_map(|expression| expr::check_expression(expression).ok()).flatten();
    let mut known: Vec<(String, String)> = Vec::new();
    for name in names {
        let value = expr::value(&name, context).ok().filter(|value| !value.is_null());
        if let Some(value) = value.filter(|_| known.iter().all(|(other, _)| *other != name)) {
            known.push((name, steps::bounded(&value.to_string(), 200)));
        }
    }
    known
}
