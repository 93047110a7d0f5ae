//! Series of runs: the runs of `run --repeat`, and what `compare` is given.
//!
//! On disk, in a deployment's folder:
//! ```text
//! runs/series/<name>/
//!   series.json    see `verify::series::Series`
//!   series.md      the same for people
//! ```

use std::path::{Path, PathBuf};

use super::report::folder;
use super::{CliError, Globals};
use crate::lab::model::Lang;
use crate::report::{self, Templates, pages};
use crate::verify::Run;
use crate::verify::series::Series;

/// The file of a series in its folder.
const SERIES_FILE: &str = "series.json";

/// Keep a series, and give the file for people.
pub fn keep(series: &Series, dir: &Path, lang: Lang) -> Result<PathBuf, CliError> {
    let dir = dir.join("runs/series").join(&series.name);
    let text = serde_json::to_string_pretty(series)
        .map_err(|error| CliError::Io { what: "write JSON", source: std::io::Error::other(error) })?;
    report::put(&dir.join(SERIES_FILE), text.as_bytes())?;
    let page = dir.join("series.md");
    report::put(&page, pages::series(series, &Templates::builtin(), lang)?.as_bytes())?;
    Ok(page)
}

/// The series that a name means: a folder with a series.json, that file itself, or a single run.
pub fn find(globals: &Globals, wanted: &str) -> Result<Series, CliError> {
    let path = Path::new(wanted);
    let file = if path.is_dir() { path.join(SERIES_FILE) } else { path.to_owned() };
    if file.file_name().is_some_and(|name| name == SERIES_FILE) && file.is_file() {
        return Ok(report::read_series(&file)?);
    }
    let run: Run = report::read_run(&folder(globals, Some(wanted))?)?;
    Ok(Series::of(&run.id.clone(), &[run]))
}
