//! Progress on stderr: a line that changes on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Globals, output};
use crate::deploy::Progress;

/// Where nothing moves, the same wait is told again only after this long.
const QUIET: Duration = Duration::from_secs(5);

/// Shows a backend's progress.
pub enum Shown {
    /// On a terminal.
    Moving(ProgressBar),
    /// Elsewhere.
    Plain {
        /// When the last line was written.
        last: Mutex<Option<Instant>>,
    },
    /// Not at all: programs read.
    Silent,
}

impl Shown {
    /// As fits stderr.
    pub fn new(globals: &Globals) -> Shown {
        if globals.json {
            return Shown::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Shown::Plain { last: Mutex::new(None) };
        }
        let bar = ProgressBar::new_spinner();
        let style =
            if globals.colors_err() { "{spinner:.cyan} {msg} {elapsed:.dim}" } else { "{spinner} {msg} {elapsed}" };
        // The template is ours and well-formed; the usual style would do as well.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(100));
        Shown::Moving(bar)
    }

    /// End the moving line.
    pub fn finish(&self) {
        if let Shown::Moving(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress for Shown {
    fn stage(&self, text: &str) {
        match self {
            Shown::Moving(bar) => {
                bar.println(format!("· {text}"));
                bar.set_message(String::new());
            }
            Shown::Plain { last } => {
                output::tell!("{text}");
                if let Ok(mut last) = last.lock() {
                    *last = Some(Instant::now());
                }
            }
            Shown::Silent => {}
        }
    }

    fn waiting(&self, not_yet: &str) {
        match self {
            Shown::Moving(bar) => bar.set_message(not_yet.to_owned()),
            Shown::Plain { last } => {
                let Ok(mut last) = last.lock() else { return };
                if last.is_none_or(|last| last.elapsed() >= QUIET) {
                    output::tell!("  not yet: {not_yet}");
                    *last = Some(Instant::now());
                }
            }
            Shown::Silent => {}
        }
    }
}
