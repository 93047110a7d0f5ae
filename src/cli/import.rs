//! `labrun import`.

use std::path::PathBuf;

use super::{CliError, Globals, exit, output};
use crate::import::{read, to_lab};
use crate::lab;

/// Make a lab from a compose project: its topology and settings, with the parts and questions of the reference lab.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The new lab's folder; it must be empty or not there yet.
    #[arg(long, value_name = "LAB")]
    to: PathBuf,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let submission = read(&self.dir).map_err(|finding| CliError::Lint(Box::new(finding)))?;
        let imported =
            to_lab(&submission, &lab::name_of(&self.to)).map_err(|finding| CliError::Lint(Box::new(finding)))?;
        let file = lab::write_lab(&self.to, &imported.text)?;
        if globals.json {
            output::json(&serde_json::json!({"lab": file, "left_out": imported.left_out}))?;
        } else {
            output::line(&file.display().to_string())?;
            imported.left_out.iter().for_each(|what| output::tell!("left out: {what}"));
            output::tell!("next: labrun validate {0}; labrun run {0}", self.to.display());
        }
        Ok(exit::OK)
    }
}
