//! The report's files: written beside the run, each whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Report, ReportError};

/// Where a report was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The Markdown, by its language.
    pub markdown: PathBuf,
    /// The HTML page.
    pub html: PathBuf,
    /// `report.md`.
    pub main: PathBuf,
}

/// Writes a report into a run's folder. `report.md` is the language that was asked for last.
pub fn write(folder: &Path, report: &Report) -> Result<Written, ReportError> {
    for (path, content) in &report.assets {
        put(&folder.join(path), content)?;
    }
    let lang = report.lang.code();
    let written = Written {
        markdown: folder.join(format!("report.{lang}.md")),
        html: folder.join(format!("report.{lang}.html")),
        main: folder.join("report.md"),
    };
    put(&written.markdown, report.markdown.as_bytes())?;
    put(&written.html, report.html.as_bytes())?;
    put(&written.main, report.markdown.as_bytes())?;
    Ok(written)
}

/// Writes a file by way of one beside it, so that a reader never sees half of it and a full disk costs nothing that was there.
pub fn put(path: &Path, content: &[u8]) -> Result<(), ReportError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| ReportError::io("make", folder, source))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = folder.join(name);
    let written = fs::File::create(&beside).and_then(|mut file| file.write_all(content));
    let written = written.and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&beside);
        ReportError::io("write", path, source)
    })
}
