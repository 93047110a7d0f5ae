//! `labrun verify`.

use std::io::IsTerminal;

use tokio::task::JoinHandle;

use super::deploy::{USUAL_LAB, interrupted};
use super::{CliError, Globals, exit, output};
use crate::attach::{self, Attached, Source};
use crate::deploy::{DeployError, Deployment, Lock};
use crate::lab::model::{Lang, Text};
use crate::lab::{self, Loaded};
use crate::verify::say::both;
use crate::verify::terminal::summary;
use crate::verify::{Canceller, Consumer, JsonLines, Options, Terminal, Verified, VerifyError, cancellation, verify};

/// Run the checks against a deployment.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The lab with the checks [default: the one that was deployed; the reference lab with --attach]
    lab: Option<String>,
    /// Verify a cluster that somebody else started: compose:DIR, docker:PROJECT, or a file of endpoints (docs/attach.md).
    #[arg(long, value_name = "SOURCE")]
    attach: Option<Source>,
    #[command(flatten)]
    pub what: What,
}

/// What is verified, and how it is told.
#[derive(Debug, Clone, clap::Args)]
pub struct What {
    /// Only this part.
    #[arg(long, value_name = "PART")]
    pub only: Option<String>,
    /// The language of titles, reasons and reports.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    pub lang: Lang,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        if let Some(source) = &self.attach {
            return self.attached(globals, source).await;
        }
        let deployment = globals.deployment()?;
        let _lock = Lock::take(&deployment.dir, "labrun verify")?;
        let loaded = lab::load(self.lab.as_deref().unwrap_or(&deployment.lab_source))?;
        let notes = notes_of_edit(&loaded, &deployment)?;
        if !globals.json {
            notes.iter().for_each(|note| output::tell!("note: {}", note.get(self.what.lang)));
        }
        let verified = self.what.verify(globals, &loaded, &deployment, notes).await?;
        tell_where(globals, &deployment, &verified);
        Ok(code(&verified))
    }

    /// Find the cluster, verify it, and leave it as it was found.
    async fn attached(&self, globals: &Globals, source: &Source) -> Result<u8, CliError> {
        let loaded = lab::load(self.lab.as_deref().unwrap_or(USUAL_LAB))?;
        output::warnings(&loaded);
        let found = attach::attach(source, &loaded, &globals.output, globals.name.as_deref()).await?;
        let Attached { deployment, loaded, mapping, notes, lock: _held } = found;
        if !globals.json {
            output::tell!("attached to {}; of {} it has", deployment.name, loaded.lab.file.name);
            mapping.iter().for_each(|(lab, own)| output::tell!("  {lab:<12} {own}"));
            notes.iter().for_each(|note| output::tell!("note: {}", note.get(self.what.lang)));
        }
        let before = attach::before(&deployment).await;
        let verified = self.what.verify(globals, &loaded, &deployment, notes).await;
        for said in before.restore(&deployment).await {
            output::tell!("{}", said.get(self.what.lang));
        }
        let verified = verified?;
        tell_where(globals, &deployment, &verified);
        Ok(code(&verified))
    }
}

/// What is to be said where the checks of another lab than the deployed one are run: what of it the deployment does not
/// have. Edited checks need no new deployment, and nothing is said of them.
pub fn notes_of_edit(loaded: &Loaded, deployment: &Deployment) -> Result<Vec<Text>, DeployError> {
    if loaded.sha256 == deployment.lab_sha256 {
        return Ok(Vec::new());
    }
    let differences = deployment.differs_from(loaded)?.join("; ");
    Ok(match differences.is_empty() {
        true => Vec::new(),
        false => vec![both(
            format!("проверено на развёртывании, какое есть; нового развёртывания требует: {differences}"),
            format!("verified on the deployment as it is; these need a new deployment: {differences}"),
        )],
    })
}

fn tell_where(globals: &Globals, deployment: &Deployment, verified: &Verified) {
    if !globals.json {
        let option = globals.name_option(&deployment.name);
        output::tell!("The run: {}", verified.dir.display());
        output::tell!("Its report: labrun report{option}");
    }
}

impl What {
    /// Verify, telling what happens on stderr and the summary on stdout; every event on stdout for programs.
    pub async fn verify(
        &self,
        globals: &Globals,
        loaded: &Loaded,
        deployment: &Deployment,
        notes: Vec<Text>,
    ) -> Result<Verified, VerifyError> {
        let (canceller, cancel) = cancellation();
        let listening = cancel_on_signal(canceller);
        let options = Options { only: self.only.clone(), notes, ..Options::default() };
        let teller: Box<dyn Consumer> = match globals.json {
            true => Box::new(JsonLines::new(std::io::stdout())),
            false => {
                let live = std::io::stderr().is_terminal();
                Box::new(Terminal::new(std::io::stderr(), self.lang, globals.colors_err(), live))
            }
        };
        let verified = verify(loaded, deployment, &*deployment.backend(), &options, vec![teller], cancel).await;
        listening.abort();
        if let (Ok(verified), false) = (&verified, globals.json) {
            // A reader of the summary that went away does not change how the run ended.
            let _ =
                output::print(&format!("\n{}\n", summary(&verified.run, self.lang, globals.colors_out()).trim_end()));
        }
        verified
    }
}

/// The first signal ends the run in order; the second one at once, with what is left to `labrun destroy`.
pub fn cancel_on_signal(canceller: Canceller) -> JoinHandle<()> {
    tokio::spawn(async move {
        interrupted().await;
        output::tell!(
            "\nstopping: what was done to the cluster is undone and the run is stored; once more to leave at once"
        );
        canceller.cancel();
        interrupted().await;
        std::process::exit(i32::from(exit::INTERRUPTED));
    })
}

/// The exit code of a run.
pub fn code(verified: &Verified) -> u8 {
    if verified.interrupted { exit::INTERRUPTED } else { exit::of_verdict(verified.run.verdict) }
}
