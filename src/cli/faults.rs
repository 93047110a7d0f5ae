//! `labrun faults`: the table of faults.

use super::{CliError, Globals, exit, output, table};
use crate::lab::model::Lang;
use crate::verify::faults::table::{Row, rows};

/// Print what each fault does, exercises and needs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The language of the table.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    lang: Lang,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let rows = rows(self.lang);
        if globals.json {
            output::json(&rows)?;
            return Ok(exit::OK);
        }
        let head = match self.lang {
            Lang::Ru => ["Сбой", "Что делает", "Что проверяет", "Отмена", "Нужно"],
            Lang::En => ["Fault", "Does", "Exercises", "Undo", "Needs"],
        };
        let line =
            |row: &Row| [row.fault.word(), row.does, row.exercises, row.undo, row.needs].map(str::to_owned).to_vec();
        output::print(&table::boxed("", &head, &rows.iter().map(line).collect::<Vec<_>>()))?;
        Ok(exit::OK)
    }
}
