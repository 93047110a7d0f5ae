//! `labrun-agent`: parse, dispatch, exit code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use labrun_agent::{agent, config, exit, guard, logging, supervise};

/// A PostgreSQL node agent: a drop-in for Patroni on ZooKeeper.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Patroni's YAML file of this node.
    #[arg(env = "PATRONI_CONFIG_FILE", required = true)]
    config: Option<PathBuf>,
    /// Only check the file.
    #[arg(long)]
    validate_config: bool,
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
    // Before anything else is set up: the guard is to be as small as can be.
    let mut words = std::env::args_os();
    if words.next().is_some_and(|name| name == guard::NAME) {
        return ExitCode::from(guard::run(&PathBuf::from(words.next().unwrap_or_default())));
    }
    let arguments = Arguments::parse();
    logging::init(tracing::Level::INFO);
    let (validate, config) = (arguments.validate_config, arguments.config.unwrap_or_default());
    let result = match arguments.command {
        Some(Command::Supervise { node }) => supervise_node(&node),
        None if validate => check(&config),
        None => agent::run(&config).map_err(|error| (error.exit_code(), miette::Report::new(error))),
    };
    ExitCode::from(result.unwrap_or_else(|(code, report)| {
        tell(format_args!("{report:?}"));
        code
    }))
}

fn supervise_node(node: &Path) -> Result<u8, (u8, miette::Report)> {
    let done = supervise::Spec::load(node).and_then(|spec| supervise::run(&spec));
    done.map(|()| exit::OK).map_err(|error| (error.exit_code(), miette::Report::new(error)))
}

fn check(path: &Path) -> Result<u8, (u8, miette::Report)> {
    let (_, warnings) =
        config::load(path, std::env::vars()).map_err(|error| (exit::CONFIG, miette::Report::new(error)))?;
    warnings.iter().for_each(|warning| tell(format_args!("{warning}")));
    Ok(if warnings.is_empty() { exit::OK } else { exit::FAILURE })
}

/// A line on stderr. Where it cannot be written, the exit code still says it.
fn tell(words: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
