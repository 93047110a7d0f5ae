//! The files of a project's folder that can matter, read within bounds: nothing outside of the folder, nothing large,
//! nothing deep.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::lab::diagnostic::{Code, Diagnostic, File};
use crate::lab::yaml::MAX_BYTES;

/// How deep folders are looked into.
const MAX_DEPTH: usize = 3;
/// How many files are looked at.
const MAX_FILES: usize = 500;

/// The files of the folder, by path; and what could not be read.
pub fn read(dir: &Path) -> Result<(Vec<Arc<File>>, Vec<Diagnostic>), Diagnostic> {
    let root = fs::canonicalize(dir).map_err(|error| unreadable(&dir.display().to_string(), &error))?;
    if !root.is_dir() {
        let message = format!("{} is not a folder", dir.display());
        return Err(Diagnostic::error(Code::Unreadable, message).advice("name the folder that holds the compose file"));
    }
    let mut paths = Vec::new();
    collect(&root, 0, &mut paths).map_err(|error| unreadable(&dir.display().to_string(), &error))?;
    paths.sort();
    let (mut files, mut broken) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        // A link may lead anywhere; what it leads to counts only within the folder.
        if !fs::canonicalize(&path).is_ok_and(|real| real.starts_with(&root)) {
            continue;
        }
        match text(&path) {
            Ok(Some(text)) => files.push(Arc::new(File { name, text })),
            Ok(None) => broken.push(
                Diagnostic::error(Code::TooLarge, format!("{name} is larger than {} KiB", MAX_BYTES / 1024))
                    .advice("a configuration is a few KiB; is this the right file?"),
            ),
            Err(error) => broken.push(unreadable(&name, &error)),
        }
    }
    Ok((files, broken))
}

fn unreadable(name: &str, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(Code::Unreadable, format!("{name} cannot be read: {error}"))
}

/// Files that may be configurations, by their names.
fn collect(dir: &Path, depth: usize, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "node_modules" || into.len() >= MAX_FILES {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            // A folder that may not be read holds nothing for us.
            if depth < MAX_DEPTH {
                let _ = collect(&path, depth + 1, into);
            }
        } else if may_matter(&name) {
            into.push(path);
        }
    }
    Ok(())
}

fn may_matter(name: &str) -> bool {
    let name = name.to_lowercase();
    [".yml", ".yaml", ".cfg"].iter().any(|end| name.ends_with(end))
        || name.starts_with("dockerfile")
        || name.ends_with(".dockerfile")
}

/// The text; none where there is too much of it. Only ordinary files are read.
fn text(path: &Path) -> std::io::Result<Option<String>> {
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not an ordinary file"));
    }
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    Ok((text.len() as u64 <= MAX_BYTES).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_folder_and_can_matter_is_read() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.yml"), "a: 1").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("conf")).unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        for name in ["docker-compose.yml", "Dockerfile", "conf/haproxy.cfg", "notes.txt", ".git/x.yml"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::write(dir.path().join("huge.yml"), vec![b'#'; 2 << 20]).unwrap();
        fs::write(dir.path().join("binary.yml"), [0xff, 0xfe]).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret.yml"), dir.path().join("link.yml")).unwrap();
        let (files, broken) = read(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["Dockerfile", "conf/haproxy.cfg", "docker-compose.yml"]);
        let codes: Vec<_> = broken.iter().map(|one| (one.code, one.message.split(' ').next().unwrap())).collect();
        assert_eq!(codes, [(Code::Unreadable, "binary.yml"), (Code::TooLarge, "huge.yml")]);
        assert_eq!(read(&dir.path().join("nothing")).unwrap_err().code, Code::Unreadable);
        assert_eq!(read(&dir.path().join("Dockerfile")).unwrap_err().code, Code::Unreadable);
    }
}
