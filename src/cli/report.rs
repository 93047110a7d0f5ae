//! `labrun report`.

use std::path::{Path, PathBuf};

use super::{CliError, Globals, exit, output};
use crate::deploy::state;
use crate::lab::library;
use crate::lab::model::Lang;
use crate::report::{self, Templates, Written};
use crate::verify::Run;

/// Write the report of a run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run's name, or its folder [default: the newest one]
    run: Option<String>,
    /// The language.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    lang: Lang,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let folder = self.folder(globals)?;
        // `latest` is a link: name the run itself.
        let folder = folder.canonicalize().unwrap_or(folder);
        let run = report::read_run(&folder)?;
        let written = write(&run, &folder, self.lang, &templates(&folder)?)?;
        tell(globals, &written)?;
        Ok(exit::OK)
    }

    /// The folder of the run that is meant. Runs outlive their deployment.
    fn folder(&self, globals: &Globals) -> Result<PathBuf, CliError> {
        let wanted = self.run.as_deref();
        if wanted.is_some_and(|wanted| wanted.contains('/') || Path::new(wanted).join("run.json").is_file()) {
            return Ok(report::find_run(Path::new(""), wanted)?);
        }
        let names = with_runs(&globals.output);
        let name = match (&globals.name, names.as_slice()) {
            (Some(name), _) | (None, [name]) => name.clone(),
            (None, []) => return Ok(report::find_run(&globals.output, wanted)?),
            (None, _) => state::choose(&globals.output, None)?,
        };
        Ok(report::find_run(&state::dir_of(&globals.output, &name)?.join("runs"), wanted)?)
    }
}

/// Render and write.
pub fn write(run: &Run, folder: &Path, lang: Lang, templates: &Templates) -> Result<Written, CliError> {
    let rendered = report::render(run, lang, templates)?;
    Ok(report::write(folder, &rendered)?)
}

/// Say where it lies.
pub fn tell(globals: &Globals, written: &Written) -> Result<(), CliError> {
    let (markdown, html) = (written.markdown.display(), written.html.display());
    match globals.json {
        true => output::json(&serde_json::json!({
            "markdown": written.markdown, "html": written.html, "main": written.main
        })),
        false => output::print(&format!("report: {markdown}\n        {html}\n")),
    }
}

/// The templates of the lab that was run, where it is still there; those that come with labrun otherwise.
fn templates(folder: &Path) -> Result<Templates, CliError> {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let deployment = real.ancestors().nth(2).and_then(|dir| state::read(dir).ok().flatten());
    let found = deployment.and_then(|deployment| library::find(&deployment.lab_source).ok());
    match found {
        Some(found) => Ok(Templates::of(&found.library)?),
        None => Ok(Templates::builtin()),
    }
}

/// Names of the deployments, there or gone, that have runs.
fn with_runs(output: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(output).into_iter().flatten().flatten();
    let having = folders.filter(|folder| folder.path().join("runs").is_dir());
    let mut names: Vec<String> = having.filter_map(|folder| folder.file_name().into_string().ok()).collect();
    names.sort();
    names
}
