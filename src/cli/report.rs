//! `labrun report`.

use std::path::{Path, PathBuf};

use super::{CliError, Globals, exit, output};
use crate::deploy::state;
use crate::lab::library;
use crate::lab::model::Lang;
use crate::report::{self, Templates, Written, outputs};
use crate::verify::Run;

/// Write the report of a run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run's name, or its folder [default: the newest one]
    run: Option<String>,
    /// Print this on stdout instead of saying where the report lies.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The language.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    lang: Lang,
}

/// What other programs read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// JUnit XML
    Junit,
    /// the Test Anything Protocol
    Tap,
    /// Markdown for $GITHUB_STEP_SUMMARY
    Github,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let folder = folder(globals, self.run.as_deref())?;
        let run = report::read_run(&folder)?;
        let written = write(&run, &folder, self.lang, &templates(&folder)?)?;
        match self.format {
            None => tell(globals, &written)?,
            Some(Format::Junit) => output::print(&outputs::junit::junit(&run, self.lang))?,
            Some(Format::Tap) => output::print(&outputs::tap::tap(&run, self.lang))?,
            Some(Format::Github) => output::print(&outputs::github::summary(&run, self.lang))?,
        }
        Ok(exit::OK)
    }
}

/// The folder of the run that is meant. Runs outlive their deployment.
pub fn folder(globals: &Globals, wanted: Option<&str>) -> Result<PathBuf, CliError> {
    let found = find(globals, wanted)?;
    // `latest` is a link: name the run itself.
    Ok(found.canonicalize().unwrap_or(found))
}

fn find(globals: &Globals, wanted: Option<&str>) -> Result<PathBuf, CliError> {
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

/// Render and write.
pub fn write(run: &Run, folder: &Path, lang: Lang, templates: &Templates) -> Result<Written, CliError> {
    let rendered = report::render(run, lang, templates)?;
    let written = report::write(folder, &rendered)?;
    let outputs = [
        ("junit.xml", outputs::junit::junit(run, lang)),
        ("results.tap", outputs::tap::tap(run, lang)),
        ("summary.md", outputs::github::summary(run, lang)),
    ];
    for (name, content) in outputs {
        report::put(&folder.join(name), content.as_bytes())?;
    }
    Ok(written)
}

/// Within a GitHub job: put the summary on the job's page.
pub fn summarise(run: &Run, lang: Lang) -> Result<(), CliError> {
    match std::env::var_os(outputs::github::VARIABLE) {
        Some(path) if !path.is_empty() => outputs::github::append(Path::new(&path), run, lang)
            .map_err(|source| CliError::Io { what: "write the job's summary", source }),
        _ => Ok(()),
    }
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
