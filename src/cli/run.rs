//! `labrun run`: deploy, verify, report.

use super::verify::{What, code};
use super::{CliError, Globals, deploy, exit, output, report};
use crate::lab;
use crate::report::Templates;

/// Deploy, verify, report.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    deploy: deploy::Args,
    #[command(flatten)]
    what: What,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
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
        let code = code(&verified);
        if !globals.json {
            let option = globals.name_option(&deployment.name);
            let left = if code == exit::OK { "It is still up" } else { "It is left up for a look" };
            output::tell!("{left}: labrun status{option}; labrun destroy{option} removes it");
        }
        Ok(code)
    }
}
