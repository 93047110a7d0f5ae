//! Options that every command has.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::deploy::{DeployError, Deployment, state};

/// Options that every command has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options everywhere")]
pub struct Globals {
    /// The folder of deployments and runs.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "./output",
        env = "LABRUN_OUTPUT",
        hide_env_values = true
    )]
    pub output: PathBuf,
    /// The deployment [default: the lab's name when deploying, else the only one there is]
    #[arg(long, global = true, value_name = "NAME")]
    pub name: Option<String>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Globals {
    /// The deployment that is meant.
    pub fn deployment(&self) -> Result<Deployment, DeployError> {
        state::find(&self.output, self.name.as_deref())
    }

    /// The folder of the deployment that is meant.
    pub fn deployment_dir(&self) -> Result<PathBuf, DeployError> {
        let name = state::choose(&self.output, self.name.as_deref())?;
        state::dir_of(&self.output, &name)
    }

    /// The option that a later command needs to mean the same deployment: ` --name NAME`, or nothing.
    pub fn name_option(&self, name: &str) -> String {
        let mut options = String::new();
        if self.output != Path::new("./output") {
            options += &format!(" --output {}", self.output.display());
        }
        if state::names(&self.output).len() > 1 {
            options += &format!(" --name {name}");
        }
        options
    }

    /// Whether stdout is to have colours.
    pub fn colors_out(&self) -> bool {
        self.colors(std::io::stdout().is_terminal())
    }

    /// Whether stderr is to have colours.
    pub fn colors_err(&self) -> bool {
        self.colors(std::io::stderr().is_terminal())
    }

    fn colors(&self, terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// Set up how errors are shown: with lines and colours on a terminal, plainly elsewhere.
    pub fn install(&self) {
        let (colors, fancy) = (self.colors_err(), std::io::stderr().is_terminal());
        // A second hook is refused: then the first one stays, which is as good.
        let _ = miette::set_hook(Box::new(move |_| {
            let theme = match (fancy, colors) {
                (true, true) => miette::GraphicalTheme::unicode(),
                (true, false) => miette::GraphicalTheme::unicode_nocolor(),
                (false, true) => miette::GraphicalTheme::ascii(),
                (false, false) => miette::GraphicalTheme::none(),
            };
            let width = if fancy { 100 } else { 1000 };
            Box::new(miette::GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false))
        }));
    }
}
