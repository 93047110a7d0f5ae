//! `labrun init`.

use std::path::PathBuf;

use super::{CliError, Globals, exit, output};
use crate::lab;

/// Make a new lab folder from the reference lab.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder; it must be empty or not there yet.
    dir: PathBuf,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let files = lab::init(&self.dir)?;
        if globals.json {
            output::json(&serde_json::json!({ "dir": self.dir, "files": files }))?;
        } else {
            let lines: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
            output::print(&lines)?;
            output::tell!("next: edit {}, then", self.dir.join("lab.yaml").display());
            output::tell!("  labrun validate {}\n  labrun run {}", self.dir.display(), self.dir.display());
        }
        Ok(exit::OK)
    }
}
