//! `labrun schema`.

use clap::ValueEnum;

use super::{CliError, exit, output};
use crate::attach::endpoints;
use crate::lab::schema;
use crate::verify;

/// Print a JSON Schema: of the lab format, for editors; of what a run leaves, for programs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of which files.
    #[arg(default_value = "lab")]
    of: Of,
}

/// The kinds of files that have a schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    /// lab.yaml
    Lab,
    /// a file in checks/
    Check,
    /// a file of endpoints, for `verify --attach`
    Endpoints,
    /// run.json, which a run leaves
    Run,
    /// a line of events.jsonl, and of `verify --json`
    Event,
    /// series.json, which `run --repeat` leaves
    Series,
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        output::json(&match self.of {
            Of::Lab => schema::lab().clone(),
            Of::Check => schema::check().clone(),
            Of::Endpoints => endpoints::schema().clone(),
            Of::Run => verify::schema::run(),
            Of::Event => verify::schema::event(),
            Of::Series => verify::schema::series(),
        })?;
        Ok(exit::OK)
    }
}
