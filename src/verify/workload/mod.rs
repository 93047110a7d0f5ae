//! Workloads: clients that write and read all the while, whatever happens to the cluster, and record what came of it.
//!
//! Every operation has an id of its own and is never tried again under the same one; it ends acknowledged (by which
//! server, on which timeline), rejected (with which SQLSTATE) or with an unknown outcome. Sessions set no
//! `statement_timeout` and send no cancel request: either would end PostgreSQL's wait for the synchronous standby
//! and make it acknowledge what is not replicated.

mod client;
pub mod journal;
mod record;
mod shown;
pub mod statement;
mod ways;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use self::client::{Client, Shared};
use self::journal::HistoryLog;
use self::record::Record;
use self::statement::Addresses;
use self::ways::{Way, ways};
use super::history::judge::Evidence;
use super::history::{Action, Judgement, Line, judge};
use super::say::{both, same};
use super::spine::Spine;
use super::steps::{Attempt, Seen, Stage, Trouble, Unmet, target};
use super::watch::Pace;
use super::world::World;
use super::{Canceller, Observation, Source, cancellation};
use crate::lab::expr;
use crate::lab::model::WorkloadStart;

pub use self::shown::{print, value_of as value};

/// The pause between two operations of a client unless a lab says otherwise.
const EVERY: Duration = Duration::from_millis(20);
/// How long one operation may take unless a lab says otherwise.
const GIVE_UP: Duration = Duration::from_secs(2);
/// How long making the table, or reading it back, may take.
const TABLE_LIMIT: Duration = Duration::from_secs(10);

/// The workloads of one run.
pub struct Workloads {
    spine: Arc<Spine>,
    log: Arc<HistoryLog>,
    pace: Pace,
    all: Mutex<BTreeMap<String, Workload>>,
    /// What was judged of workloads whose names later ones took.
    former: Mutex<Vec<Judged>>,
}

/// Clients at work; each ends with the journal's error, where there was one.
struct Running {
    stop: Canceller,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

struct Workload {
    /// The check that started it.
    check: String,
    table: String,
    paths: Vec<String>,
    shared: Arc<Shared>,
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
        Workloads { spine, log, pace, all: Mutex::default(), former: Mutex::default() }
    }

    /// Make the table anew on the leader and start the clients.
    pub async fn start(&self, start: &WorkloadStart, stage: &Stage<'_>) -> Attempt {
        let table = expr::render(&start.table, &stage.context())?;
        self.check(start, &table)?;
        let ways = ways(start, stage.world.deployment())?;
        let leader = target::resolve("leader", stage.world).await?;
        let session = stage.world.dial().open(&leader.node, TABLE_LIMIT).await;
        let session = session.map_err(|error| Trouble::NotThere(same(error)))?;
        let made = session.run(&statement::prepare(&table, start.registers())).await;
        made.map_err(|error| {
            Trouble::NotThere(both(
                format!("таблицу {table} на {} создать не удалось: {error}", leader.node),
                format!("table {table} cannot be made on {}: {error}", leader.node),
            ))
        })?;
        let output = shown::started(start, &table, &ways, (every(start), give_up(start)));
        let paths: Vec<&str> = ways.iter().map(|way| way.name.as_str()).collect();
        let value = json!({ "name": start.name, "table": table, "paths": paths });
        self.spawn(start, &table, ways, stage)?;
        let source = Source::Workload { name: start.name.clone() };
        Ok(Seen { observation: Observation { node: None, role: None, source, output, value }, unmet: None })
    }

    /// Why the workload cannot be started, where it cannot.
    fn check(&self, start: &WorkloadStart, table: &str) -> Result<(), Trouble> {
        if !statement::is_table_name(table) {
            let words = "is no table's name (at most 53 lower-case letters, digits and `_`)";
            return Err(Trouble::NoValue(format!("`{table}` {words}")));
        }
        match self.lock().get(&start.name).is_some_and(|workload| workload.running.is_some()) {
            true => Err(Trouble::NoValue(format!("workload `{}` runs already", start.name))),
            false => Ok(()),
        }
    }

    fn spawn(&self, start: &WorkloadStart, table: &str, ways: Vec<Way>, stage: &Stage<'_>) -> Result<(), Trouble> {
        let (began_us, table) = (self.spine.now_us(), table.to_owned());
        let paths: Vec<String> = ways.iter().map(|way| way.name.clone()).collect();
        let begin =
            Line::Begin { workload: start.name.clone(), table: table.clone(), at_us: began_us, paths: paths.clone() };
        self.log.write(begin).map_err(Trouble::Infra)?;
        let kinds = [(Action::Write, start.clients), (Action::Read, start.readers)];
        let planned: Vec<(Way, Action)> = kinds
            .into_iter()
            .flat_map(|(action, count)| (0..count).flat_map(|_| ways.clone()).map(move |way| (way, action)))
            .collect();
        let shared = Arc::new(Shared {
            table: table.clone(),
            registers: start.registers(),
            every: every(start),
            give_up: give_up(start),
            clients: u32::try_from(planned.len()).unwrap_or(u32::MAX),
            dial: stage.world.dial(),
            addresses: Addresses::of(stage.world.deployment()),
            record: Record::new(&start.name, &paths, Arc::clone(&self.spine), Arc::clone(&self.log)),
        });
        let (stop, cancel) = cancellation();
        let clients = (1..).zip(planned).map(|(number, (way, action))| {
            let client = Client { number, path: way.name, nodes: way.nodes, action, shared: Arc::clone(&shared) };
            tokio::spawn(client.run(cancel.clone()))
        });
        let running = Some(Running { stop, clients: clients.collect() });
        let check = stage.scope_name.rsplit_once('/').map_or_else(String::new, |(check, _)| check.to_owned());
        let workload =
            Workload { check, table, paths, shared, began_us, running, ended_us: None, stored: None, judged: None };
        let check = workload.check.clone();
        let before = self.lock().insert(start.name.clone(), workload);
        // A check that is tried again judges anew.
        self.former().extend(before.filter(|before| before.check != check).and_then(|before| before.judged));
        self.pace.set_busy(true);
        Ok(())
    }

    /// Stop the clients, read back what is stored, and judge. Where it cannot be read back, the clients' own history is
    /// judged nevertheless: two nodes that took writes at once often leave no leader to ask.
    pub async fn stop(&self, name: &str, stage: &Stage<'_>) -> Attempt {
        self.halt(name).await?;
        match self.read_back(name, stage.world).await {
            Ok(stored) => self.judge(name, Some(&stored)),
            Err(Trouble::NotThere(words)) => {
                let seen = self.judge(name, None)?;
                let detail = self.lock().get(name).and_then(|workload| shown::two_writers(workload.judged.as_ref()?));
                Ok(Seen { unmet: Some(Unmet { words, detail }), ..seen })
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Stop the clients and judge as far as can be without what is stored.
    pub async fn stop_unread(&self, name: &str) -> Attempt {
        self.halt(name).await?;
        self.judge(name, None)
    }

    /// Stop the clients; each sees its last operation through. Stopping twice is fine.
    async fn halt(&self, name: &str) -> Result<(), Trouble> {
        let running = {
            let mut all = self.lock();
            let known = all.keys().cloned().collect::<Vec<_>>().join("`, `");
            let workload = all.get_mut(name);
            let missing = || Trouble::NoValue(format!("workload `{name}` was not started (started: `{known}`)"));
            workload.ok_or_else(missing)?.running.take()
        };
        let Some(Running { stop, clients }) = running else { return Ok(()) };
        stop.cancel();
        let mut trouble = None;
        for client in clients {
            match client.await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => trouble = Some(why),
                Err(panicked) => trouble = Some(format!("a client failed: {panicked}")),
            }
        }
        let at_us = self.spine.now_us();
        if let Some(workload) = self.lock().get_mut(name) {
            workload.ended_us = Some(at_us);
        }
        trouble = trouble.or(self.log.write(Line::Halt { workload: name.to_owned(), at_us }).err());
        // What is not written is not counted yet.
        trouble = trouble.or(self.log.settle().await.err());
        self.pace.set_busy(!self.running().is_empty());
        trouble.map_or(Ok(()), |why| Err(Trouble::Infra(why)))
    }

    /// Stop the clients, and hold nothing of what they did against the run: it goes back to before they began. Their
    /// history stays in its file.
    pub async fn forget(&self, name: &str) {
        if let Err(Trouble::Infra(why)) = self.halt(name).await {
            self.spine.fail(&why);
        }
        self.lock().remove(name);
    }

    async fn read_back(&self, name: &str, world: &dyn World) -> Result<Vec<u64>, Trouble> {
        let table = self.lock().get(name).map(|workload| workload.table.clone()).unwrap_or_default();
        let leader = target::resolve("leader", world).await?;
        let read =
            async { world.dial().open(&leader.node, TABLE_LIMIT).await?.run(&statement::read_back(&table)).await };
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
            self.log.write(line).map_err(Trouble::Infra)?;
            self.log.settle().await.map_err(Trouble::Infra)?;
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
        let record = &workload.shared.record;
        let (ops, fault) = (record.ops(), record.fault());
        let fault_us = fault.as_ref().map(|fault| fault.0);
        let span_us = (workload.began_us, workload.ended_us.unwrap_or(workload.began_us));
        let judgement = judge(&Evidence { ops: &ops, stored, paths: &workload.paths, span_us, fault_us });
        let about = shown::About {
            table: &workload.table,
            stored,
            missed_from: shown::missed_from(&ops, fault.as_ref()),
            per_second: shown::per_second(ops.len(), span_us),
            stalled_ms: Some(record.stalled_ms()),
        };
        let value = shown::value(&judgement, &about);
        let output = format!(
            "{}\nthe clients themselves: {} operations a second, late by {} ms at the most",
            shown::print(&judgement, stored),
            about.per_second,
            record.stalled_ms(),
        );
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

    /// The workloads whose clients still run.
    pub fn running(&self) -> Vec<String> {
        self.lock().iter().filter(|(_, workload)| workload.running.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// Those that were judged; of one name, in the order in which they were.
    pub fn judged(&self) -> Vec<Judged> {
        let mut all = self.former().clone();
        all.extend(self.lock().values().filter_map(|workload| workload.judged.clone()));
        all
    }

    /// A fault is being injected into `node` now.
    pub fn mark_fault(&self, at_us: u64, node: &str) {
        let all = self.lock();
        let running = all.values().filter(|workload| workload.running.is_some());
        for workload in running {
            // A journal that is full is told by the client that meets it next.
            let _ = workload.shared.record.mark_fault(at_us, node);
        }
    }

    /// The counts so far, as expressions read them: by workload and way.
    pub fn counts(&self) -> Value {
        let all = self.lock();
        let counts: Map<String, Value> =
            all.iter().map(|(name, workload)| (name.clone(), workload.shared.record.counts())).collect();
        Value::Object(counts)
    }

    fn former(&self) -> MutexGuard<'_, Vec<Judged>> {
        self.former.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Workload>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn every(start: &WorkloadStart) -> Duration {
    start.every.map_or(EVERY, |span| span.0)
}

fn give_up(start: &WorkloadStart) -> Duration {
    start.give_up.map_or(GIVE_UP, |span| span.0)
}
