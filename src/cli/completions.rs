//! `labrun completions SHELL`.

use clap_complete::Shell;

use super::{CliError, exit, output};

/// Print a shell's completions.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

impl Args {
    pub fn run(self, mut command: clap::Command) -> Result<u8, CliError> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "labrun", &mut text);
        output::print(&String::from_utf8_lossy(&text))?;
        Ok(exit::OK)
    }
}
