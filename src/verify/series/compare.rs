//! Two series side by side: what differs in their settings, and each figure of both.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Measure, Series, Spread};

/// Two series side by side.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// The names of both.
    pub names: [String; 2],
    /// How many runs each has, and how many of them passed.
    pub passed: [(usize, usize); 2],
    /// Settings in which they differ: the name, and each one's.
    pub differences: Vec<(String, [Option<String>; 2])>,
    /// Each figure that either has.
    pub rows: Vec<Row>,
}

/// One figure of both.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    /// What it is of.
    #[serde(flatten)]
    pub of: Measure,
    /// Each one's.
    pub spreads: [Option<Spread>; 2],
}

/// Put `a` and `b` side by side.
pub fn compare(a: &Series, b: &Series) -> Comparison {
    let both = [a, b];
    let mut measures: Vec<&Measure> = Vec::new();
    for figure in both.iter().flat_map(|series| &series.figures) {
        if !measures.contains(&&figure.of) {
            measures.push(&figure.of);
        }
    }
    // By check and way; within them in the order of phases, which is that of the series.
    measures.sort_by(|one, other| (&one.check, &one.path).cmp(&(&other.check, &other.path)));
    let names: std::collections::BTreeSet<&String> = both.iter().flat_map(|series| series.settings.keys()).collect();
    let differences = names.into_iter().filter_map(|name| {
        let each = both.map(|series| series.settings.get(name).cloned());
        (each[0] != each[1]).then(|| (name.clone(), each))
    });
    Comparison {
        names: both.map(|series| series.name.clone()),
        passed: both.map(|series| (series.passed, series.runs.len())),
        differences: differences.collect(),
        rows: measures
            .into_iter()
            .map(|of| Row { of: of.clone(), spreads: both.map(|series| series.figure(of).copied()) })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Figure, SERIES_FORMAT};
    use super::*;

    fn series(name: &str, ttl: &str, phases: &[(&str, u64)]) -> Series {
        let figure = |(phase, ms): &(&str, u64)| Figure {
            of: Measure { check: "failover/failover".into(), path: "proxy".into(), phase: (*phase).to_owned() },
            spread: Spread { count: 1, min: *ms, median: *ms, p95: *ms, max: *ms },
        };
        Series {
            format: SERIES_FORMAT.to_owned(),
            name: name.to_owned(),
            settings: BTreeMap::from([("ttl, ms".to_owned(), ttl.to_owned()), ("rise".to_owned(), "2".to_owned())]),
            runs: vec![],
            passed: 0,
            figures: phases.iter().map(figure).collect(),
        }
    }

    #[test]
    fn figures_and_settings_stand_beside_each_other() {
        let a = series("a", "30000", &[("lock_free", 200), ("whole", 6_000)]);
        let b = series("b", "15000", &[("lock_free", 100), ("detected", 5), ("whole", 5_000)]);
        let seen = compare(&a, &b);
        let ttl = [Some("30000".to_owned()), Some("15000".to_owned())];
        assert_eq!(seen.differences, [("ttl, ms".to_owned(), ttl)]);
        let rows: Vec<_> = seen
            .rows
            .iter()
            .map(|row| (row.of.phase.as_str(), row.spreads.map(|spread| spread.map(|spread| spread.median))))
            .collect();
        assert_eq!(
            rows,
            [
                ("lock_free", [Some(200), Some(100)]),
                ("whole", [Some(6_000), Some(5_000)]),
                ("detected", [None, Some(5)])
            ]
        );
    }
}
