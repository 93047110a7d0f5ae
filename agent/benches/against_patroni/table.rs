//! The results as a Markdown table.

use std::collections::BTreeSet;

use crate::figures::{Figures, Subject, Value};

/// A row of the table and of the picture.
pub struct Row {
    /// The figure's name.
    pub figure: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    /// What labrun-agent is to reach, in words.
    pub target: &'static str,
}

const fn row(figure: &'static str, title: &'static str, unit: &'static str, target: &'static str) -> Row {
    Row { figure, title, unit, target }
}

/// Every figure, in the order of the report.
pub const ROWS: &[Row] = &[
    row("start", "start to a streaming synchronous standby", "s", "≤ 5"),
    row("stop-direct", "leader stopped (SIGTERM): no writes, direct", "s", "≤ 0.5"),
    row("stop-proxy", "leader stopped: no writes, through HAProxy", "s", ""),
    row("stop-rejoin", "leader started again, to synchronous standby", "s", "≤ 2"),
    row("switchover-direct", "switchover: no writes, direct", "s", "≤ 0.5"),
    row("switchover-proxy", "switchover: no writes, through HAProxy", "s", ""),
    row("crash-direct", "postmaster killed: no writes, direct", "s", "≤ 1"),
    row("crash-proxy", "postmaster killed: no writes, through HAProxy", "s", ""),
    row("kill-direct", "node killed: no writes, direct", "s", "≤ 30.5"),
    row("kill-proxy", "node killed: no writes, through HAProxy", "s", ""),
    row("kill-reaction", "node killed: from the end of its ZooKeeper session to writes, direct", "s", "≤ 0.5"),
    row("kill-rejoin", "killed node started again, to synchronous standby", "s", "≤ 2"),
    row("hung-postgres-direct", "PostgreSQL hangs (SIGSTOP): no writes, direct", "s", "≤ 31"),
    row("hung-postgres-proxy", "PostgreSQL hangs: no writes, through HAProxy", "s", ""),
    row("frozen-agent-direct", "agent frozen (SIGSTOP): no writes, direct", "s", ""),
    row("frozen-agent-proxy", "agent frozen: no writes, through HAProxy", "s", ""),
    row("zookeeper-away-direct", "ZooKeeper away for 20 s: no writes, direct", "s", "no gap"),
    row("zookeeper-away-proxy", "ZooKeeper away for 20 s: no writes, through HAProxy", "s", "no gap"),
    row("frozen-agent-async-direct", "agent frozen for 45 s, asynchronous: no writes, direct", "s", ""),
    row("pss-leader", "idle agent of the leader: memory (PSS)", "MB", "≤ 5"),
    row("pss-replica", "idle agent of the standby: memory (PSS)", "MB", "≤ 5"),
    row("rss-leader", "idle agent of the leader: memory (RSS)", "MB", ""),
    row("threads-leader", "idle agent of the leader: threads", "", "≤ 4"),
    row("threads-replica", "idle agent of the standby: threads", "", "≤ 4"),
    row("cpu-leader", "idle agent of the leader: CPU", "%", ""),
    row("cpu-replica", "idle agent of the standby: CPU", "%", ""),
];

/// The figures of lost writes, one a fault.
pub const LOST: &[(&str, &str)] = &[
    ("stop-lost", "leader stopped"),
    ("switchover-lost", "switchover"),
    ("crash-lost", "postmaster killed"),
    ("kill-lost", "node killed"),
    ("hung-postgres-lost", "PostgreSQL hangs"),
    ("frozen-agent-lost", "agent frozen"),
    ("zookeeper-away-lost", "ZooKeeper away"),
    ("frozen-agent-async-lost", "agent frozen for 45 s, asynchronous"),
];

/// The whole report.
pub fn markdown(figures: &Figures) -> String {
    let mut text = format!(
        "# labrun-agent and Patroni\n\nThe same YAML, the same machine, in turn: {}. ttl 30, loop_wait 10, \
         retry_timeout 10, synchronous mode, HAProxy inter 3s fall 3 rise 2. *No writes* is the longest time between \
         two acknowledged writes; each cell is the smallest / the middle / the largest of its rounds ({}). A short \
         time without writes is worth nothing where writes were lost: then two nodes took them at once. ZooKeeper \
         (tickTime 2000, for both) ends the session of a node that was killed up to 2 s late; Patroni asks for one of \
         30 s, labrun-agent for one of 28 s.\n\n\
         | | labrun-agent | Patroni | to reach |\n| --- | ---: | ---: | ---: |\n",
        figures.machine,
        rounds(figures)
    );
    for row in ROWS.iter().filter(|row| figures.values.contains_key(row.figure)) {
        let unit = if row.unit.is_empty() { String::new() } else { format!(", {}", row.unit) };
        let cells = [Subject::Labrun, Subject::Patroni].map(|subject| cell(figures.spread(row.figure, subject)));
        text += &format!("| {}{unit} | {} | {} | {} |\n", row.title, cells[0], cells[1], row.target);
    }
    text += "\nAcknowledged writes that were lost, round by round:\n\n\
             | | labrun-agent | Patroni |\n| --- | ---: | ---: |\n";
    for (figure, title) in LOST.iter().filter(|(figure, _)| figures.values.contains_key(*figure)) {
        let cells = [Subject::Labrun, Subject::Patroni].map(|subject| counts(figures, figure, subject));
        text += &format!("| {title} | {} | {} |\n", cells[0], cells[1]);
    }
    text + &failures(figures)
}

/// How often each program was measured.
fn rounds(figures: &Figures) -> String {
    let count = |subject| {
        let rounds: BTreeSet<_> =
            figures.attempts.iter().filter(|done| done.subject == subject).map(|done| done.round).collect();
        format!("{subject}: {}", rounds.len())
    };
    [Subject::Labrun, Subject::Patroni].map(count).join(", ")
}

fn cell(spread: Option<[Value; 3]>) -> String {
    spread.map_or_else(|| "–".to_owned(), |values| values.map(number).join(" / "))
}

/// A value with as many digits as mean something.
pub fn number(value: Value) -> String {
    let sign = if value.at_least { "≥ " } else { "" };
    let digits = match value.value {
        v if v < 1.0 => 2,
        v if v < 100.0 && v.fract() != 0.0 => 1,
        _ => 0,
    };
    format!("{sign}{:.digits$}", value.value)
}

/// Every round's count.
fn counts(figures: &Figures, figure: &str, subject: Subject) -> String {
    let values = figures.values.get(figure).and_then(|by_subject| by_subject.get(&subject));
    values.map_or_else(
        || "–".to_owned(),
        |values| values.iter().map(|v| format!("{:.0}", v.value)).collect::<Vec<_>>().join(" / "),
    )
}

/// The parts of rounds whose figures could not be taken, and why.
fn failures(figures: &Figures) -> String {
    let failed: Vec<_> = figures
        .attempts
        .iter()
        .filter_map(|done| {
            let reason = done.failure.as_ref()?.lines().next().unwrap_or_default();
            Some(format!("- {}, round {}, {}: {reason}\n", done.subject, done.round, done.part))
        })
        .collect();
    if failed.is_empty() { String::new() } else { format!("\nNot measured:\n\n{}", failed.concat()) }
}
