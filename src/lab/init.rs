//! `labrun init`: a new lab folder, made from the reference lab.
//!
//! ```text
//! DIR/
//!   lab.yaml                    the reference lab under the folder's name
//!   checks/*.yaml               the checks that it uses, to be changed
//!   schema/*.schema.json        for editors: both kinds of files name theirs in their first line
//!   README.md                   what is what, and what to type
//! ```

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::diagnostic::{Code, Diagnostic};
use super::library::{LAB_FILE, builtin};
use super::load::load;
use super::schema;

/// The lab that new ones are made from.
const REFERENCE: &str = "ha-postgres";
/// What an editor reads in a file's first line, up to the schema's path.
const MODELINE: &str = "# yaml-language-server: $schema=";

/// A file of a new folder.
pub struct NewFile {
    /// Its path below the folder.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether only its owner may read it.
    pub secret: bool,
}

/// Makes a new lab in `dir`, which must be empty or not there yet. Returns the files that were written.
pub fn init(dir: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let files = files(&name_of(dir))?;
    into_new_folder(dir, files.into_iter().map(|(path, text)| NewFile { path, text, secret: false }))
}

/// Writes files into `dir`, which must be empty or not there yet: nothing is ever overwritten.
pub fn into_new_folder(dir: &Path, files: impl IntoIterator<Item = NewFile>) -> Result<Vec<PathBuf>, Diagnostic> {
    let occupied = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(unwritable(dir, &error)),
    };
    if occupied {
        return Err(Diagnostic::error(Code::NotEmpty, format!("the folder {} is not empty", dir.display()))
            .advice("name a folder that is not there yet: nothing is ever overwritten"));
    }
    let mut written = Vec::new();
    for file in files {
        let target = dir.join(&file.path);
        write_new(&target, &file).map_err(|error| unwritable(&target, &error))?;
        written.push(target);
    }
    Ok(written)
}

/// Writes a lab whose text is given into a new folder, with the schema beside it. Returns its file.
pub fn write_lab(dir: &Path, text: &str) -> Result<PathBuf, Diagnostic> {
    let lab = NewFile { path: LAB_FILE.to_owned(), text: with_schema(text, "schema/lab.schema.json"), secret: false };
    let schema = |(file, text): (&str, String)| NewFile { path: format!("schema/{file}"), text, secret: false };
    into_new_folder(dir, std::iter::once(lab).chain(schema::files().map(schema)))?;
    Ok(dir.join(LAB_FILE))
}

/// The folder's name where it can name a lab, or else the reference lab's own.
pub fn name_of(dir: &Path) -> String {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = absolute.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let sound = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(fits)
        && name.len() <= 63;
    if sound { name } else { REFERENCE.to_owned() }
}

fn files(name: &str) -> Result<Vec<(String, String)>, Diagnostic> {
    let source = format!("builtin:{REFERENCE}");
    let reference = load(&source).map_err(|error| Diagnostic::error(Code::NoSuchLab, error.to_string()))?;
    let lab = reference.source_text.replacen(&format!("\nname: {REFERENCE}\n"), &format!("\nname: {name}\n"), 1);
    let mut files = vec![(LAB_FILE.to_owned(), with_schema(&lab, "schema/lab.schema.json"))];
    for check in reference.checks.keys() {
        let path = format!("checks/{check}.yaml");
        let text = builtin(&path).unwrap_or_default();
        files.push((path, with_schema(text, "../schema/check.schema.json")));
    }
    files.extend(schema::files().map(|(file, text)| (format!("schema/{file}"), text)));
    let readme = builtin("templates/init/README.md").unwrap_or_default();
    files.push(("README.md".to_owned(), readme.replace("LAB_NAME", name)));
    Ok(files)
}

/// The text with its first line naming the schema at `path`.
fn with_schema(text: &str, path: &str) -> String {
    let rest = match text.strip_prefix(MODELINE) {
        Some(line) => line.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    };
    format!("{MODELINE}{path}\n{rest}")
}

fn write_new(path: &Path, file: &NewFile) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mode = if file.secret { 0o600 } else { 0o644 };
    let mut to = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    to.write_all(file.text.as_bytes())
}

fn unwritable(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::error(Code::Unwritable, format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{load, validate};

    #[test]
    fn a_new_lab_is_sound_and_named_after_its_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("course-7");
        let written = init(&target).expect("made");
        assert!(written.iter().all(|file| file.is_file()), "{written:?}");
        let source = target.display().to_string();
        let loaded = load(&source).expect("sound");
        assert_eq!(loaded.lab.file.name, "course-7");
        let validation = validate(&source);
        assert!(validation.is_sound() && validation.diagnostics.is_empty(), "{validation:?}");
        for file in written.iter().filter(|file| file.extension().is_some_and(|ending| ending == "yaml")) {
            let text = fs::read_to_string(file).expect("readable");
            let schema = text.lines().next().and_then(|line| line.strip_prefix(MODELINE)).expect("a modeline");
            assert!(file.parent().expect("a folder").join(schema).is_file(), "{schema}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("mine"), "mine").expect("written");
        assert_eq!(init(dir.path()).expect_err("refused").code, Code::NotEmpty);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
        assert_eq!(init(&dir.path().join("mine")).expect_err("a file").code, Code::Unwritable);
    }

    #[test]
    fn a_folder_that_cannot_name_a_lab_is_no_hindrance() {
        assert_eq!(name_of(Path::new("/x/My Lab")), REFERENCE);
        assert_eq!(name_of(Path::new("/x/Lab2")), "lab2");
        assert_eq!(name_of(Path::new("/x/-a")), REFERENCE);
    }
}
