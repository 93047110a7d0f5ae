//! What the data directory is, and the marker beside it while this agent makes it.
//!
//! initdb and pg_basebackup only accept an empty directory, and a data directory may be a mount point, so the
//! copy is made in place and the marker lies outside: `<parent>/.<name>.labrun`. It names the directory's
//! inode, so that it says nothing about a directory that was put there instead. A directory that is not
//! empty is emptied only while such a marker calls it unfinished; anything else is left alone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::decide::{DataDir, Phase};

use super::Error;
use super::control;

/// The marker's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Marker {
    /// initdb or pg_basebackup has not finished: of no worth.
    Unfinished { inode: u64 },
    /// A new cluster that nobody knows of yet; `created` names the initialize key that allowed it.
    Initialising { inode: u64, created: i64, complete: bool },
}

fn marker_path(data_dir: &Path) -> PathBuf {
    let name = data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    data_dir.with_file_name(format!(".{name}.labrun"))
}

fn inode(data_dir: &Path) -> Option<u64> {
    std::fs::metadata(data_dir).ok().map(|meta| meta.ino())
}

fn marker(data_dir: &Path) -> Option<Marker> {
    let marker = serde_json::from_slice(&std::fs::read(marker_path(data_dir)).ok()?).ok()?;
    let (Marker::Unfinished { inode: named } | Marker::Initialising { inode: named, .. }) = marker;
    (Some(named) == inode(data_dir)).then_some(marker)
}

/// Marks an existing, empty or unfinished directory as being made.
pub fn mark_unfinished(data_dir: &Path) -> Result<(), Error> {
    let inode = inode(data_dir).unwrap_or(0);
    write_marker(data_dir, Marker::Unfinished { inode })
}

/// Marks a directory whose initdb has finished.
pub fn mark_initialising(data_dir: &Path, created: i64, complete: bool) -> Result<(), Error> {
    let inode = inode(data_dir).unwrap_or(0);
    write_marker(data_dir, Marker::Initialising { inode, created, complete })
}

fn write_marker(data_dir: &Path, marker: Marker) -> Result<(), Error> {
    let path = marker_path(data_dir);
    let fresh = path.with_extension("labrun-new");
    let text = serde_json::to_vec(&marker).unwrap_or_default();
    let written = std::fs::write(&fresh, text)
        .and_then(|()| std::fs::File::open(&fresh)?.sync_all())
        .and_then(|()| std::fs::rename(&fresh, &path))
        .and_then(|()| sync_parent(data_dir));
    written.map_err(Error::file("write the marker", path))
}

/// The directory is complete and announced.
pub fn unmark(data_dir: &Path) -> Result<(), Error> {
    let path = marker_path(data_dir);
    match std::fs::remove_file(&path).and_then(|()| sync_parent(data_dir)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync_parent(data_dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(data_dir.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Makes the directory, private, where it is missing.
pub fn make(data_dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    if data_dir.exists() {
        return Ok(());
    }
    if let Some(parent) = data_dir.parent() {
        std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(data_dir).map_err(Error::file("create", data_dir))
}

/// Empties a directory that the marker calls unfinished; refuses any other that is not empty.
pub fn empty_unfinished(data_dir: &Path) -> Result<(), Error> {
    if is_empty(data_dir).map_err(Error::file("read", data_dir))? {
        return Ok(());
    }
    match marker(data_dir) {
        Some(Marker::Unfinished { .. }) => remove_contents(data_dir),
        _ => Err(Error::Other(format!("{} is not empty; it is left as it is", data_dir.display()))),
    }
}

/// Removes everything in the directory. The marker comes first, so that a crash half way is known for what it is.
pub fn discard(data_dir: &Path) -> Result<(), Error> {
    mark_unfinished(data_dir)?;
    remove_contents(data_dir)
}

fn remove_contents(data_dir: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(data_dir).map_err(Error::file("read", data_dir))?.flatten() {
        let path = entry.path();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(Error::file("remove", path))?;
    }
    Ok(())
}

fn is_empty(data_dir: &Path) -> std::io::Result<bool> {
    match std::fs::read_dir(data_dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// What there is, together with what the control file says if the directory is complete.
pub async fn inspect(config: &Config) -> (DataDir, Option<control::Read>) {
    let dir = &config.data_dir;
    let foreign = |reason: String| (DataDir::Foreign { reason }, None);
    match is_empty(dir) {
        Ok(true) => return (DataDir::Empty, None),
        Ok(false) => {}
        Err(error) => return foreign(format!("the data directory {} cannot be read: {error}", dir.display())),
    }
    let marker = marker(dir);
    if let Some(Marker::Unfinished { .. }) = marker {
        return (DataDir::Unfinished, None);
    }
    if !dir.join("PG_VERSION").is_file() || !dir.join("global/pg_control").is_file() {
        return foreign(format!(
            "{} is not empty and is no PostgreSQL data directory; it is left untouched. \
             Empty it, or name another data_dir",
            dir.display()
        ));
    }
    match control::read(config).await {
        Err(error) => foreign(format!("the data directory {} is damaged or unreadable: {error}", dir.display())),
        Ok(read) => {
            let system_identifier = read.system_identifier;
            let data = match marker {
                Some(Marker::Initialising { created, complete, .. }) => {
                    DataDir::Initialising { system_identifier, phase: Phase { created, complete } }
                }
                _ => DataDir::Present { system_identifier },
            };
            (data, Some(read))
        }
    }
}

/// There is a file that makes PostgreSQL start as a standby.
pub fn standby_signal(data_dir: &Path) -> bool {
    data_dir.join("standby.signal").exists() || data_dir.join("recovery.signal").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data_dir: &Path) -> Config {
        let text = include_str!("../../tests/data/postgres0.yml");
        let mut config = crate::config::read("f", text, []).unwrap().0;
        config.data_dir = data_dir.into();
        config
    }

    #[tokio::test]
    async fn what_is_not_ours_is_never_emptied() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        assert_eq!(inspect(&config(&dir)).await.0, DataDir::Empty);
        make(&dir).unwrap();
        assert_eq!(inspect(&config(&dir)).await.0, DataDir::Empty);
        std::fs::write(dir.join("precious"), "1").unwrap();
        assert!(matches!(inspect(&config(&dir)).await.0, DataDir::Foreign { .. }));
        assert!(empty_unfinished(&dir).is_err());
        assert!(dir.join("precious").exists());
    }

    #[tokio::test]
    async fn an_unfinished_directory_is_emptied_but_not_one_that_was_put_in_its_place() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        make(&dir).unwrap();
        mark_unfinished(&dir).unwrap();
        std::fs::create_dir(dir.join("base")).unwrap();
        std::fs::write(dir.join("PG_VERSION"), "15").unwrap();
        assert_eq!(inspect(&config(&dir)).await.0, DataDir::Unfinished);
        empty_unfinished(&dir).unwrap();
        assert_eq!(inspect(&config(&dir)).await.0, DataDir::Empty);

        let other = root.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("precious"), "1").unwrap();
        std::fs::rename(&dir, root.path().join("old")).unwrap();
        std::fs::rename(&other, &dir).unwrap();
        assert!(matches!(inspect(&config(&dir)).await.0, DataDir::Foreign { .. }));
        assert!(empty_unfinished(&dir).is_err());
        unmark(&dir).unwrap();
        unmark(&dir).unwrap();
    }
}
