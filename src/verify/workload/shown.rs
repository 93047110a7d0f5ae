//! A judged history as expressions read it, and as a person reads it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Judged;
use super::ways::Way;
use crate::lab::model::{Text, WorkloadStart};
use crate::observe::table;
use crate::verify::history::register::{Unknown, Violation};
use crate::verify::history::stored::Recorded;
use crate::verify::history::{Judgement, Linearizable, Losses, Op, Overlap, PathJudgement, Reads};
use crate::verify::say::both;

/// The most ids that a list shows.
const MOST_IDS: usize = 100;

/// What there is to show beside the judgement.
pub(super) struct About<'a> {
    /// The table that was written.
    pub table: &'a str,
    /// The ids that are stored.
    pub stored: Option<&'a [u64]>,
    /// The first id that the faulty node misses.
    pub missed_from: Option<u64>,
    /// Operations a second, of all clients.
    pub per_second: u64,
    /// By how much a client was late at the most, where that is known.
    pub stalled_ms: Option<u64>,
}

/// What a workload that was started does, in a line.
pub(super) fn started(
    start: &WorkloadStart,
    table: &str,
    ways: &[Way],
    (every, give_up): (Duration, Duration),
) -> String {
    let names: Vec<&str> = ways.iter().map(|way| way.name.as_str()).collect();
    let registers = match start.registers() {
        0 => String::new(),
        count => format!("; registers: {count}"),
    };
    format!(
        "ways: {}; on each {} writing, {} reading; table {table}{registers}; an operation every {} ms each, given up after {} ms",
        names.join(", "),
        start.clients,
        start.readers,
        every.as_millis(),
        give_up.as_millis(),
    )
}

/// The result of a workload's stop.
pub(super) fn value(judgement: &Judgement, about: &About<'_>) -> Value {
    let paths: Map<String, Value> =
        judgement.paths.iter().map(|(name, path)| (name.clone(), path_value(path))).collect();
    let losses = judgement.losses.as_ref();
    let list = |ids: fn(&Losses) -> &Vec<u64>| losses.map(|losses| first_ids(ids(losses)));
    let reads = judgement.reads.as_ref();
    let read_list = |ids: fn(&Reads) -> &Vec<u64>| reads.map(|reads| first_ids(ids(reads)));
    let linearizable = judgement.linearizable.as_ref();
    json!({
        "table": about.table,
        "paths": paths,
        "acked": judgement.acked(),
        "acked_during_fault": judgement.acked_after_fault(),
        "missed_from": about.missed_from,
        "stored": about.stored.map(<[u64]>::len),
        "lost": list(|losses| &losses.lost),
        "lost_count": losses.map(|losses| losses.lost.len()),
        "unexpected": list(|losses| &losses.unexpected),
        "recovered": losses.map(|losses| losses.recovered.len()),
        "duplicated": list(|losses| &losses.duplicated),
        "overlap": judgement.overlaps.iter().map(overlap_value).collect::<Vec<_>>(),
        "verdict": judgement.verdict().word(),
        "reads": reads.map(|reads| reads.answered),
        "stale_reads": read_list(|reads| &reads.stale),
        "reads_that_went_back": read_list(|reads| &reads.went_back),
        "phantom_reads": read_list(|reads| &reads.phantom),
        "standby_reads": reads.map(|reads| reads.on_standby),
        "standby_stale": reads.map(|reads| reads.standby_stale),
        "standby_stale_ms": reads.map(|reads| reads.standby_stale_us / 1000),
        "linearizable": linearizable.and_then(is_linearizable),
        "linearizable_why": linearizable.and_then(why),
        "per_second": about.per_second,
        "stalled_ms": about.stalled_ms,
    })
}

/// The same of a history that was read back. By how much its clients were late is not in it.
pub fn value_of(judgement: &Judgement, recorded: &Recorded) -> Value {
    let about = About {
        table: &recorded.table,
        stored: recorded.stored.as_deref(),
        missed_from: missed_from(&recorded.ops, recorded.fault.as_ref()),
        per_second: per_second(recorded.ops.len(), recorded.span_us),
        stalled_ms: None,
    };
    value(judgement, &about)
}

/// Operations a second within a time.
pub(super) fn per_second(ops: usize, span_us: (u64, u64)) -> u64 {
    let us = span_us.1.saturating_sub(span_us.0).max(1);
    (ops as u64).saturating_mul(1_000_000) / us
}

fn is_linearizable(linearizable: &Linearizable) -> Option<bool> {
    match linearizable {
        Linearizable::Yes => Some(true),
        Linearizable::No(_) => Some(false),
        Linearizable::Inconclusive { .. } => None,
    }
}

/// Why the registers are not linearizable, or why that is not known.
fn why(linearizable: &Linearizable) -> Option<String> {
    match linearizable {
        Linearizable::Yes => None,
        Linearizable::Inconclusive { why: Unknown::NoReads } => Some("no primary answered a read".to_owned()),
        Linearizable::Inconclusive { why: Unknown::TimeIsUp } => Some("the time was up".to_owned()),
        Linearizable::No(Violation { key, value, from_us, to_us, other }) => Some(match value == other {
            true => format!("key {key}: {value} was read at {} ms, before it was written", from_us / 1000),
            false => format!(
                "key {key}: {value} had to be current from {} to {} ms, and {other} within that time as well",
                from_us / 1000,
                to_us / 1000
            ),
        }),
    }
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
        "reads": path.reads,
        "read_only_ms": path.read_only.iter().map(|window| window.to_us - window.from_us).max().unwrap_or(0) / 1000,
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

/// That two nodes took writes at once, in a sentence; none where they did not.
pub(super) fn two_writers(judged: &Judged) -> Option<Text> {
    let overlaps = &judged.judgement.overlaps;
    let Overlap { older, newer, from_us, to_us, .. } =
        overlaps.iter().max_by_key(|overlap| overlap.to_us - overlap.from_us)?;
    let ms = (to_us - from_us) / 1000;
    Some(both(
        format!("записи подтверждали сразу два узла: {} ещё {ms} мс после того, как начал {}", older.node, newer.node),
        format!(
            "two nodes acknowledged writes at once: {} for {ms} ms more after {} had begun",
            older.node, newer.node
        ),
    ))
}

/// The judgement as a terminal shows it.
pub fn print(judgement: &Judgement, stored: Option<&[u64]>) -> String {
    let header = ["path", "acked", "rejected", "unknown", "longest gap, ms", "from, ms", "to, ms"];
    let rows: Vec<Vec<String>> = judgement.paths.iter().map(|(name, path)| row(name, path)).collect();
    let mut text = table::table(&header, &rows);
    for (name, path) in &judgement.paths {
        let longest = path.read_only.iter().max_by_key(|window| window.to_us - window.from_us);
        if let Some(window) = longest {
            let (from, to) = (window.from_us / 1000, window.to_us / 1000);
            text.push_str(&format!("read-only on {name}: from {from} to {to} ms, {} writes refused\n", window.refused));
        }
    }
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
    if let (Some(reads), Some(linearizable)) = (&judgement.reads, &judgement.linearizable) {
        text.push_str(&print_reads(reads, linearizable));
    }
    text.trim_end().to_owned()
}

fn print_reads(reads: &Reads, linearizable: &Linearizable) -> String {
    let word = match linearizable {
        Linearizable::Yes => "yes",
        Linearizable::No(_) => "no",
        Linearizable::Inconclusive { .. } => "not known",
    };
    let why = why(linearizable).map(|why| format!(" ({why})")).unwrap_or_default();
    let mut text = format!(
        "reads {}: stale {}, went back {}, of what was not written {}; linearizable: {word}{why}\n",
        reads.answered,
        ids(&reads.stale),
        ids(&reads.went_back),
        ids(&reads.phantom),
    );
    if reads.on_standby > 0 {
        let behind = match reads.standby_stale {
            0 => "none behind".to_owned(),
            count => format!("{count} behind, by {} ms at the most", reads.standby_stale_us / 1000),
        };
        text.push_str(&format!("of them {} on a standby: {behind}\n", reads.on_standby));
    }
    text
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
    use crate::verify::history::hand::{acked, got, on_standby, rejected, set, unknown};
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
         direct |     3 |        0 |       1 | 3000            |       15 |   3015
         proxy  |     1 |        1 |       0 | over 1010       |       10 |   1020
        rejected on proxy: 08001 × 1
        acknowledged 4, stored 5: lost 1 (ids 2), unexpected 0, duplicated 1 (ids 6), recovered 1
        two writers: a went on acknowledging after b had begun, from 3015 to 3115 ms: 1 (ids 6)
        ");
    }

    #[test]
    fn reads_are_shown_with_what_is_wrong_with_them() {
        let mut ops = vec![set(1, 0, 1), set(2, 2, 3), got(1, 4, 5), on_standby(got(1, 50, 51))];
        let paths = ["proxy".to_owned()];
        let judge = |ops: &[Op]| {
            judge(&Evidence { ops, stored: Some(&[1, 2]), paths: &paths, span_us: (0, 60_000), fault_us: None })
        };
        insta::assert_snapshot!(print(&judge(&ops), Some(&[1, 2])), @r"
         path  | acked | rejected | unknown | longest gap, ms | from, ms | to, ms
        -------+-------+----------+---------+-----------------+----------+--------
         proxy |     2 |        0 |       0 |               2 |        1 |      3
        acknowledged 2, stored 2: lost 0, unexpected 0, duplicated 0, recovered 0
        reads 2: stale 1 (ids 1000004), went back 0, of what was not written 0; linearizable: no (key 1: 1 had to be current from 1 to 4 ms, and 2 within that time as well)
        of them 1 on a standby: 1 behind, by 47 ms at the most
        ");
        ops.remove(2);
        ops.push(rejected(3, "proxy", 53, 55, "25006"));
        insta::assert_snapshot!(print(&judge(&ops), Some(&[1, 2])), @r"
         path  | acked | rejected | unknown | longest gap, ms | from, ms | to, ms
        -------+-------+----------+---------+-----------------+----------+--------
         proxy |     2 |        1 |       0 | over 52         |        3 |     55
        read-only on proxy: from 53 to 55 ms, 1 writes refused
        rejected on proxy: 25006 × 1
        acknowledged 2, stored 2: lost 0, unexpected 0, duplicated 0, recovered 0
        reads 1: stale 0, went back 0, of what was not written 0; linearizable: not known (no primary answered a read)
        of them 1 on a standby: 1 behind, by 47 ms at the most
        ");
    }

    #[test]
    fn two_writers_are_told_even_if_nobody_can_be_asked_what_is_stored() {
        let of = |judgement| Judged { name: "w".into(), fact: None, judgement, fault_us: None };
        let said = two_writers(&of(judged(None))).unwrap();
        let en = said.get(crate::lab::model::Lang::En);
        assert_eq!(en, "two nodes acknowledged writes at once: a for 100 ms more after b had begun");
        let ops = [acked(1, "proxy", 0, 10, "a", 1), acked(2, "proxy", 20, 30, "b", 2)];
        let paths = ["proxy".to_owned()];
        let one = judge(&Evidence { ops: &ops, stored: None, paths: &paths, span_us: (0, 40_000), fault_us: None });
        assert_eq!(two_writers(&of(one)), None);
    }

    #[test]
    fn without_what_is_stored_nothing_is_said_about_losses() {
        let about = About { table: "t", stored: None, missed_from: None, per_second: 0, stalled_ms: None };
        let value = value(&judged(None), &about);
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
