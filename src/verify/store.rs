//! The run store: a run's folder, filled while the run goes on.
//!
//! On disk, below the deployment's folder:
//! ```text
//! runs/<id>/
//!   run.json        the run as far as it got; replaced as a whole after every check
//!   events.jsonl    every event, written as it happens
//!   history.jsonl   every write of every workload, see `history::Line`
//!   lab.yaml        the lab file as it was read
//! runs/latest       a link to the newest run's folder
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::workload::journal::HistoryLog;
use super::{Consumer, Run, Stamped};

/// A run's folder.
#[derive(Debug)]
pub struct RunStore {
    id: String,
    dir: PathBuf,
}

/// Why a run has no folder, or is not kept in it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum StoreError {
    /// A file or folder could not be made or written.
    #[error("{what} {}: {source}", path.display())]
    #[diagnostic(code(LR0502), help("is the disk full, or the folder another user's?"))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl RunStore {
    /// Make the folder of a run that starts at `now`, below `runs`. Its name is the time in UTC, with a number behind it
    /// when there is such a run already.
    pub fn create(runs: &Path, now: Timestamp, lab_text: &str) -> Result<RunStore, StoreError> {
        fs::create_dir_all(runs).map_err(|source| StoreError::Io { what: "make", path: runs.to_owned(), source })?;
        let base = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut number = 1;
        loop {
            let id = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            let dir = runs.join(&id);
            match fs::create_dir(&dir) {
                Ok(()) => {
                    let store = RunStore { id, dir };
                    store.write("lab.yaml", lab_text.as_bytes())?;
                    store.link_latest(runs)?;
                    return Ok(store);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(StoreError::Io { what: "make", path: dir, source }),
            }
        }
    }

    /// The run's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Hears every event and writes it to events.jsonl.
    pub fn events(&self) -> Result<JsonLines<File>, StoreError> {
        Ok(JsonLines::new(self.open("events.jsonl")?))
    }

    /// The journal of histories.
    pub fn history(&self) -> Result<HistoryLog, StoreError> {
        Ok(HistoryLog::in_file(self.open("history.jsonl")?))
    }

    /// Replace run.json as a whole, and have it on the disk when this returns.
    pub fn save(&self, run: &Run) -> io::Result<()> {
        replace(&self.dir.join("run.json"), &serde_json::to_vec_pretty(run)?)
    }

    /// Keep the lab that the run goes by from now on.
    pub fn keep_lab(&self, text: &str) -> io::Result<()> {
        replace(&self.dir.join("lab.yaml"), text.as_bytes())
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = self.dir.join(name);
        replace(&path, content).map_err(|source| StoreError::Io { what: "write", path, source })
    }

    fn open(&self, name: &str) -> Result<File, StoreError> {
        let path = self.dir.join(name);
        let opened = OpenOptions::new().create_new(true).append(true).open(&path);
        opened.map_err(|source| StoreError::Io { what: "make", path, source })
    }

    fn link_latest(&self, runs: &Path) -> Result<(), StoreError> {
        let (link, new) = (runs.join("latest"), runs.join(format!(".latest-{}", self.id)));
        let linked = std::os::unix::fs::symlink(&self.id, &new).and_then(|()| fs::rename(&new, &link));
        linked.map_err(|source| StoreError::Io { what: "link", path: link, source })
    }
}

/// Write a file beside `path`, and put it in its place once it is on the disk: a reader sees the old or the new one.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Hears every event and writes it as a line of JSON.
pub struct JsonLines<W> {
    out: W,
}

impl<W: Write> JsonLines<W> {
    /// Lines go to `out`; each is flushed.
    pub fn new(out: W) -> JsonLines<W> {
        JsonLines { out }
    }
}

impl<W: Write + Send> Consumer for JsonLines<W> {
    fn hear(&mut self, event: &Stamped) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Event, Verdict};

    fn at() -> Timestamp {
        "2026-11-23T06:12:40Z".parse().unwrap()
    }

    #[test]
    fn a_run_has_a_folder_of_its_own_even_within_one_second() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let first = RunStore::create(&runs, at(), "lab: labrun/v1\n").unwrap();
        let second = RunStore::create(&runs, at(), "lab: labrun/v1\n").unwrap();
        assert_eq!((first.id(), second.id()), ("20261123T061240Z", "20261123T061240Z-2"));
        assert_eq!(fs::read_link(runs.join("latest")).unwrap(), Path::new("20261123T061240Z-2"));
        assert_eq!(fs::read_to_string(runs.join("latest/lab.yaml")).unwrap(), "lab: labrun/v1\n");
    }

    #[test]
    fn events_are_on_their_way_when_they_were_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = RunStore::create(folder.path(), at(), "").unwrap();
        let mut events = store.events().unwrap();
        let event = Event::RunFinished { verdict: Verdict::Fail, points: (1, 2) };
        events.hear(&Stamped { seq: 1, at_ms: 5, event }).unwrap();
        let text = fs::read_to_string(store.dir().join("events.jsonl")).unwrap();
        assert_eq!(text, "{\"seq\":1,\"at_ms\":5,\"event\":\"run_finished\",\"verdict\":\"fail\",\"points\":[1,2]}\n");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunStore::create(&file, at(), "").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
