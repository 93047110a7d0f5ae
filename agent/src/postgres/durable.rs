//! Getting a whole data directory onto the disk, quickly.
//!
//! initdb, pg_basebackup and pg_rewind flush every file when they are done, one after the other, and so does a start
//! after a crash before it begins: a thousand flushes of the disk, which takes a second or several. Side by side the
//! kernel makes few of them. So the programs are told not to flush, and [`flush`] does what they would have done;
//! for its start PostgreSQL offers syncfs from 14 on, one call a file system.

use std::collections::VecDeque;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{Error, off_the_loop};

/// How many files are flushed at the same time.
const AT_ONCE: usize = 16;
/// Flushing a file needs next to no stack.
const STACK: usize = 128 << 10;

/// Whether PostgreSQL can be told to use syncfs, and syncfs tells of write errors (it does since Linux 5.8).
pub(super) fn can_syncfs(data_dir: &Path) -> bool {
    let kernel = nix::sys::utsname::uname().is_ok_and(|name| reports_errors(&name.release().to_string_lossy()));
    kernel && major_version(data_dir).is_some_and(|major| major >= 14)
}

fn reports_errors(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 8)
}

/// The first part of PG_VERSION.
pub(super) fn major_version(data_dir: &Path) -> Option<u32> {
    std::fs::read_to_string(data_dir.join("PG_VERSION")).ok()?.trim().split('.').next()?.parse().ok()
}

/// Flushes every file and folder of the data directory, of its pg_wal and of its tablespaces.
pub(super) async fn flush(data_dir: &Path) -> Result<(), Error> {
    let data_dir = data_dir.to_path_buf();
    off_the_loop(move || flush_all(files(&data_dir)?)).await
}

/// Everything that is to be flushed. Links are followed where PostgreSQL has links: pg_wal and the tablespaces.
fn files(data_dir: &Path) -> Result<VecDeque<PathBuf>, Error> {
    let tablespaces = std::fs::read_dir(data_dir.join("pg_tblspc")).into_iter().flatten().flatten();
    let links = tablespaces.map(|entry| entry.path()).chain([data_dir.join("pg_wal")]);
    let mut folders: Vec<_> = links.filter(|path| path.is_symlink()).collect();
    folders.push(data_dir.to_path_buf());
    let mut found = VecDeque::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Error::file("read", &folder))? {
            let entry = entry.map_err(Error::file("read", &folder))?;
            match entry.file_type().map_err(Error::file("look at", entry.path()))? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => found.push_back(entry.path()),
                _ => {}
            }
        }
        found.push_back(folder);
    }
    Ok(found)
}

fn flush_all(files: VecDeque<PathBuf>) -> Result<(), Error> {
    let (left, failure) = (Mutex::new(files), Mutex::new(None));
    let next = || left.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front();
    let work = || {
        while let Some(file) = next() {
            if let Err(error) = flush_one(&file) {
                let error = Error::file("flush", file)(error);
                failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(error);
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..AT_ONCE {
            // Where there can be no more threads, those that there are do it.
            if std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).map_or(Ok(()), Err)
}

/// As PostgreSQL, which takes a file that may not be read, or is gone by now, for one that it need not flush.
fn flush_one(path: &Path) -> Result<(), IoError> {
    match std::fs::File::open(path) {
        Ok(file) => file.sync_all(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncfs_is_relied_upon_from_linux_5_8_on() {
        assert!(reports_errors("5.8.0-rc1") && reports_errors("6.1.0-18-amd64") && reports_errors("10.0"));
        assert!(!reports_errors("5.7.19") && !reports_errors("4.19.0") && !reports_errors("strange"));
    }

    #[tokio::test]
    async fn all_that_belongs_to_the_directory_is_flushed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let (dir, elsewhere) = (root.path().join("data"), root.path().join("fast-disk"));
        std::fs::create_dir_all(dir.join("pg_tblspc")).unwrap();
        std::fs::create_dir_all(dir.join("base/1")).unwrap();
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("segment"), "").unwrap();
        std::fs::write(dir.join("PG_VERSION"), "15\n").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.join("pg_wal")).unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.join("other")).unwrap();
        let mut found: Vec<_> = files(&dir).unwrap().into();
        found.sort();
        let expected = ["", "PG_VERSION", "base", "base/1", "pg_tblspc", "pg_wal", "pg_wal/segment"];
        let mut expected = expected.map(|name| if name.is_empty() { dir.clone() } else { dir.join(name) });
        expected.sort();
        assert_eq!(found, expected);
        flush(&dir).await.unwrap();
        assert!(flush(&root.path().join("missing")).await.is_err());
        assert_eq!(major_version(&dir), Some(15));
    }
}
