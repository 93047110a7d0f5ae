//! `labrun deploy`.

use std::net::{IpAddr, Ipv4Addr};

use tokio::signal::unix::{SignalKind, signal};

use super::progress::Shown;
use super::{CliError, Globals, exit, output};
use crate::deploy::{self, BackendKind, Deployed, DeployedNode, Deployment, Options, Request};
use crate::lab;
use crate::topology::Service;

/// The lab that is meant where none is named.
pub const USUAL_LAB: &str = "builtin:ha-postgres";

/// Bring a lab up.
#[derive(Debug, Clone, clap::Args)]
// `run` has these options too; two groups must not share a name.
#[group(id = "deploy")]
pub struct Args {
    /// A lab file, a folder with a lab.yaml, or the name of a lab that comes with labrun.
    #[arg(default_value = USUAL_LAB, hide_default_value = true)]
    pub lab: String,
    /// Where nodes run: as processes of this machine, or in containers of the engine that DOCKER_HOST names.
    #[arg(long, value_name = "BACKEND", default_value = "local")]
    pub backend: BackendKind,
    /// Add N to every published port.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port_offset: u16,
    /// Publish no port on 127.0.0.1.
    #[arg(long)]
    pub no_publish: bool,
    /// The address of the engine's machine on which ports are published. Whoever reaches it reaches the lab's servers, and
    /// the lab's passwords are no secret. An engine on another machine needs it: 0.0.0.0, or one of its addresses
    /// [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_publish")]
    pub publish_on: Option<IpAddr>,
    /// The user that nodes run as when root deploys [default: postgres, else nobody]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Take down what did not become ready, instead of leaving it for a look.
    #[arg(long)]
    pub clean_on_failure: bool,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let Deployed { deployment, already, lock: _held } = self.deploy(globals, "labrun deploy").await?;
        if globals.json {
            output::json(&summary(&deployment, already))?;
            return Ok(exit::OK);
        }
        if already {
            output::line(&format!("{} is deployed already: nothing to do", deployment.name))?;
        }
        output::print(&what_now(&deployment, globals))?;
        Ok(exit::OK)
    }

    /// Load the lab and deploy it.
    pub async fn deploy(&self, globals: &Globals, command: &str) -> Result<Deployed, CliError> {
        let loaded = lab::load(&self.lab)?;
        output::warnings(&loaded);
        let options = Options {
            port_offset: self.port_offset,
            publish: !self.no_publish,
            user: self.user.clone(),
            publish_on: self.publish_on,
            backend: self.backend,
        };
        let request = Request {
            loaded: &loaded,
            output: &globals.output,
            name: globals.name.as_deref(),
            options,
            clean_on_failure: self.clean_on_failure,
            command,
        };
        let progress = Shown::new(globals);
        let deployed = deploy::deploy(request, &progress, interrupted()).await;
        progress.finish();
        if let (Err(_), false) = (&deployed, globals.json) {
            tell_what_is_left(globals, &loaded.lab.file.name);
        }
        Ok(deployed?)
    }
}

/// Ends with the first SIGINT or SIGTERM.
pub async fn interrupted() {
    // Where signals cannot be listened for, their usual action ends labrun, which is as good.
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// A failed deployment stays up for a look; say so where there is one.
fn tell_what_is_left(globals: &Globals, lab: &str) {
    let name = globals.name.as_deref().unwrap_or(lab);
    let dir = deploy::state::dir_of(&globals.output, name);
    if let Ok(Some(left)) = dir.and_then(|dir| deploy::state::read(&dir))
        && left.phase == deploy::Phase::Failed
    {
        let option = globals.name_option(name);
        output::tell!("Its nodes are left for a look: labrun status{option}, labrun logs NODE{option}");
        output::tell!("Remove them: labrun destroy{option}");
    }
}

/// What a program may want to know.
fn summary(deployment: &Deployment, already: bool) -> serde_json::Value {
    serde_json::json!({
        "deployment": deployment.name,
        "dir": deployment.dir,
        "phase": deployment.phase,
        "already": already,
        "ready_after_ms": deployment.ready_after_ms,
        "dsn": dsn(deployment),
        "statistics": statistics(deployment),
        "nodes": deployment.nodes,
    })
}

/// What one can do with the deployment.
fn what_now(deployment: &Deployment, globals: &Globals) -> String {
    let option = globals.name_option(&deployment.name);
    let took = deployment.ready_after_ms.map(|ms| format!(" after {}.{} s", ms / 1000, ms % 1000 / 100));
    let mut lines = vec![format!("{} is ready{}", deployment.name, took.unwrap_or_default())];
    let mut tell = |what: &str, how: String| lines.push(format!("  {what:<12} {how}"));
    if let Some(dsn) = dsn(deployment) {
        tell("write to it", dsn);
    }
    if let Some(url) = statistics(deployment) {
        tell("statistics", url);
    }
    for node in deployment.postgres_nodes() {
        tell(&node.name, address(node));
    }
    if deployment.postgres_nodes().next().is_some() {
        tell("SQL", format!("labrun sql{option} \"select pg_is_in_recovery()\""));
    }
    tell("who is who", format!("labrun status{option}"));
    tell("check it", format!("labrun verify{option}"));
    tell("remove it", format!("labrun destroy{option}"));
    lines.join("\n") + "\n"
}

/// How a client reaches the entry point: the proxy, or the first postgres node where there is none.
pub fn dsn(deployment: &Deployment) -> Option<String> {
    let node = deployment.proxy().or_else(|| deployment.postgres_nodes().next())?;
    let credentials = deployment.credentials();
    let (user, password) = (&credentials.superuser, &credentials.superuser_password);
    Some(format!("postgresql://{user}:{password}@{}/postgres", address(node)))
}

fn statistics(deployment: &Deployment) -> Option<String> {
    let proxy = deployment.proxy()?;
    let Service::Haproxy { stats_port, .. } = proxy.service else { return None };
    Some(format!(
        "http://{}/",
        published(proxy, stats_port).map_or_else(|| proxy.side.map(|side| side.to_string()), Some)?
    ))
}

/// Where the node's SQL port is reached: published, or at its own address.
fn address(node: &DeployedNode) -> String {
    published(node, node.main.port()).unwrap_or_else(|| node.main.to_string())
}

fn published(node: &DeployedNode, port: u16) -> Option<String> {
    let (host_port, _) = node.published.iter().find(|(_, node_port)| *node_port == port)?;
    Some(format!("{}:{host_port}", Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use super::*;
    use crate::deploy::testing::deployment;

    fn globals(output: &str) -> Globals {
        Cli::try_parse_from(["labrun", "status", "--output", output]).unwrap().globals
    }

    #[test]
    fn after_a_deployment_one_is_told_what_to_do_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let text = what_now(&deployment(), &globals(dir.path().to_str().unwrap()));
        insta::assert_snapshot!(text.replace(dir.path().to_str().unwrap(), "DIR"));
    }

    #[test]
    fn commands_that_are_shown_mean_this_deployment() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ha-postgres", "other"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join(deploy::state::STATE_FILE), "{}").unwrap();
        }
        let text = what_now(&deployment(), &globals(dir.path().to_str().unwrap()));
        let option = format!("labrun destroy --output {} --name ha-postgres", dir.path().display());
        assert!(text.contains(&option), "{text}");
    }

    #[test]
    fn without_published_ports_nodes_are_reached_at_their_own_addresses() {
        let mut deployment = deployment();
        deployment.nodes.iter_mut().for_each(|node| node.published.clear());
        assert_eq!(dsn(&deployment).unwrap(), "postgresql://postgres:postgres@127.64.0.13:5432/postgres");
        assert_eq!(statistics(&deployment).unwrap(), "http://127.64.0.13:7000/");
    }
}
