//! A judged history as expressions read it, and as a person reads it.

use serde_json::{Map, Value, json};

use crate::observe::table;
use crate::verify::history::{Judgement, Losses, Op, Overlap, PathJudgement};

/// The most ids that a list shows.
const MOST_IDS: usize = 100;

/// The result of a workload's stop.
pub(super) fn value(judgement: &Judgement, table: &str, stored: Option<&[u64]>, missed_from: Option<u64>) -> Value {
    let paths: Map<String, Value> =
        judgement.paths.iter().map(|(name, path)| (name.clone(), path_value(path))).collect();
    let losses = judgement.losses.as_ref();
    let list = |ids: fn(&Losses) -> &Vec<u64>| losses.map(|losses| first_ids(ids(losses)));
    json!({
        "table": table,
        "paths": paths,
        "acked": judgement.acked(),
        "acked_during_fault": judgement.acked_after_fault(),
        "missed_from": missed_from,
        "stored": stored.map(<[u64]>::len),
        "lost": list(|losses| &losses.lost),
        "lost_count": losses.map(|losses| losses.lost.len()),
        "unexpected": list(|losses| &losses.unexpected),
        "recovered": losses.map(|losses| losses.recovered.len()),
        "duplicated": list(|losses| &losses.duplicated),
        "overlap": judgement.overlaps.iter().map(overlap_value).collect::<Vec<_>>(),
    })
}

/// The first id that another node than the faulty one acknowledged after the fault: the faulty one misses it.
pub(super) fn missed_from(ops: &[Op], fault: Option<&(u64, String)>) -> Option<u64> {
    let (fault_us, hit) = fault?;
    let missed = |op: &&Op| op.sent_us >= *fault_us && op.acked_by().is_some_and(|by| by.node != *hit);
    ops.iter().filter(missed).map(|op| op.id).min()
}

fn path_value(path: &PathJudgement) -> Value {
    json!({
        "acked": path.acked,
        "acked_by": path.acked_by,
        "rejected": path.rejected.values().sum::<u64>(),
        "rejected_by": path.rejected,
        "indeterminate": path.indeterminate,
        "acked_before_fault": path.acked_before_fault,
        "acked_after_fault": path.acked_after_fault,
        "gap_ms": path.gap.map(|gap| gap.len_us() / 1000),
        "gap_from": path.gap.map(|gap| gap.from_us / 1000),
        "gap_to": path.gap.map(|gap| gap.to_us / 1000),
        "gap_closed": path.gap.is_some_and(|gap| gap.closed),
    })
}

fn overlap_value(overlap: &Overlap) -> Value {
    json!({
        "older": overlap.older, "newer": overlap.newer, "ids": first_ids(&overlap.ids),
        "from_ms": overlap.from_us / 1000, "to_ms": overlap.to_us / 1000,
    })
}

fn first_ids(ids: &[u64]) -> Vec<u64> {
    ids.iter().copied().take(MOST_IDS).collect()
}

/// The judgement as a terminal shows it.
pub(super) fn print(judgement: &Judgement, stored: Option<&[u64]>) -> String {
    let header = ["path", "acked", "rejected", "unknown", "longest gap, ms", "from, ms", "to, ms"];
    let rows: Vec<Vec<String>> = judgement.paths.iter().map(|(name, path)| row(name, path)).collect();
    let mut text = table::table(&header, &rows);
    for (name, path) in judgement.paths.iter().filter(|(_, path)| !path.rejected.is_empty()) {
        let by: Vec<String> = path.rejected.iter().map(|(sqlstate, count)| format!("{sqlstate} × {count}")).collect();
        text.push_str(&format!("rejected on {name}: {}\n", by.join(", ")));
    }
    match (&judgement.losses, stored) {
        (Some(losses), Some(stored)) => text.push_str(&format!(
            "acknowledged {}, stored {}: lost {}, unexpected {}, duplicated {}, recovered {}\n",
            judgement.acked(),
            stored.len(),
            ids(&losses.lost),
            ids(&losses.unexpected),
            ids(&losses.duplicated),
            losses.recovered.len(),
        )),
        _ => text.push_str("what is stored could not be read back\n"),
    }
    for Overlap { older, newer, from_us, to_us, ids: late } in &judgement.overlaps {
        text.push_str(&format!(
            "two writers: {} went on acknowledging after {} had begun, from {} to {} ms: {}\n",
            older.node,
            newer.node,
            from_us / 1000,
            to_us / 1000,
            ids(late),
        ));
    }
    text.trim_end().to_owned()
}

fn row(name: &str, path: &PathJudgement) -> Vec<String> {
    let gap = |of: fn(crate::verify::history::Gap) -> u64| path.gap.map(|gap| (of(gap) / 1000).to_string());
    let longest = path.gap.map(|gap| {
        let ms = gap.len_us() / 1000;
        if gap.closed { ms.to_string() } else { format!("over {ms}") }
    });
    vec![
        name.to_owned(),
        path.acked.to_string(),
        path.rejected.values().sum::<u64>().to_string(),
        path.indeterminate.to_string(),
        longest.unwrap_or_default(),
        gap(|gap| gap.from_us).unwrap_or_default(),
        gap(|gap| gap.to_us).unwrap_or_default(),
    ]
}

fn ids(ids: &[u64]) -> String {
    if ids.is_empty() {
        return "0".to_owned();
    }
    let shown: Vec<String> = ids.iter().take(10).map(u64::to_string).collect();
    let more = if ids.len() > shown.len() { ", …" } else { "" };
    format!("{} (ids {}{more})", ids.len(), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::history::hand::{acked, rejected, unknown};
    use crate::verify::history::judge;
    use crate::verify::history::judge::Evidence;

    fn judged(stored: Option<&[u64]>) -> Judgement {
        let ops = [
            acked(1, "proxy", 0, 10, "a", 1),
            acked(2, "direct", 5, 15, "a", 1),
            rejected(3, "proxy", 1_010, 1_020, "08001"),
            unknown(4, "direct", 1_000, 3_000),
            acked(5, "direct", 3_000, 3_015, "b", 2),
            acked(6, "direct", 3_100, 3_115, "a", 1),
        ];
        let paths = ["proxy".to_owned(), "direct".to_owned()];
        judge(&Evidence { ops: &ops, stored, paths: &paths, span_us: (0, 9_000_000), fault_us: Some(1_000_000) })
    }

    #[test]
    fn a_judgement_is_shown_with_everything_that_is_wrong() {
        insta::assert_snapshot!(print(&judged(Some(&[1, 4, 5, 6, 6])), Some(&[1, 4, 5, 6, 6])), @r"
          path  | acked | rejected | unknown | longest gap, ms | from, ms | to, ms
        --------+-------+----------+---------+-----------------+----------+--------
         direct |     3 |        0 |       1 | over 5885       |     3115 |   9000
         proxy  |     1 |        1 |       0 | over 8990       |       10 |   9000
        rejected on proxy: 08001 × 1
        acknowledged 4, stored 5: lost 1 (ids 2), unexpected 0, duplicated 1 (ids 6), recovered 1
        two writers: a went on acknowledging after b had begun, from 3015 to 3115 ms: 1 (ids 6)
        ");
    }

    #[test]
    fn without_what_is_stored_nothing_is_said_about_losses() {
        let value = value(&judged(None), "t", None, None);
        assert_eq!((&value["lost"], &value["stored"]), (&Value::Null, &Value::Null));
        assert!(print(&judged(None), None).contains("could not be read back"));
    }

    #[test]
    fn what_a_node_that_was_away_misses_begins_with_the_first_acknowledgement_after_the_fault() {
        let ops = [
            acked(1, "proxy", 0, 10, "a", 1),
            acked(2, "proxy", 16, 18, "a", 1),
            unknown(3, "proxy", 20, 30),
            acked(4, "proxy", 40, 50, "b", 2),
        ];
        assert_eq!(missed_from(&ops, Some(&(15_000, "a".to_owned()))), Some(4));
        assert_eq!(missed_from(&ops, None), None);
    }
}
