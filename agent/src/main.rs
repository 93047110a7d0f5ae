//! `labrun-agent`: parse, dispatch, exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use labrun_agent::{exit, logging, supervise};

/// A PostgreSQL node agent: a drop-in for Patroni on ZooKeeper.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keep one node's service running, forward its ports and bound its log.
    Supervise {
        /// The node, as JSON.
        node: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::init(tracing::Level::INFO);
    match arguments.command {
        Command::Supervise { node } => run_supervisor(&node),
    }
}

fn run_supervisor(node: &Path) -> ExitCode {
    match supervise::Spec::load(node).and_then(|spec| supervise::run(&spec)) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            let code = error.exit_code();
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}
