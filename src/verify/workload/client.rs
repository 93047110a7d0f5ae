//! One client: it writes or reads by one way, all the while, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::record::Record;
use super::statement::{self, Addresses};
use crate::observe::SqlError;
use crate::verify::Cancel;
use crate::verify::history::{Action, Op, Outcome};
use crate::verify::world::{Dial, Session};

/// How long opening a session may take: a way that hangs must not hide that another one works.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// What a client works with.
pub(super) struct Client {
    /// Its number among the clients of its workload, from 1.
    pub number: u32,
    /// The name of its way.
    pub path: String,
    /// The nodes that it may go to, in the order in which it tries them.
    pub nodes: Vec<String>,
    /// Whether it writes or reads.
    pub action: Action,
    /// What all clients of the workload share.
    pub shared: Arc<Shared>,
}

/// What all clients of a workload share.
pub(super) struct Shared {
    /// The table.
    pub table: String,
    /// How many registers there are.
    pub registers: u32,
    /// The pause between the beginnings of two operations.
    pub every: Duration,
    /// How long one operation may take.
    pub give_up: Duration,
    /// How many clients there are; they begin one after another within one pause.
    pub clients: u32,
    /// Opens sessions.
    pub dial: Arc<dyn Dial>,
    /// Who listens where.
    pub addresses: Addresses,
    /// Where everything is recorded.
    pub record: Record,
}

impl Client {
    /// Go on until told to stop. An operation that is on its way is seen through. The error is the journal's.
    pub async fn run(self, stop: Cancel) -> Result<(), String> {
        let mut sessions: Vec<Option<Box<dyn Session>>> = self.nodes.iter().map(|_| None).collect();
        let mut current = 0;
        let mut count = u64::from(self.number);
        self.rest(Instant::now() + self.shared.every * (self.number - 1) / self.shared.clients.max(1), &stop).await;
        while !stop.is_cancelled() {
            let next = Instant::now() + self.shared.every;
            let tried = self.once(&self.nodes[current], &mut sessions[current], count).await?;
            count += 1;
            if let Tried::ElsewhereNext = tried {
                current = (current + 1) % self.nodes.len();
            }
            self.rest(next, &stop).await;
        }
        Ok(())
    }

    /// Sleep, and note by how much the sleep was too long: that much labrun itself blurs what it measures.
    async fn rest(&self, until: Instant, stop: &Cancel) {
        if until <= Instant::now() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(until) => self.shared.record.stalled(until.elapsed()),
            () = stop.cancelled() => {}
        }
    }

    /// One operation at `node`, on the session that is there or on a new one.
    async fn once(&self, node: &str, session: &mut Option<Box<dyn Session>>, count: u64) -> Result<Tried, String> {
        if session.is_none() {
            match self.open(node).await {
                Ok(opened) => *session = Some(opened),
                Err(error) => {
                    let op = self.invoke(count)?;
                    self.end(op, statement::never_sent(&error))?;
                    return Ok(Tried::ElsewhereNext);
                }
            }
        }
        let Some(open) = session.as_ref() else { return Ok(Tried::ElsewhereNext) };
        let op = self.invoke(count)?;
        let answer = open.run(&self.statement(&op)).await;
        let keeps = keeps_session(&answer.as_ref().map(|_| ()));
        let outcome = statement::outcome(answer, &self.shared.addresses);
        let tried = next(&outcome);
        self.end(op, outcome)?;
        if !keeps {
            *session = None;
        }
        Ok(tried)
    }

    async fn open(&self, node: &str) -> Result<Box<dyn Session>, SqlError> {
        let limit = CONNECT_LIMIT.min(self.shared.give_up);
        let opened = tokio::time::timeout(limit, self.shared.dial.open(node, self.shared.give_up)).await;
        opened.unwrap_or_else(|_| Err(SqlError::TimedOut { address: ([0, 0, 0, 0], 0).into(), ms: limit.as_millis() }))
    }

    fn statement(&self, op: &Op) -> String {
        match (self.action, op.key) {
            (Action::Read, Some(key)) => statement::read(&self.shared.table, key),
            (_, key) => statement::write(&self.shared.table, op.id, &self.path, key),
        }
    }

    /// Journal that an operation is about to be sent; its outcome is not known yet.
    fn invoke(&self, count: u64) -> Result<Op, String> {
        let registers = u64::from(self.shared.registers);
        let key = (registers > 0).then(|| u32::try_from(count % registers).unwrap_or(0) + 1);
        self.shared.record.invoke(&self.path, self.number, self.action, key)
    }

    fn end(&self, op: Op, outcome: Outcome) -> Result<(), String> {
        self.shared.record.end(Op { done_us: self.shared.record.now_us(), outcome, ..op })
    }
}

/// Where the next operation goes.
enum Tried {
    HereAgain,
    ElsewhereNext,
}

/// A client that may go elsewhere stays where a primary answers.
fn next(outcome: &Outcome) -> Tried {
    match outcome {
        Outcome::Acked { by, .. } if !by.standby => Tried::HereAgain,
        _ => Tried::ElsewhereNext,
    }
}

/// Whether the session can be used for another operation. A read-only server stays one only until it is promoted, so
/// that its session is kept; after anything else a new one tells more than an old one.
fn keeps_session(answer: &Result<(), &SqlError>) -> bool {
    match answer {
        Ok(()) => true,
        Err(SqlError::Refused { sqlstate, .. }) => sqlstate == "25006",
        Err(_) => false,
    }
}
