//! `labrun steps`: the parts, checks and steps of a lab, and how far the stepping session got with each.

use serde_json::json;

use super::{CliError, Globals, exit, output};
use crate::lab;
use crate::lab::model::Lang;
use crate::verify::stepping::listing::{ListedPart, listing, show};
use crate::verify::stepping::protocol::{self, Message, Request};

/// List the steps of a lab.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A lab, as it is [default: the one that was deployed, with what its stepping session did]
    lab: Option<String>,
    /// The language of titles.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    lang: Lang,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let (run, parts, failed) = match &self.lab {
            Some(lab) => (None, listing(&lab::load(lab)?.lab, &[], None), None),
            None => self.of_deployment(globals).await?,
        };
        match globals.json {
            true => output::json(&json!({"session": run, "failed": failed, "parts": parts}))?,
            false => {
                output::print(&show(&parts, self.lang))?;
                let words = match (&run, self.lang) {
                    (Some(run), Lang::Ru) => format!("идёт пошаговый запуск {run}"),
                    (Some(run), Lang::En) => format!("stepping session {run} is under way"),
                    (None, Lang::Ru) => "пошаговый запуск не начат: labrun step".to_owned(),
                    (None, Lang::En) => "no stepping session is under way; one begins with: labrun step".to_owned(),
                };
                output::tell!("{words}");
            }
        }
        Ok(exit::OK)
    }

    async fn of_deployment(
        &self,
        globals: &Globals,
    ) -> Result<(Option<String>, Vec<ListedPart>, Option<String>), CliError> {
        let deployment = globals.deployment()?;
        let io = |source| CliError::Io { what: "ask the session", source };
        if let Some(mut line) = protocol::connect(&deployment.dir).await.map_err(io)? {
            line.say(&Request::List).await.map_err(io)?;
            if let Some(Message::Listing { run, parts, failed }) = line.hear().await.map_err(io)? {
                return Ok((Some(run), parts, failed));
            }
        }
        let loaded = lab::load(&deployment.lab_source)?;
        Ok((None, listing(&loaded.lab, &[], None), None))
    }
}
