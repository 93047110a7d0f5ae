//! `labrun mutate LAB`: try a lab's mutants, and show which of them its checks kill.

use std::path::PathBuf;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;

use super::verify::cancel_on_signal;
use super::{CliError, Globals, exit, output, table};
use crate::lab;
use crate::lab::model::Lang;
use crate::mutants::{self, Fate, Mutant, MutantError, Workshop};
use crate::verify::cancellation;

/// Run a lab's mutants.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The lab: a file, a folder, or the name of one that comes with labrun.
    #[arg(default_value = "ha-postgres")]
    lab: String,
    /// Only these mutants.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Only list them.
    #[arg(long)]
    list: bool,
    /// How many are tried at the same time [default: one for every two processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: Option<u8>,
    /// The language of the titles.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    lang: Lang,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let loaded = lab::load(&self.lab)?;
        let chosen = self.chosen(mutants::of(&loaded.library)?)?;
        if self.list {
            return self.show_list(globals, &chosen);
        }
        let dir = workshop_dir(globals, &loaded.lab.file.name)?;
        let (canceller, cancel) = cancellation();
        let listening = cancel_on_signal(canceller);
        let workshop = Workshop { loaded: &loaded, dir: dir.clone(), cancel: cancel.clone() };
        let (workshop, cancel) = (&workshop, &cancel);
        let fates: Vec<(&Mutant, Fate)> = stream::iter(&chosen)
            .map(|mutant| async move {
                let fate = if cancel.is_cancelled() { not_reached() } else { workshop.try_out(mutant).await };
                if !globals.json {
                    output::tell!("{}", told(mutant, &fate));
                }
                (mutant, fate)
            })
            .buffer_unordered(self.jobs())
            .collect()
            .await;
        listening.abort();
        if fates.iter().all(|(_, fate)| matches!(fate, Fate::Killed(_))) {
            // What is left of mutants that were not killed is kept for a look.
            let _ = std::fs::remove_dir_all(&dir);
        }
        self.show(globals, &chosen, &fates)?;
        Ok(if cancel.is_cancelled() { exit::INTERRUPTED } else { code(&fates) })
    }

    fn chosen(&self, all: Vec<Mutant>) -> Result<Vec<Mutant>, MutantError> {
        let chosen: Vec<Mutant> =
            all.into_iter().filter(|mutant| self.only.is_empty() || self.only.contains(&mutant.name)).collect();
        let missing: Vec<&str> =
            self.only.iter().filter(|name| !chosen.iter().any(|m| m.name == **name)).map(String::as_str).collect();
        if chosen.is_empty() || !missing.is_empty() {
            let named = if missing.is_empty() { String::new() } else { format!(" named {}", missing.join(", ")) };
            return Err(MutantError::None { lab: self.lab.clone(), named });
        }
        Ok(chosen)
    }

    fn jobs(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        self.jobs.map_or((processors / 2).max(1), usize::from)
    }

    fn show_list(&self, globals: &Globals, chosen: &[Mutant]) -> Result<u8, CliError> {
        match globals.json {
            true => output::json(&chosen)?,
            false => {
                let rows: Vec<_> =
                    chosen.iter().map(|m| vec![m.name.clone(), m.title.get(self.lang).to_owned()]).collect();
                output::print(&table::boxed("", &["Mutant", "Mistake"], &rows))?;
            }
        }
        Ok(exit::OK)
    }

    fn show(&self, globals: &Globals, chosen: &[Mutant], fates: &[(&Mutant, Fate)]) -> Result<(), CliError> {
        let fate_of = |mutant: &Mutant| fates.iter().find(|(other, _)| other.name == mutant.name).map(|(_, fate)| fate);
        if globals.json {
            let told = chosen.iter().map(|m| json!({"mutant": m.name, "title": m.title, "outcome": fate_of(m)}));
            return output::json(&told.collect::<Vec<_>>());
        }
        let row = |mutant: &Mutant| {
            let (fate, by) = match fate_of(mutant) {
                Some(Fate::Killed(killed)) => ("killed", killed.by.as_str()),
                Some(Fate::Misdiagnosed(killed)) => ("MISDIAGNOSED", killed.by.as_str()),
                Some(Fate::Survived) => ("SURVIVED", ""),
                Some(Fate::NotTried { .. }) | None => ("not tried", ""),
            };
            vec![mutant.name.clone(), fate.to_owned(), by.to_owned(), mutant.title.get(self.lang).to_owned()]
        };
        let rows: Vec<_> = chosen.iter().map(row).collect();
        output::print(&table::boxed("", &["Mutant", "Fate", "By", "Mistake"], &rows))?;
        let killed = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Killed(_))).count();
        output::line(&format!("{killed} of {} mutants are killed", chosen.len()))
    }
}

fn not_reached() -> Fate {
    Fate::NotTried { why: "interrupted".to_owned() }
}

fn told(mutant: &Mutant, fate: &Fate) -> String {
    let name = &mutant.name;
    match fate {
        Fate::Killed(killed) => format!("{name}: killed by {}: {}", killed.by, killed.says),
        Fate::Misdiagnosed(killed) => format!("{name}: MISDIAGNOSED by {}: {}", killed.by, killed.says),
        Fate::Survived => format!("{name}: SURVIVED: every check passed"),
        Fate::NotTried { why } => format!("{name}: not tried: {why}"),
    }
}

fn code(fates: &[(&Mutant, Fate)]) -> u8 {
    let any = |wanted: fn(&Fate) -> bool| fates.iter().any(|(_, fate)| wanted(fate));
    match () {
        () if any(|fate| matches!(fate, Fate::Survived | Fate::Misdiagnosed(_))) => exit::CHECK_FAILED,
        () if any(|fate| matches!(fate, Fate::NotTried { .. })) => exit::FAILURE,
        () => exit::OK,
    }
}

/// A folder of this process alone, below the output: two may run at once.
fn workshop_dir(globals: &Globals, lab: &str) -> Result<PathBuf, CliError> {
    let dir = globals.output.join(format!(".mutants-{lab}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|source| MutantError::Io { dir: dir.clone(), source })?;
    let real = dir.canonicalize().map_err(|source| MutantError::Io { dir, source })?;
    Ok(real)
}
