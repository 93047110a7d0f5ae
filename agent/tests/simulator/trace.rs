//! What happened, for people. Nothing is kept unless somebody wants to read it: a failing seed is run again
//! with the trace on.

use std::fmt::Write;

pub struct Trace {
    on: bool,
    text: String,
}

impl Trace {
    pub fn new(on: bool) -> Trace {
        Trace { on, text: String::new() }
    }

    /// A line of `who` at `now` (milliseconds); the text is only made if it is kept.
    pub fn say(&mut self, now: u64, who: &str, what: impl FnOnce() -> String) {
        if self.on {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "{:9.3} {who:<5} {}", now as f64 / 1000.0, what());
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}
