//! One writer: a client that writes by one way, all the while, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::insert::{self, Addresses};
use super::record::Record;
use crate::observe::SqlError;
use crate::verify::Cancel;
use crate::verify::history::{Op, Outcome};
use crate::verify::world::{Dial, Session};

/// How long opening a session may take: a way that hangs must not hide that another one works.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// What a writer works with.
pub(super) struct Writer {
    /// The name of its way: `proxy` or `direct`.
    pub path: String,
    /// The nodes that it may write to, in the order in which it tries them.
    pub nodes: Vec<String>,
    /// The table.
    pub table: String,
    /// The pause between the beginnings of two writes.
    pub every: Duration,
    /// How long one write may take.
    pub give_up: Duration,
    /// Opens sessions.
    pub dial: Arc<dyn Dial>,
    /// Who listens where.
    pub addresses: Arc<Addresses>,
    /// Where everything is recorded.
    pub record: Arc<Record>,
}

impl Writer {
    /// Write until told to stop. A write that is on its way is seen through. The error is the journal's.
    pub async fn run(self, stop: Cancel) -> Result<(), String> {
        let mut sessions: Vec<Option<Box<dyn Session>>> = self.nodes.iter().map(|_| None).collect();
        let mut current = 0;
        while !stop.is_cancelled() {
            let next = Instant::now() + self.every;
            let tried = self.write(&self.nodes[current], &mut sessions[current]).await?;
            if let Tried::ElsewhereNext = tried {
                current = (current + 1) % self.nodes.len();
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// One write to `node`, on the session that is there or on a new one.
    async fn write(&self, node: &str, session: &mut Option<Box<dyn Session>>) -> Result<Tried, String> {
        if session.is_none() {
            match self.open(node).await {
                Ok(opened) => *session = Some(opened),
                Err(error) => {
                    let sent_us = self.record.now_us();
                    let id = self.record.invoke(&self.path, sent_us)?;
                    self.end(id, sent_us, insert::never_sent(&error))?;
                    return Ok(Tried::ElsewhereNext);
                }
            }
        }
        let Some(open) = session.as_ref() else { return Ok(Tried::ElsewhereNext) };
        let sent_us = self.record.now_us();
        let id = self.record.invoke(&self.path, sent_us)?;
        let answer = open.run(&insert::statement(&self.table, id, &self.path)).await;
        let keeps = keeps_session(&answer.as_ref().map(|_| ()));
        let outcome = insert::outcome(answer, &self.addresses);
        let tried = if matches!(outcome, Outcome::Acked { .. }) { Tried::HereAgain } else { Tried::ElsewhereNext };
        self.end(id, sent_us, outcome)?;
        if !keeps {
            *session = None;
        }
        Ok(tried)
    }

    async fn open(&self, node: &str) -> Result<Box<dyn Session>, SqlError> {
        let limit = CONNECT_LIMIT.min(self.give_up);
        let opened = tokio::time::timeout(limit, self.dial.open(node, self.give_up)).await;
        opened.unwrap_or_else(|_| Err(SqlError::TimedOut { address: ([0, 0, 0, 0], 0).into(), ms: limit.as_millis() }))
    }

    fn end(&self, id: u64, sent_us: u64, outcome: Outcome) -> Result<(), String> {
        let done_us = self.record.now_us();
        self.record.end(Op { id, path: self.path.clone(), sent_us, done_us, outcome })
    }
}

/// Where the next write goes.
enum Tried {
    HereAgain,
    ElsewhereNext,
}

/// Whether the session can be used for another write. A read-only server stays one only until it is promoted, so that
/// its session is kept; after anything else a new one tells more than an old one.
fn keeps_session(answer: &Result<(), &SqlError>) -> bool {
    match answer {
        Ok(()) => true,
        Err(SqlError::Refused { sqlstate, .. }) => sqlstate == "25006",
        Err(_) => false,
    }
}
