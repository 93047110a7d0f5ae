//! Writes the report of the hand-made run to a folder that is named by `LABRUN_LOOK`, to be looked at.

use std::path::PathBuf;

use labrun::lab::model::Lang;
use labrun::report::{Templates, render, write};

#[test]
fn the_report_can_be_looked_at() {
    let kept = std::env::var_os("LABRUN_LOOK").map(PathBuf::from);
    let own = tempfile::tempdir().expect("tempdir");
    let folder = kept.unwrap_or_else(|| own.path().to_owned());
    for lang in [Lang::En, Lang::Ru] {
        let report = render(&super::fixture::passed(), lang, &Templates::builtin()).expect("rendered");
        let written = write(&folder, &report).expect("written");
        assert!(written.main.exists() && written.html.exists() && written.markdown.exists());
    }
}

#[test]
fn everything_is_said_of_a_whole_run() {
    for lang in [Lang::En, Lang::Ru] {
        let report = render(&super::fixture::passed(), lang, &Templates::builtin()).expect("rendered");
        assert_eq!(report.withheld, []);
    }
}
