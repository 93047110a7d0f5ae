//! What was measured, by figure and program: every round's value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::harness::{Cast, cast};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
pub enum Subject {
    Labrun,
    Patroni,
}

impl Subject {
    pub fn cast(self) -> Cast {
        match self {
            Subject::Labrun => Cast::Labrun,
            Subject::Patroni => Cast::Patroni,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Labrun => "labrun-agent",
            Subject::Patroni => "Patroni",
        })
    }
}

/// One measured value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Value {
    pub round: u32,
    pub value: f64,
    /// The measuring was ended before the thing itself did: it took at least this long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// A part of a round, as it is told and resumed by.
pub type Part = String;

/// A part of a round that is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    pub round: u32,
    pub subject: Subject,
    pub part: Part,
    /// Why its figures could not be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// All rounds' values.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Figures {
    /// What was measured on.
    pub machine: String,
    pub attempts: Vec<Attempt>,
    /// Figure, program, values; a figure's name is one of [`crate::table::ROWS`].
    pub values: BTreeMap<String, BTreeMap<Subject, Vec<Value>>>,
}

impl Figures {
    pub fn new() -> Figures {
        Figures { machine: machine(), ..Figures::default() }
    }

    /// The figures that an earlier run wrote; none where there was none.
    pub fn read(dir: &Path) -> Figures {
        let text = std::fs::read(dir.join("results.json"));
        text.ok()
            .map_or_else(Figures::new, |text| serde_json::from_slice(&text).expect("results.json is as we wrote it"))
    }

    pub fn write(&self, dir: &Path) {
        let text = serde_json::to_string_pretty(self).expect("figures are plain");
        std::fs::write(dir.join("results.json"), text + "\n").expect("results.json can be written");
    }

    pub fn add(&mut self, figure: &str, subject: Subject, value: Value) {
        let sign = if value.at_least { "≥ " } else { "" };
        eprintln!("   {figure}: {sign}{:.3}", value.value);
        self.values.entry(figure.to_owned()).or_default().entry(subject).or_default().push(value);
    }

    /// Whether this part is over, well or not.
    pub fn has(&self, round: u32, subject: Subject, part: &str) -> bool {
        self.attempts.iter().any(|done| (done.round, done.subject, done.part.as_str()) == (round, subject, part))
    }

    /// Note the end of a part.
    pub fn end(&mut self, round: u32, subject: Subject, part: &str, failure: Option<String>) {
        self.attempts.push(Attempt { round, subject, part: part.to_owned(), failure });
    }

    /// Whether every figure was measured with both programs in as many rounds, failed attempts included.
    pub fn is_whole(&self, rounds: u32) -> bool {
        use crate::faults::Fault;
        let faults = Fault::value_variants().iter().map(|fault| fault.name());
        let parts: Vec<_> = faults.chain(["start".to_owned(), "idle".to_owned()]).collect();
        let whole = |subject, round| parts.iter().all(|part| self.has(round, subject, part));
        Subject::value_variants().iter().all(|subject| (1..=rounds).all(|round| whole(*subject, round)))
    }

    /// Smallest, middle and largest of a figure.
    pub fn spread(&self, figure: &str, subject: Subject) -> Option<[Value; 3]> {
        let mut values = self.values.get(figure)?.get(&subject)?.clone();
        values.sort_by(|a, b| a.value.total_cmp(&b.value));
        Some([*values.first()?, *values.get(values.len() / 2)?, *values.last()?])
    }
}

/// Cores, kernel, versions.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = |program: std::path::PathBuf| {
        let output = std::process::Command::new(program).arg("--version").output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let postgres = version(cast::postgres_bin().join("postgres"));
    let patroni = cast::patroni_bin().map(|bin| version(bin.join("patroni"))).unwrap_or_default();
    format!("{cores} cores, Linux {}, {postgres}, {patroni}", kernel.trim())
}
