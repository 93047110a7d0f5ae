//! What machines read of a run: JUnit XML, TAP, and the summary of a GitHub job. Each a pure function of the run.
//!
//! None of them knows `inconclusive`: it is told as a failure of that type, never as a pass. A check that was not tried
//! is skipped, with its cause.

pub mod github;
pub mod junit;
pub mod tap;

use crate::lab::model::{Lang, Text};
use crate::verify::{CheckResult, Run};

/// Every check of a run with its part's id, in order.
fn checks(run: &Run) -> impl Iterator<Item = (&str, &CheckResult)> {
    run.parts.iter().flat_map(|part| part.checks.iter().map(move |check| (part.id.as_str(), check)))
}

/// The words of a text on one line; none where there are none.
fn line(text: Option<&Text>, lang: Lang) -> String {
    text.map(|text| text.get(lang).split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod example {
    //! A run with a check of every verdict.
    use indexmap::IndexMap;

    use super::*;
    use crate::verify::run::PartResult;
    use crate::verify::{Run, Verdict};

    pub fn run() -> Run {
        let loaded = crate::lab::load("builtin:ha-postgres").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let world = crate::verify::world::pretended::Pretended::new(&loaded, folder.path(), &[]);
        let deployment = crate::verify::world::World::deployment(&world);
        let now = "2026-11-23T06:12:40Z".parse().unwrap();
        let mut run = crate::verify::entry::empty_run(&loaded, deployment, "20261123T061240Z", now);
        run.verdict = Verdict::Fail;
        run.points = (1, 4);
        run.took_ms = 12_340;
        let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Skipped, Verdict::InfraError];
        run.parts = verdicts.map(part).to_vec();
        run
    }

    fn part(verdict: Verdict) -> PartResult {
        let reason = (verdict != Verdict::Pass).then(|| Text::Same(format!("why <{}> & \"so\"\nmore", verdict.word())));
        let check = CheckResult {
            id: format!("check-{}", verdict.word()),
            uses: "any".to_owned(),
            title: Text::Same("A title".to_owned()),
            proves: Text::default(),
            verdict,
            reason: reason.clone(),
            points: (u32::from(verdict == Verdict::Pass), 1),
            params: IndexMap::new(),
            captures: IndexMap::new(),
            steps: Vec::new(),
            span_ms: (1_000, 3_500),
        };
        PartResult { id: "part".to_owned(), title: Text::Same("Part".to_owned()), verdict, reason, checks: vec![check] }
    }
}
