//! Failsafe mode: asking the members, and answering a leader that asks.

use std::path::PathBuf;

use indexmap::IndexMap;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::state::Agent;
use super::{Event, word};
use crate::api::peers::{self, Access};
use crate::clock::Moment;
use crate::cluster::Lsn;
use crate::decide::failsafe::{self, Agreed, Answers, Call};

impl Agent {
    /// Asks all members; each must agree.
    pub(super) fn ask_failsafe(&mut self, members: Vec<(String, String)>, call: Call) {
        let asked = Moment::now();
        self.view.facts.failsafe_asked = Some(asked);
        let (events, access) = (self.events.clone(), self.peers.borrow().clone());
        let body = call.to_json();
        tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            for (name, url) in members {
                tasks.spawn(ask_one(access.clone(), name, url, body.clone()));
            }
            let mut said = Ok(IndexMap::new());
            while let Some(joined) = tasks.join_next().await {
                match joined.unwrap_or_else(|error| Err(error.to_string())) {
                    Ok((name, Some(position))) => drop(said.as_mut().map(|said| said.insert(name, position))),
                    Ok(_) => {}
                    Err(reason) => said = said.and(Err(reason)),
                }
            }
            let _ = events.send(Event::Failsafe(Answers { asked, said })).await;
        });
    }

    /// All must have agreed; then nobody takes the lease before the agreement of the first is over.
    pub(super) fn failsafe_answered(&mut self, answers: Answers) {
        if let Err(reason) = &answers.said {
            tracing::warn!("not all members agree that this node goes on as the leader: {reason}");
        }
        if self.view.learn_failsafe(answers, Moment::now()) {
            self.watchdog.keepalive(self.times());
        }
    }

    /// A leader asks whether we follow it: our WAL position if we do.
    pub(super) fn failsafe_asked(&mut self, leader: Call, answer: oneshot::Sender<Result<Option<Lsn>, &'static str>>) {
        // The lease may be ours already, without our knowing.
        let said = if self.busy.acquiring { Err("Running as a leader") } else { failsafe::answer(&self.view) };
        if said.is_ok() {
            tracing::info!("following {} in failsafe mode", leader.name);
            let agreed = Agreed { at: Moment::now(), leader };
            self.view.facts.failsafe = Some(agreed.clone());
            tokio::spawn(answer_when_kept(self.config.data_dir.clone(), agreed, said, answer));
            return;
        }
        let _ = answer.send(said);
    }
}

/// Only a word that outlives this agent is given.
async fn answer_when_kept(
    data_dir: PathBuf,
    agreed: Agreed,
    said: Result<Option<Lsn>, &'static str>,
    answer: oneshot::Sender<Result<Option<Lsn>, &'static str>>,
) {
    let kept = tokio::task::spawn_blocking(move || word::keep(&data_dir, &agreed)).await;
    let failed = kept.map_or_else(|error| Some(error.to_string()), |kept| kept.err().map(|error| error.to_string()));
    if let Some(error) = &failed {
        tracing::warn!("cannot put down what was agreed to in failsafe mode, so it is not agreed to: {error}");
    }
    let _ = answer.send(if failed.is_some() { Err("cannot put down what it agrees to") } else { said });
}

/// How far this member is, if it agrees and tells; else why it does not. Tried twice, as Patroni does.
async fn ask_one(access: Access, name: String, url: String, body: String) -> Result<(String, Option<Lsn>), String> {
    let endpoint = url.rsplit_once('/').map_or(url.as_str(), |(base, _)| base).to_owned() + "/failsafe";
    let mut reply = peers::call(&access, "POST", &endpoint, Some(body.clone())).await;
    if reply.is_none() {
        reply = peers::call(&access, "POST", &endpoint, Some(body)).await;
    }
    let reply = reply.ok_or_else(|| format!("{name} does not answer on {endpoint}"))?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    tracing::info!("Got response from {name} {endpoint}: {text}");
    if reply.code != 200 || text != "Accepted" {
        return Err(format!("{name} answers {} {text}", reply.code));
    }
    let position = reply.headers.get("lsn").and_then(|lsn| lsn.to_str().ok()?.parse().ok());
    Ok((name, position.map(Lsn)))
}
