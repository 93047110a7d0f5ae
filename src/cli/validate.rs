//! `labrun validate`.

use super::{CliError, Globals, exit, output};
use crate::lab::{self, Validation};

/// Look at labs and checks without deploying anything: everything that is wrong, with its place.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Lab files, folders that hold a lab.yaml, files of checks, or names of built-in labs.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let found: Vec<Validation> = self.paths.iter().map(|path| lab::validate(path)).collect();
        let sound = |one: &Validation| one.is_sound() && (!self.strict || one.diagnostics.is_empty());
        if globals.json {
            output::json(&found)?;
        } else {
            for one in &found {
                if let Some(findings) = one.error() {
                    output::tell!("{:?}", miette::Report::new(findings));
                }
                output::line(&line(one, globals.colors_out()))?;
            }
        }
        Ok(if found.iter().all(sound) { exit::OK } else { exit::USAGE })
    }
}

/// `ok       labs/mine  lab mine: 4 nodes, …`
fn line(one: &Validation, colors: bool) -> String {
    let errors = one.diagnostics.iter().filter(|finding| !finding.warning).count();
    let (word, color, rest) = match (errors, one.diagnostics.len()) {
        (0, 0) => ("ok", 32, one.summary.clone().unwrap_or_default()),
        (0, warnings) => {
            let summary = one.summary.as_deref().unwrap_or_default();
            ("ok", 33, format!("{summary} ({})", counted(warnings, "warning")))
        }
        (errors, _) => ("broken", 31, counted(errors, "error")),
    };
    let word = if colors { format!("\x1b[{color}m{word:<8}\x1b[0m") } else { format!("{word:<8}") };
    format!("{word}{}: {rest}", one.source)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
