//! `labrun run`: deploy, verify, report; once, or again and again.

use futures_util::future::poll_immediate;

use super::deploy::interrupted;
use super::progress::Shown;
use super::verify::{What, code};
use super::{CliError, Globals, deploy, exit, output, report, series};
use crate::deploy::destroy;
use crate::lab;
use crate::report::Templates;
use crate::verify::Verified;
use crate::verify::series::Series;

/// Deploy, verify, report.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    deploy: deploy::Args,
    #[command(flatten)]
    what: What,
    /// Do it N times, each on a new deployment, and show how the phases of outages spread and how many runs passed.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

/// A run that came to its end, and the deployment that it was on.
struct Once {
    verified: Verified,
    deployment: String,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        if self.repeat > 1 {
            return self.again_and_again(globals).await;
        }
        let Once { verified, deployment } = self.once(globals).await?;
        let code = code(&verified);
        if !globals.json {
            let option = globals.name_option(&deployment);
            let left = if code == exit::OK { "It is still up" } else { "It is left up for a look" };
            output::tell!("{left}: labrun status{option}; labrun destroy{option} removes it");
        }
        Ok(code)
    }

    async fn once(&self, globals: &Globals) -> Result<Once, CliError> {
        // The lock is held until the report is written: nobody may change what is being verified.
        let deployed = self.deploy.deploy(globals, "labrun run").await?;
        let deployment = &deployed.deployment;
        if let (Some(ms), false, false) = (deployment.ready_after_ms, deployed.already, globals.json) {
            output::tell!("{} is ready after {}.{} s", deployment.name, ms / 1000, ms % 1000 / 100);
        }
        let loaded = lab::load(&self.deploy.lab)?;
        let verified = self.what.verify(globals, &loaded, deployment, Vec::new()).await?;
        let templates = Templates::of(&loaded.library)?;
        let written = report::write(&verified.run, &verified.dir, self.what.lang, &templates)?;
        report::tell(globals, &written)?;
        report::summarise(&verified.run, self.what.lang)?;
        Ok(Once { verified, deployment: deployment.name.clone() })
    }

    /// Each run has a deployment of its own; the last one stays up.
    async fn again_and_again(self, globals: &Globals) -> Result<u8, CliError> {
        let (mut runs, mut last) = (Vec::new(), None);
        // Heard all the while, also between two runs, when nobody else listens.
        let mut signal = std::pin::pin!(interrupted());
        let mut stopped = false;
        for number in 1..=self.repeat {
            if !globals.json {
                output::tell!("\nrun {number} of {}", self.repeat);
            }
            if let Some(name) = last.take() {
                self.remove(globals, name).await?;
            }
            stopped = poll_immediate(&mut signal).await.is_some();
            if stopped {
                break;
            }
            match self.once(globals).await {
                Ok(Once { verified, deployment }) => {
                    stopped = verified.interrupted;
                    runs.push(verified.run);
                    last = Some(deployment);
                    if stopped {
                        break;
                    }
                }
                // What was measured so far is worth keeping.
                Err(error) if runs.is_empty() => return Err(error),
                Err(error) => {
                    self.finish(globals, &runs)?;
                    return Err(error);
                }
            }
        }
        let verdict = self.finish(globals, &runs)?;
        Ok(if stopped { exit::INTERRUPTED } else { verdict })
    }

    async fn remove(&self, globals: &Globals, name: String) -> Result<(), CliError> {
        let progress = Shown::new(globals);
        let removed = destroy(&globals.output, &name, "labrun run --repeat", &progress).await;
        progress.finish();
        removed?;
        Ok(())
    }

    /// Keep and show the series, and give its exit code.
    fn finish(&self, globals: &Globals, runs: &[crate::verify::Run]) -> Result<u8, CliError> {
        let Some(first) = runs.first() else { return Ok(exit::INTERRUPTED) };
        let series = Series::of(&first.id, runs);
        let dir = crate::deploy::state::dir_of(&globals.output, &first.deployment)?;
        let page = series::keep(&series, &dir, self.what.lang)?;
        match globals.json {
            true => output::json(&series)?,
            false => {
                let text = std::fs::read_to_string(&page);
                output::print(&format!("\n{}", text.unwrap_or_default()))?;
                output::tell!("series: {}", page.display());
            }
        }
        Ok(exit::of_verdict(series.verdict()))
    }
}
