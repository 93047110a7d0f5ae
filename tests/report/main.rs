//! Reports of whole runs: what they say, what they leave unsaid, and that every form of them is well-formed.

mod ended;
mod evidence;
mod files;
mod fixture;
mod languages;
mod look;
mod pages;
mod pictures;
mod questions;
mod read;
mod secrets;
mod snapshots;
mod unproved;

use labrun::lab::model::Lang;
use labrun::report::{Report, Templates, render};
use labrun::verify::Run;

/// Both languages.
const LANGS: [Lang; 2] = [Lang::Ru, Lang::En];

/// The report of a run, with the templates that are compiled in.
fn report(run: &Run, lang: Lang) -> Report {
    render(run, lang, &Templates::builtin()).expect("the report can be rendered")
}
