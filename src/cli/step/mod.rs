//! `labrun step`: asks the stepping session of a deployment for one thing, and prints what it answers. The session is a
//! process of its own, which the first `labrun step` starts (see `verify::stepping`).

mod tell;

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use self::tell::{Teller, what_now};
use super::deploy::interrupted;
use super::verify::{cancel_on_signal, notes_of_edit};
use super::{CliError, Globals, exit, output};
use crate::deploy::{Deployment, Lock};
use crate::lab::model::{Lang, Span};
use crate::lab::{self, Loaded};
use crate::report;
use crate::verify::stepping::protocol::{self, Line, Message, Outcome, Request};
use crate::verify::stepping::{serve, show};
use crate::verify::terminal::summary;
use crate::verify::world::live::Live;
use crate::verify::{cancellation, check_faults, runner};
use crate::wait::{Answer, Unmet, until};

/// What the session's process says on its stderr, in the deployment's folder.
pub const LOG: &str = "step.log";
/// How long a session may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Do the next step.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The lab with the checks, when a session begins [default: the one that was deployed]
    lab: Option<String>,
    /// Only show what the next step would do.
    #[arg(long, visible_alias = "explain", conflicts_with_all = ["again", "to", "all", "quit"])]
    dry_run: bool,
    /// Try the step that did not pass again; with CHECK: go back to the beginning of that check.
    #[arg(long, value_name = "CHECK", num_args = 0..=1, conflicts_with_all = ["to", "all", "quit"])]
    again: Option<Option<String>>,
    /// Go on up to a part, a check or CHECK/STEP, or to the first step that does not pass.
    #[arg(long, value_name = "STEP", conflicts_with_all = ["all", "quit"])]
    to: Option<String>,
    /// Go on to the end, or to the first step that does not pass.
    #[arg(long, conflicts_with = "quit")]
    all: bool,
    /// End the session: stop the clients, undo faults, store the run.
    #[arg(long)]
    quit: bool,
    /// A session that is asked for nothing for so long ends by itself.
    #[arg(long, value_name = "TIME", default_value = "60m", value_parser = |text: &str| Span::try_from(text.to_owned()))]
    patience: Span,
    /// The language of titles, reasons and reports.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    lang: Lang,
    /// Be the session.
    #[arg(long, hide = true)]
    serve: bool,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        if self.serve {
            return self.be_the_session(&deployment).await;
        }
        let there = protocol::connect(&deployment.dir).await.map_err(io("reach the session"))?;
        let line = match there {
            Some(line) => {
                if self.lab.is_some() && !globals.json {
                    output::tell!("note: the session goes on by the lab that it began with; --quit ends it");
                }
                line
            }
            None if self.quit => return Err(CliError::NoSession(deployment.name.clone())),
            None if self.dry_run => return self.show_first(globals, &deployment).await,
            None => self.begin(globals, &deployment).await?,
        };
        self.ask(globals, &deployment, line).await
    }

    fn request(&self) -> Request {
        match (&self.again, &self.to) {
            (Some(check), _) => Request::Again(check.clone()),
            (None, Some(target)) => Request::To(target.clone()),
            (None, None) if self.all => Request::All,
            (None, None) if self.quit => Request::Quit,
            (None, None) if self.dry_run => Request::Show,
            (None, None) => Request::Step,
        }
    }

    fn load(&self, deployment: &Deployment) -> Result<Loaded, CliError> {
        let loaded = lab::load(self.lab.as_deref().unwrap_or(&deployment.lab_source))?;
        check_faults(&loaded, deployment, &*deployment.backend())?;
        Ok(loaded)
    }

    /// Without a session: what its first step would be. Nothing is begun.
    async fn show_first(&self, globals: &Globals, deployment: &Deployment) -> Result<u8, CliError> {
        let loaded = self.load(deployment)?;
        let backend = deployment.backend();
        let world = Live::new(deployment, backend.as_ref());
        if let Some(step) = runner::first(&loaded, &world).await {
            match globals.json {
                true => output::json(&Message::Shown(Box::new(step)))?,
                false => output::print(&show::show(&step, self.lang))?,
            }
        }
        Ok(exit::OK)
    }

    /// Start the session's process. What keeps it from beginning is found and told here, as far as it can be known.
    async fn begin(&self, globals: &Globals, deployment: &Deployment) -> Result<Line, CliError> {
        let held = Lock::take(&deployment.dir, "labrun step")?;
        let loaded = self.load(deployment)?;
        if !globals.json {
            notes_of_edit(&loaded, deployment)?.iter().for_each(|note| output::tell!("note: {}", note.get(self.lang)));
            output::tell!("a stepping session begins; labrun step --quit ends it");
        }
        drop(held);
        let mut child = self.spawn(globals, deployment).map_err(io("start the session"))?;
        let reached = until::<Line, String, _, _, _>(
            START_LIMIT,
            |_, _| (),
            || {
                let ended = child.try_wait();
                async {
                    match (protocol::connect(&deployment.dir).await, ended) {
                        (Ok(Some(line)), _) => Answer::Done(line),
                        (_, Ok(Some(status))) => Answer::Never(format!("it ended with {status}")),
                        _ => Answer::NotYet("it does not listen yet".to_owned()),
                    }
                }
            },
        );
        reached.await.map_err(|unmet| {
            let log = std::fs::read_to_string(deployment.dir.join(LOG)).unwrap_or_default();
            let why = match unmet {
                Unmet::Never(why) => why,
                Unmet::TimedOut { last, .. } => last,
            };
            CliError::SessionFailed(format!("{why}\n{}", log.trim_end()).trim_end().to_owned())
        })
    }

    fn spawn(&self, globals: &Globals, deployment: &Deployment) -> std::io::Result<Child> {
        let log = File::create(deployment.dir.join(LOG))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("step").args(&self.lab).args(["--serve", "--lang", self.lang.code()]);
        command.args(["--patience", &self.patience.to_string(), "--name", &deployment.name]);
        command.arg("--output").arg(std::path::absolute(&globals.output)?);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Ctrl-C on this terminal is for whoever asks, not for the session.
        command.process_group(0).spawn()
    }

    async fn be_the_session(&self, deployment: &Deployment) -> Result<u8, CliError> {
        let lock = Lock::take(&deployment.dir, "labrun step")?;
        let loaded = self.load(deployment)?;
        let (canceller, cancel) = cancellation();
        let (from_outside, told) = cancellation();
        let listening = cancel_on_signal(from_outside);
        let canceller = std::sync::Arc::new(canceller);
        let passing_on = tokio::spawn({
            let canceller = std::sync::Arc::clone(&canceller);
            async move {
                told.cancelled().await;
                canceller.cancel();
            }
        });
        let notes = notes_of_edit(&loaded, deployment)?;
        let with = serve::With { patience: self.patience.0, notes };
        let verified = serve::serve(&loaded, deployment, lock, with, (canceller, cancel)).await;
        passing_on.abort();
        listening.abort();
        Ok(super::verify::code(&verified?))
    }

    /// Ask, and print the answers. Ctrl-C ends the session in order.
    async fn ask(&self, globals: &Globals, deployment: &Deployment, mut line: Line) -> Result<u8, CliError> {
        let request = self.request();
        line.say(&request).await.map_err(io("ask the session"))?;
        let quiet = matches!(request, Request::To(_) | Request::All | Request::Quit);
        let mut teller = Teller::new(globals, self.lang, quiet);
        let signal = interrupted();
        tokio::pin!(signal);
        let mut stopping = false;
        loop {
            let message = tokio::select! {
                message = line.hear::<Message>() => message.map_err(io("hear the session"))?,
                () = &mut signal, if !stopping => {
                    stopping = true;
                    output::tell!("\nstopping: what was done to the cluster is undone and the run is stored");
                    quit(deployment).await?;
                    continue;
                }
            };
            let Some(message) = message else {
                let why = "it was killed, or broke down; what it did to the cluster: labrun heal";
                return Err(CliError::SessionFailed(why.to_owned()));
            };
            teller.tell(&message)?;
            if let Message::Outcome(outcome) = message {
                return self.ended(globals, deployment, outcome, stopping);
            }
        }
    }

    fn ended(
        &self,
        globals: &Globals,
        deployment: &Deployment,
        outcome: Outcome,
        stopped: bool,
    ) -> Result<u8, CliError> {
        let option = globals.name_option(&deployment.name);
        match outcome {
            Outcome::Waits { verdict, step, failed } => {
                if !globals.json {
                    output::print(&what_now(&step, failed, &option, self.lang))?;
                }
                Ok(verdict.map_or(exit::OK, exit::of_verdict))
            }
            Outcome::Ended { dir, verdict, early } => {
                if !globals.json {
                    let run = report::read_run(&dir)?;
                    output::print(&format!("\n{}\n", summary(&run, self.lang, globals.colors_out()).trim_end()))?;
                    output::tell!("The run: {}", dir.display());
                    output::tell!("Its report: labrun report{option}");
                }
                Ok(match (stopped, early && self.quit) {
                    (true, _) => exit::INTERRUPTED,
                    (false, true) => exit::OK,
                    (false, false) => exit::of_verdict(verdict),
                })
            }
            Outcome::Refused { why } => Err(CliError::Refused(why.get(self.lang).to_owned())),
            Outcome::Broken { why } => Err(CliError::SessionFailed(why)),
        }
    }
}

/// Have the session end.
async fn quit(deployment: &Deployment) -> Result<(), CliError> {
    let line = protocol::connect(&deployment.dir).await.map_err(io("reach the session"))?;
    match line {
        Some(mut line) => line.say(&Request::Quit).await.map_err(io("ask the session")),
        None => Ok(()),
    }
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> CliError {
    move |source| CliError::Io { what, source }
}
