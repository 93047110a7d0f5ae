//! Where a report's words come from: templates compiled in, and those of a lab that stand in their place.
//!
//! On disk, in the repository and beside a lab: `templates/report/` (the page, words, stylesheets, one text a check in
//! `checks/`) and `templates/questions/` (answers). A lab is untrusted: its templates run with bounded fuel, are read up
//! to a limit, and can neither read files nor write markup past the page's own sanitiser.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::ReportError;
use super::words::Words;
use crate::lab::model::Lang;

/// The largest template, in bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// The most templates that a lab may bring.
const MAX_FILES: usize = 200;

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

const BUILTIN: &[(&str, &str)] = builtin![
    "report/report.md.j2",
    "report/check.md.j2",
    "report/page.css",
    "report/picture.css",
    "report/words.ru.yaml",
    "report/words.en.yaml",
    "report/checks/cluster-ready.ru.md.j2",
    "report/checks/cluster-ready.en.md.j2",
    "report/checks/replication.ru.md.j2",
    "report/checks/replication.en.md.j2",
    "report/checks/routing.ru.md.j2",
    "report/checks/routing.en.md.j2",
    "report/checks/failover.ru.md.j2",
    "report/checks/failover.en.md.j2",
    "report/checks/rejoin.ru.md.j2",
    "report/checks/rejoin.en.md.j2",
    "report/checks/any.ru.md.j2",
    "report/checks/any.en.md.j2",
    "questions/restart.ru.md.j2",
    "questions/restart.en.md.j2",
    "questions/edit-yaml.ru.md.j2",
    "questions/edit-yaml.en.md.j2",
    "questions/edit-dockerfile.ru.md.j2",
    "questions/edit-dockerfile.en.md.j2",
    "questions/expose-ports.ru.md.j2",
    "questions/expose-ports.en.md.j2",
];

/// Templates and words by their path below `templates/`.
#[derive(Debug, Clone)]
pub struct Templates {
    sources: BTreeMap<String, String>,
}

impl Templates {
    /// Those that are compiled in.
    pub fn builtin() -> Self {
        Templates { sources: BUILTIN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect() }
    }

    /// With one more, or one in another's place.
    pub fn with(mut self, name: &str, source: &str) -> Self {
        self.sources.insert(name.to_owned(), source.to_owned());
        self
    }

    /// With those of a `templates` folder, where there is one.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, ReportError> {
        let mut found = Vec::new();
        for room in ["report", "report/checks", "questions"] {
            list(&folder.join(room), room, &mut found)?;
        }
        for (name, path) in found {
            let bytes = fs::metadata(&path).map_err(|source| ReportError::io("read", &path, source))?.len();
            if bytes > MAX_BYTES {
                return Err(ReportError::TooLarge { path, bytes, limit: MAX_BYTES });
            }
            let text = fs::read_to_string(&path).map_err(|source| ReportError::io("read", &path, source))?;
            self.sources.insert(name, text);
        }
        Ok(self)
    }

    /// The source of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.sources.get(name).map(String::as_str)
    }

    /// All minijinja templates, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let sources = self.sources.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        sources.filter(|(name, _)| name.ends_with(".j2"))
    }

    /// The words of a language.
    pub fn words(&self, lang: Lang) -> Result<Words, ReportError> {
        let name = format!("report/words.{}.yaml", lang.code());
        let source = self.get(&name).unwrap_or_default();
        serde_saphyr::from_str(source)
            .map_err(|error| ReportError::Template { name, line: 0, message: error.to_string() })
    }
}

/// The templates of one room. Links are not followed: a lab's folder ends where it ends.
fn list(folder: &Path, room: &str, found: &mut Vec<(String, PathBuf)>) -> Result<(), ReportError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ReportError::io("list", folder, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| ReportError::io("list", folder, source))?;
        let kind = entry.file_type().map_err(|source| ReportError::io("look at", &entry.path(), source))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| [".j2", ".yaml", ".css"].iter().any(|end| name.ends_with(end))) else {
            continue;
        };
        if !kind.is_file() {
            continue;
        }
        if found.len() == MAX_FILES {
            return Err(ReportError::TooMany { folder: folder.to_owned(), limit: MAX_FILES });
        }
        found.push((format!("{room}/{name}"), entry.path()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_labs_own_templates_take_the_place_of_ours() {
        let folder = tempfile::tempdir().expect("tempdir");
        fs::create_dir_all(folder.path().join("questions")).expect("mkdir");
        fs::write(folder.path().join("questions/restart.en.md.j2"), "ours").expect("write");
        fs::write(folder.path().join("questions/notes.txt"), "no template").expect("write");
        let templates = Templates::builtin().with_folder(folder.path()).expect("readable");
        assert_eq!(templates.get("questions/restart.en.md.j2"), Some("ours"));
        assert!(templates.get("questions/notes.txt").is_none());
        assert!(templates.get("questions/restart.ru.md.j2").is_some_and(|text| text != "ours"));
    }

    #[test]
    fn links_out_of_the_folder_and_huge_files_are_not_read() {
        let folder = tempfile::tempdir().expect("tempdir");
        fs::create_dir_all(folder.path().join("questions")).expect("mkdir");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("questions/x.en.md.j2")).expect("link");
        let templates = Templates::builtin().with_folder(folder.path()).expect("readable");
        assert!(templates.get("questions/x.en.md.j2").is_none());
        fs::write(folder.path().join("questions/y.en.md.j2"), vec![b'x'; 300 * 1024]).expect("write");
        assert!(matches!(Templates::builtin().with_folder(folder.path()), Err(ReportError::TooLarge { .. })));
    }
}
