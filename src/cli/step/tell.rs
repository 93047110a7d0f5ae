//! What a session answers, for a person or a program.

use std::io::IsTerminal;

use crate::cli::{CliError, Globals, output};
use crate::lab::model::Lang;
use crate::verify::stepping::protocol::{Again, Message};
use crate::verify::stepping::show;
use crate::verify::steps::bounded;
use crate::verify::{Consumer, Event, Stamped, Terminal};

/// How much of an observation is printed.
const SHOWN: usize = 4_000;

/// What one can do next.
pub(super) fn what_now(step: &str, failed: Option<Again>, option: &str, lang: Lang) -> String {
    let lines = match (failed, lang) {
        (None, Lang::Ru) => {
            vec![format!("дальше: {step} (labrun step{option}; показать: labrun step --dry-run{option})")]
        }
        (None, Lang::En) => vec![format!("next: {step} (labrun step{option}; to look: labrun step --dry-run{option})")],
        (Some(again), Lang::Ru) => vec![
            match again {
                Again::Alone => format!("{step} не прошёл; заново: labrun step --again{option}"),
                Again::WithCheck => {
                    format!("{step} не прошёл; заново, со всей проверкой с начала: labrun step --again{option}")
                }
            },
            format!("оставить так и идти дальше: labrun step{option}"),
        ],
        (Some(again), Lang::En) => vec![
            match again {
                Again::Alone => format!("{step} did not pass; again: labrun step --again{option}"),
                Again::WithCheck => {
                    format!(
                        "{step} did not pass; again, with its check from the beginning: labrun step --again{option}"
                    )
                }
            },
            format!("leave it so and go on: labrun step{option}"),
        ],
    };
    lines.join("\n") + "\n"
}

/// Prints what the session answers: the steps that are done, with what they observed, on stdout.
pub(super) struct Teller {
    json: bool,
    quiet: bool,
    lang: Lang,
    terminal: Terminal<std::io::Stdout>,
}

impl Teller {
    pub(super) fn new(globals: &Globals, lang: Lang, quiet: bool) -> Teller {
        let live = std::io::stdout().is_terminal();
        let terminal = Terminal::new(std::io::stdout(), lang, globals.colors_out(), live);
        Teller { json: globals.json, quiet, lang, terminal }
    }

    pub(super) fn tell(&mut self, message: &Message) -> Result<(), CliError> {
        if self.json {
            let text = serde_json::to_string(message)
                .map_err(|error| CliError::Io { what: "write JSON", source: std::io::Error::other(error) })?;
            return output::line(&text);
        }
        match message {
            Message::Shown(step) => output::print(&format!("{}\n", show::show(step, self.lang))),
            Message::Note(note) => {
                output::tell!("note: {}", note.get(self.lang));
                Ok(())
            }
            Message::Event(event) => self.event(event),
            Message::Listing { .. } | Message::Outcome(_) => Ok(()),
        }
    }

    fn event(&mut self, event: &Stamped) -> Result<(), CliError> {
        if let (Event::Observed { fact }, false) = (&event.event, self.quiet) {
            let gathered = fact.scope.split('/').nth(2).is_some_and(|step| step == "collect");
            let output = bounded(fact.output.trim_end(), SHOWN);
            let lines = output.lines().map(|line| format!("      │ {line}\n"));
            return if gathered { Ok(()) } else { output::print(&lines.collect::<String>()) };
        }
        self.terminal.hear(event).map_err(|source| CliError::Io { what: "write to stdout", source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_what_to_do_next_in_both_languages() {
        let cases = [None, Some(Again::Alone), Some(Again::WithCheck)];
        let told = cases.into_iter().flat_map(|failed| {
            [Lang::En, Lang::Ru].map(|lang| what_now("failover/failover/stop", failed, " --name lab", lang))
        });
        insta::assert_snapshot!(told.collect::<String>());
    }
}
