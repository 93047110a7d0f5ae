//! The command line and environment of a node's service.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use labrun_agent::supervise::network::Network;
use labrun_agent::supervise::{Publish, Restart, Spec};

use super::addresses::endpoints;
use super::network;
use crate::deploy::deployment::LOG_FILE;
use crate::deploy::{DeployError, LocalPlace, Programs};
use crate::lab::model::AgentKind;
use crate::topology::{NodePlan, Service};

/// ZooKeeper needs little for a few keys: a small heap, the collector and compiler that start fastest, no file in /tmp.
const JAVA: [&str; 7] = [
    "-Xms16m",
    "-Xmx96m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
];
/// No web server inside ZooKeeper; the four-letter words that people and labrun ask; a log with times, on stderr. Its
/// transactions survive every death of a process without being forced to the disk, which all nodes of a lab share.
const ZOOKEEPER: [&str; 8] = [
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.admin.enableServer=false",
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Dzookeeper.4lw.commands.whitelist=srvr,ruok,stat,mntr,conf,cons,wchs",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
];
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A clean shutdown of PostgreSQL takes a checkpoint; the others have nothing to save.
const POSTGRES_STOP_S: u64 = 30;
const OTHER_STOP_S: u64 = 10;

/// What the supervisor of the node in `dir` is to keep running.
pub fn spec(node: &NodePlan, dir: &Path, place: &LocalPlace) -> Result<Spec, DeployError> {
    let (program, args) = command(node, dir, &place.programs)?;
    let published = node.publish.iter().map(|port| Publish {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port.host_port)),
        to: SocketAddr::from((node.address, port.node_port)),
    });
    let (main, side) = endpoints(node, place.block);
    let console = [Some(main), side].into_iter().flatten().filter(|_| place.own_network);
    let console = console.map(|listen| Publish { listen, to: SocketAddr::from((node.address, listen.port())) });
    let network = place
        .own_network
        .then(|| Network { switch: network::switch_dir(dir.parent().unwrap_or(dir)), address: node.address });
    Ok(Spec {
        node: node.name.clone(),
        program,
        args,
        env: environment(dir, &place.programs),
        cwd: dir.to_owned(),
        log: LOG_FILE.into(),
        log_limit: 16 << 20,
        user: place.user.clone(),
        network,
        restart: Restart::Always,
        publish: published.chain(console).collect(),
        // HAProxy ends at once on SIGTERM; on SIGUSR1 it would wait for its sessions.
        stop_signal: "TERM".to_owned(),
        stop_timeout_s: stop_timeout_s(&node.service),
    })
}

/// All that a node's processes find in their environment. Nothing of the caller's: `PG*` and `PATRONI_*` change what
/// PostgreSQL and Patroni do.
pub fn environment(dir: &Path, programs: &Programs) -> IndexMap<String, String> {
    let bin = programs.postgres_bin.as_ref().map(|bin| format!("{}:", bin.display())).unwrap_or_default();
    let mut env = IndexMap::from([
        ("PATH".to_owned(), format!("{bin}{SYSTEM_PATH}")),
        ("HOME".to_owned(), dir.display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    for kept in ["TZ", "RUST_LOG"] {
        if let Ok(value) = std::env::var(kept) {
            env.insert(kept.to_owned(), value);
        }
    }
    env
}

/// How long the service may take to stop before it is killed, in seconds.
pub fn stop_timeout_s(service: &Service) -> u64 {
    if matches!(service, Service::Postgres { .. }) { POSTGRES_STOP_S } else { OTHER_STOP_S }
}

fn command(node: &NodePlan, dir: &Path, programs: &Programs) -> Result<(PathBuf, Vec<String>), DeployError> {
    let found = |program: &Option<PathBuf>, name: &str| {
        program.clone().ok_or_else(|| DeployError::process(format!("start {}", node.name), format!("no {name}")))
    };
    match &node.service {
        Service::Zookeeper { .. } => {
            let path: Vec<_> = programs.zookeeper.iter().map(|jar| jar.display().to_string()).collect();
            let mut args: Vec<String> = JAVA.iter().chain(&ZOOKEEPER).map(|arg| (*arg).to_owned()).collect();
            args.push(format!("-Djava.io.tmpdir={}", dir.display()));
            args.extend(["-cp".to_owned(), path.join(":"), "org.apache.zookeeper.server.quorum.QuorumPeerMain".into()]);
            args.push(format!("./{}", config(node, ".cfg")?));
            Ok((found(&programs.java, "java")?, args))
        }
        Service::Postgres { agent: AgentKind::Labrun, .. } => {
            Ok((programs.agent.clone(), vec![config(node, ".yml")?.to_owned()]))
        }
        Service::Postgres { agent: AgentKind::Patroni, .. } => {
            Ok((found(&programs.patroni, "patroni")?, vec![config(node, ".yml")?.to_owned()]))
        }
        Service::Haproxy { .. } => {
            let args = ["-db", "-f", config(node, ".cfg")?].map(str::to_owned).to_vec();
            Ok((found(&programs.haproxy, "haproxy")?, args))
        }
    }
}

/// The configuration file of that ending.
fn config<'a>(node: &'a NodePlan, ending: &str) -> Result<&'a str, DeployError> {
    let file = node.files.iter().find(|file| file.path.ends_with(ending));
    let missing = || DeployError::process(format!("start {}", node.name), format!("its plan has no *{ending} file"));
    Ok(file.ok_or_else(missing)?.path.as_str())
}
