//! What the data directory is, and the marker beside it while this agent makes it.
//!
//! initdb and pg_basebackup only accept an empty directory, and a data directory may be a mount point, so the
//! copy is made in place and the marker lies outside: `<parent>/.<name>.labrun`. It names the directory's
//! inode, so that it says nothing about a directory that was put there instead. A directory that is not
//! empty is emptied only while such a marker calls it unfinished; anything else is left alone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::decide::{DataDir, Phase};

use super::{Error, control, off_the_loop};

/// The marker's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Marker {
    /// initdb or pg_basebackup has not finished: of no worth. `created` names the initialize key that allowed
    /// the initdb.
    Unfinished { inode: u64, created: Option<i64> },
    /// pg_rewind has begun and not ended.
    Rewinding { inode: u64 },
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
    let (Marker::Unfinished { inode: named, .. }
    | Marker::Rewinding { inode: named }
    | Marker::Initialising { inode: named, .. }) = marker;
    (Some(named) == inode(data_dir)).then_some(marker)
}

/// Makes the directory where it is missing, empties it if it is unfinished (unless what it holds is kept), and marks
/// it as being made.
pub async fn begin(data_dir: &Path, created: Option<i64>, keep: bool) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || {
        make(&data_dir)?;
        if !keep {
            empty_now(&data_dir)?;
        }
        mark(&data_dir, |inode| Marker::Unfinished { inode, created })
    })
    .await
}

/// Lets a program of the user's make the directory: it finds none, as some insist on, unless one cannot be removed (a
/// mount point) or what it holds is kept. The marker names the new directory as soon as there is one.
pub async fn make_by<T>(
    data_dir: &Path,
    created: Option<i64>,
    keep: bool,
    making: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    begin(data_dir, created, keep).await?;
    let dir = data_dir.to_path_buf();
    off_the_loop(move || {
        let _ = std::fs::remove_dir(&dir);
        mark(&dir, |inode| Marker::Unfinished { inode, created })
    })
    .await?;
    let named = async {
        while !data_dir.exists() {
            tokio::time::sleep(LOOK).await;
        }
        let dir = data_dir.to_path_buf();
        off_the_loop(move || mark(&dir, |inode| Marker::Unfinished { inode, created })).await
    };
    let (mut making, mut named, mut is_named) = (pin!(making), pin!(named), false);
    loop {
        tokio::select! {
            made = &mut making => {
                if !is_named && data_dir.exists() {
                    named.await?;
                }
                return made;
            }
            marked = &mut named, if !is_named => {
                marked?;
                is_named = true;
            }
        }
    }
}

/// How often to look for the directory that a program makes.
const LOOK: Duration = Duration::from_millis(20);

/// From now on what the directory holds is of no worth: whoever makes a copy there empties it.
pub async fn give_up(data_dir: &Path) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || mark(&data_dir, |inode| Marker::Unfinished { inode, created: None })).await
}

/// The initialize key that an interrupted bootstrap of this directory was allowed by.
pub fn bootstrap_of(data_dir: &Path) -> Option<i64> {
    match marker(data_dir)? {
        Marker::Unfinished { created, .. } => created,
        Marker::Initialising { created, .. } => Some(created),
        Marker::Rewinding { .. } => None,
    }
}

/// Marks a directory that pg_rewind is about to change.
pub async fn mark_rewinding(data_dir: &Path) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || mark(&data_dir, |inode| Marker::Rewinding { inode })).await
}

/// Marks a directory whose initdb has finished.
pub async fn mark_initialising(data_dir: &Path, created: i64, complete: bool) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || mark(&data_dir, |inode| Marker::Initialising { inode, created, complete })).await
}

fn mark(data_dir: &Path, marker: impl FnOnce(u64) -> Marker) -> Result<(), Error> {
    write_marker(data_dir, marker(inode(data_dir).unwrap_or(0)))
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
pub async fn unmark(data_dir: &Path) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || unmark_now(&data_dir)).await
}

fn unmark_now(data_dir: &Path) -> Result<(), Error> {
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
fn make(data_dir: &Path) -> Result<(), Error> {
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
pub async fn empty_unfinished(data_dir: &Path) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || empty_now(&data_dir)).await
}

fn empty_now(data_dir: &Path) -> Result<(), Error> {
    if is_empty(data_dir).map_err(Error::file("read", data_dir))? {
        return Ok(());
    }
    match marker(data_dir) {
        Some(Marker::Unfinished { .. }) => remove_contents(data_dir),
        _ => Err(Error::Other(format!("{} is not empty; it is left as it is", data_dir.display()))),
    }
}

/// `<data_dir>.diverged`, `.diverged.2`, `.diverged.3`: what was set aside. More than one when a copy went another way
/// before it ever streamed.
fn asides(data_dir: &Path) -> [PathBuf; 3] {
    let name = data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ["", ".2", ".3"].map(|number| data_dir.with_file_name(format!("{name}.diverged{number}")))
}

/// Moves the directory to `<data_dir>.diverged`, so that a new copy can be made. What is there already is never
/// overwritten.
pub async fn set_aside(data_dir: &Path) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || set_aside_now(&data_dir)).await
}

fn set_aside_now(data_dir: &Path) -> Result<(), Error> {
    let asides = asides(data_dir);
    let Some(free) = asides.iter().find(|aside| !aside.exists()) else {
        let all = asides.map(|aside| aside.display().to_string()).join(", ");
        return Err(Error::Other(format!("{all} are in the way: remove those whose data is not needed")));
    };
    std::fs::rename(data_dir, free).map_err(Error::file("set aside", data_dir))?;
    unmark_now(data_dir)
}

/// Moves what a failed bootstrap left to `<data_dir>.failed`, for whoever wants to know why. Only the remains of an
/// earlier failure make way for it.
pub async fn keep_failed(data_dir: &Path) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || keep_failed_now(&data_dir)).await
}

fn keep_failed_now(data_dir: &Path) -> Result<(), Error> {
    let ours = matches!(marker(data_dir), Some(Marker::Unfinished { .. } | Marker::Initialising { .. }));
    if !ours || is_empty(data_dir).map_err(Error::file("read", data_dir))? {
        return unmark_now(data_dir);
    }
    let name = data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let failed = data_dir.with_file_name(format!("{name}.failed"));
    if failed.exists() {
        if !matches!(marker(&failed), Some(Marker::Unfinished { .. })) {
            return Err(Error::Other(format!("{} is in the way: it is left as it is", failed.display())));
        }
        std::fs::remove_dir_all(&failed).map_err(Error::file("remove", &failed))?;
    }
    tracing::info!("renaming data directory to {}", failed.display());
    std::fs::rename(data_dir, &failed).map_err(Error::file("rename", data_dir))?;
    mark(&failed, |inode| Marker::Unfinished { inode, created: None })?;
    unmark_now(data_dir)
}

/// Whether something was set aside.
pub fn is_set_aside(data_dir: &Path) -> bool {
    asides(data_dir).iter().any(|aside| aside.exists())
}

/// Removes what was set aside, once the copy that replaces it streams from the leader.
pub async fn forget_aside(data_dir: &Path) -> Result<(), Error> {
    let mut asides = asides(data_dir).into_iter().filter(|aside| aside.exists());
    let remove = |aside: PathBuf| std::fs::remove_dir_all(&aside).map_err(Error::file("remove", aside));
    off_the_loop(move || asides.try_for_each(remove)).await
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
    if !looks_complete(dir) {
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
                Some(Marker::Rewinding { .. }) => DataDir::Rewinding { system_identifier },
                _ => DataDir::Present { system_identifier },
            };
            (data, Some(read))
        }
    }
}

/// The files are there by which PostgreSQL knows a data directory.
pub fn looks_complete(data_dir: &Path) -> bool {
    data_dir.join("PG_VERSION").is_file() && data_dir.join("global/pg_control").is_file()
}

/// A trigger that a copy brought along would promote it at once.
pub fn remove_promote_trigger(data_dir: &Path) -> Result<(), Error> {
    let trigger = data_dir.join("promote");
    match std::fs::remove_file(&trigger) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", trigger)(error)),
        _ => Ok(()),
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
        assert!(empty_unfinished(&dir).await.is_err());
        assert!(dir.join("precious").exists());
    }

    #[tokio::test]
    async fn what_is_set_aside_is_kept_until_the_copy_streams_and_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        make(&dir).unwrap();
        std::fs::write(dir.join("old"), "1").unwrap();
        mark_rewinding(&dir).await.unwrap();
        set_aside(&dir).await.unwrap();
        assert!(!dir.exists() && root.path().join("data.diverged/old").exists());
        for _ in 0..2 {
            make(&dir).unwrap();
            set_aside(&dir).await.unwrap();
        }
        make(&dir).unwrap();
        assert!(set_aside(&dir).await.is_err() && dir.exists());
        assert!(is_set_aside(&dir));
        forget_aside(&dir).await.unwrap();
        assert!(!is_set_aside(&dir));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_failed_is_kept_aside_once_and_nothing_else_makes_way_for_it() {
        let root = tempfile::tempdir().unwrap();
        let (dir, failed) = (root.path().join("data"), root.path().join("data.failed"));
        let fail = async |what: &str| {
            make(&dir).unwrap();
            mark(&dir, |inode| Marker::Unfinished { inode, created: Some(7) }).unwrap();
            std::fs::write(dir.join(what), "").unwrap();
            keep_failed(&dir).await
        };
        fail("first").await.unwrap();
        assert!(!dir.exists() && failed.join("first").exists());
        fail("second").await.unwrap();
        assert!(failed.join("second").exists() && !failed.join("first").exists());
        std::fs::rename(&failed, root.path().join("elsewhere")).unwrap();
        std::fs::create_dir(&failed).unwrap();
        std::fs::write(failed.join("precious"), "").unwrap();
        assert!(fail("third").await.is_err());
        assert!(failed.join("precious").exists() && dir.join("third").exists());
        unmark_now(&dir).unwrap();
        keep_failed(&dir).await.unwrap();
        assert!(dir.join("third").exists(), "a directory that is not ours is left where it is");
    }

    #[tokio::test]
    async fn a_program_makes_the_directory_and_what_it_leaves_is_known_to_be_unfinished() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        make(&dir).unwrap();
        let fails = async {
            assert!(!dir.exists());
            std::fs::create_dir(&dir).map_err(Error::file("create", &dir))?;
            while !matches!(marker(&dir), Some(Marker::Unfinished { .. })) {
                tokio::time::sleep(LOOK).await;
            }
            std::fs::write(dir.join("half"), "").map_err(Error::file("write", &dir))?;
            Err::<(), _>(Error::Other("failed".into()))
        };
        assert!(make_by(&dir, None, false, fails).await.is_err());
        assert_eq!(inspect(&config(&dir)).await.0, DataDir::Unfinished);
        let kept = async { Ok(dir.join("half").exists()) };
        assert!(make_by(&dir, None, true, kept).await.unwrap());
        let quick = async {
            std::fs::create_dir(&dir)
                .and_then(|()| std::fs::write(dir.join("x"), ""))
                .map_err(Error::file("make", &dir))
        };
        make_by(&dir, Some(3), false, quick).await.unwrap();
        assert_eq!(bootstrap_of(&dir), Some(3));
        assert_eq!(inspect(&config(&dir)).await.0, DataDir::Unfinished);
    }

    #[tokio::test]
    async fn an_unfinished_directory_is_emptied_but_not_one_that_was_put_in_its_place() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        make(&dir).unwrap();
        mark(&dir, |inode| Marker::Unfinished { inode, created: None }).unwrap();
        std::fs::create_dir(dir.join("base")).unwrap();
        std::fs::write(dir.join("PG_VERSION"), "15").unwrap();
        assert_eq!(inspect(&config(&dir)).await.0, DataDir::Unfinished);
        empty_unfinished(&dir).await.unwrap();
        assert_eq!(inspect(&config(&dir)).await.0, DataDir::Empty);

        let other = root.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("precious"), "1").unwrap();
        std::fs::rename(&dir, root.path().join("old")).unwrap();
        std::fs::rename(&other, &dir).unwrap();
        assert!(matches!(inspect(&config(&dir)).await.0, DataDir::Foreign { .. }));
        assert!(empty_unfinished(&dir).await.is_err());
        unmark(&dir).await.unwrap();
        unmark(&dir).await.unwrap();
    }
}
