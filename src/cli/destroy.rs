//! `labrun destroy`.

use super::progress::Shown;
use super::{CliError, Globals, exit, output};
use crate::deploy::{DeployError, destroy, state};
use crate::verify::stepping::protocol;

/// Remove a deployment.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Every deployment of the output folder.
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let names = match self.all {
            true => state::names(&globals.output),
            false => vec![state::choose(&globals.output, globals.name.as_deref())?],
        };
        let mut done = Vec::new();
        let mut failed: Option<DeployError> = None;
        for name in names {
            let dir = state::dir_of(&globals.output, &name)?;
            // A stepping session holds the lock until it is told to end.
            protocol::end(&dir).await.map_err(|source| CliError::Io { what: "end the stepping session", source })?;
            let progress = Shown::new(globals);
            let removed = destroy(&globals.output, &name, "labrun destroy", &progress).await;
            progress.finish();
            match removed {
                Ok(removed) => done.push(tell(globals, &name, removed)?),
                // The others are to go all the same; what failed is told one by one, the last as the command's own end.
                Err(error) => {
                    if let Some(earlier) = failed.replace(error) {
                        output::tell!("{:?}", miette::Report::new(earlier));
                    }
                }
            }
        }
        if globals.json {
            output::json(&done)?;
        }
        failed.map_or(Ok(exit::OK), |error| Err(error.into()))
    }
}

fn tell(globals: &Globals, name: &str, removed: Vec<String>) -> Result<serde_json::Value, CliError> {
    let runs = state::dir_of(&globals.output, name)?.join("runs");
    let kept = runs.exists().then(|| runs.display().to_string());
    if !globals.json {
        let mut text = format!("{name} is removed:\n");
        text.extend(removed.iter().map(|what| format!("  - {what}\n")));
        text.extend(kept.iter().map(|runs| format!("Its runs are kept in {runs}\n")));
        output::print(&text)?;
    }
    Ok(serde_json::json!({"deployment": name, "removed": removed, "runs": kept}))
}
