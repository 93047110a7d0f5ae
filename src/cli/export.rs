//! `labrun export`.

use std::path::PathBuf;

use super::{CliError, Globals, exit, output};
use crate::deploy::{DeployError, sketch};
use crate::lab;

/// Write a lab as something that runs without labrun.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// As a compose project with real Patroni: docker-compose.yml, Dockerfile, Patroni's YAML files, haproxy.cfg, README.
    Compose {
        /// The project's folder; it must be empty or not there yet.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The lab.
        #[arg(default_value = "ha-postgres")]
        lab: String,
    },
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let What::Compose { dir, lab } = self.what;
        let loaded = lab::load(&lab)?;
        output::warnings(&loaded);
        let plan = sketch(&loaded, 0).map_err(DeployError::from)?;
        let written = crate::import::write_project(&dir, &plan)?;
        if globals.json {
            output::json(&serde_json::json!({"dir": dir, "files": written}))?;
        } else {
            written.iter().try_for_each(|file| output::line(&file.display().to_string()))?;
            output::tell!("next: cd {} && docker compose up -d --build", dir.display());
        }
        Ok(exit::OK)
    }
}
