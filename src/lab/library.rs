//! Where a lab's files come from: its own folder first, then what is compiled in (`labs/`, `checks/`, `templates/`, `docs/errors/`).
//!
//! A lab is untrusted: a path that it names must lie within its folder, also after links are followed, and a
//! file is read up to a limit.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Code, Diagnostic, File, listed, nearest};
use super::yaml::MAX_BYTES;

/// Every compiled-in file: its path from the project's root, and its text; sorted by path.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/library.rs"));
/// What a compiled-in file is shown as.
const BUILTIN: &str = "builtin:";
/// The lab's own file in its folder.
pub const LAB_FILE: &str = "lab.yaml";

/// The text of a compiled-in file, by its path from the project's root (`checks/failover.yaml`).
pub fn builtin(path: &str) -> Option<&'static str> {
    FILES.binary_search_by_key(&path, |(name, _)| name).ok().map(|at| FILES[at].1)
}

/// The compiled-in files below a folder (`templates/report/`), each with its path from the project's root.
pub fn builtin_files(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().copied().filter(move |(name, _)| name.starts_with(folder))
}

/// The names of the compiled-in labs.
pub fn builtin_labs() -> impl Iterator<Item = &'static str> {
    builtin_files("labs/").filter_map(|(name, _)| name.strip_prefix("labs/")?.strip_suffix("/lab.yaml"))
}

/// The files that one lab can use.
#[derive(Debug, Clone)]
pub struct Library {
    home: Home,
}

#[derive(Debug, Clone)]
enum Home {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A compiled-in lab's folder, `labs/NAME/`.
    Builtin(String),
}

/// A lab file that was found.
pub struct Found {
    /// Its text, and the name to show.
    pub file: Arc<File>,
    /// The files beside it.
    pub library: Library,
}

/// Finds a lab: a file, a folder that holds a `lab.yaml`, `builtin:NAME`, or the name of a compiled-in lab.
pub fn find(source: &str) -> Result<Found, Diagnostic> {
    let path = Path::new(source);
    if let Some(name) = source.strip_prefix(BUILTIN) {
        return find_builtin(name).ok_or_else(|| no_such_lab(source, name));
    }
    if path.is_dir() && (path.join(LAB_FILE).exists() || builtin(&format!("labs/{source}/{LAB_FILE}")).is_none()) {
        return find_file(&path.join(LAB_FILE));
    }
    match path.exists() {
        true => find_file(path),
        false => find_builtin(source).ok_or_else(|| no_such_lab(source, source)),
    }
}

fn find_file(path: &Path) -> Result<Found, Diagnostic> {
    let shown = path.display().to_string();
    let text = read_bounded(path, &shown)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let library = Library { home: Home::Folder(folder.to_owned()) };
    Ok(Found { file: Arc::new(File { name: shown, text }), library })
}

fn find_builtin(name: &str) -> Option<Found> {
    let text = builtin(&format!("labs/{name}/{LAB_FILE}"))?;
    let file = File { name: format!("{BUILTIN}{name}"), text: text.to_owned() };
    Some(Found { file: Arc::new(file), library: Library { home: Home::Builtin(format!("labs/{name}/")) } })
}

fn no_such_lab(source: &str, name: &str) -> Diagnostic {
    let labs: Vec<_> = builtin_labs().collect();
    let near = nearest(name, labs.iter().copied()).map(|near| format!("did you mean `{near}`? "));
    Diagnostic::error(Code::NoSuchLab, format!("there is no lab `{source}`")).advice(format!(
        "{}give a lab file, a folder that holds a `{LAB_FILE}`, or a lab that comes with labrun: {}",
        near.unwrap_or_default(),
        listed(labs)
    ))
}

impl Library {
    /// The file at `path` (`checks/mine.yaml`, with slashes): the lab's own, or else the compiled-in one.
    pub fn file(&self, path: &str) -> Result<Option<Arc<File>>, Diagnostic> {
        let own = match &self.home {
            Home::Folder(folder) => read_within(folder, path)?,
            Home::Builtin(prefix) => builtin(&format!("{prefix}{path}")).map(str::to_owned),
        };
        Ok(match own {
            Some(text) => Some(Arc::new(File { name: self.shown(path), text })),
            None => {
                builtin(path).map(|text| Arc::new(File { name: format!("{BUILTIN}{path}"), text: text.to_owned() }))
            }
        })
    }

    /// The names of all files `folder/NAME` + `ending` that [`Library::file`] would find; sorted.
    pub fn names(&self, folder: &str, ending: &str) -> Vec<String> {
        let prefix = format!("{folder}/");
        let mut names = self.own_names(folder, ending);
        names.extend(builtin_files(&prefix).filter_map(|(name, _)| plain_name(&name[prefix.len()..], ending)));
        names.sort();
        names.dedup();
        names
    }

    /// The names of the lab's own files `folder/NAME` + `ending`; sorted.
    pub fn own_names(&self, folder: &str, ending: &str) -> Vec<String> {
        let mut names: Vec<String> = match &self.home {
            Home::Folder(home) => {
                let entries = fs::read_dir(home.join(folder)).into_iter().flatten().flatten();
                entries.filter_map(|entry| plain_name(&entry.file_name().to_string_lossy(), ending)).collect()
            }
            Home::Builtin(prefix) => {
                let prefix = format!("{prefix}{folder}/");
                builtin_files(&prefix).filter_map(|(name, _)| plain_name(&name[prefix.len()..], ending)).collect()
            }
        };
        names.sort();
        names
    }

    /// Copy the lab's own files into `dir`, but for the lab file itself and its mutants.
    pub fn copy_into(&self, dir: &Path) -> io::Result<()> {
        match &self.home {
            Home::Folder(home) => copy_folder(home, dir, true),
            Home::Builtin(prefix) => {
                let files = builtin_files(prefix).filter_map(|(name, text)| Some((name.strip_prefix(prefix)?, text)));
                for (path, text) in files.filter(|(path, _)| *path != LAB_FILE && !path.starts_with("broken/")) {
                    let target = dir.join(path);
                    target.parent().map_or(Ok(()), fs::create_dir_all)?;
                    fs::write(target, text)?;
                }
                Ok(())
            }
        }
    }

    fn shown(&self, path: &str) -> String {
        match &self.home {
            Home::Folder(folder) => folder.join(path).display().to_string(),
            Home::Builtin(prefix) => format!("{BUILTIN}{prefix}{path}"),
        }
    }
}

/// Copy regular files and folders; links and hidden files are left out, and at the top the mutants and deployments.
fn copy_folder(from: &Path, to: &Path, top: bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let text = name.to_string_lossy();
        if text.starts_with('.') || (top && matches!(text.as_ref(), "broken" | "output")) {
            continue;
        }
        match () {
            () if kind.is_dir() => copy_folder(&entry.path(), &to.join(&name), false)?,
            () if kind.is_file() => drop(fs::copy(entry.path(), to.join(&name))?),
            () => {}
        }
    }
    Ok(())
}

/// A file's name without its ending, where it lies in the folder itself.
fn plain_name(name: &str, ending: &str) -> Option<String> {
    name.strip_suffix(ending).filter(|name| !name.contains('/')).map(str::to_owned)
}

/// The text of `folder/path`; none where there is no such file.
fn read_within(folder: &Path, path: &str) -> Result<Option<String>, Diagnostic> {
    let relative = Path::new(path);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(outside(path, folder));
    }
    let full = folder.join(relative);
    let real = match full.canonicalize() {
        Ok(real) => real,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(&full.display().to_string(), &error)),
    };
    let home = folder.canonicalize().map_err(|error| unreadable(&folder.display().to_string(), &error))?;
    if !real.starts_with(&home) {
        return Err(outside(path, folder));
    }
    read_bounded(&real, &full.display().to_string()).map(Some)
}

/// The text of a regular file, read no further than the limit.
fn read_bounded(path: &Path, shown: &str) -> Result<String, Diagnostic> {
    let too_large = || {
        Diagnostic::error(Code::TooLarge, format!("{shown} is larger than {} KiB", MAX_BYTES / 1024))
            .advice("no lab needs that much; is it the right file?")
    };
    let found = fs::metadata(path).map_err(|error| unreadable(shown, &error))?;
    if !found.is_file() {
        return Err(Diagnostic::error(Code::Unreadable, format!("{shown} is not a file")));
    }
    if found.len() > MAX_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let opened = fs::File::open(path).map_err(|error| unreadable(shown, &error))?;
    opened.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(shown, &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| not_utf8(shown, error))
}

fn not_utf8(shown: &str, error: std::string::FromUtf8Error) -> Diagnostic {
    let end = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let file = Arc::new(File { name: shown.to_owned(), text });
    Diagnostic::error(Code::NotYaml, "the file is not written in UTF-8")
        .at(&file, end..end + char::REPLACEMENT_CHARACTER.len_utf8(), "this is no UTF-8 text")
        .advice("save it as UTF-8")
}

fn unreadable(shown: &str, error: &io::Error) -> Diagnostic {
    Diagnostic::error(Code::Unreadable, format!("cannot read {shown}: {error}"))
}

fn outside(path: &str, folder: &Path) -> Diagnostic {
    Diagnostic::error(Code::OutsideFolder, format!("`{path}` leads out of the lab's folder {}", folder.display()))
        .advice("a lab may only use files of its own folder; copy the file there")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn lab_in(folder: &Path) -> Library {
        fs::write(folder.join(LAB_FILE), "lab: labrun/v1\n").expect("write");
        find(&folder.display().to_string()).expect("found").library
    }

    #[test]
    fn the_own_file_comes_before_the_compiled_in_one() {
        let dir = tempfile::tempdir().expect("folder");
        let library = lab_in(dir.path());
        let path = "labs/ha-postgres/lab.yaml";
        let builtin_file = library.file(path).expect("readable").expect("there");
        assert_eq!(builtin_file.name, "builtin:labs/ha-postgres/lab.yaml");
        fs::create_dir_all(dir.path().join("labs/ha-postgres")).expect("folder");
        fs::write(dir.path().join(path), "mine").expect("write");
        assert_eq!(library.file(path).expect("readable").expect("there").text, "mine");
        assert_eq!(library.file("checks/none.yaml").expect("readable"), None);
    }

    #[test]
    fn nothing_outside_the_folder_is_read() {
        let dir = tempfile::tempdir().expect("folder");
        let outer = tempfile::tempdir().expect("folder");
        fs::write(outer.path().join("secret"), "secret").expect("write");
        let library = lab_in(dir.path());
        symlink(outer.path().join("secret"), dir.path().join("link")).expect("link");
        symlink(outer.path(), dir.path().join("folder")).expect("link");
        let absolute = outer.path().join("secret").display().to_string();
        for path in ["link", "folder/secret", "../secret", "a/../../secret", "/etc/passwd", &absolute] {
            let error = library.file(path).expect_err(path);
            assert_eq!(error.code, Code::OutsideFolder, "{path}");
        }
        symlink(dir.path().join(LAB_FILE), dir.path().join("inner")).expect("link");
        assert!(library.file("inner").expect("a link within the folder").is_some());
    }

    #[test]
    fn what_is_no_small_text_file_is_refused() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join(LAB_FILE);
        let code = |source: &Path| find(&source.display().to_string()).err().expect("refused").code;
        assert_eq!(code(dir.path()), Code::Unreadable, "no lab.yaml in it");
        fs::write(&path, vec![b' '; MAX_BYTES as usize + 1]).expect("write");
        assert_eq!(code(&path), Code::TooLarge);
        fs::write(&path, b"lab: \xff").expect("write");
        assert_eq!(code(&path), Code::NotYaml);
        assert_eq!(code(Path::new("/dev/zero")), Code::Unreadable);
    }

    #[test]
    fn a_misspelt_lab_is_named() {
        let error = find("ha-postgre").err().expect("none");
        assert_eq!(error.code, Code::NoSuchLab);
        assert!(error.help.as_deref().is_some_and(|help| help.starts_with("did you mean `ha-postgres`?")));
        assert!(find("ha-postgres").is_ok() && find("builtin:ha-postgres").is_ok());
    }
}
