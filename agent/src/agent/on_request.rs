//! What people ask for by REST, by signals, and by changing the configuration.

use super::Event;
use super::state::Agent;
use crate::api::Request;
use crate::cluster::{Cluster, json};
use crate::config::{self, Config, Settings};
use crate::decide::{self, Write};
use crate::postgres::{self, conf};

impl Agent {
    pub(super) fn request(&mut self, request: Request) {
        match request {
            Request::Look => self.need.observation = self.is_up(),
            Request::Reload => self.reload(),
            Request::PatchConfig(patch, answer) => {
                let config = self.view.dcs.cluster.as_ref().and_then(|cluster| cluster.config.clone());
                let (Some(mut config), Some(store)) = (config, self.store.clone()) else { return };
                config.value.patch(&patch);
                let write = Write::Config { json: config.value.to_json(), version: Some(config.version) };
                tokio::spawn(async move {
                    let written = store.write(&write).await.is_ok();
                    let _ = answer.send(written.then(|| json::spaced(&config.value.0)));
                });
            }
            Request::Failover(failover, answer) => {
                let version = self.view.dcs.cluster.as_ref().and_then(|c| c.failover.as_ref()).map(|f| f.version);
                let Some(store) = self.store.clone() else { return };
                tokio::spawn(async move {
                    let _ = answer.send(store.write(&Write::Failover { failover, version }).await.is_ok());
                });
            }
        }
    }

    /// Reads the node's file again.
    pub(super) fn reload(&mut self) {
        match config::load(&self.config_path, std::env::vars()) {
            Ok((config, warnings)) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                self.config = std::sync::Arc::new(config);
                self.watchdog.configure(&self.config.watchdog);
                self.applied.clear();
                let cluster = self.view.dcs.cluster.clone().unwrap_or_default();
                self.take_up_settings(&cluster);
                self.view.me = super::startup::me(&self.config);
                tracing::info!("the configuration was read again");
            }
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
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

    fn apply_settings(&self, json: String, postgres_changed: bool) {
        let pid = self.pid.filter(|_| postgres_changed);
        let (config, settings, events) = (self.config.clone(), self.view.settings.clone(), self.events.clone());
        tokio::spawn(async move {
            match apply(&config, &settings, json, pid).await {
                Ok(true) => drop(events.send(Event::Reloaded).await),
                Ok(false) => {}
                Err(error) => tracing::error!("{error}"),
            }
        });
    }
}

/// Brings PostgreSQL's files in line with new settings and lets it read them. True if there was something to read.
async fn apply(config: &Config, settings: &Settings, json: String, pid: Option<i32>) -> Result<bool, postgres::Error> {
    conf::cache_dynamic(&config.data_dir, json).await?;
    if let Some(pid) = pid
        && postgres::chores::rewrite(config, settings).await?
    {
        postgres::postmaster::signal(pid, nix::sys::signal::Signal::SIGHUP);
        return Ok(true);
    }
    Ok(false)
}
