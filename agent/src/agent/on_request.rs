//! What people ask for by REST, by signals, and by changing the configuration.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::Event;
use super::state::Agent;
use crate::api::{Request, Rest, peers};
use crate::clock::Moment;
use crate::cluster::{Cluster, DynamicConfig, Failover, json};
use crate::config::{self, Config, Settings};
use crate::decide::asked::{Filter, Reinitialize, Restart};
use crate::decide::{self, ParameterChange, Write};
use crate::postgres::{self, conf, pending};

/// Any version: whatever the key holds is replaced, as Patroni does with what people ask for.
const ANY: i32 = -1;

impl Agent {
    pub(super) fn request(&mut self, request: Request) {
        match request {
            Request::Look => self.need.observation = self.is_up(),
            Request::Reload => self.reload(),
            Request::Failsafe(leader, answer) => self.failsafe_asked(leader, answer),
            Request::PatchConfig(patch, answer) => self.patch_config(&patch, answer),
            Request::ReplaceConfig(config, answer) => self.replace_config(config, answer),
            Request::Failover(failover, answer) => {
                let version = self.cluster().and_then(|cluster| cluster.failover.as_ref()).map(|_| ANY);
                self.write_for(Write::Failover { failover, version }, answer, |done| done);
            }
            Request::CancelSwitchover(answer) => {
                let scheduled = self.cluster().and_then(|cluster| cluster.failover.as_ref());
                match scheduled.filter(|failover| failover.value.scheduled_at.is_some()).map(|f| f.version) {
                    Some(version) => {
                        let write = Write::Failover { failover: Failover::default(), version: Some(version) };
                        self.write_for(write, answer, Some);
                    }
                    None => drop(answer.send(None)),
                }
            }
            Request::Restart(filter, answer) => self.restart(&filter, answer),
            Request::ScheduleRestart(plan, answer) => {
                let free = self.view.asked.scheduled_restart.is_none();
                if free {
                    tracing::info!("a restart is scheduled at {}", plan.published["schedule"]);
                    self.view.asked.scheduled_restart = Some(plan);
                }
                let _ = answer.send(free);
            }
            Request::CancelRestart(answer) => {
                let _ = answer.send(self.view.asked.scheduled_restart.take().is_some());
            }
            Request::Reinitialize { force, from_leader, answer } => {
                let _ = answer.send(self.reinitialize(force, from_leader));
            }
        }
    }

    fn cluster(&self) -> Option<&Cluster> {
        self.view.dcs.cluster.as_ref()
    }

    fn patch_config(&mut self, patch: &Map<String, Value>, answer: oneshot::Sender<Option<String>>) {
        let Some(mut config) = self.cluster().and_then(|cluster| cluster.config.clone()) else { return };
        let before = config.value.clone();
        config.value.patch(patch);
        let text = json::spaced(&config.value.0);
        if config.value == before {
            let _ = answer.send(Some(text));
            return;
        }
        let write = Write::Config { json: config.value.to_json(), version: Some(config.version) };
        self.write_for(write, answer, |done| done.then_some(text));
    }

    fn replace_config(&mut self, config: Map<String, Value>, answer: oneshot::Sender<Option<String>>) {
        let text = json::spaced(&config);
        let version = self.cluster().and_then(|cluster| cluster.config.as_ref()).map(|_| ANY);
        let write = Write::Config { json: DynamicConfig(config).to_json(), version };
        self.write_for(write, answer, |done| done.then_some(text));
    }

    /// Writes for somebody who waits for the outcome; without a session there is none.
    fn write_for<T: Send + 'static>(
        &self,
        write: Write,
        answer: oneshot::Sender<T>,
        say: impl FnOnce(bool) -> T + Send + 'static,
    ) {
        let Some(store) = self.store.clone() else { return };
        tokio::spawn(async move {
            let _ = answer.send(say(store.write(&write).await.is_ok()));
        });
    }

    /// What is already being done, in Patroni's words.
    fn under_way(&self) -> Option<String> {
        let asked = &self.view.asked;
        let job = self.view.job.as_ref().map(|job| decide::describe(job.kind));
        let busy = match () {
            () if asked.restart.is_some() => Some("restart"),
            () if asked.reinitialize.is_some() => Some("reinitialize"),
            () => job,
        };
        busy.map(|action| format!("{action} already in progress"))
    }

    fn restart(&mut self, filter: &Filter, answer: oneshot::Sender<Result<(), String>>) {
        let refusal = match filter.excludes(&self.view) {
            Some(why) => {
                tracing::info!("not proceeding with the restart: {why}");
                Some("restart conditions are not satisfied".to_owned())
            }
            None if self.view.pg.data.system_identifier().is_none() => Some("restart failed".to_owned()),
            None => self.under_way(),
        };
        if let Some(why) = refusal {
            let _ = answer.send(Err(why));
            return;
        }
        self.restart_answer = Some(answer);
        self.view.asked.restart = Some(Restart { timeout: filter.timeout });
        // A synchronous standby leaves first: commits would wait for it.
        self.view.facts.leaving_since.get_or_insert(Moment::now());
        self.recheck = Moment::now();
    }

    /// The restart that was asked for has come to its end.
    pub(super) fn restarted(&mut self, result: Result<(), String>) {
        self.view.asked.restart = None;
        if !self.view.stopping {
            self.view.facts.leaving_since = None;
        }
        if let Some(answer) = self.restart_answer.take() {
            let _ = answer.send(result);
        }
    }

    /// The reason why not.
    fn reinitialize(&mut self, force: bool, from_leader: bool) -> Option<String> {
        let leader = self.cluster().filter(|_| self.view.dcs.reachable).and_then(|cluster| cluster.leader.as_ref());
        let Some(leader) = leader else { return Some("Cluster has no leader, can not reinitialize".into()) };
        if self.view.is_mine(leader) || leader.name == self.view.me.name {
            return Some("I am the leader, can not reinitialize".into());
        }
        if let Some(busy) = self.under_way().filter(|_| !force) {
            return Some(busy);
        }
        if let Some(running) = self.job.take() {
            tracing::info!("cancelling: {:?}", running.kind);
            running.handle.abort();
            self.view.job = None;
            self.restarted(Err("restart failed".into()));
        }
        self.view.asked.reinitialize = Some(Reinitialize { from_leader, discarded: false });
        self.recheck = Moment::now();
        None
    }

    /// Reads the node's file again.
    pub(super) fn reload(&mut self) {
        match config::load(&self.config_path, std::env::vars()) {
            Ok((config, warnings)) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                self.config = Arc::new(config);
                self.watchdog.configure(&self.config.watchdog);
                crate::logging::configure(&self.config.log);
                self.take_up_rest();
                self.applied.clear();
                self.need.reload = true;
                let cluster = self.view.dcs.cluster.clone().unwrap_or_default();
                self.take_up_settings(&cluster);
                self.view.me = super::startup::me(&self.config);
                tracing::info!("the configuration was read again");
            }
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
    }

    /// Certificates are read again, too; what cannot be used leaves things as they are.
    fn take_up_rest(&self) {
        match peers::Access::new(&self.config.peers) {
            Ok(access) => drop(self.peers.send_replace(access)),
            Err(error) => tracing::error!("ctl: {error}"),
        }
        let (config, rest) = (self.config.clone(), self.rest.clone());
        tokio::spawn(async move {
            match Rest::new(&config.restapi).await {
                Ok(new) => drop(rest.send_replace(Arc::new(new))),
                Err(error) => tracing::error!("restapi: {error}"),
            }
        });
    }

    /// Applies the dynamic configuration when it has changed.
    pub(super) fn take_up_settings(&mut self, cluster: &Cluster) {
        let Some(dynamic) = cluster.config.as_ref().map(|config| &config.value) else { return };
        let text = dynamic.to_json();
        if text == self.applied {
            return;
        }
        let mut settings = Settings::new(&self.config, &dynamic.0);
        settings.enforce_feedback = decide::needs_feedback(&self.view.me, &settings, cluster);
        let postgres_changed = settings.enforce_feedback != self.view.settings.enforce_feedback
            || settings.recovery != self.view.settings.recovery
            || settings.standby_cluster != self.view.settings.standby_cluster
            || settings.parameters != self.view.settings.parameters
            || settings.pg_hba != self.view.settings.pg_hba
            || settings.pg_ident != self.view.settings.pg_ident;
        let first = self.applied.is_empty();
        self.applied = text;
        self.ttl.send_replace(settings.ttl);
        self.view.settings = settings;
        if self.view.pg.data.system_identifier().is_some() {
            self.apply_settings(json::spaced(&dynamic.0), postgres_changed || first);
        }
    }

    /// hot_standby_feedback follows from who replicates from whom, too.
    pub(super) fn take_up_topology(&mut self, cluster: &Cluster) {
        let needed = decide::needs_feedback(&self.view.me, &self.view.settings, cluster);
        let known = cluster.config.as_ref().filter(|_| needed != self.view.settings.enforce_feedback);
        let Some(dynamic) = known.map(|config| &config.value) else { return };
        self.view.settings.enforce_feedback = needed;
        if self.view.pg.data.system_identifier().is_some() {
            self.apply_settings(json::spaced(&dynamic.0), true);
        }
    }

    fn apply_settings(&mut self, json: String, postgres_changed: bool) {
        let force = std::mem::take(&mut self.need.reload);
        let pid = self.pid.filter(|_| postgres_changed || force);
        let (config, settings, events) = (self.config.clone(), self.view.settings.clone(), self.events.clone());
        tokio::spawn(async move {
            match apply(&config, &settings, json, pid, force).await {
                Ok(true) => drop(events.send(Event::Reloaded).await),
                Ok(false) => {}
                Err(error) => tracing::error!("{error}"),
            }
            if pid.is_some() {
                let _ = events.send(Event::Pending(pending::look(&config, &settings).await)).await;
            }
        });
    }

    /// Sees which parameters wait for a restart.
    pub(super) fn look_for_pending(&self) {
        let (config, settings, events) = (self.config.clone(), self.view.settings.clone(), self.events.clone());
        tokio::spawn(async move {
            let _ = events.send(Event::Pending(pending::look(&config, &settings).await)).await;
        });
    }

    pub(super) fn pending(&mut self, found: Result<IndexMap<String, ParameterChange>, postgres::Error>) {
        match found {
            Ok(found) => {
                let old = &self.view.pg.pending_restart;
                for (name, change) in found.iter().filter(|(name, change)| old.get(*name) != Some(change)) {
                    let (from, to) = (&change.old_value, &change.new_value);
                    tracing::info!("Changed {name} from '{from}' to '{to}' (restart might be required)");
                }
                self.view.pg.pending_restart = found;
            }
            Err(error) => tracing::debug!("parameters that wait for a restart: {error}"),
        }
    }
}

/// Brings PostgreSQL's files in line with new settings and lets it read them. True if there was something to read.
async fn apply(
    config: &Config,
    settings: &Settings,
    json: String,
    pid: Option<i32>,
    force: bool,
) -> Result<bool, postgres::Error> {
    conf::cache_dynamic(&config.data_dir, json).await?;
    if let Some(pid) = pid
        && (postgres::chores::rewrite(config, settings).await? || force)
    {
        postgres::chores::reload(config, settings, pid).await;
        return Ok(true);
    }
    Ok(false)
}
