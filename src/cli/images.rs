//! `labrun images`.

use super::progress::Shown;
use super::table::boxed;
use super::{CliError, Globals, exit, output};
use crate::engine::{Address, Engine};
use crate::images::{self, Listed, State};

/// Stand-ins for the official images, where no registry can be reached.
///
/// They are made from Debian packages: the same names, users, paths and settings as postgres:15, haproxy:2.4 and
/// confluentinc/cp-zookeeper:7.7.1. apt and pip work in them as they work on this machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make those that are missing, or were made from something else.
    Build {
        /// Take the name of an image that is not labrun's, too; that image stays without it.
        #[arg(long)]
        force: bool,
    },
    /// List them (the default).
    List,
    /// Remove those that labrun made, and no others.
    Remove,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let engine = Engine::connect(&Address::from_env()?).await?;
        match self.what.unwrap_or(What::List) {
            What::Build { force } => {
                let progress = Shown::new(globals);
                let built = images::build(&engine, force, &progress).await?;
                progress.finish();
                if globals.json {
                    output::json(&built)?;
                } else {
                    for one in built {
                        output::line(&format!("{} {}", one.image, if one.built { "built" } else { "is up to date" }))?;
                    }
                }
            }
            What::List => {
                let listed = images::list(&engine).await?;
                if globals.json { output::json(&listed)? } else { output::print(&shown(&listed))? }
            }
            What::Remove => {
                let removed = images::remove(&engine).await?;
                if globals.json {
                    output::json(&removed)?;
                } else if removed.is_empty() {
                    output::tell!("there is no image of labrun's");
                } else {
                    removed.iter().try_for_each(|image| output::line(&format!("removed {image}")))?;
                }
            }
        }
        Ok(exit::OK)
    }
}

fn shown(listed: &[Listed]) -> String {
    let size = |bytes: Option<u64>| bytes.map_or(String::new(), |bytes| format!("{} MB", bytes / 1_000_000));
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|one| vec![one.image.to_owned(), words(one.state).to_owned(), one.inside.to_owned(), size(one.size)])
        .collect();
    boxed("", &["image", "state", "stand-in", "size"], &rows)
}

fn words(state: State) -> &'static str {
    match state {
        State::UpToDate => "labrun's, up to date",
        State::Outdated => "labrun's, outdated",
        State::Foreign => "not labrun's",
        State::Missing => "missing",
    }
}
