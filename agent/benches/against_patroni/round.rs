//! One round with one program: start, rest, every fault.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use labrun_agent::supervise::pids_in;

use crate::faults::{Fault, settled};
use crate::figures::{Figures, Subject, Value};
use crate::harness::writer::{self, Record};
use crate::harness::{Node, Stage, stage};
use crate::lab::{Lab, PROXY, synchronous_standby};
use crate::logs::Logs;

/// What a round measures.
pub struct Plan<'a> {
    pub round: u32,
    pub subject: Subject,
    pub faults: &'a [Fault],
    /// How long idle agents are watched.
    pub idle: Duration,
    pub output: &'a Path,
}

impl Plan<'_> {
    /// What is not over yet.
    fn missing(&self, figures: &Figures) -> Vec<String> {
        let idle = (!self.idle.is_zero()).then(|| "idle".to_owned());
        let parts = ["start".to_owned()].into_iter().chain(idle).chain(self.faults.iter().map(|fault| fault.name()));
        parts.filter(|part| !figures.has(self.round, self.subject, part)).collect()
    }

    fn logs(&self) -> PathBuf {
        self.output.join(format!("logs/round-{}-{}", self.round, self.subject))
    }
}

/// Measures what is missing of a round. A part that fails is noted as such, and the rest is measured on a new lab.
pub fn measure(plan: &Plan, figures: &mut Figures) {
    while !plan.missing(figures).is_empty() {
        let part = RefCell::new("start".to_owned());
        let lab = AssertUnwindSafe(|| {
            stage::perform("bench", plan.subject.cast(), async |stage: &Stage| {
                Round { plan, figures, part: &part }.perform(stage).await;
            });
        });
        if let Err(panic) = catch_unwind(lab) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let reason = text.unwrap_or_else(|| "unknown".to_owned());
            eprintln!("   {}: not measured: {reason}", part.borrow());
            // An earlier part of this lab that is over already is not the one to blame: the lab could not be started.
            let part = part.into_inner();
            let part =
                if figures.has(plan.round, plan.subject, &part) { plan.missing(figures).remove(0) } else { part };
            figures.end(plan.round, plan.subject, &part, Some(reason));
            figures.write(plan.output);
        }
    }
}

struct Round<'a> {
    plan: &'a Plan<'a>,
    figures: &'a mut Figures,
    /// What is being measured.
    part: &'a RefCell<String>,
}

impl Round<'_> {
    async fn perform(&mut self, stage: &Stage) {
        let lab = Lab::start(stage).await;
        let fresh = !self.figures.has(self.plan.round, self.plan.subject, "start");
        let logs = Logs::new(self.plan.logs(), fresh);
        if self.begins("start") {
            self.add("start", lab.started_in.as_secs_f64());
            self.ends("start");
        }
        lab.whole().await;
        if !self.plan.idle.is_zero() && self.begins("idle") {
            self.idle(&lab).await;
            self.ends("idle");
        }
        for fault in self.plan.faults {
            if self.begins(&fault.name()) {
                self.fault(*fault, stage, &lab, &logs).await;
                self.ends(&fault.name());
            }
            logs.keep(&lab.cluster);
        }
    }

    /// Whether this part is to be measured, which is then what a failure belongs to.
    fn begins(&mut self, part: &str) -> bool {
        let missing = !self.figures.has(self.plan.round, self.plan.subject, part);
        if missing {
            eprintln!("   -- {part}");
            *self.part.borrow_mut() = part.to_owned();
        }
        missing
    }

    fn ends(&mut self, part: &str) {
        self.figures.end(self.plan.round, self.plan.subject, part, None);
        self.figures.write(self.plan.output);
    }

    fn add(&mut self, figure: &str, value: f64) {
        self.add_value(figure, value, false);
    }

    fn add_value(&mut self, figure: &str, value: f64, at_least: bool) {
        self.figures.add(figure, self.plan.subject, Value { round: self.plan.round, value, at_least });
    }

    /// What an agent costs that has nothing to do, the leader's and the standby's.
    async fn idle(&mut self, lab: &Lab) {
        let leader = lab.leader().await;
        let nodes = [("leader", &lab.cluster[leader]), ("replica", &lab.cluster[1 - leader])];
        let before = nodes.map(|(_, node)| cpu_seconds(node));
        let start = Instant::now();
        tokio::time::sleep(self.plan.idle).await;
        let span = start.elapsed().as_secs_f64();
        for ((role, node), before) in nodes.into_iter().zip(before) {
            self.add(&format!("cpu-{role}"), (cpu_seconds(node) - before) / span * 100.0);
            self.add(&format!("pss-{role}"), sum(node, |pid| memory_mb(pid, "Pss:")));
            self.add(&format!("rss-{role}"), sum(node, |pid| memory_mb(pid, "Rss:")));
            self.add(&format!("threads-{role}"), sum(node, threads));
        }
    }

    async fn fault(&mut self, fault: Fault, stage: &Stage, lab: &Lab, logs: &Logs) {
        fault.prepare(lab, true).await;
        let leader = lab.leader().await;
        let writer = lab.writer(leader).await;
        settled(&writer).await;
        let injected = Instant::now();
        logs.mark(injected, &format!("{}: injected on {}", fault.name(), lab.cluster[leader].name));
        fault.inject(stage, lab, leader).await;
        let (happened, lease_ended) =
            tokio::join!(fault.takes_its_course(stage, leader, &writer), fault.lease_ends(lab));
        let waited = injected.elapsed();
        if happened {
            settled(&writer).await;
        }
        let undone = Instant::now();
        logs.mark(undone, &format!("{}: undone", fault.name()));
        fault.undo(lab, leader).await;
        if fault.takes_the_node() {
            synchronous_standby(&lab.cluster, 1 - leader).await;
            logs.mark(Instant::now(), &format!("{}: the old leader is a synchronous standby", fault.name()));
            self.add(&format!("{}-rejoin", fault.name()), undone.elapsed().as_secs_f64());
        }
        fault.prepare(lab, false).await;
        let leads = lab.whole().await;
        settled(&writer).await;
        let record = writer.finish();
        for (direct, name) in [(true, "direct"), (false, "proxy")] {
            let pause = gap_after(&record, injected, direct);
            if let Some((from, to)) = pause {
                logs.mark(from, &format!("{}: no writes, {name}, from here", fault.name()));
                logs.mark(to, &format!("{}: no writes, {name}, to here", fault.name()));
            }
            // A fault that was ended by us before anything happened says only how long it was watched.
            let gap = pause.map_or(0.0, |(from, to)| (to - from).as_secs_f64());
            let value = if happened { gap } else { waited.as_secs_f64() };
            self.add_value(&format!("{}-{name}", fault.name()), value, !happened);
            if let (true, Some((_, to)), Some(ended)) = (direct, pause, lease_ended) {
                self.add(&format!("{}-reaction", fault.name()), to.saturating_duration_since(ended).as_secs_f64());
            }
        }
        let present = writer::present(lab.cluster[leads].address).await.expect("the leader can be read");
        self.add(&format!("{}-lost", fault.name()), record.lost(&present).len() as f64);
        self.add(&format!("{}-acknowledged", fault.name()), record.acknowledged.len() as f64);
    }
}

/// The longest time without an acknowledged write that ended after the fault.
fn gap_after(record: &Record, injected: Instant, direct: bool) -> Option<(Instant, Instant)> {
    let since = injected - Duration::from_secs(1);
    record.longest_pause(since, |index| (index == PROXY) != direct)
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

/// The sum over the agent's processes.
fn sum(node: &Node, of: impl Fn(i32) -> f64) -> f64 {
    agent_pids(node).into_iter().map(of).sum()
}

fn memory_mb(pid: i32, field: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
}

fn threads(pid: i32) -> f64 {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0.0, |tasks| tasks.count() as f64)
}
