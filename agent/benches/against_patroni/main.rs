//! labrun-agent against the Patroni of PyPI: the same YAML, the same machine, in turn.
//!
//! Two nodes at the reference lab's settings behind HAProxy; clients write all the time, one directly to each node
//! and one through the proxy; faults are injected one after another. Measured are the longest times in which no
//! write was acknowledged, lost writes, the time to start and to come back, and what an idle agent costs.
//!
//! Written to `output/bench/`: `results.json` (every figure of every round, after each fault, so that a measurement
//! that was ended can be gone on with), `logs/` (the agents' logs, and when what was done to them), `results.md` (the
//! table) and `results.svg` (the picture); the last two also to `docs/` when nothing was left out. `make bench`, or
//! `cargo bench --bench against_patroni -- --help`.

#[allow(dead_code, reason = "the harness serves the conformance suite too")]
#[path = "../../tests/conformance/harness/mod.rs"]
mod harness;

mod faults;
mod figures;
mod lab;
mod logs;
mod picture;
mod round;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Parser, ValueEnum};

use faults::Fault;
use figures::{Figures, Subject};

/// What a whole measurement has at least.
const WHOLE: u32 = 5;
/// Where the README shows the results from.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// Measure labrun-agent and Patroni under faults, in turn.
#[derive(Parser)]
struct Arguments {
    /// How often everything is measured.
    #[arg(long, env = "LABRUN_BENCH_ROUNDS", default_value_t = WHOLE)]
    rounds: u32,
    /// Only these faults, separated by commas; `none` for none.
    #[arg(long, env = "LABRUN_BENCH_FAULTS", value_delimiter = ',')]
    faults: Vec<String>,
    /// Only these programs.
    #[arg(long, env = "LABRUN_BENCH_SUBJECTS", value_enum, value_delimiter = ',')]
    subjects: Vec<Subject>,
    /// How long idle agents are watched, in seconds; 0 leaves that out.
    #[arg(long, env = "LABRUN_BENCH_IDLE", default_value_t = 60)]
    idle: u64,
    /// Go on with the measurement that lies in the output folder: only what it lacks is measured.
    #[arg(long, env = "LABRUN_BENCH_RESUME", value_parser = FalseyValueParser::new())]
    resume: bool,
    /// Measure nothing, write the table and the picture from the figures of an earlier run.
    #[arg(long, env = "LABRUN_BENCH_RENDER", value_parser = FalseyValueParser::new())]
    render: bool,
    /// Write the table and the picture to `docs/` even if something was left out.
    #[arg(long, env = "LABRUN_BENCH_DOCS", value_parser = FalseyValueParser::new())]
    docs: bool,
    /// Where the results go.
    #[arg(long, env = "LABRUN_BENCH_OUTPUT", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../output/bench"))]
    output: PathBuf,
    /// Cargo says it to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn faults(&self) -> Vec<Fault> {
        let chosen = |fault: &Fault| self.faults.is_empty() || self.faults.contains(&fault.name());
        Fault::value_variants().iter().copied().filter(chosen).collect()
    }

    fn subjects(&self) -> Vec<Subject> {
        if self.subjects.is_empty() { Subject::value_variants().to_vec() } else { self.subjects.clone() }
    }
}

fn main() {
    let arguments = Arguments::parse();
    let known = |name: &String| name == "none" || Fault::value_variants().iter().any(|fault| fault.name() == *name);
    if let Some(unknown) = arguments.faults.iter().find(|name| !known(name)) {
        let names: Vec<_> = Fault::value_variants().iter().map(|fault| fault.name()).collect();
        refuse(&format!("`{unknown}` is no fault; these are: {}", names.join(", ")));
    }
    std::fs::create_dir_all(&arguments.output).expect("the output folder can be made");
    let earlier = arguments.resume || arguments.render;
    let mut figures = if earlier { Figures::read(&arguments.output) } else { Figures::new() };
    if !arguments.render {
        measure(&arguments, &mut figures);
    }
    figures.write(&arguments.output);
    let (text, picture) = (table::markdown(&figures), picture::svg(&figures));
    write(&arguments.output, "results.md", &text);
    write(&arguments.output, "results.svg", &picture);
    println!("{text}");
    eprintln!("written to {}", arguments.output.display());
    if arguments.docs || figures.is_whole(WHOLE) {
        write(Path::new(DOCS), "benchmark.md", &text);
        write(Path::new(DOCS), "benchmark.svg", &picture);
        eprintln!("and to {DOCS}");
    }
}

fn measure(arguments: &Arguments, figures: &mut Figures) {
    let subjects = arguments.subjects();
    if subjects.contains(&Subject::Patroni) && harness::cast::patroni_bin().is_none() {
        refuse("No Patroni is found. `make patroni` installs it; LABRUN_PATRONI_DIR says where it is otherwise.");
    }
    let faults = arguments.faults();
    for round in 1..=arguments.rounds {
        for subject in &subjects {
            eprintln!("== round {round} of {}: {subject}", arguments.rounds);
            let plan = round::Plan {
                round,
                subject: *subject,
                faults: &faults,
                idle: Duration::from_secs(arguments.idle),
                output: &arguments.output,
            };
            round::measure(&plan, figures);
        }
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
}

fn refuse(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(2);
}
