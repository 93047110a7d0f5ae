//! `labrun explain`.

use super::{CliError, Globals, output};
use crate::explain;
use crate::lab::model::Lang;

/// Explain an error code: what it means and what to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code, such as LR0701; all of them with their headings unless given.
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// The language.
    #[arg(long, value_enum, default_value_t = Lang::Ru, env = "LABRUN_LANG")]
    lang: Lang,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<(), CliError> {
        let wanted = match &self.code {
            Some(code) => vec![known(code)?],
            None => explain::codes(),
        };
        let pages: Vec<_> = wanted.iter().filter_map(|code| Some((*code, explain::page(code, self.lang)?))).collect();
        if globals.json {
            let page = |(code, page): &(&str, &str)| serde_json::json!({"code": code, "markdown": page});
            return output::json(&pages.iter().map(page).collect::<Vec<_>>());
        }
        let heading = |page: &str| page.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
        for (_, page) in &pages {
            match self.code {
                Some(_) => output::print(page)?,
                None => output::line(&heading(page))?,
            }
        }
        Ok(())
    }
}

/// The code as it is written on its page.
fn known(code: &str) -> Result<&'static str, CliError> {
    let code = code.to_uppercase();
    explain::codes().into_iter().find(|known| *known == code).ok_or_else(|| CliError::UnknownCode {
        help: match explain::nearest(&code) {
            Some(near) => format!("did you mean {near}? `labrun explain` lists them all"),
            None => "`labrun explain` lists them all".to_owned(),
        },
        code,
    })
}
