//! Control questions that are tried and not only told: on a copy of the deployment's own project, where that is in containers.
//!
//! [`rebuild`] says what is done to the copy, what that shows and how it is told; [`ports`] says the same of asking the ports of
//! the running cluster, which is only looked at. Neither touches the world. Here the world is asked, everything is kept as facts
//! of `questions/ID/STEP`, and the copy is removed, whatever happened. No verdict of the run hangs on any of it.

pub mod ports;
pub mod rebuild;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::rebuild::{ACTS, Act};
use super::run::Tried;
use super::spine::Observation;
use super::world::World;
use super::{Cancel, Event, Spine, StepResult, Verdict, say};
use crate::deploy::trial::{Look, Steps, Trial};
use crate::deploy::{DeployError, Home};
use crate::lab::model::{Experiment, Question, Text};

/// The part that a question's facts and events are told under.
pub const PART: &str = "questions";
/// How long asking one port may take.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// A step that goes on.
struct Step {
    scope: String,
    title: Text,
}

/// A copy of the project, or why there can be none.
type MaybeCopy = Result<Box<dyn Trial>, Text>;

/// Tries questions.
pub struct Trier<'a> {
    /// The world outside.
    pub world: &'a dyn World,
    /// One clock, one order of events.
    pub spine: &'a Spine,
    /// Whether to stop.
    pub cancel: &'a Cancel,
}

impl Trier<'_> {
    /// Try every question that is to be tried.
    pub async fn all(&self, questions: &[Question]) -> Vec<Tried> {
        let mut asked: Vec<(&Question, Experiment)> = Vec::new();
        asked.extend(questions.iter().filter_map(|question| Some((question, question.experiment?))));
        let in_containers = self.world.deployment().nodes.iter().any(|node| matches!(node.home, Home::Container(_)));
        if !in_containers {
            let skipped = |(question, experiment): &(&Question, Experiment)| {
                let mut tried = Tried::of(&question.id, *experiment);
                conclude(&mut tried, Verdict::Skipped, not_in_containers());
                tried
            };
            return asked.iter().map(skipped).collect();
        }
        if !asked.is_empty() {
            self.spine.tell(Event::PartStarted { part: PART.to_owned(), title: title() });
        }
        let mut copy = None;
        let mut tried = Vec::new();
        for (question, experiment) in asked {
            tried.push(self.one(question, experiment, &mut copy).await);
        }
        if let (Some(Ok(copy)), Some(last)) = (copy, tried.last_mut())
            && let Err(error) = copy.remove().await
        {
            conclude(last, Verdict::InfraError, say::infra(&error.to_string()));
        }
        tried
    }

    /// Try one question. All are tried on one copy, which the first one makes: its layers are then in the cache.
    async fn one(&self, question: &Question, experiment: Experiment, copy: &mut Option<MaybeCopy>) -> Tried {
        let (part, check) = (PART.to_owned(), question.id.clone());
        let title = question.ask.clone();
        self.spine.tell(Event::CheckStarted { part: part.clone(), check: check.clone(), title });
        let began_ms = self.spine.now_ms();
        let mut tried = Tried::of(&check, experiment);
        if self.cancel.is_cancelled() {
            conclude(&mut tried, Verdict::Skipped, say::interrupted());
        } else if experiment == Experiment::Ports {
            self.ask_ports(&mut tried).await;
        } else {
            if copy.is_none() {
                *copy = Some(self.world.trial().await);
            }
            match copy {
                Some(Ok(copy)) => self.on_a_copy(&mut tried, copy.as_mut()).await,
                Some(Err(why)) => conclude(&mut tried, Verdict::Skipped, why.clone()),
                None => {}
            }
        }
        tried.span_ms = (began_ms, self.spine.now_ms());
        let (verdict, reason) = (tried.verdict, tried.reason.clone());
        self.spine.tell(Event::CheckFinished { part, check, verdict, reason });
        tried
    }

    /// Do all acts to the copy. An experiment that is broken off leaves it to the one who removes it.
    async fn on_a_copy(&self, tried: &mut Tried, trial: &mut dyn Trial) {
        let edit = match rebuild::edit(tried.experiment, trial.subject()) {
            Ok(edit) => edit,
            Err(why) => return conclude(tried, Verdict::Skipped, why),
        };
        trial.take_back();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => conclude(tried, Verdict::Skipped, say::interrupted()),
            () = self.acts(tried, trial, edit) => {}
        }
    }

    async fn acts(&self, tried: &mut Tried, trial: &mut dyn Trial, edit: Option<rebuild::Edit>) {
        let mut before: Option<Look> = None;
        for act in ACTS {
            let (scope, began_ms) = self.begin(tried, act.id(), act.title(edit.as_ref()));
            let done = perform(trial, act, edit.as_ref()).await;
            let (now, steps) = match done {
                Ok(done) => done,
                Err(error) => return self.end(tried, act.id(), scope, began_ms, Err(error.to_string())),
            };
            let seen = rebuild::seen(act, trial.subject(), edit.as_ref(), before.as_ref(), &now, steps);
            self.end(tried, act.id(), scope, began_ms, Ok(seen));
            before = Some(now);
        }
    }

    /// Ask the ports of the first database node, from here and from another node's container.
    async fn ask_ports(&self, tried: &mut Tried) {
        let Some(plan) = ports::plan(self.world.deployment()) else {
            return conclude(tried, Verdict::Skipped, ports::nobody());
        };
        let (scope, began_ms) = self.begin(tried, "host", ports::from_host());
        let mut answers = Vec::new();
        for port in &plan.ports {
            answers.push(match port.at {
                Some(at) => ports::ask(at, port.kind, ASK_LIMIT).await,
                None => None,
            });
        }
        self.end(tried, "host", scope, began_ms, Ok(plan.seen_from_host(&answers)));

        let (scope, began_ms) = self.begin(tried, "container", ports::from_container(&plan.asker));
        let mut answers = Vec::new();
        for port in &plan.ports {
            let argv = plan.argv(port);
            match self.world.exec(&plan.asker, &argv, ASK_LIMIT).await {
                Ok(said) => answers.push(ports::answer(port.kind, said.stdout.as_bytes())),
                Err(error) => return self.end(tried, "container", scope, began_ms, Err(error.to_string())),
            }
        }
        self.end(tried, "container", scope, began_ms, Ok(plan.seen_from_container(&answers)));
    }

    fn begin(&self, tried: &Tried, step: &str, title: Text) -> (Step, u64) {
        let scope = format!("{PART}/{}/{step}", tried.question);
        self.spine.tell(Event::StepStarted { scope: scope.clone(), title: title.clone() });
        (Step { scope, title }, self.spine.now_ms())
    }

    /// Keep what a step showed; or why it could not be done, which ends the experiment.
    fn end(&self, tried: &mut Tried, id: &str, step: Step, began_ms: u64, seen: Result<Observation, String>) {
        let (verdict, reason, facts) = match seen {
            Ok(seen) => (Verdict::Pass, None, vec![self.spine.observed(&step.scope, began_ms, seen)]),
            Err(why) => (Verdict::InfraError, Some(say::infra(&why)), Vec::new()),
        };
        self.spine.tell(Event::StepFinished { scope: step.scope, verdict, reason: reason.clone() });
        (tried.verdict, tried.reason) = (verdict, reason.clone());
        tried.steps.push(StepResult {
            id: id.to_owned(),
            title: step.title,
            action: "try".to_owned(),
            verdict,
            reason,
            deadline: None,
            facts,
            earlier: Vec::new(),
            span_ms: (began_ms, self.spine.now_ms()),
        });
    }
}

/// Do an act to the copy, and look at what has become of it.
async fn perform(
    trial: &mut dyn Trial,
    act: Act,
    edit: Option<&rebuild::Edit>,
) -> Result<(Look, Option<Steps>), DeployError> {
    // The edit is made between the first start and all that follows.
    if let (Act::Restart, Some(edit)) = (act, edit) {
        trial.edit(&edit.file, edit.line)?;
    }
    let builds = act.builds(trial.subject());
    let steps = if builds { Some(trial.build().await?) } else { None };
    match act {
        Act::Restart => trial.restart().await?,
        Act::Begin | Act::Up | Act::Build => trial.renew().await?,
    }
    Ok((trial.look().await?, steps))
}

fn conclude(tried: &mut Tried, verdict: Verdict, reason: Text) {
    (tried.verdict, tried.reason) = (verdict, Some(reason));
}

fn title() -> Text {
    say::both("Контрольные вопросы: опыты на копии проекта", "Control questions, tried on a copy of the project")
}

fn not_in_containers() -> Text {
    say::both("узлы работают не в контейнерах", "the nodes do not run in containers")
}
