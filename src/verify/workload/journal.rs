//! The journal of histories: `history.jsonl` in the run's folder. A line is handed to the operating system before what
//! it says is counted, so a history that is read back is never younger than the counts.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use crate::verify::history::Line;

/// Appends lines. The first failure is kept, and ends the workloads.
pub struct HistoryLog {
    sink: Mutex<Sink>,
}

struct Sink {
    out: Box<dyn Write + Send>,
    failed: Option<String>,
}

impl HistoryLog {
    /// A journal in `file`.
    pub fn in_file(file: File) -> HistoryLog {
        HistoryLog::over(Box::new(file))
    }

    /// A journal that writes to `out`, which must not buffer.
    pub fn over(out: Box<dyn Write + Send>) -> HistoryLog {
        HistoryLog { sink: Mutex::new(Sink { out, failed: None }) }
    }

    /// Append a line.
    pub fn write(&self, line: &Line) -> Result<(), String> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &sink.failed {
            return Err(why.clone());
        }
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            sink.out.write_all(&text)
        });
        written.map_err(|error| {
            let why = format!("the history could not be journalled: {error}");
            sink.failed = Some(why.clone());
            why
        })
    }

    /// Why the journal is not whole, where it is not.
    pub fn failed(&self) -> Option<String> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).failed.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FullDisk;

    impl Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_failure_is_kept() {
        let log = HistoryLog::over(Box::new(FullDisk));
        let line = Line::Begin { workload: "w".into(), table: "t".into(), at_us: 0, paths: vec![] };
        let first = log.write(&line).unwrap_err();
        assert_eq!(log.failed(), Some(first.clone()));
        assert_eq!(log.write(&line), Err(first));
    }
}
