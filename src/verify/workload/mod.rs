//! Workloads: clients that write all the while, whatever happens to the cluster, and record what came of it.
//!
//! Every write has an id of its own and is never tried again under the same one; it ends acknowledged (by which
//! server, on which timeline), rejected (with which SQLSTATE) or with an unknown outcome. Sessions set no
//! `statement_timeout` and send no cancel request: either would end PostgreSQL's wait for the synchronous standby
//! and make it acknowledge what is not replicated.

pub mod insert;
pub mod journal;
mod record;
mod shown;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use self::insert::Addresses;
use self::journal::HistoryLog;
use self::record::Record;
use self::writer::Writer;
use super::history::judge::Evidence;
use super::history::{Judgement, Line, judge};
use super::say::{both, same};
use super::spine::Spine;
use super::steps::{Attempt, Seen, Stage, Trouble, target};
use super::watch::Pace;
use super::world::World;
use super::{Canceller, Observation, Source, cancellation};
use crate::lab::expr;
use crate::lab::model::WorkloadStart;

/// The pause between two writes unless a lab says otherwise.
const EVERY: Duration = Duration::from_millis(20);
/// How long one write may take unless a lab says otherwise.
const GIVE_UP: Duration = Duration::from_secs(2);
/// How long making the table, or reading it back, may take.
const TABLE_LIMIT: Duration = Duration::from_secs(10);

/// The workloads of one run.
pub struct Workloads {
    spine: Arc<Spine>,
    log: Arc<HistoryLog>,
    pace: Pace,
    all: Mutex<BTreeMap<String, Workload>>,
}

/// Writers at work; each ends with the journal's error, where there was one.
struct Running {
    stop: Canceller,
    writers: Vec<JoinHandle<Result<(), String>>>,
}

struct Workload {
    table: String,
    paths: Vec<String>,
    record: Arc<Record>,
    began_us: u64,
    running: Option<Running>,
    ended_us: Option<u64>,
    stored: Option<Vec<u64>>,
    judged: Option<Judged>,
}

/// A workload that was stopped and judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Its name.
    pub name: String,
    /// The fact that shows the judged history.
    pub fact: Option<String>,
    /// What the history shows.
    pub judgement: Judgement,
    /// When the first fault within it was injected.
    pub fault_us: Option<u64>,
}

impl Workloads {
    /// None yet. Histories go to `log`; while one runs, `pace` is busy.
    pub fn new(spine: Arc<Spine>, log: Arc<HistoryLog>, pace: Pace) -> Workloads {
        Workloads { spine, log, pace, all: Mutex::new(BTreeMap::new()) }
    }

    /// Make the table anew on the leader and start the writers.
    pub async fn start(&self, start: &WorkloadStart, stage: &Stage<'_>) -> Attempt {
        let table = expr::render(&start.table, &stage.context())?;
        let writers = self.check(start, &table, stage.world)?;
        let leader = target::resolve("leader", stage.world).await?;
        let session = stage.world.dial().open(&leader.node, TABLE_LIMIT).await;
        let session = session.map_err(|error| Trouble::NotThere(same(error)))?;
        let made = session.run(&insert::prepare(&table)).await;
        made.map_err(|error| {
            Trouble::NotThere(both(
                format!("таблицу {table} на {} создать не удалось: {error}", leader.node),
                format!("table {table} cannot be made on {}: {error}", leader.node),
            ))
        })?;
        self.spawn(start, &table, writers, stage)?;
        let (every, give_up) = (every(start), give_up(start));
        let output = format!(
            "writers: {}; table {table}; a write every {} ms each, given up after {} ms",
            start.paths.join(", "),
            every.as_millis(),
            give_up.as_millis(),
        );
        let value = json!({ "name": start.name, "table": table, "paths": start.paths });
        let source = Source::Workload { name: start.name.clone() };
        Ok(Seen { observation: Observation { node: None, role: None, source, output, value }, unmet: None })
    }

    /// The nodes that each way writes to; or why the workload cannot be started.
    fn check(
        &self,
        start: &WorkloadStart,
        table: &str,
        world: &dyn World,
    ) -> Result<Vec<(String, Vec<String>)>, Trouble> {
        let bad = |words: String| Err(Trouble::NoValue(words));
        if !insert::is_table_name(table) {
            return bad(format!("`{table}` is no table's name (lower-case letters, digits and `_`)"));
        }
        if self.lock().get(&start.name).is_some_and(|workload| workload.running.is_some()) {
            return bad(format!("workload `{}` runs already", start.name));
        }
        if start.paths.is_empty() {
            return bad(format!("workload `{}` has no way to write by", start.name));
        }
        let deployment = world.deployment();
        start
            .paths
            .iter()
            .map(|path| match path.as_str() {
                "direct" => Ok((path.clone(), deployment.postgres_nodes().map(|node| node.name.clone()).collect())),
                "proxy" => match deployment.proxy() {
                    Some(proxy) => Ok((path.clone(), vec![proxy.name.clone()])),
                    None => Err(Trouble::NotThere(both(
                        "в развёртывании нет узла haproxy",
                        "the deployment has no haproxy node",
                    ))),
                },
                other => Err(Trouble::NoValue(format!("`{other}` is no way to write by (`proxy` or `direct`)"))),
            })
            .collect()
    }

    fn spawn(
        &self,
        start: &WorkloadStart,
        table: &str,
        writers: Vec<(String, Vec<String>)>,
        stage: &Stage<'_>,
    ) -> Result<(), Trouble> {
        let began_us = self.spine.now_us();
        let record = Record::new(&start.name, &start.paths, Arc::clone(&self.spine), Arc::clone(&self.log));
        let record = Arc::new(record);
        let shared = Arc::clone(&record);
        let begin = Line::Begin { workload: start.name.clone(), table: table.to_owned(), at_us: began_us };
        self.log.write(&begin).map_err(Trouble::Infra)?;
        let (canceller, cancel) = cancellation();
        let addresses = Arc::new(Addresses::of(stage.world.deployment()));
        let tasks = writers.into_iter().map(|(path, nodes)| {
            let writer = Writer {
                path,
                nodes,
                table: table.to_owned(),
                every: every(start),
                give_up: give_up(start),
                dial: stage.world.dial(),
                addresses: Arc::clone(&addresses),
                record: Arc::clone(&shared),
            };
            tokio::spawn(writer.run(cancel.clone()))
        });
        let workload = Workload {
            table: table.to_owned(),
            paths: start.paths.clone(),
            record,
            began_us,
            running: Some(Running { stop: canceller, writers: tasks.collect() }),
            ended_us: None,
            stored: None,
            judged: None,
        };
        self.lock().insert(start.name.clone(), workload);
        self.pace.set_busy(true);
        Ok(())
    }

    /// Stop the writers, read back what is stored, and judge.
    pub async fn stop(&self, name: &str, stage: &Stage<'_>) -> Attempt {
        self.halt(name).await?;
        let stored = self.read_back(name, stage.world).await?;
        self.judge(name, Some(&stored))
    }

    /// Stop the writers and judge as far as can be without what is stored.
    pub async fn stop_unread(&self, name: &str) -> Attempt {
        self.halt(name).await?;
        self.judge(name, None)
    }

    /// Stop the writers; each sees its last write through. Stopping twice is fine.
    async fn halt(&self, name: &str) -> Result<(), Trouble> {
        let running = {
            let mut all = self.lock();
            let known = all.keys().cloned().collect::<Vec<_>>().join("`, `");
            let workload = all.get_mut(name);
            let missing = || Trouble::NoValue(format!("workload `{name}` was not started (started: `{known}`)"));
            workload.ok_or_else(missing)?.running.take()
        };
        let Some(Running { stop, writers }) = running else { return Ok(()) };
        stop.cancel();
        let mut trouble = None;
        for writer in writers {
            match writer.await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => trouble = Some(why),
                Err(panicked) => trouble = Some(format!("a writer failed: {panicked}")),
            }
        }
        if let Some(workload) = self.lock().get_mut(name) {
            workload.ended_us = Some(self.spine.now_us());
        }
        self.pace.set_busy(!self.running().is_empty());
        trouble.map_or(Ok(()), |why| Err(Trouble::Infra(why)))
    }

    async fn read_back(&self, name: &str, world: &dyn World) -> Result<Vec<u64>, Trouble> {
        let table = self.lock().get(name).map(|workload| workload.table.clone()).unwrap_or_default();
        let leader = target::resolve("leader", world).await?;
        let read = async { world.dial().open(&leader.node, TABLE_LIMIT).await?.run(&insert::read_back(&table)).await };
        let output = read.await.map_err(|error| {
            Trouble::NotThere(both(
                format!("{table} не удалось прочитать с {}: {error}", leader.node),
                format!("{table} cannot be read back on {}: {error}", leader.node),
            ))
        })?;
        let ids: Option<Vec<u64>> =
            output.rows.iter().map(|row| row.first().and_then(Option::as_deref)?.parse().ok()).collect();
        let ids = ids.ok_or_else(|| {
            Trouble::NotThere(both(
                format!("в {table} есть строки, которых нагрузка не писала"),
                format!("{table} holds rows that no workload wrote"),
            ))
        })?;
        let at_us = self.spine.now_us();
        if self.is_news(name, &ids) {
            let line = Line::Stored { workload: name.to_owned(), node: leader.node, ids: ids.clone(), at_us };
            self.log.write(&line).map_err(Trouble::Infra)?;
        }
        Ok(ids)
    }

    /// Whether other ids are stored than when they were read before; they are then remembered.
    fn is_news(&self, name: &str, ids: &[u64]) -> bool {
        let mut all = self.lock();
        let Some(workload) = all.get_mut(name) else { return true };
        let is_news = workload.stored.as_deref() != Some(ids);
        workload.stored = Some(ids.to_vec());
        is_news
    }

    fn judge(&self, name: &str, stored: Option<&[u64]>) -> Attempt {
        let mut all = self.lock();
        let Some(workload) = all.get_mut(name) else {
            return Err(Trouble::NoValue(format!("workload `{name}` was not started")));
        };
        let ops = workload.record.ops();
        let fault = workload.record.fault();
        let fault_us = fault.as_ref().map(|fault| fault.0);
        let span_us = (workload.began_us, workload.ended_us.unwrap_or(workload.began_us));
        let judgement = judge(&Evidence { ops: &ops, stored, paths: &workload.paths, span_us, fault_us });
        let value = shown::value(&judgement, &workload.table, stored, shown::missed_from(&ops, fault.as_ref()));
        let output = shown::print(&judgement, stored);
        workload.judged = Some(Judged { name: name.to_owned(), fact: None, judgement, fault_us });
        let source = Source::Workload { name: name.to_owned() };
        Ok(Seen { observation: Observation { node: None, role: None, source, output, value }, unmet: None })
    }

    /// Remember which fact shows the judged history of `name`.
    pub fn attach_fact(&self, name: &str, fact: &str) {
        if let Some(judged) = self.lock().get_mut(name).and_then(|workload| workload.judged.as_mut()) {
            judged.fact = Some(fact.to_owned());
        }
    }

    /// The workloads whose writers still run.
    pub fn running(&self) -> Vec<String> {
        self.lock().iter().filter(|(_, workload)| workload.running.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// Those that were judged.
    pub fn judged(&self) -> Vec<Judged> {
        self.lock().values().filter_map(|workload| workload.judged.clone()).collect()
    }

    /// A fault is being injected into `node` now.
    pub fn mark_fault(&self, at_us: u64, node: &str) {
        let all = self.lock();
        let running = all.values().filter(|workload| workload.running.is_some());
        running.for_each(|workload| workload.record.mark_fault(at_us, node));
    }

    /// The counts so far, as expressions read them: by workload and way.
    pub fn counts(&self) -> Value {
        let all = self.lock();
        let counts: Map<String, Value> =
            all.iter().map(|(name, workload)| (name.clone(), workload.record.counts())).collect();
        Value::Object(counts)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Workload>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn every(start: &WorkloadStart) -> Duration {
    start.every.map_or(EVERY, |span| span.0)
}

fn give_up(start: &WorkloadStart) -> Duration {
    start.give_up.map_or(GIVE_UP, |span| span.0)
}
