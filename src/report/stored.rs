//! Finding a run in its folder, and reading it back.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::ReportError;
use crate::verify::Run;
use crate::verify::run::RUN_FORMAT;
use crate::verify::series::{SERIES_FORMAT, Series};

/// The run's file in its folder.
const RUN_FILE: &str = "run.json";
/// The link to the newest run.
const LATEST: &str = "latest";
/// How many names of runs an error lists.
const LISTED: usize = 5;

/// The folder of the run that is meant: a path to a run's folder or to its run.json, the name of one below `runs`, or the
/// newest one there.
pub fn find_run(runs: &Path, wanted: Option<&str>) -> Result<PathBuf, ReportError> {
    let name = wanted.unwrap_or(LATEST);
    let path = Path::new(name);
    if path.file_name().is_some_and(|file| file == RUN_FILE) && path.is_file() {
        return Ok(path.parent().unwrap_or(Path::new("")).to_owned());
    }
    if path.join(RUN_FILE).is_file() {
        return Ok(path.to_owned());
    }
    let below = runs.join(name);
    if !name.contains('/') && name != ".." && below.join(RUN_FILE).is_file() {
        // The link moves on to the next run; the folder stays.
        return Ok(fs::canonicalize(&below).unwrap_or(below));
    }
    Err(match name.contains('/') {
        true => ReportError::NoRun { wanted: name.to_owned(), known: "a run's folder holds its run.json".to_owned() },
        false => ReportError::NoRun { wanted: format!("{name} in {}", runs.display()), known: known(runs) },
    })
}

/// The run that lies in a folder.
pub fn read_run(folder: &Path) -> Result<Run, ReportError> {
    let path = folder.join(RUN_FILE);
    let bytes = fs::read(&path).map_err(|source| ReportError::io("read", &path, source))?;
    let bad = |why: String| ReportError::BadRun { path: path.clone(), why };
    let run: Run = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    if run.format != RUN_FORMAT {
        return Err(bad(format!("its format is {}, this labrun knows {RUN_FORMAT}", run.format)));
    }
    Ok(run)
}

/// The series that lies in a file.
pub fn read_series(path: &Path) -> Result<Series, ReportError> {
    let bytes = fs::read(path).map_err(|source| ReportError::io("read", path, source))?;
    let bad = |why: String| ReportError::BadRun { path: path.to_owned(), why };
    let series: Series = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    match series.format == SERIES_FORMAT {
        true => Ok(series),
        false => Err(bad(format!("its format is {}, this labrun knows {SERIES_FORMAT}", series.format))),
    }
}

fn known(runs: &Path) -> String {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return "there is none; make one: labrun verify".to_owned();
        }
        Err(error) => return format!("{}: {error}", runs.display()),
    };
    let whole = entries.flatten().filter(|entry| entry.path().join(RUN_FILE).is_file());
    let mut names: Vec<String> = whole.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name != LATEST);
    names.sort_unstable_by(|a, b| b.cmp(a));
    match names.len() {
        0 => "there is none that was recorded; make one: labrun verify".to_owned(),
        count if count > LISTED => {
            format!("there are: {}, and {} older ones", names[..LISTED].join(", "), count - LISTED)
        }
        _ => format!("there are: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("tempdir");
        for name in names {
            fs::create_dir(folder.path().join(name)).expect("mkdir");
            fs::write(folder.path().join(name).join(RUN_FILE), "{}").expect("write");
        }
        folder
    }

    #[test]
    fn a_run_is_found_by_name_path_or_as_the_newest() {
        let runs = runs_with(&["one", "two"]);
        std::os::unix::fs::symlink("two", runs.path().join(LATEST)).expect("link");
        let two = runs.path().join("two").canonicalize().expect("there");
        assert_eq!(find_run(runs.path(), Some("two")).expect("found"), two);
        assert_eq!(find_run(runs.path(), None).expect("found"), two);
        let path = runs.path().join("one");
        assert_eq!(find_run(Path::new("/nowhere"), path.to_str()).expect("found"), path);
        assert_eq!(find_run(Path::new("/nowhere"), path.join(RUN_FILE).to_str()).expect("found"), path);
    }

    #[test]
    fn a_run_that_is_not_there_is_told_with_those_that_are() {
        let runs = runs_with(&["one", "two"]);
        let error = find_run(runs.path(), Some("three")).expect_err("none");
        assert!(matches!(&error, ReportError::NoRun { known, .. } if known == "there are: two, one"), "{error:?}");
        let error = find_run(&runs.path().join("none"), None).expect_err("none");
        assert!(matches!(&error, ReportError::NoRun { known, .. } if known.contains("labrun verify")));
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let runs = runs_with(&["one"]);
        assert!(matches!(read_run(&runs.path().join("one")), Err(ReportError::BadRun { .. })));
        assert!(matches!(read_run(runs.path()), Err(ReportError::Io { .. })));
    }
}
