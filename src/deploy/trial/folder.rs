//! Somebody's folder as the context of a build: read once, and never written.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A course's project is a few files; a folder with more than this is not copied.
const MOST_BYTES: u64 = 64 << 20;
/// What is no part of any image.
const LEFT_OUT: [&str; 1] = [".git"];

/// A folder in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Relative to the folder.
    path: PathBuf,
    mode: u32,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
    Folder,
    Link(PathBuf),
}

impl Folder {
    /// Reads `dir`, but not `without`, which is labrun's own.
    pub fn read(dir: &Path, without: &Path) -> io::Result<Folder> {
        let (mut folder, mut room) = (Folder::default(), MOST_BYTES);
        folder.gather(dir, Path::new(""), without, &mut room)?;
        Ok(folder)
    }

    fn gather(&mut self, root: &Path, below: &Path, without: &Path, room: &mut u64) -> io::Result<()> {
        let mut names: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(root.join(below))? {
            names.push(below.join(entry?.file_name()));
        }
        // The same folder gives the same bytes.
        names.sort();
        for path in names {
            let full = root.join(&path);
            if LEFT_OUT.iter().any(|name| path == Path::new(name)) || full == without {
                continue;
            }
            let found = std::fs::symlink_metadata(&full)?;
            let mode = found.permissions().mode() & 0o7777;
            let content = match () {
                () if found.is_symlink() => Content::Link(std::fs::read_link(&full)?),
                () if found.is_dir() => Content::Folder,
                () if found.is_file() => {
                    let full_up = || io::Error::other(format!("it holds more than {} MB", MOST_BYTES >> 20));
                    *room = room.checked_sub(found.len()).ok_or_else(full_up)?;
                    Content::File(std::fs::read(&full)?)
                }
                // A socket or a pipe reaches no image.
                () => continue,
            };
            let is_folder = content == Content::Folder;
            self.entries.push(Entry { path: path.clone(), mode, content });
            if is_folder {
                self.gather(root, &path, without, room)?;
            }
        }
        Ok(())
    }

    /// Whether it has that file.
    pub fn holds(&self, path: &str) -> bool {
        let is_it = |entry: &Entry| entry.path == Path::new(path) && matches!(entry.content, Content::File(_));
        self.entries.iter().any(is_it)
    }

    /// Write `line` at the end of a file.
    pub fn append(&mut self, path: &str, line: &str) {
        let file = self.entries.iter_mut().find_map(|entry| match &mut entry.content {
            Content::File(bytes) if entry.path == Path::new(path) => Some(bytes),
            _ => None,
        });
        if let Some(bytes) = file {
            bytes.extend(format!("\n{line}\n").bytes());
        }
    }

    /// As the archive that an engine builds from.
    pub fn pack(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for entry in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(entry.mode);
            // The same time at every build: the engine's cache looks at it.
            header.set_mtime(0);
            match &entry.content {
                Content::File(bytes) => {
                    header.set_size(bytes.len() as u64);
                    archive.append_data(&mut header, &entry.path, bytes.as_slice())?;
                }
                Content::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    archive.append_data(&mut header, &entry.path, io::empty())?;
                }
                Content::Link(to) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    archive.append_link(&mut header, &entry.path, to)?;
                }
            }
        }
        archive.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_copied_whole_edited_in_memory_alone_and_packed_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::write(at("Dockerfile"), "FROM x").unwrap();
        for folder in [".git", "sub", "output"] {
            std::fs::create_dir(at(folder)).unwrap();
            std::fs::write(at(folder).join("a"), "a").unwrap();
        }
        std::os::unix::fs::symlink("sub/a", at("link")).unwrap();
        let mut folder = Folder::read(dir.path(), &at("output")).unwrap();
        let packed = folder.pack().unwrap();
        assert_eq!(packed, Folder::read(dir.path(), &at("output")).unwrap().pack().unwrap());
        let mut archive = tar::Archive::new(packed.as_slice());
        let paths: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(paths, ["Dockerfile", "link", "sub", "sub/a"]);

        assert!(folder.holds("Dockerfile") && folder.holds("sub/a") && !folder.holds("sub") && !folder.holds("none"));
        folder.append("Dockerfile", "ENV A=b");
        assert!(String::from_utf8_lossy(&folder.pack().unwrap()).contains("FROM x\nENV A=b\n"));
        assert_eq!(std::fs::read_to_string(at("Dockerfile")).unwrap(), "FROM x");
    }

    #[test]
    fn a_folder_that_is_too_large_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join("big")).unwrap().set_len(MOST_BYTES + 1).unwrap();
        let error = Folder::read(dir.path(), Path::new("/none")).unwrap_err();
        assert!(error.to_string().contains("64 MB"), "{error}");
    }
}
