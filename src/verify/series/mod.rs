//! Several runs together: how each phase spreads, how many runs passed, and two series side by side. Pure.
//!
//! On disk a series is `series.json` beside the runs that it is made of, see [`Series`].

pub mod compare;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outage::phases;
use super::run::Outage;
use super::{Run, Verdict};
use crate::topology::Service;

pub use compare::{Comparison, compare};

/// The format of series.json.
pub const SERIES_FORMAT: &str = "labrun-series/v1";

/// The whole of an outage, among its phases.
pub const WHOLE: &str = "whole";

/// Runs of one lab, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// `labrun-series/v1`.
    pub format: String,
    /// Its name.
    pub name: String,
    /// What its runs were made with: the agent, the backend, the settings that times depend on.
    pub settings: BTreeMap<String, String>,
    /// The runs, in order.
    pub runs: Vec<RunLine>,
    /// How many of them passed.
    pub passed: usize,
    /// How each figure spreads.
    pub figures: Vec<Figure>,
}

/// A run in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunLine {
    /// Its name.
    pub id: String,
    /// What it came to.
    pub verdict: Verdict,
    /// The check that did not pass first, with its reason in English.
    pub reason: Option<String>,
    /// How long it took, in ms.
    pub took_ms: u64,
}

/// How one figure spreads over the runs of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// What it is of.
    #[serde(flatten)]
    pub of: Measure,
    /// In ms.
    #[serde(flatten)]
    pub spread: Spread,
}

/// What is measured: a phase of the outage that a check's workload saw on a way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// `part/check`.
    pub check: String,
    /// `proxy` or `direct`.
    pub path: String,
    /// The mark at the phase's end, or `whole`.
    pub phase: String,
}

/// Values in ms, from the smallest to the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// How many values there are. A phase that a run did not have counts as 0 ms in it.
    pub count: usize,
    /// The smallest.
    pub min: u64,
    /// The middle one; of an even number the smaller of the two.
    pub median: u64,
    /// The smallest that at least 95 of 100 do not exceed.
    pub p95: u64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    /// Of some values; none of none.
    pub fn of(values: &[u64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Spread {
            count: sorted.len(),
            min: *sorted.first()?,
            median: rank(50)?,
            p95: rank(95)?,
            max: *sorted.last()?,
        })
    }
}

impl Series {
    /// The series of `runs`.
    pub fn of(name: &str, runs: &[Run]) -> Series {
        let lines: Vec<RunLine> = runs.iter().map(line).collect();
        Series {
            format: SERIES_FORMAT.to_owned(),
            name: name.to_owned(),
            settings: runs.first().map(settings).unwrap_or_default(),
            passed: lines.iter().filter(|line| line.verdict == Verdict::Pass).count(),
            runs: lines,
            figures: figures(runs),
        }
    }

    /// How many runs of a hundred did not pass.
    pub fn flake_percent(&self) -> u64 {
        let failed = self.runs.len() - self.passed;
        (failed * 100).div_ceil(self.runs.len().max(1)) as u64
    }

    /// The figure of a measure.
    pub fn figure(&self, of: &Measure) -> Option<&Spread> {
        self.figures.iter().find(|figure| figure.of == *of).map(|figure| &figure.spread)
    }

    /// The verdict of all runs.
    pub fn verdict(&self) -> Verdict {
        Verdict::all(self.runs.iter().map(|line| line.verdict))
    }
}

fn line(run: &Run) -> RunLine {
    let first = run.parts.iter().find(|part| part.verdict != Verdict::Pass);
    let reason = first.map(|part| {
        let words = part.reason.as_ref().map(|reason| reason.get(crate::lab::model::Lang::En)).unwrap_or_default();
        format!("{}: {words}", part.id)
    });
    RunLine { id: run.id.clone(), verdict: run.verdict, reason, took_ms: run.took_ms }
}

fn figures(runs: &[Run]) -> Vec<Figure> {
    let mut outages: BTreeMap<(String, String), Vec<&Outage>> = BTreeMap::new();
    for run in runs {
        for outage in run.outages.iter().filter(|outage| outage.closed) {
            outages.entry((check_of(run, outage), outage.path.clone())).or_default().push(outage);
        }
    }
    let figures = outages.into_iter().flat_map(|((check, path), outages)| {
        let of = move |phase: &str| Measure { check: check.clone(), path: path.clone(), phase: phase.to_owned() };
        spreads(&outages).into_iter().map(move |(phase, spread)| Figure { of: of(&phase), spread })
    });
    figures.collect()
}

/// The spread of each phase that any of the outages has, in the order of phases, and of the whole.
fn spreads(outages: &[&Outage]) -> Vec<(String, Spread)> {
    const ORDER: [&str; 7] = ["fault", "detected", "lock_free", "lock_taken", "promoted", "proxy_up", "first_ack"];
    let cut: Vec<BTreeMap<String, u64>> = outages
        .iter()
        .map(|outage| phases(outage).into_iter().map(|phase| (phase.name.clone(), phase.took())).collect())
        .collect();
    let seen = ORDER.iter().filter(|name| cut.iter().any(|phases| phases.contains_key(**name)));
    let mut spreads: Vec<(String, Spread)> = seen
        .filter_map(|name| {
            let values: Vec<u64> = cut.iter().map(|phases| phases.get(*name).copied().unwrap_or(0)).collect();
            Some(((*name).to_owned(), Spread::of(&values)?))
        })
        .collect();
    let whole: Vec<u64> = outages.iter().map(|outage| outage.gap_ms).collect();
    spreads.extend(Spread::of(&whole).map(|spread| (WHOLE.to_owned(), spread)));
    spreads
}

/// The check whose workload saw the outage.
fn check_of(run: &Run, outage: &Outage) -> String {
    let fact = run.facts.iter().find(|fact| fact.id == outage.fact);
    let scope = fact.map_or(outage.workload.as_str(), |fact| fact.scope.as_str());
    scope.split('/').take(2).collect::<Vec<_>>().join("/")
}

/// What two series can differ in.
fn settings(run: &Run) -> BTreeMap<String, String> {
    let timing = &run.timing;
    let agents = run.nodes.iter().filter_map(|node| match &node.service {
        Service::Postgres { agent, .. } => serde_json::to_value(agent).ok()?.as_str().map(str::to_owned),
        _ => None,
    });
    let agents: std::collections::BTreeSet<String> = agents.collect();
    let mut all = BTreeMap::from([
        ("agent".to_owned(), agents.into_iter().collect::<Vec<_>>().join(", ")),
        ("backend".to_owned(), run.backend.clone()),
        ("lab".to_owned(), run.lab.name.clone()),
        ("ttl, ms".to_owned(), timing.ttl_ms.to_string()),
        ("loop_wait, ms".to_owned(), timing.loop_wait_ms.to_string()),
        ("retry_timeout, ms".to_owned(), timing.retry_timeout_ms.to_string()),
        ("inter, ms".to_owned(), timing.inter_ms.to_string()),
        ("fall".to_owned(), timing.fall.to_string()),
        ("rise".to_owned(), timing.rise.to_string()),
    ]);
    all.extend(run.versions.iter().map(|(program, version)| (format!("version of {program}"), version.clone())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::outage::budget::tests::outage;

    #[test]
    fn a_spread_names_the_values_that_were_seen() {
        let values: Vec<u64> = (1..=20).rev().collect();
        assert_eq!(Spread::of(&values), Some(Spread { count: 20, min: 1, median: 10, p95: 19, max: 20 }));
        assert_eq!(Spread::of(&[7]), Some(Spread { count: 1, min: 7, median: 7, p95: 7, max: 7 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_phase_that_a_run_did_not_have_took_no_time_in_it() {
        let one = outage((0, 1_000), Some(100), &[("lock_taken", 300), ("proxy_up", 900)]);
        let other = outage((0, 600), Some(100), &[("lock_taken", 500)]);
        let spreads = spreads(&[&one, &other]);
        let told: Vec<_> = spreads.iter().map(|(name, spread)| (name.as_str(), spread.min, spread.max)).collect();
        assert_eq!(
            told,
            [
                ("fault", 100, 100),
                ("lock_taken", 200, 400),
                ("proxy_up", 0, 600),
                ("first_ack", 100, 100),
                (WHOLE, 600, 1_000)
            ]
        );
    }
}
