//! Histories read back from a run's `history.jsonl`.
//!
//! A line is read as one flat record with all fields that any line has: a file of a million operations is read in a few
//! seconds. What was sent and has no end (labrun was killed) is of unknown outcome.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead};

use serde::Deserialize;

use super::judge::Evidence;
use super::{Action, Judgement, Op, Outcome, Server, judge};

/// One workload's history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// The workload's name.
    pub workload: String,
    /// The table that it wrote.
    pub table: String,
    /// The ways by which it went.
    pub paths: Vec<String>,
    /// What its clients tried.
    pub ops: Vec<Op>,
    /// When it began and ended, in µs since the run's start.
    pub span_us: (u64, u64),
    /// When the first fault within it was injected, and into which node.
    pub fault: Option<(u64, String)>,
    /// What was stored in the end.
    pub stored: Option<Vec<u64>>,
}

/// Why a history cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum BadHistory {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is no line of a history.
    #[error("line {line}: {why}")]
    Line {
        /// Which one.
        line: usize,
        /// Why not.
        why: String,
    },
}

/// All fields of all lines.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    line: Cow<'a, str>,
    #[serde(borrow)]
    workload: Cow<'a, str>,
    #[serde(borrow, default)]
    table: Cow<'a, str>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    at_us: u64,
    #[serde(default)]
    id: u64,
    #[serde(borrow, default)]
    path: Cow<'a, str>,
    #[serde(default)]
    client: u32,
    #[serde(rename = "do", default)]
    action: Action,
    key: Option<u32>,
    #[serde(default)]
    sent_us: u64,
    #[serde(default)]
    done_us: u64,
    #[serde(borrow)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    node: Cow<'a, str>,
    timeline: Option<u64>,
    #[serde(default)]
    standby: bool,
    value: Option<u64>,
    #[serde(borrow, default)]
    sqlstate: Cow<'a, str>,
    #[serde(borrow, default)]
    error: Cow<'a, str>,
    #[serde(borrow, default)]
    why: Cow<'a, str>,
    #[serde(default)]
    ids: Vec<u64>,
}

/// The histories of a file, in the order in which they began. A last line that was cut off is left out.
pub fn read(mut file: impl BufRead) -> Result<Vec<Recorded>, BadHistory> {
    let mut reading = Reading::default();
    let (mut line, mut text) = (0, Vec::new());
    loop {
        text.clear();
        if file.read_until(b'\n', &mut text)? == 0 {
            return Ok(reading.end());
        }
        line += 1;
        let row: Row = match serde_json::from_slice(&text) {
            Ok(row) => row,
            Err(_) if !text.ends_with(b"\n") => return Ok(reading.end()),
            Err(error) => return Err(BadHistory::Line { line, why: error.to_string() }),
        };
        reading.take(row).map_err(|why| BadHistory::Line { line, why })?;
    }
}

#[derive(Default)]
struct Reading {
    done: Vec<Recorded>,
    open: BTreeMap<String, Open>,
    began: u64,
}

/// A workload whose lines are still being read.
#[derive(Default)]
struct Open {
    place: u64,
    recorded: Recorded,
    sent: HashMap<u64, Op>,
}

impl Reading {
    fn take(&mut self, row: Row<'_>) -> Result<(), String> {
        if row.line == "begin" {
            self.begin(row);
            return Ok(());
        }
        let open = self.open.get_mut(row.workload.as_ref());
        let open = open.ok_or_else(|| format!("workload `{}` did not begin", row.workload))?;
        let recorded = &mut open.recorded;
        let ended_us = if row.line == "halt" { row.at_us } else { row.done_us.max(row.sent_us) };
        recorded.span_us.1 = recorded.span_us.1.max(ended_us);
        match row.line.as_ref() {
            "invoke" => {
                let why = "labrun ended before the outcome was known".to_owned();
                open.sent.insert(row.id, operation(&row, u64::MAX, Outcome::Indeterminate { why }));
            }
            "end" => {
                open.sent.remove(&row.id);
                let outcome = outcome(&row)?;
                recorded.ops.push(operation(&row, row.done_us, outcome));
            }
            "fault" => {
                recorded.fault.get_or_insert_with(|| (row.at_us, row.node.into_owned()));
            }
            "stored" => recorded.stored = Some(row.ids),
            "halt" => {}
            other => return Err(format!("`{other}` is no line of a history")),
        }
        Ok(())
    }

    fn begin(&mut self, row: Row<'_>) {
        let workload = row.workload.into_owned();
        self.began += 1;
        let recorded = Recorded {
            workload: workload.clone(),
            table: row.table.into_owned(),
            paths: row.paths,
            span_us: (row.at_us, row.at_us),
            ..Recorded::default()
        };
        let open = Open { place: self.began, recorded, sent: HashMap::new() };
        // One that begins again under the same name is another history.
        self.done.extend(self.open.insert(workload, open).map(Open::end));
    }

    fn end(mut self) -> Vec<Recorded> {
        let mut open: Vec<Open> = self.open.into_values().collect();
        open.sort_by_key(|open| open.place);
        self.done.extend(open.into_iter().map(Open::end));
        self.done
    }
}

impl Open {
    fn end(self) -> Recorded {
        let mut recorded = self.recorded;
        let mut unended: Vec<Op> = self.sent.into_values().collect();
        unended.sort_unstable_by_key(|op| op.id);
        recorded.ops.extend(unended);
        if recorded.paths.is_empty() {
            // A history from before the ways were written down.
            let paths: std::collections::BTreeSet<&str> = recorded.ops.iter().map(|op| op.path.as_str()).collect();
            recorded.paths = paths.into_iter().map(str::to_owned).collect();
        }
        recorded
    }
}

impl Recorded {
    /// What today's checkers say of it.
    pub fn judge(&self) -> Judgement {
        judge(&Evidence {
            ops: &self.ops,
            stored: self.stored.as_deref(),
            paths: &self.paths,
            span_us: self.span_us,
            fault_us: self.fault.as_ref().map(|fault| fault.0),
        })
    }
}

fn operation(row: &Row<'_>, done_us: u64, outcome: Outcome) -> Op {
    Op {
        id: row.id,
        path: row.path.as_ref().to_owned(),
        client: row.client,
        action: row.action,
        key: row.key,
        sent_us: row.sent_us,
        done_us,
        outcome,
    }
}

fn outcome(row: &Row<'_>) -> Result<Outcome, String> {
    match row.outcome.as_deref() {
        Some("acked") => {
            let by = Server { node: row.node.as_ref().to_owned(), timeline: row.timeline, standby: row.standby };
            Ok(Outcome::Acked { by, value: row.value })
        }
        Some("rejected") => {
            Ok(Outcome::Rejected { sqlstate: row.sqlstate.as_ref().to_owned(), error: row.error.as_ref().to_owned() })
        }
        Some("indeterminate") => Ok(Outcome::Indeterminate { why: row.why.as_ref().to_owned() }),
        Some(other) => Err(format!("`{other}` is no outcome")),
        None => Err("an operation ended without an outcome".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Line;
    use super::super::hand::{acked, got, on_standby, rejected, set, unknown};
    use super::*;

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| format!("{}\n", serde_json::to_string(line).unwrap())).collect()
    }

    fn begin(paths: &[&str]) -> Line {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Line::Begin { workload: "w".into(), table: "t".into(), at_us: 5, paths }
    }

    fn end(op: &Op) -> Line {
        Line::End { workload: "w".into(), op: op.clone() }
    }

    #[test]
    fn what_was_journalled_is_read_back_as_it_was() {
        let ops = [
            acked(1, "proxy", 1, 2, "a", 1),
            set(2, 3, 4),
            got(2, 5, 6),
            on_standby(got(1, 7, 8)),
            rejected(3, "direct", 9, 10, "25006"),
            unknown(4, "direct", 11, 12),
        ];
        let mut lines = vec![begin(&["proxy", "direct", "a"])];
        lines.extend(ops.iter().map(end));
        lines.push(Line::Fault { workload: "w".into(), node: "a".into(), at_us: 3_500 });
        lines.push(Line::Halt { workload: "w".into(), at_us: 13_000 });
        lines.push(Line::Stored { workload: "w".into(), node: "a".into(), ids: vec![1, 2], at_us: 14_000 });
        let read = read(text(&lines).as_bytes()).unwrap();
        let expected = Recorded {
            workload: "w".into(),
            table: "t".into(),
            paths: vec!["proxy".into(), "direct".into(), "a".into()],
            ops: ops.to_vec(),
            span_us: (5, 13_000),
            fault: Some((3_500, "a".into())),
            stored: Some(vec![1, 2]),
        };
        assert_eq!(read, [expected]);
    }

    #[test]
    fn what_was_sent_and_never_ended_is_of_unknown_outcome() {
        let invoke = Line::Invoke {
            workload: "w".into(),
            id: 7,
            path: "proxy".into(),
            client: 0,
            action: Action::Write,
            key: None,
            sent_us: 9,
        };
        let cut = format!("{}{{\"line\":\"end\",\"workl", text(&[begin(&[]), invoke]));
        let read = read(cut.as_bytes()).unwrap();
        assert_eq!(read[0].paths, ["proxy"]);
        assert!(matches!(
            &read[0].ops[..],
            [Op { id: 7, done_us: u64::MAX, outcome: Outcome::Indeterminate { .. }, .. }]
        ));
    }

    #[test]
    fn one_name_used_twice_is_two_histories() {
        let first = acked(1, "proxy", 1, 2, "a", 1);
        let lines = [begin(&["proxy"]), end(&first), begin(&["proxy"])];
        let read = read(text(&lines).as_bytes()).unwrap();
        assert_eq!(read.iter().map(|recorded| recorded.ops.len()).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn a_bad_line_is_told_with_its_number() {
        let lines = format!("{}oops\n", text(&[begin(&["proxy"])]));
        assert!(read(lines.as_bytes()).unwrap_err().to_string().starts_with("line 2: "));
        let stranger = text(&[end(&acked(1, "proxy", 1, 2, "a", 1))]);
        assert!(read(stranger.as_bytes()).unwrap_err().to_string().contains("did not begin"));
    }
}
