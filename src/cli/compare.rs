//! `labrun compare`.

use std::path::PathBuf;

use super::{CliError, Globals, exit, output, series};
use crate::lab::model::Lang;
use crate::report::{self, Templates, pages};
use crate::verify::series::compare;

/// Put two runs, or two series of runs, side by side: two agents, two settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run's name or folder, or the folder of a series.
    one: String,
    /// The other one.
    other: String,
    /// What to call the two.
    #[arg(long, value_names = ["ONE", "OTHER"], num_args = 2)]
    names: Option<Vec<String>>,
    /// Write compare.md and compare.svg into this folder.
    #[arg(long, value_name = "DIR", default_value = "./output/compare")]
    to: PathBuf,
    /// The language.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    lang: Lang,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let (mut one, mut other) = (series::find(globals, &self.one)?, series::find(globals, &self.other)?);
        if let Some([first, second]) = self.names.as_deref() {
            (one.name, other.name) = (first.clone(), second.clone());
        }
        let seen = compare(&one, &other);
        if globals.json {
            output::json(&seen)?;
            return Ok(exit::OK);
        }
        let templates = Templates::builtin();
        let (page, picture) = (self.to.join("compare.md"), self.to.join("compare.svg"));
        let text = pages::comparison(&seen, &templates, self.lang, "compare.svg")?;
        report::put(&picture, pages::comparison_picture(&seen, &templates, self.lang)?.as_bytes())?;
        report::put(&page, text.as_bytes())?;
        output::print(&text)?;
        output::tell!("written: {}, {}", page.display(), picture.display());
        Ok(exit::OK)
    }
}
