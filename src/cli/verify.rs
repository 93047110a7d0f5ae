//! `labrun verify`.

use std::io::IsTerminal;
use std::path::PathBuf;

use serde_json::json;

use super::deploy::interrupted;
use super::{CliError, Globals, exit, output};
use crate::deploy::{Deployment, Local, Lock};
use crate::lab::model::Lang;
use crate::lab::{self, Loaded};
use crate::verify::{self, Consumer, JsonLines, Options, Terminal, Verdict, Verified, cancellation, terminal};

/// Run the lab's checks.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Run this part alone; what it needs is then not verified.
    #[arg(long, value_name = "PART")]
    pub only: Option<String>,
    /// The lab file, where it is not the one that was deployed: checks can be changed without deploying again.
    #[arg(long, value_name = "LAB")]
    pub lab: Option<String>,
    /// The language of progress and summary.
    #[arg(long, value_enum, default_value = "en")]
    pub lang: Lang,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        let lock = Lock::take(&deployment.dir, "labrun verify")?;
        let loaded = lab::load(self.lab.as_deref().unwrap_or(&deployment.lab_source))?;
        let verified = self.verify(globals, &deployment, &loaded).await?;
        drop(lock);
        self.tell(globals, &verified)?;
        Ok(exit_code(&verified))
    }

    /// Run the checks of `loaded` on `deployment`, whose lock is held, telling all of it as `globals` ask for.
    pub async fn verify(
        &self,
        globals: &Globals,
        deployment: &Deployment,
        loaded: &Loaded,
    ) -> Result<Verified, CliError> {
        let consumer: Box<dyn Consumer> = if globals.json {
            Box::new(JsonLines::new(std::io::stdout()))
        } else {
            let live = std::io::stderr().is_terminal();
            Box::new(Terminal::new(std::io::stderr(), self.lang, globals.colors_err(), live))
        };
        let (canceller, cancel) = cancellation();
        let listener = tokio::spawn(async move {
            interrupted().await;
            eprintln!("interrupted: what was done to the nodes is undone, and the run is stored");
            canceller.cancel();
            // A canceller that is gone would be heard as silence; it stays for as long as the run does.
            std::future::pending::<()>().await;
        });
        let options = Options { only: self.only.clone(), runs: None::<PathBuf> };
        let verified = verify::verify(loaded, deployment, &Local, &options, vec![consumer], cancel).await;
        listener.abort();
        Ok(verified?)
    }

    /// Print what the run came to.
    pub fn tell(&self, globals: &Globals, verified: &Verified) -> Result<(), CliError> {
        let run = &verified.run;
        if globals.json {
            let stored = json!({ "event": "run_stored", "run": run.id, "dir": verified.dir, "verdict": run.verdict });
            return output::line(&stored.to_string());
        }
        output::line(&terminal::summary(run, self.lang, globals.colors_out()))?;
        output::line(&verified.dir.join("run.json").display().to_string())
    }
}

/// The exit code that a verification ends with.
pub fn exit_code(verified: &Verified) -> u8 {
    match verified.run.verdict {
        _ if verified.interrupted => exit::INTERRUPTED,
        Verdict::Pass => exit::OK,
        Verdict::Fail => exit::CHECK_FAILED,
        Verdict::Inconclusive | Verdict::Skipped => exit::INCONCLUSIVE,
        Verdict::InfraError => exit::FAILURE,
    }
}
