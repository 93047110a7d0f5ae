//! `labrun status`: a table like that of `patronictl list`, the nodes' processes, and the proxy's view.

use serde_json::json;

use super::table::boxed;
use super::{CliError, Globals, exit, output};
use crate::deploy::{DeployedNode, Deployment, NodeStatus, Phase};
use crate::observe::{ClusterView, Observer, ProxyView, not_ready};
use crate::topology::Service;

/// Show who is who.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        let backend = deployment.backend();
        let mut nodes = Vec::new();
        for node in &deployment.nodes {
            nodes.push(backend.status(&deployment, &node.name).await?);
        }
        let observer = Observer::new(&deployment);
        let view = observer.look().await;
        let not_yet = match deployment.postgres_nodes().next() {
            Some(_) => not_ready(&view, observer.has_proxy()).map(|found| found.why),
            // No cluster: all there is are the nodes.
            None => deployment.nodes.iter().zip(&nodes).find_map(not_running),
        };
        if globals.json {
            output::json(&as_json(&deployment, &nodes, &view, not_yet.as_deref()))?;
        } else {
            output::print(&as_text(&deployment, &nodes, &view, not_yet.as_deref()))?;
        }
        Ok(exit::OK)
    }
}

fn not_running((node, status): (&DeployedNode, &NodeStatus)) -> Option<String> {
    (!matches!(status, NodeStatus::Running { .. })).then(|| format!("{} does not run", node.name))
}

fn as_json(
    deployment: &Deployment,
    nodes: &[NodeStatus],
    view: &ClusterView,
    not_yet: Option<&str>,
) -> serde_json::Value {
    let nodes = deployment.nodes.iter().zip(nodes).map(|(node, status)| {
        json!({
            "name": node.name, "service": node.service, "main": node.main, "side": node.side,
            "published": node.published, "status": status,
        })
    });
    json!({
        "deployment": deployment.name,
        "phase": deployment.phase,
        "ready": not_yet.is_none(),
        "not_ready": not_yet,
        "nodes": nodes.collect::<Vec<_>>(),
        "cluster": view,
    })
}

/// The whole page.
fn as_text(deployment: &Deployment, nodes: &[NodeStatus], view: &ClusterView, not_yet: Option<&str>) -> String {
    let mut text = headline(deployment, not_yet) + "\n\n";
    if !view.members.is_empty() {
        text += &members(deployment, view);
    }
    text += &processes(deployment, nodes);
    if let Some(proxy) = &view.proxy {
        text += &servers(proxy);
    }
    let told = not_yet.unwrap_or_default();
    let more = view.disagreements.iter().chain(&view.troubles).filter(|line| line.as_str() != told);
    text.extend(more.map(|line| format!("! {line}\n")));
    text
}

fn headline(deployment: &Deployment, not_yet: Option<&str>) -> String {
    let name = &deployment.name;
    match (deployment.phase, not_yet) {
        (Phase::Destroying, _) => format!("{name} is half destroyed; go on: labrun destroy --name {name}"),
        (_, None) => format!("{name} is ready"),
        (Phase::Deploying, Some(why)) => format!("{name} is being deployed, or was interrupted; not ready: {why}"),
        (Phase::Ready | Phase::Failed, Some(why)) => format!("{name} is not ready: {why}"),
    }
}

fn members(deployment: &Deployment, view: &ClusterView) -> String {
    let rows = view.members.iter().map(|member| {
        let host = deployment.node(&member.node).map(|node| node.main.to_string()).unwrap_or_default();
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let role = match member.role.as_str() {
            "leader" => "Leader",
            "sync_standby" => "Sync Standby",
            "replica" => "Replica",
            _ => "-",
        };
        let cells = [&member.node, &member.member, &host, role, &member.state].map(str::to_owned);
        cells.into_iter().chain([number(member.timeline), number(member.lag)]).collect()
    });
    let header = ["Node", "Member", "Host", "Role", "State", "TL", "Lag (bytes)"];
    boxed(&format!("Cluster: {}", deployment.plan.scope), &header, &rows.collect::<Vec<Vec<String>>>())
}

fn processes(deployment: &Deployment, nodes: &[NodeStatus]) -> String {
    let rows = deployment.nodes.iter().zip(nodes).map(|(node, status)| {
        let (state, pid) = match status {
            NodeStatus::Running { pid, restarts: 0 } => ("running".to_owned(), pid.to_string()),
            NodeStatus::Running { pid, restarts } => (format!("running, restarted {restarts} times"), pid.to_string()),
            NodeStatus::Frozen => ("frozen".to_owned(), String::new()),
            NodeStatus::Stopped => ("stopped".to_owned(), String::new()),
            NodeStatus::Failing { last_exit, .. } => (format!("failing: {last_exit}"), String::new()),
        };
        vec![node.name.clone(), kind(node).to_owned(), node.main.ip().to_string(), published(node), pid, state]
    });
    boxed("Nodes", &["Node", "Service", "Address", "Published", "PID", "State"], &rows.collect::<Vec<_>>())
}

fn servers(proxy: &ProxyView) -> String {
    let rows = proxy
        .servers
        .iter()
        .map(|server| vec![server.name.clone(), server.status.clone(), server.check(), server.sessions.to_string()]);
    boxed("Proxy", &["Server", "Status", "Last check", "Sessions"], &rows.collect::<Vec<_>>())
}

fn kind(node: &DeployedNode) -> &'static str {
    match node.service {
        Service::Zookeeper { .. } => "zookeeper",
        Service::Postgres { .. } => "postgres",
        Service::Haproxy { .. } => "haproxy",
    }
}

fn published(node: &DeployedNode) -> String {
    let ports = node.published.iter().map(|(host, own)| format!("{host}->{own}"));
    ports.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::testing::deployment;
    use crate::observe::{MemberView, ServerView};

    fn member(node: &str, member: &str, role: &str, state: &str) -> MemberView {
        let (node, member) = (node.to_owned(), member.to_owned());
        MemberView { node, member, role: role.into(), state: state.into(), timeline: Some(2), ..MemberView::default() }
    }

    fn server(name: &str, status: &str, code: u16) -> ServerView {
        ServerView {
            name: name.into(),
            section: "postgres".into(),
            status: status.into(),
            check_status: "L7OK".into(),
            check_code: Some(code),
            sessions: 2,
        }
    }

    fn running(pid: u32) -> NodeStatus {
        NodeStatus::Running { pid, restarts: 0 }
    }

    #[test]
    fn a_ready_cluster() {
        let mut standby = member("pg-slave", "postgresql1", "sync_standby", "streaming");
        standby.lag = Some(0);
        let view = ClusterView {
            leader: Some("pg-master".into()),
            members: vec![member("pg-master", "postgresql0", "leader", "running"), standby],
            proxy: Some(ProxyView {
                servers: vec![server("pg-master", "UP", 200), server("pg-slave", "DOWN", 503)],
                ..ProxyView::default()
            }),
            ..ClusterView::default()
        };
        let nodes = [1001, 1002, 1003, 1004].map(running);
        insta::assert_snapshot!(as_text(&deployment(), &nodes, &view, None));
    }

    #[test]
    fn a_cluster_in_trouble() {
        let mut down = member("pg-master", "postgresql0", "down", "unreachable");
        down.timeline = None;
        let troubles = ["pg-master: GET http://127.64.0.11:8008/patroni cannot be reached", "haproxy: no answer"];
        let view = ClusterView {
            leader: Some("pg-slave".into()),
            members: vec![down, member("pg-slave", "postgresql1", "leader", "running")],
            disagreements: vec!["/sync names pg-master, but pg_stat_replication does not show it".into()],
            troubles: troubles.map(str::to_owned).to_vec(),
            ..ClusterView::default()
        };
        let failing = NodeStatus::Failing { last_exit: "exit code 1 at 2026-11-23T06:12:40Z".into(), restarts: 1 };
        let restarted = NodeStatus::Running { pid: 1003, restarts: 2 };
        let nodes = [running(1001), NodeStatus::Stopped, restarted, failing];
        insta::assert_snapshot!(as_text(&deployment(), &nodes, &view, Some(troubles[0])));
    }
}
