//! `labrun schema`.

use clap::ValueEnum;

use super::{CliError, exit, output};
use crate::attach::endpoints;
use crate::lab::schema;

/// Print the JSON Schema of the lab format, for editors.
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
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        output::json(match self.of {
            Of::Lab => schema::lab(),
            Of::Check => schema::check(),
            Of::Endpoints => endpoints::schema(),
        })?;
        Ok(exit::OK)
    }
}
