//! `labrun-agent`: parse, dispatch, exit code.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use labrun_agent::{agent, config, exit, first_process, guard, logging, supervise};

/// A PostgreSQL node agent: a drop-in for Patroni on ZooKeeper.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Patroni's YAML file of this node, or a folder of such files. Without one, the environment is the configuration.
    #[arg(env = "PATRONI_CONFIG_FILE", required_unless_present_any = ["generate_sample_config", "generate_config"])]
    config: Option<PathBuf>,
    /// Only check the configuration.
    #[arg(long)]
    validate_config: bool,
    /// With --validate-config: ports that are in use are no mistake.
    #[arg(long, short = 'i', requires = "validate_config")]
    ignore_listen_port: bool,
    /// With --validate-config: print the configuration, with the environment's part in it and all passwords.
    #[arg(long, short = 'p', requires = "validate_config")]
    print: bool,
    /// Only write a configuration to begin with, to the file that is named or to the standard output.
    #[arg(long, conflicts_with = "validate_config")]
    generate_sample_config: bool,
    /// Only write the configuration of a PostgreSQL that runs on this machine, to the file that is named or to the
    /// standard output.
    #[arg(long, conflicts_with_all = ["validate_config", "generate_sample_config"])]
    generate_config: bool,
    /// With --generate-config: how to connect to it, as a superuser; libpq's variables say what is left out.
    #[arg(long, requires = "generate_config")]
    dsn: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Keep one node's service running, forward its ports and bound its log.
    Supervise {
        /// The node, as JSON.
        node: PathBuf,
    },
    /// Hold the switch into which the nodes of a network of their own are plugged.
    Switch {
        /// Its folder.
        dir: PathBuf,
    },
    /// Let what one node sends to another through the switch take longer.
    Delay {
        /// Where from, where to and how long, as JSON.
        what: String,
    },
    /// Let whatever this network sends to these addresses be lost, and to no other; prints those addresses.
    Lose {
        /// The addresses; none, and nothing is lost.
        addresses: Vec<IpAddr>,
        /// Change nothing.
        #[arg(long, conflicts_with = "addresses")]
        look: bool,
    },
    /// Run a program in the network of a process.
    Enter {
        /// The process.
        pid: i32,
        /// As the network's administrator.
        #[arg(long)]
        admin: bool,
        /// As this user, where root asks.
        #[arg(long)]
        user: Option<String>,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
}

fn main() -> ExitCode {
    // Before anything else is set up: the guard is to be as small as can be.
    let mut words = std::env::args_os();
    if words.next().is_some_and(|name| name == guard::NAME) {
        return ExitCode::from(guard::run(&PathBuf::from(words.next().unwrap_or_default())));
    }
    if first_process::is_first() {
        return ExitCode::from(first_process::run().unwrap_or_else(|error| {
            tell(format_args!("the agent cannot be started below the first process: {error}"));
            exit::FAILURE
        }));
    }
    first_process::listen();
    let arguments = Arguments::parse();
    logging::init(tracing::Level::INFO);
    let options = (arguments.ignore_listen_port, arguments.print);
    let (validate, sample) = (arguments.validate_config, arguments.generate_sample_config);
    let (generate, dsn) = (arguments.generate_config, arguments.dsn.unwrap_or_default());
    let result = match (arguments.command, arguments.config) {
        (Some(Command::Supervise { node }), _) => supervise_node(&node),
        (Some(Command::Switch { dir }), _) => supervised(supervise::network::hold(&dir)),
        (Some(Command::Delay { what }), _) => supervised(supervise::network::delay(&what)),
        (Some(Command::Lose { addresses, look }), _) => supervised(lose(&addresses, look)),
        (Some(Command::Enter { pid, admin, user, argv }), _) => {
            supervised(supervise::network::enter(pid, admin, user.as_deref(), &argv).map(|never| match never {}))
        }
        (None, config) if sample => write(config.as_deref(), &config::sample(std::env::vars())),
        (None, config) if generate => generate_config(config.as_deref(), &dsn),
        (None, config) if validate => check(&config.unwrap_or_default(), options),
        (None, config) => run(&config.unwrap_or_default()),
    };
    ExitCode::from(result.unwrap_or_else(|(code, report)| {
        tell(format_args!("{report:?}"));
        code
    }))
}

/// Prints them as JSON: `{"lost": ["10.1.2.3"]}`.
fn lose(addresses: &[IpAddr], look: bool) -> Result<(), supervise::Error> {
    let lost = if look { supervise::network::lost() } else { supervise::network::lose(addresses) }?;
    let told = serde_json::json!({ "lost": lost });
    let tell = writeln!(std::io::stdout(), "{told}");
    tell.map_err(|source| supervise::Error::System { what: "tell what is lost", source })
}

fn supervise_node(node: &Path) -> Result<u8, (u8, miette::Report)> {
    supervised(supervise::Spec::load(node).and_then(|spec| supervise::run(&spec)))
}

fn supervised(done: Result<(), supervise::Error>) -> Result<u8, (u8, miette::Report)> {
    done.map(|()| exit::OK).map_err(|error| (error.exit_code(), miette::Report::new(error)))
}

fn run(path: &Path) -> Result<u8, (u8, miette::Report)> {
    agent::run(path).map_err(|error| (error.exit_code(), miette::Report::new(error)))
}

/// Warnings do not make a configuration a wrong one, as with Patroni.
fn check(path: &Path, (ignore_listen_port, print): (bool, bool)) -> Result<u8, (u8, miette::Report)> {
    let fail = |error| (exit::CONFIG, miette::Report::new(error));
    let (wrong, warnings) = config::validate(path, std::env::vars(), ignore_listen_port).map_err(fail)?;
    warnings.iter().for_each(|warning| tell(format_args!("{warning}")));
    if print {
        let text = config::print(path, std::env::vars()).map_err(fail)?;
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    let code = if wrong.is_empty() { exit::OK } else { exit::FAILURE };
    wrong.into_iter().for_each(|error| tell(format_args!("{:?}", miette::Report::new(error))));
    Ok(code)
}

fn generate_config(path: Option<&Path>, dsn: &str) -> Result<u8, (u8, miette::Report)> {
    let text = agent::inquire(dsn).map_err(|error| (error.exit_code(), miette::Report::new(error)))?;
    write(path, &text)
}

/// To the file, whose folder is made where it is missing, or to the standard output.
fn write(path: Option<&Path>, text: &str) -> Result<u8, (u8, miette::Report)> {
    let written = match path {
        Some(path) => {
            let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            folder.and_then(|()| std::fs::write(path, text))
        }
        None => std::io::stdout().write_all(text.as_bytes()),
    };
    let fail = |source| (exit::FAILURE, miette::Report::new(agent::Error::System(source)));
    written.map(|()| exit::OK).map_err(fail)
}

/// A line on stderr. Where it cannot be written, the exit code still says it.
fn tell(words: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
