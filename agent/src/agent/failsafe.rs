//! Failsafe mode: asking the members, and answering a leader that asks.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Event;
use super::state::Agent;
use crate::api::peers::{self, Access};
use crate::clock::Moment;
use crate::cluster::Lsn;
use crate::decide::failsafe::{self, Agreed, Call};

/// What the members have answered.
pub(super) struct Answers {
    /// When the first was asked, and for how long all have then agreed.
    asked: Moment,
    lasts: Duration,
    /// Why somebody did not agree.
    refused: Option<String>,
}

impl Agent {
    /// Asks all members; each must agree.
    pub(super) fn ask_failsafe(&mut self, members: Vec<(String, String)>, call: Call) {
        let asked = Moment::now();
        self.view.facts.failsafe_asked = Some(asked);
        let (events, access) = (self.events.clone(), self.peers.borrow().clone());
        let lasts = self.view.settings.ttl;
        let body = call.to_json();
        tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            for (name, url) in members {
                tasks.spawn(ask_one(access.clone(), name, url, body.clone()));
            }
            let mut refused = None;
            while let Some(joined) = tasks.join_next().await {
                refused = refused.or(joined.unwrap_or_else(|error| Some(error.to_string())));
            }
            let _ = events.send(Event::Failsafe(Answers { asked, lasts, refused })).await;
        });
    }

    /// All must have agreed; then nobody takes the lease before the agreement of the first is over.
    pub(super) fn failsafe_answered(&mut self, answers: Answers) {
        match answers.refused {
            None => {
                self.view.dcs.failsafe_until = self.view.dcs.failsafe_until.max(answers.asked + answers.lasts);
                self.watchdog.keepalive(self.times());
            }
            Some(reason) => tracing::warn!("not all members agree that this node goes on as the leader: {reason}"),
        }
    }

    /// A leader asks whether we follow it: our WAL position if we do.
    pub(super) fn failsafe_asked(&mut self, leader: Call, answer: oneshot::Sender<Result<Option<Lsn>, &'static str>>) {
        // The lease may be ours already, without our knowing.
        let said = if self.busy.acquiring { Err("Running as a leader") } else { failsafe::answer(&self.view) };
        if said.is_ok() {
            tracing::info!("following {} in failsafe mode", leader.name);
            self.view.facts.failsafe = Some(Agreed { at: Moment::now(), leader });
        }
        let _ = answer.send(said);
    }
}

/// Why this member does not agree; tried twice, as Patroni does.
async fn ask_one(access: Access, name: String, url: String, body: String) -> Option<String> {
    let endpoint = url.rsplit_once('/').map_or(url.as_str(), |(base, _)| base).to_owned() + "/failsafe";
    let mut reply = peers::call(&access, "POST", &endpoint, Some(body.clone())).await;
    if reply.is_none() {
        reply = peers::call(&access, "POST", &endpoint, Some(body)).await;
    }
    let Some(reply) = reply else {
        return Some(format!("{name} does not answer on {endpoint}"));
    };
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    tracing::info!("Got response from {name} {endpoint}: {text}");
    (reply.code != 200 || text != "Accepted").then(|| format!("{name} answers {} {text}", reply.code))
}
