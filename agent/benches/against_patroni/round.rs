//! One round with one program: start, rest, every fault.

use std::path::Path;
use std::time::{Duration, Instant};

use labrun_agent::supervise::pids_in;

use crate::faults::{Fault, settled};
use crate::figures::{Figures, Subject, Value};
use crate::harness::writer::{self, Record};
use crate::harness::{Node, Stage, stage};
use crate::lab::{Lab, PROXY, synchronous_standby};

/// How long an idle agent is watched.
const IDLE: Duration = Duration::from_secs(20);

/// Measure everything once; figures are written after each fault, so that a run that is ended early is not lost.
pub fn measure(subject: Subject, faults: &[Fault], figures: &mut Figures, output: &Path) {
    stage::perform("bench", subject.cast(), async |stage: &Stage| {
        let lab = Lab::start(stage).await;
        figures.add("start", subject, lab.started_in.as_secs_f64());
        lab.whole().await;
        idle(&lab, subject, figures).await;
        figures.write(output);
        for fault in faults {
            eprintln!("   -- {}", fault.name());
            measure_fault(*fault, stage, &lab, subject, figures).await;
            figures.write(output);
        }
    });
}

/// What an agent costs that has nothing to do, the leader's and the standby's.
async fn idle(lab: &Lab, subject: Subject, figures: &mut Figures) {
    let nodes = &lab.cluster.nodes;
    let before: Vec<_> = nodes.iter().map(cpu_seconds).collect();
    let start = Instant::now();
    tokio::time::sleep(IDLE).await;
    let span = start.elapsed().as_secs_f64();
    for (node, before) in nodes.iter().zip(before) {
        figures.add("cpu", subject, (cpu_seconds(node) - before) / span * 100.0);
        figures.add("pss", subject, agent_pids(node).into_iter().map(pss_mb).sum());
        figures.add("threads", subject, agent_pids(node).into_iter().map(threads).sum());
    }
}

async fn measure_fault(fault: Fault, stage: &Stage, lab: &Lab, subject: Subject, figures: &mut Figures) {
    fault.prepare(lab, true).await;
    let leader = lab.leader().await;
    let writer = lab.writer(leader).await;
    settled(&writer).await;
    let injected = Instant::now();
    fault.inject(stage, lab, leader).await;
    let happened = fault.takes_its_course(stage, lab, leader, &writer).await;
    let waited = injected.elapsed();
    if happened {
        settled(&writer).await;
    }
    let undone = Instant::now();
    fault.undo(lab, leader).await;
    if fault.takes_the_node() {
        synchronous_standby(&lab.cluster, 1 - leader).await;
        figures.add(&format!("{}-rejoin", fault.name()), subject, undone.elapsed().as_secs_f64());
    }
    fault.prepare(lab, false).await;
    let leads = lab.whole().await;
    settled(&writer).await;
    let record = writer.finish();
    let gap = |direct: bool| gap_after(&record, injected, direct);
    for (direct, name) in [(true, "direct"), (false, "proxy")] {
        // A fault that was ended by us before anything happened says only how long it was watched.
        let value = if happened { gap(direct) } else { waited.as_secs_f64() };
        let figure = format!("{}-{name}", fault.name());
        figures.add_value(&figure, subject, Value { value, at_least: !happened });
    }
    let present = writer::present(lab.cluster[leads].address).await.expect("the leader can be read");
    figures.add(&format!("{}-lost", fault.name()), subject, record.lost(&present).len() as f64);
}

/// The longest time without an acknowledged write that began or ended after the fault, in seconds.
fn gap_after(record: &Record, injected: Instant, direct: bool) -> f64 {
    let since = injected - Duration::from_secs(1);
    let gap = record.longest_gap(since, |index| (index == PROXY) != direct);
    gap.as_secs_f64()
}

/// The agent's own processes: those of the node that are not PostgreSQL's.
fn agent_pids(node: &Node) -> Vec<i32> {
    let postgres = pids_in(&node.data());
    pids_in(&node.dir).into_iter().filter(|pid| !postgres.contains(pid)).collect()
}

fn cpu_seconds(node: &Node) -> f64 {
    let ticks = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
        // utime and stime, fields 14 and 15 of proc(5), of which 2 stand before the bracket.
        [11, 12].iter().filter_map(|n| fields.get(*n)?.parse::<f64>().ok()).sum::<f64>()
    };
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
    agent_pids(node).into_iter().map(ticks).sum::<f64>() / per_second
}

fn pss_mb(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
}

fn threads(pid: i32) -> f64 {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0.0, |tasks| tasks.count() as f64)
}
