//! Judging the histories of an old run with today's checkers.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::history::stored::{self, BadHistory, Recorded};
use super::{Judgement, Run, Source, Verdict};

/// The histories' file in a run's folder.
const HISTORY_FILE: &str = "history.jsonl";

/// A history that was judged again.
#[derive(Debug)]
pub struct Rechecked {
    /// What was recorded.
    pub recorded: Recorded,
    /// What today's checkers say.
    pub judgement: Judgement,
    /// What was said then; none where nothing was, or by a labrun that did not say it in a word.
    pub then: Option<Verdict>,
}

/// Why a run cannot be judged again.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RecheckError {
    /// Its histories cannot be read.
    #[error("the history {} cannot be read: {source}", path.display())]
    #[diagnostic(code(LR0511), help("was it edited, or made by a newer labrun?"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: BadHistory,
    },
    /// There is nothing to judge.
    #[error("the run {run} has no history: no workload was started in it")]
    #[diagnostic(code(LR0512))]
    NoHistory {
        /// The run.
        run: String,
    },
}

/// Judge every history in the folder of `run`.
pub fn recheck(run: &Run, folder: &Path) -> Result<Vec<Rechecked>, RecheckError> {
    let path = folder.join(HISTORY_FILE);
    let read = File::open(&path).map_err(BadHistory::Io).and_then(|file| stored::read(BufReader::new(file)));
    let histories = read.map_err(|source| RecheckError::Unreadable { path, source })?;
    if histories.is_empty() {
        return Err(RecheckError::NoHistory { run: run.id.clone() });
    }
    let rechecked = histories.into_iter().map(|recorded| {
        let (judgement, then) = (recorded.judge(), then(run, &recorded.workload));
        Rechecked { recorded, judgement, then }
    });
    Ok(rechecked.collect())
}

/// What the run itself said of the workload's history, the last time that it judged it.
fn then(run: &Run, workload: &str) -> Option<Verdict> {
    let of_workload = |source: &Source| matches!(source, Source::Workload { name } if name == workload);
    let facts = run.facts.iter().rev().filter(|fact| of_workload(&fact.source));
    facts.filter_map(|fact| fact.value.get("verdict").and_then(Value::as_str)).find_map(Verdict::of_word)
}

/// The verdict of all.
pub fn verdict(all: &[Rechecked]) -> Verdict {
    Verdict::all(all.iter().map(|one| one.judgement.verdict()))
}
