//! Running one mutant: read, deploy, verify, take down; and what stopped it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{ByHand, Diagnosis, Mutant, apply};
use crate::deploy::{Backend, Deployment, Home, Options, Progress, Request, deploy, destroy};
use crate::lab::model::Lang;
use crate::lab::{Loaded, load};
use crate::observe::Observer;
use crate::verify::faults::act;
use crate::verify::faults::journal::{Deed, Entry, Journal, State};
use crate::verify::world::live::Live;
use crate::verify::{self, Cancel, Run, Verdict};

/// What stopped a mutant, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Killed {
    /// `validate`, `deploy`, or the check.
    pub by: String,
    /// What was said.
    pub says: String,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "fate")]
pub enum Fate {
    /// Stopped, with the diagnosis that it must get.
    Killed(Killed),
    /// Stopped, with another one.
    Misdiagnosed(Killed),
    /// Every check passed.
    Survived,
    /// It was not tried: labrun or the machine failed, or the patch does not fit.
    NotTried {
        /// Why.
        why: String,
    },
}

/// Where mutants are made and tried.
pub struct Workshop<'a> {
    /// The lab, whole.
    pub loaded: &'a Loaded,
    /// A folder for labs and deployments.
    pub dir: PathBuf,
    /// Told when to stop.
    pub cancel: Cancel,
}

struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str) {}
    fn waiting(&self, _: &str) {}
}

impl Workshop<'_> {
    /// The folder of the deployments.
    pub fn output(&self) -> PathBuf {
        self.dir.join("output")
    }

    /// Try one mutant. Whatever comes of it, its deployment is taken down.
    pub async fn try_out(&self, mutant: &Mutant) -> Fate {
        let lab = self.dir.join("labs").join(&mutant.name);
        if let Err(why) = apply::write(self.loaded, mutant, &lab) {
            return Fate::NotTried { why };
        }
        let fate = self.lead(mutant, &lab).await;
        let gone = destroy(&self.output(), &mutant.name, "labrun mutate", &Silent).await;
        match (fate, gone) {
            (fate, Ok(_)) => fate,
            (fate @ Fate::NotTried { .. }, Err(_)) => fate,
            // A mutant that was never deployed left nothing to take down.
            (fate, Err(crate::deploy::DeployError::NoDeployment { .. })) => fate,
            (_, Err(error)) => Fate::NotTried { why: error.to_string() },
        }
    }

    async fn lead(&self, mutant: &Mutant, lab: &Path) -> Fate {
        let loaded = match load(&lab.display().to_string()) {
            Ok(loaded) => loaded,
            Err(error) => return mutant.stopped_by_reading(&error.diagnostics),
        };
        // A warning that names the mistake is a diagnosis, too; it stops whoever reads it.
        if let Diagnosis::Validate { .. } = mutant.diagnosis
            && let fate @ Fate::Killed(_) = mutant.stopped_by_reading(&loaded.warnings)
        {
            return fate;
        }
        let request = Request {
            loaded: &loaded,
            output: &self.output(),
            name: Some(&mutant.name),
            options: Options { publish: false, ..Options::default() },
            clean_on_failure: false,
            command: "labrun mutate",
        };
        let deployed = match deploy(request, &Silent, self.cancel.cancelled()).await {
            Ok(deployed) => deployed,
            Err(error) if self.cancel.is_cancelled() => return Fate::NotTried { why: error.to_string() },
            Err(error) => return mutant.stopped("deploy", None, &error.to_string()),
        };
        let backend = deployed.deployment.backend();
        if let Err(why) = prepare(mutant, &deployed.deployment, backend.as_ref()).await {
            return Fate::NotTried { why };
        }
        let options = verify::Options { only: mutant.only.clone(), ..verify::Options::default() };
        let run =
            verify::verify(&loaded, &deployed.deployment, backend.as_ref(), &options, Vec::new(), self.cancel.clone());
        match Box::pin(run).await {
            Ok(verified) if verified.interrupted => Fate::NotTried { why: "interrupted".to_owned() },
            Ok(verified) => mutant.judged(&verified.run),
            Err(error) => Fate::NotTried { why: error.to_string() },
        }
    }
}

/// Spoil the cluster as the mutant wants it.
async fn prepare(mutant: &Mutant, deployment: &Deployment, backend: &dyn Backend) -> Result<(), String> {
    for change in &mutant.by_hand {
        by_hand(change, deployment)?;
        let restarted = async {
            backend.stop(deployment, &change.node).await?;
            backend.start(deployment, &change.node).await
        };
        restarted.await.map_err(|error| error.to_string())?;
    }
    let world = Live::new(deployment, backend);
    let journal = Journal::of(&deployment.dir);
    for (number, before) in mutant.before.iter().enumerate() {
        let view = Observer::new(deployment).look().await;
        let node = match before.on.as_str() {
            "leader" => view.leader.clone(),
            "sync_standby" => view.sync_standbys.first().cloned(),
            "replica" => view.replicas.first().cloned(),
            node => Some(node.to_owned()),
        };
        let node = node.ok_or_else(|| format!("nobody is {}", before.on))?;
        let deed = Deed::to_node(before.kind, &node);
        // It is undone with the deployment, not by the verification: it is part of what is verified.
        let entry = Entry {
            id: format!("mutant-{number}"),
            state: State::Undone,
            deed: deed.clone(),
            role: None,
            at: jiff::Timestamp::now().to_string(),
        };
        journal.write(&entry).map_err(|error| error.to_string())?;
        act::inject(&deed, &[], &world).await.map_err(|failed| failed.words())?;
    }
    Ok(())
}

fn by_hand(change: &ByHand, deployment: &Deployment) -> Result<(), String> {
    let node = deployment.known(&change.node).map_err(|error| error.to_string())?;
    let Home::Dir(dir) = &node.home else { return Err(format!("{} has no folder here", change.node)) };
    let path = dir.join(&change.file);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    if !text.contains(&change.find) {
        return Err(format!("{:?} is not in {}", change.find, path.display()));
    }
    std::fs::write(&path, text.replacen(&change.find, &change.replace, 1)).map_err(failed)
}

impl Mutant {
    fn stopped_by_reading(&self, findings: &[crate::lab::Diagnostic]) -> Fate {
        let told = |finding: &crate::lab::Diagnostic| {
            let place = finding.place().map(|place| format!(" ({place})")).unwrap_or_default();
            Killed { by: "validate".to_owned(), says: format!("{}: {}{place}", finding.code, finding.message) }
        };
        if let Diagnosis::Validate { code, says } = &self.diagnosis {
            let fits = |finding: &&crate::lab::Diagnostic| {
                let all = format!("{} {}", finding.message, finding.help.as_deref().unwrap_or_default());
                finding.code.to_string() == *code && says.as_ref().is_none_or(|says| all.contains(says))
            };
            if let Some(finding) = findings.iter().find(fits) {
                return Fate::Killed(told(finding));
            }
        }
        match findings.first() {
            Some(finding) => Fate::Misdiagnosed(told(finding)),
            None => Fate::NotTried { why: "the lab could not be read".to_owned() },
        }
    }

    /// It was stopped by `by`, which said this; was that the diagnosis?
    fn stopped(&self, by: &str, found: Option<Verdict>, words: &str) -> Fate {
        let killed = Killed { by: by.to_owned(), says: words.to_owned() };
        let fits = match &self.diagnosis {
            Diagnosis::Validate { .. } => false,
            Diagnosis::Deploy { says } => by == "deploy" && words.contains(says),
            Diagnosis::Check { check, verdict, says } => check == by && Some(*verdict) == found && words.contains(says),
        };
        if fits { Fate::Killed(killed) } else { Fate::Misdiagnosed(killed) }
    }

    /// What a verification comes to: the first check that did not pass, or was skipped for another, stops the mutant.
    fn judged(&self, run: &Run) -> Fate {
        let checks = run.parts.iter().flat_map(|part| &part.checks);
        let failed = checks.clone().find(|check| !matches!(check.verdict, Verdict::Pass | Verdict::Skipped));
        let Some(check) = failed else { return Fate::Survived };
        let reason = check.reason.as_ref().map(|reason| reason.get(Lang::En).to_owned()).unwrap_or_default();
        match check.verdict {
            Verdict::InfraError => Fate::NotTried { why: reason },
            verdict => self.stopped(&check.id, Some(verdict), &reason),
        }
    }
}
