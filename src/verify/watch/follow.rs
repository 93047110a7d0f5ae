//! Following a verification that another labrun carries out, from what it writes: the step that it is at, the faults in
//! effect, and how its workloads fare.
//!
//! It reads `runs/latest/events.jsonl` and `history.jsonl` from where it stopped reading, so that a look costs what is new.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::lab::model::{Lang, Text};
use crate::verify::history::{Line, Outcome};
use crate::verify::{Event, Stamped};

/// What goes on in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Progress {
    /// The run; none where there is none.
    pub run: Option<String>,
    /// Whether it has ended.
    pub ended: bool,
    /// `part/check/step`, and what it waits for.
    pub step: Option<(String, Option<String>)>,
    /// The ways of the workloads.
    pub ways: BTreeMap<String, Way>,
}

/// How one way of a workload fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Writes acknowledged,
    pub acked: u64,
    /// refused,
    pub rejected: u64,
    /// of unknown outcome.
    pub indeterminate: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// For how long no write was acknowledged, in ms.
    pub silent_ms: u64,
    /// When the last write was acknowledged, in µs since the run's start.
    #[serde(skip)]
    last_us: u64,
}

/// A file that grows.
#[derive(Debug, Default)]
struct Growing {
    offset: u64,
    rest: Vec<u8>,
}

/// Follows the newest run of a deployment.
#[derive(Debug)]
pub struct Follow {
    latest: PathBuf,
    lang: Lang,
    folder: Option<PathBuf>,
    events: Growing,
    history: Growing,
    progress: Progress,
}

impl Follow {
    /// The runs of the deployment in `dir`.
    pub fn new(dir: &Path, lang: Lang) -> Follow {
        Follow {
            latest: dir.join("runs/latest"),
            lang,
            folder: None,
            events: Growing::default(),
            history: Growing::default(),
            progress: Progress::default(),
        }
    }

    /// Read what is new.
    pub fn look(&mut self) -> &Progress {
        let folder = self.latest.canonicalize().ok();
        if folder != self.folder {
            let run = folder.as_ref().and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()));
            *self =
                Follow { folder, ..Follow::new(&PathBuf::new(), self.lang) }.below(std::mem::take(&mut self.latest));
            self.progress.run = run;
        }
        if let Some(folder) = self.folder.clone() {
            let (lang, progress) = (self.lang, &mut self.progress);
            self.events.lines(&folder.join("events.jsonl"), |line| {
                if let Ok(event) = serde_json::from_slice(line) {
                    progress.event(&event, lang);
                }
            });
            self.history.lines(&folder.join("history.jsonl"), |line| {
                if let Ok(line) = serde_json::from_slice(line) {
                    progress.line(&line);
                }
            });
        }
        &self.progress
    }

    fn below(mut self, latest: PathBuf) -> Follow {
        self.latest = latest;
        self
    }
}

impl Growing {
    /// Every whole line that was added since the last time. A file that is not there yet has none.
    fn lines(&mut self, path: &Path, mut each: impl FnMut(&[u8])) {
        let read = File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut self.rest)
        });
        self.offset += read.unwrap_or(0) as u64;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.rest.drain(..whole).collect::<Vec<u8>>().split(|byte| *byte == b'\n').for_each(&mut each);
    }
}

impl Progress {
    fn event(&mut self, event: &Stamped, lang: Lang) {
        let words = |text: &Text| text.get(lang).to_owned();
        match &event.event {
            Event::StepStarted { scope, .. } => self.step = Some((scope.clone(), None)),
            Event::Waiting { scope, not_yet, .. } => self.step = Some((scope.clone(), Some(words(not_yet)))),
            Event::StepFinished { .. } => self.step = None,
            Event::RunFinished { .. } => self.ended = true,
            _ => {}
        }
    }

    fn line(&mut self, line: &Line) {
        let now_us = match line {
            Line::Begin { at_us, workload, paths, .. } => {
                for path in paths {
                    self.ways.insert(format!("{workload} · {path}"), Way { last_us: *at_us, ..Way::default() });
                }
                *at_us
            }
            Line::Invoke { sent_us, .. } => *sent_us,
            Line::End { workload, op } => {
                let way = self.ways.entry(format!("{workload} · {}", op.path)).or_default();
                match (&op.outcome, op.is_write()) {
                    (Outcome::Acked { .. }, true) => (way.acked, way.last_us) = (way.acked + 1, op.done_us),
                    (Outcome::Acked { .. }, false) => way.reads += 1,
                    (Outcome::Rejected { .. }, true) => way.rejected += 1,
                    (Outcome::Indeterminate { .. }, true) => way.indeterminate += 1,
                    (_, false) => {}
                }
                op.done_us
            }
            Line::Fault { .. } | Line::Halt { .. } | Line::Stored { .. } => return,
        };
        for way in self.ways.values_mut() {
            way.silent_ms = now_us.saturating_sub(way.last_us) / 1000;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::verify::Verdict;
    use crate::verify::history::hand::{acked, rejected};

    fn add(path: &Path, text: &str) {
        let old = fs::read_to_string(path).unwrap_or_default();
        fs::write(path, old + text).unwrap();
    }

    fn event(event: Event) -> String {
        serde_json::to_string(&Stamped { seq: 1, at_ms: 1, event }).unwrap() + "\n"
    }

    fn line(line: Line) -> String {
        serde_json::to_string(&line).unwrap() + "\n"
    }

    #[test]
    fn a_run_is_followed_from_where_one_stopped_reading_and_the_next_one_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut follow = Follow::new(folder.path(), Lang::En);
        assert_eq!(follow.look(), &Progress::default());
        let runs = folder.path().join("runs");
        let run = runs.join("one");
        fs::create_dir_all(&run).unwrap();
        std::os::unix::fs::symlink("one", runs.join("latest")).unwrap();
        let step = |id: &str| Event::StepStarted { scope: format!("p/c/{id}"), title: Text::default() };
        let cut = event(step("second"));
        add(&run.join("events.jsonl"), &(event(step("first")) + &cut[..9]));
        let begin = Line::Begin { workload: "w".into(), table: "t".into(), at_us: 0, paths: vec!["proxy".into()] };
        let first = Line::End { workload: "w".into(), op: acked(1, "proxy", 1, 2, "a", 1) };
        add(&run.join("history.jsonl"), &(line(begin) + &line(first)));
        let seen = follow.look().clone();
        assert_eq!((seen.run.as_deref(), seen.step), (Some("one"), Some(("p/c/first".to_owned(), None))));
        add(&run.join("events.jsonl"), &cut[9..]);
        let second = Line::End { workload: "w".into(), op: rejected(2, "proxy", 4, 302, "25006") };
        add(&run.join("history.jsonl"), &line(second));
        let seen = follow.look().clone();
        assert_eq!(seen.step, Some(("p/c/second".to_owned(), None)));
        let way = seen.ways["w · proxy"];
        assert_eq!((way.acked, way.rejected, way.silent_ms), (1, 1, 300));
        add(&run.join("events.jsonl"), &event(Event::RunFinished { verdict: Verdict::Pass, points: (1, 1) }));
        assert!(follow.look().ended);
        fs::create_dir(runs.join("two")).unwrap();
        fs::remove_file(runs.join("latest")).unwrap();
        std::os::unix::fs::symlink("two", runs.join("latest")).unwrap();
        let seen = follow.look().clone();
        assert_eq!(seen, Progress { run: Some("two".to_owned()), ..Progress::default() });
    }
}
