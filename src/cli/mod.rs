//! The command line: one file a command. It parses and prints, and decides nothing.
//!
//! Data goes to stdout, all else to stderr. Exit codes are those of [`exit`].

mod compare;
mod completions;
mod deploy;
mod destroy;
mod doctor;
mod error;
pub mod exit;
mod explain;
mod export;
mod fault;
mod faults;
mod globals;
mod heal;
mod images;
mod import;
mod init;
mod lint;
mod logs;
mod mutate;
mod node;
mod output;
mod progress;
mod recheck;
mod report;
mod run;
mod schema;
mod series;
mod sql;
mod status;
mod step;
mod steps;
mod table;
mod validate;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use error::CliError;
pub use globals::Globals;

/// A declarative runner for labs that are verified.
#[derive(Debug, Parser)]
#[command(name = "labrun", version, arg_required_else_help = true, after_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Deploy, verify, report: the whole lab.
    Run(run::Args),
    /// Bring a lab up until its cluster is ready.
    Deploy(deploy::Args),
    /// Show who is who: nodes, the cluster's members, the proxy's view.
    Status(status::Args),
    /// Watch a deployment live: roles, lag, proxy, workload, faults.
    Watch(watch::Args),
    /// Run the checks, with real faults under a real workload.
    Verify(verify::Args),
    /// List a lab's parts, checks and steps, and how far a stepping session got.
    Steps(steps::Args),
    /// Do the next step of a verification, and show before what it does.
    Step(step::Args),
    /// Write the report of a run.
    Report(report::Args),
    /// Put two runs, or two series of runs, side by side.
    Compare(compare::Args),
    /// Judge the histories of an old run with today's checkers.
    Recheck(recheck::Args),
    /// Print a node's log.
    Logs(logs::Args),
    /// Run SQL: no psql needed.
    Sql(sql::Args),
    /// Stop nodes cleanly (SIGTERM, as `docker stop`).
    Stop(node::Args),
    /// Start stopped nodes.
    Start(node::Args),
    /// SIGKILL everything on nodes.
    Kill(node::Args),
    /// Stop nodes cleanly, then start them.
    Restart(node::Args),
    /// Inject any other fault by hand.
    Fault(fault::Args),
    /// Undo every fault that is still in effect, of this or an earlier labrun.
    Heal(heal::Args),
    /// Print the table of faults: what each does, exercises and needs.
    Faults(faults::Args),
    /// Run a lab's mutants, each with a known mistake, and show which its checks kill.
    Mutate(mutate::Args),
    /// Remove a deployment: processes, data, everything but its runs.
    Destroy(destroy::Args),
    /// Look at labs and checks without deploying: everything that is wrong, with its place.
    Validate(validate::Args),
    /// Diagnose a compose project without starting anything.
    Lint(lint::Args),
    /// Make a lab from a compose project.
    Import(import::Args),
    /// Write a lab as something that runs without labrun.
    Export(export::Args),
    /// Make, list or remove stand-ins for the official images.
    Images(images::Args),
    /// Explain an error code: what it means and what to do.
    Explain(explain::Args),
    /// Make a new lab folder from the reference lab.
    Init(init::Args),
    /// Print a JSON Schema: of the lab format, or of what a run leaves.
    Schema(schema::Args),
    /// Check this machine: programs, ports, limits.
    Doctor(doctor::Args),
    /// Print a shell's completions.
    Completions(completions::Args),
}

/// Parse, run, and say how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.globals.install();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return CliError::Io { what: "start the runtime", source: error }.report(&cli.globals),
    };
    match runtime.block_on(cli.command.run(&cli.globals)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => error.report(&cli.globals),
    }
}

impl Command {
    async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        match self {
            // The future of a whole run is large; it need not lie on the stack.
            Command::Run(args) => Box::pin(args.run(globals)).await,
            Command::Deploy(args) => args.run(globals).await,
            Command::Status(args) => args.run(globals).await,
            Command::Watch(args) => args.run(globals).await,
            Command::Verify(args) => Box::pin(args.run(globals)).await,
            Command::Steps(args) => args.run(globals).await,
            Command::Step(args) => Box::pin(args.run(globals)).await,
            Command::Report(args) => args.run(globals),
            Command::Compare(args) => args.run(globals),
            Command::Recheck(args) => args.run(globals),
            Command::Logs(args) => args.run(globals).await,
            Command::Sql(args) => args.run(globals).await,
            Command::Stop(args) => args.run(globals, node::Act::Stop).await,
            Command::Start(args) => args.run(globals, node::Act::Start).await,
            Command::Kill(args) => args.run(globals, node::Act::Kill).await,
            Command::Restart(args) => args.run(globals, node::Act::Restart).await,
            Command::Fault(args) => args.run(globals).await,
            Command::Heal(args) => args.run(globals).await,
            Command::Faults(args) => args.run(globals),
            Command::Mutate(args) => Box::pin(args.run(globals)).await,
            Command::Destroy(args) => args.run(globals).await,
            Command::Validate(args) => args.run(globals),
            Command::Lint(args) => args.run(globals),
            Command::Import(args) => args.run(globals),
            Command::Export(args) => args.run(globals),
            Command::Images(args) => Box::pin(args.run(globals)).await,
            Command::Explain(args) => args.run(globals).map(|()| exit::OK),
            Command::Init(args) => args.run(globals),
            Command::Schema(args) => args.run(),
            Command::Doctor(args) => args.run(globals).await,
            Command::Completions(args) => args.run(Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_every_command_and_exit_code() {
        insta::assert_snapshot!(Cli::command().term_width(100).render_help());
    }
}
