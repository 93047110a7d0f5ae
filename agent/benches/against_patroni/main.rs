//! labrun-agent against the Patroni of PyPI: the same YAML, the same machine, in turn.
//!
//! Two nodes at the reference lab's settings behind HAProxy; clients write all the time, one directly to each node
//! and one through the proxy; faults are injected one after another. Measured are the longest times in which no
//! write was acknowledged, lost writes, the time to start and to come back, and what an idle agent costs.
//!
//! Written to `output/bench/`: `results.json` (every figure of every round, after each fault), `results.md` (the
//! table) and `results.svg` (the picture). `make bench`, or `cargo bench --bench against_patroni -- --help`.

#[allow(dead_code, reason = "the harness serves the conformance suite too")]
#[path = "../../tests/conformance/harness/mod.rs"]
mod harness;

mod faults;
mod figures;
mod lab;
mod picture;
mod round;
mod table;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use faults::Fault;
use figures::{Figures, Subject};

/// Measure labrun-agent and Patroni under faults, in turn.
#[derive(Parser)]
struct Arguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only these faults.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Only these programs.
    #[arg(long, value_enum, value_delimiter = ',')]
    subjects: Vec<Subject>,
    /// Add to the figures of an earlier run instead of starting anew.
    #[arg(long)]
    add: bool,
    /// Measure nothing, write the table and the picture from the figures of an earlier run.
    #[arg(long)]
    render: bool,
    /// Where the results go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../output/bench"))]
    output: PathBuf,
    /// Cargo says it to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let all = |chosen: Vec<Fault>| if chosen.is_empty() { Fault::value_variants().to_vec() } else { chosen };
    let faults = all(arguments.faults);
    let subjects = if arguments.subjects.is_empty() { Subject::value_variants().to_vec() } else { arguments.subjects };
    std::fs::create_dir_all(&arguments.output).expect("the output folder can be made");
    let mut figures = if arguments.add || arguments.render { Figures::read(&arguments.output) } else { Figures::new() };
    if !arguments.render {
        if subjects.contains(&Subject::Patroni) && harness::cast::patroni_bin().is_none() {
            eprintln!(
                "No Patroni is found. `make patroni` installs it; LABRUN_PATRONI_DIR says where it is otherwise."
            );
            std::process::exit(2);
        }
        for round in 1..=arguments.rounds {
            for subject in &subjects {
                eprintln!("== round {round} of {}: {subject}", arguments.rounds);
                round::measure(*subject, &faults, &mut figures, &arguments.output);
            }
        }
    }
    figures.write(&arguments.output);
    let text = table::markdown(&figures);
    std::fs::write(arguments.output.join("results.md"), &text).expect("the table can be written");
    std::fs::write(arguments.output.join("results.svg"), picture::svg(&figures)).expect("the picture can be written");
    println!("{text}");
    eprintln!("written to {}", arguments.output.display());
}
