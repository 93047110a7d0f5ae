//! `labrun recheck`.

use serde_json::json;

use super::report::folder;
use super::{CliError, Globals, exit, output};
use crate::report;
use crate::verify::recheck::{Rechecked, recheck, verdict};
use crate::verify::{Verdict, workload};

/// Judge the histories of a run with today's checkers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run's name, or its folder [default: the newest one]
    run: Option<String>,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let folder = folder(globals, self.run.as_deref())?;
        let run = report::read_run(&folder)?;
        let all = recheck(&run, &folder)?;
        match globals.json {
            true => output::json(&all.iter().map(as_json).collect::<Vec<_>>())?,
            false => output::print(&all.iter().map(|one| shown(&run.id, one)).collect::<String>())?,
        }
        Ok(exit::of_verdict(verdict(&all)))
    }
}

fn as_json(one: &Rechecked) -> serde_json::Value {
    json!({
        "workload": one.recorded.workload,
        "verdict": one.judgement.verdict().word(),
        "then": one.then.map(Verdict::word),
        "operations": one.recorded.ops.len(),
        "result": workload::value(&one.judgement, &one.recorded),
    })
}

fn shown(run: &str, one: &Rechecked) -> String {
    let now = one.judgement.verdict();
    let then = match one.then {
        Some(then) if then == now => ", as it was then".to_owned(),
        Some(then) => format!(", and then it was {}", then.word()),
        None => String::new(),
    };
    let text = workload::print(&one.judgement, one.recorded.stored.as_deref());
    let (workload, ops) = (&one.recorded.workload, one.recorded.ops.len());
    format!("{run}, workload {workload}, {ops} operations: {}{then}\n{text}\n", now.word())
}
