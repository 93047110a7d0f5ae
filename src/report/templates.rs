//! Where a report's words come from: templates compiled in, and those of a lab that stand in their place.
//!
//! On disk, in the repository and beside a lab: `templates/report/` (the page, words, stylesheets, one text a check in
//! `checks/`) and `templates/questions/` (answers). A lab is untrusted: its templates are read from its own folder only, run
//! with bounded fuel, and can neither read files nor write markup past the page's own sanitiser.

use std::collections::BTreeMap;

use super::ReportError;
use super::words::Words;
use crate::lab::library::{self, Library};
use crate::lab::model::Lang;

/// The rooms of a report's templates.
const ROOMS: [&str; 3] = ["templates/report", "templates/report/checks", "templates/questions"];
/// What a template's name ends with.
const ENDINGS: [&str; 3] = [".j2", ".yaml", ".css"];

/// Templates, words and stylesheets by their path below `templates/`.
#[derive(Debug, Clone)]
pub struct Templates {
    sources: BTreeMap<String, String>,
}

impl Templates {
    /// Those that are compiled in.
    pub fn builtin() -> Self {
        let files = ROOMS.iter().flat_map(|room| library::builtin_files(room));
        let own = files.filter_map(|(path, text)| Some((path.strip_prefix("templates/")?.to_owned(), text.to_owned())));
        Templates { sources: own.collect() }
    }

    /// Those of a lab: its own where it has them beside it, else those that are compiled in.
    pub fn of(library: &Library) -> Result<Self, ReportError> {
        let mut templates = Templates::builtin();
        for room in ROOMS {
            for ending in ENDINGS {
                for name in library.names(room, ending) {
                    let path = format!("{room}/{name}{ending}");
                    let file = library.file(&path).map_err(|diagnostic| ReportError::Unreadable {
                        message: diagnostic.message.clone(),
                        advice: diagnostic.help.clone(),
                    })?;
                    if let (Some(file), Some(name)) = (file, path.strip_prefix("templates/")) {
                        templates.sources.insert(name.to_owned(), file.text.clone());
                    }
                }
            }
        }
        Ok(templates)
    }

    /// With one more, or one in another's place.
    pub fn with(mut self, name: &str, source: &str) -> Self {
        self.sources.insert(name.to_owned(), source.to_owned());
        self
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
        serde_saphyr::from_str(source).map_err(|error| ReportError::Template {
            name,
            line: 0,
            message: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lab_in(folder: &std::path::Path) -> Library {
        fs::write(folder.join("lab.yaml"), "lab: labrun/v1\n").expect("write");
        library::find(&folder.display().to_string()).expect("found").library
    }

    #[test]
    fn a_labs_own_templates_take_the_place_of_ours() {
        let folder = tempfile::tempdir().expect("tempdir");
        fs::create_dir_all(folder.path().join("templates/questions")).expect("mkdir");
        fs::write(folder.path().join("templates/questions/restart.en.md.j2"), "mine").expect("write");
        fs::write(folder.path().join("templates/questions/more.en.md.j2"), "more").expect("write");
        let templates = Templates::of(&lab_in(folder.path())).expect("readable");
        assert_eq!(templates.get("questions/restart.en.md.j2"), Some("mine"));
        assert_eq!(templates.get("questions/more.en.md.j2"), Some("more"));
        assert!(templates.get("questions/restart.ru.md.j2").is_some_and(|text| text != "mine"));
    }

    #[test]
    fn links_out_of_the_labs_folder_are_refused() {
        let folder = tempfile::tempdir().expect("tempdir");
        fs::create_dir_all(folder.path().join("templates/questions")).expect("mkdir");
        let link = folder.path().join("templates/questions/x.en.md.j2");
        std::os::unix::fs::symlink("/etc/passwd", link).expect("link");
        let refused = Templates::of(&lab_in(folder.path()));
        assert!(matches!(refused, Err(ReportError::Unreadable { .. })));
    }
}
