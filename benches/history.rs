//! How long it takes to judge a history of a million operations, and to read it back from its file.
//!
//! `cargo bench --bench history`

use std::io::{BufReader, BufWriter, Write};
use std::time::Instant;

use labrun::verify::history::judge::Evidence;
use labrun::verify::history::{Action, Line, Linearizable, Op, Outcome, Server, judge, stored};

const OPERATIONS: u64 = 1_000_000;
const CLIENTS: u64 = 40;
const KEYS: u64 = 64;
/// The µs between two operations: 2,000 a second.
const PAUSE_US: u64 = 500;

fn main() {
    let ops = history();
    let stored: Vec<u64> = ops.iter().filter(|op| op.acked_by().is_some()).map(|op| op.id).collect();
    let paths = ["proxy".to_owned(), "direct".to_owned()];
    let span_us = (0, OPERATIONS * PAUSE_US + 10_000);
    let began = Instant::now();
    let evidence = Evidence { ops: &ops, stored: Some(&stored), paths: &paths, span_us, fault_us: Some(span_us.1 / 2) };
    let judgement = judge(&evidence);
    println!("{OPERATIONS} operations judged in {} ms: {}", began.elapsed().as_millis(), judgement.verdict().word());
    assert_eq!(judgement.linearizable, Some(Linearizable::Yes));

    let file = tempfile::NamedTempFile::new().expect("a file");
    write(&file, ops, stored, &paths);
    let began = Instant::now();
    let read = stored::read(BufReader::new(file.reopen().expect("the file"))).expect("a history");
    let took = began.elapsed().as_millis();
    println!("{} operations read back from {} MB in {took} ms", read[0].ops.len(), size_mb(&file));
}

/// What a correct cluster answers: each key is a register, each operation takes effect when it is sent, and in the middle
/// another node takes over.
fn history() -> Vec<Op> {
    let mut registers = vec![0; usize::try_from(KEYS).expect("few keys") + 1];
    (1..=OPERATIONS)
        .map(|id| {
            let (client, key) = (id % CLIENTS + 1, (id / CLIENTS) % KEYS + 1);
            let register = &mut registers[usize::try_from(key).expect("few keys")];
            let action = if client % 4 == 0 { Action::Write } else { Action::Read };
            let value = match action {
                Action::Write => {
                    *register = id;
                    None
                }
                Action::Read => Some(*register),
            };
            let (node, timeline) = if id < OPERATIONS / 2 { ("pg-master", 1) } else { ("pg-slave", 2) };
            let by = Server { node: node.to_owned(), timeline: Some(timeline), standby: false };
            Op {
                id,
                path: if client % 2 == 0 { "proxy" } else { "direct" }.to_owned(),
                client: u32::try_from(client).expect("few clients"),
                action,
                key: u32::try_from(key).ok(),
                sent_us: id * PAUSE_US,
                done_us: id * PAUSE_US + 4_000 + id * 7_919 % 4_000,
                outcome: Outcome::Acked { by, value },
            }
        })
        .collect()
}

fn write(file: &tempfile::NamedTempFile, ops: Vec<Op>, stored: Vec<u64>, paths: &[String]) {
    let mut out = BufWriter::new(file.reopen().expect("the file"));
    let mut line = |line: &Line| {
        serde_json::to_writer(&mut out, line).expect("written");
        out.write_all(b"\n").expect("written");
    };
    let workload = || "load".to_owned();
    line(&Line::Begin { workload: workload(), table: "t".to_owned(), at_us: 0, paths: paths.to_vec() });
    for op in ops {
        let Op { id, client, action, key, sent_us, .. } = op;
        line(&Line::Invoke { workload: workload(), id, path: op.path.clone(), client, action, key, sent_us });
        line(&Line::End { workload: workload(), op });
    }
    line(&Line::Stored { workload: workload(), node: "pg-slave".to_owned(), ids: stored, at_us: 0 });
    out.flush().expect("written");
}

fn size_mb(file: &tempfile::NamedTempFile) -> u64 {
    file.as_file().metadata().map_or(0, |metadata| metadata.len() / 1_000_000)
}
