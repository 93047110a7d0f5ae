//! The journal of histories: `history.jsonl` in the run's folder. A thread of its own writes it, in the order in which
//! lines were handed to it, so that a disk that is slow for a moment (a commit of the file system's journal takes
//! 100 ms on a busy one) is no outage that clients see. A line is with the operating system before what it says is
//! counted, so a history that is read back is never younger than the counts.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::verify::history::Line;

/// How many lines may wait for the disk: some seconds of 2,000 operations a second. After that clients wait, too.
const WAITING: usize = 16_384;
/// How many lines are written at once.
const AT_ONCE: usize = 256;

/// What is done once a line is written.
type Then = Box<dyn FnOnce(Line) + Send>;

enum Entry {
    Line(Line, Option<Then>),
    /// Everything before this is written, or never will be.
    Settled(oneshot::Sender<()>),
}

/// Appends lines. The first failure is kept, and ends the workloads.
pub struct HistoryLog {
    way: Way,
    failed: Arc<Mutex<Option<String>>>,
}

/// How lines come to where they are kept.
enum Way {
    /// By a thread, to which they are handed. It ends once there is no queue.
    Beside { queue: Option<SyncSender<Entry>>, writer: Option<JoinHandle<()>> },
    /// At once, by whoever has one.
    AtOnce(Mutex<Box<dyn Write + Send>>),
}

impl HistoryLog {
    /// A journal in `file`.
    pub fn in_file(file: File) -> HistoryLog {
        HistoryLog::beside(Box::new(file))
    }

    /// A journal that a thread writes to `out`, which must not buffer.
    fn beside(mut out: Box<dyn Write + Send>) -> HistoryLog {
        let (queue, entries) = sync_channel(WAITING);
        let failed = Arc::new(Mutex::new(None));
        let why = Arc::clone(&failed);
        let writer = std::thread::Builder::new().name("history".into()).spawn(move || {
            if let Err(error) = write_all(&entries, &mut *out) {
                keep(&why, &error);
            }
        });
        let writer = writer.map_err(|error| keep(&failed, &error)).ok();
        HistoryLog { way: Way::Beside { queue: Some(queue), writer }, failed }
    }

    /// A journal that whoever has a line writes to `out` at once: for clocks that do not go on by themselves.
    pub fn over(out: Box<dyn Write + Send>) -> HistoryLog {
        HistoryLog { way: Way::AtOnce(Mutex::new(out)), failed: Arc::default() }
    }

    /// Append a line. It is written soon, after all that were handed in before it.
    pub fn write(&self, line: Line) -> Result<(), String> {
        self.hand_in(Entry::Line(line, None))
    }

    /// Append a line, and do `then` once it is written; never, where it cannot be.
    pub fn write_then(&self, line: Line, then: impl FnOnce(Line) + Send + 'static) -> Result<(), String> {
        self.hand_in(Entry::Line(line, Some(Box::new(then))))
    }

    /// Wait until everything that was handed in is written, and what was to be done then is done.
    pub async fn settle(&self) -> Result<(), String> {
        let (settled, wait) = oneshot::channel();
        self.hand_in(Entry::Settled(settled))?;
        // Where the writer is gone, it has said why.
        let _ = wait.await;
        self.failed().map_or(Ok(()), Err)
    }

    fn hand_in(&self, entry: Entry) -> Result<(), String> {
        if let Some(why) = self.failed() {
            return Err(why);
        }
        let handed_in = match &self.way {
            Way::Beside { queue, .. } => queue.as_ref().is_some_and(|queue| queue.send(entry).is_ok()),
            Way::AtOnce(out) => {
                let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                write(vec![entry], &mut **out).map_err(|error| keep(&self.failed, &error)).is_ok()
            }
        };
        let gone = || self.failed().unwrap_or_else(|| "the history's writer is gone".to_owned());
        if handed_in { Ok(()) } else { Err(gone()) }
    }

    /// Why the journal is not whole, where it is not.
    pub fn failed(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for HistoryLog {
    fn drop(&mut self) {
        let Way::Beside { queue, writer } = &mut self.way else { return };
        *queue = None;
        if let Some(writer) = writer.take() {
            // What it could not write, it has told.
            let _ = writer.join();
        }
    }
}

fn keep(failed: &Mutex<Option<String>>, error: &io::Error) {
    let why = format!("the history could not be journalled: {error}");
    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
}

/// Write until nobody can hand anything in any more, or until it cannot be written: what waits then is dropped.
fn write_all(entries: &Receiver<Entry>, out: &mut dyn Write) -> io::Result<()> {
    while let Ok(first) = entries.recv() {
        let more: Vec<Entry> = entries.try_iter().take(AT_ONCE - 1).collect();
        write(std::iter::once(first).chain(more).collect(), out)?;
    }
    Ok(())
}

fn write(entries: Vec<Entry>, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Vec::new();
    for entry in &entries {
        if let Entry::Line(line, _) = entry {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
    }
    out.write_all(&text)?;
    for entry in entries {
        match entry {
            Entry::Line(line, Some(then)) => then(line),
            Entry::Line(_, None) => {}
            // Whoever waited may have been cancelled.
            Entry::Settled(settled) => drop(settled.send(())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct FullDisk;

    impl Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing until it may.
    struct SlowDisk {
        may: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for SlowDisk {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.may.recv();
            self.taken.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(at_us: u64) -> Line {
        Line::Halt { workload: "w".into(), at_us }
    }

    #[tokio::test]
    async fn the_first_failure_is_kept_and_nothing_is_counted() {
        let log = HistoryLog::beside(Box::new(FullDisk));
        let counted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&counted);
        log.write_then(line(0), move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
        let first = log.settle().await.unwrap_err();
        assert_eq!(log.failed(), Some(first.clone()));
        assert_eq!(log.write(line(1)), Err(first));
        assert_eq!(counted.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_written_at_once_is_counted_at_once_and_fails_at_once() {
        let (count, counted) = std::sync::mpsc::channel();
        HistoryLog::over(Box::new(io::sink())).write_then(line(7), move |line| count.send(line).unwrap()).unwrap();
        assert_eq!(counted.try_recv(), Ok(line(7)));
        let log = HistoryLog::over(Box::new(FullDisk));
        let why = log.write(line(0)).unwrap_err();
        assert_eq!(log.failed(), Some(why));
    }

    #[tokio::test]
    async fn a_slow_disk_keeps_nobody_and_what_it_has_not_taken_is_not_counted() {
        let (go, may) = std::sync::mpsc::channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let log = HistoryLog::beside(Box::new(SlowDisk { may, taken: Arc::clone(&taken) }));
        let counted = Arc::new(AtomicUsize::new(0));
        for number in 0..1000 {
            let count = Arc::clone(&counted);
            log.write_then(line(number), move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
        }
        assert_eq!((counted.load(Ordering::Relaxed), taken.lock().unwrap().len()), (0, 0));
        drop(go);
        log.settle().await.unwrap();
        assert_eq!(counted.load(Ordering::Relaxed), 1000);
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        let order: Vec<u64> = text
            .lines()
            .map(|line| match serde_json::from_str(line).unwrap() {
                Line::Halt { at_us, .. } => at_us,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(order, (0..1000).collect::<Vec<u64>>());
    }

    #[test]
    fn what_was_handed_in_is_written_before_the_journal_is_gone() {
        let (go, may) = std::sync::mpsc::channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let log = HistoryLog::beside(Box::new(SlowDisk { may, taken: Arc::clone(&taken) }));
        (0..10).for_each(|number| log.write(line(number)).unwrap());
        drop(go);
        drop(log);
        assert_eq!(taken.lock().unwrap().iter().filter(|byte| **byte == b'\n').count(), 10);
    }
}
