//! Waiting until the whole cluster is ready; and where it never is, telling whose doing that is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{DeployError, DeployedNode, Deployment, NodeStatus, Progress};
use crate::observe::{Accused, ClusterView, NotReady, Observer, not_ready};
use crate::topology::Service;
use crate::wait::{Answer, Unmet, until};

/// Wait until the ready predicate holds of the whole cluster.
pub async fn until_ready(deployment: &Deployment, limit: Duration, progress: &dyn Progress) -> Result<(), DeployError> {
    let observer = Observer::new(deployment);
    let last: Mutex<Option<(ClusterView, NotReady)>> = Mutex::new(None);
    let ready = until::<(), (), _, _, _>(
        limit,
        |not_yet, _| progress.waiting(not_yet),
        || async {
            let view = observer.look().await;
            let Some(found) = not_ready(&view, observer.has_proxy()) else { return Answer::Done(()) };
            let why = found.why.clone();
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some((view, found));
            Answer::NotYet(why)
        },
    );
    let Err(Unmet::TimedOut { after, last: last_status }) = ready.await else { return Ok(()) };
    let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (view, accused) = last.map(|(view, found)| (view, found.accused)).unwrap_or_default();
    let backend = deployment.backend();
    let mut evidence = Vec::new();
    for node in nodes(deployment, &accused) {
        let process = backend.status(deployment, &node.name).await.ok();
        let log = backend.log_end(deployment, &node.name).await;
        evidence.push(format!("{}; {log}", doing(node, process.as_ref(), &view)));
    }
    let node = "the cluster".to_owned();
    Err(DeployError::NotUp { node, after_s: after.as_secs(), last_status, evidence: evidence.join("\n\n") })
}

/// The nodes that are accused, each once.
fn nodes<'d>(deployment: &'d Deployment, accused: &[Accused]) -> Vec<&'d DeployedNode> {
    let mut all: Vec<&DeployedNode> = Vec::new();
    for one in accused {
        let found: Vec<&DeployedNode> = match one {
            Accused::Node(name) => deployment.node(name).into_iter().collect(),
            Accused::Dcs => deployment.zookeeper_nodes().collect(),
            Accused::Proxy => deployment.proxy().into_iter().collect(),
        };
        all.extend(found);
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|node| seen.insert(node.name.as_str()));
    all
}

/// What a node is doing, by its process and by what it says of itself.
fn doing(node: &DeployedNode, process: Option<&NodeStatus>, view: &ClusterView) -> String {
    let process = match process {
        Some(NodeStatus::Running { restarts: 0, .. }) => "runs".to_owned(),
        Some(NodeStatus::Running { restarts, .. }) => format!("runs, was restarted {restarts} times"),
        Some(NodeStatus::Frozen) => "is frozen".to_owned(),
        Some(NodeStatus::Stopped) => "is stopped".to_owned(),
        Some(NodeStatus::Failing { last_exit, .. }) => format!("keeps failing ({last_exit})"),
        None => "cannot be asked".to_owned(),
    };
    let says = match (&node.service, view.member(&node.name), &view.proxy) {
        (Service::Postgres { .. }, Some(member), _) => {
            let timeline = member.timeline.map(|timeline| format!(", timeline {timeline}")).unwrap_or_default();
            format!("; {} ({}){timeline}", member.state, member.role)
        }
        (Service::Haproxy { .. }, _, Some(proxy)) => {
            let servers = proxy.servers.iter().map(|s| format!("{} {}, check {}", s.name, s.status, s.check()));
            format!("; {}", servers.collect::<Vec<_>>().join("; "))
        }
        _ => String::new(),
    };
    format!("{} {process}{says}", node.name)
}

/// How long a new cluster may take from its nodes' start until it is ready: a lease may have to run out once, the proxy
/// may have to mark a server down and up again, and every node has a minute for its own work.
pub fn ready_limit(deployment: &Deployment) -> Duration {
    let timing = deployment.timing();
    let proxy = timing.inter_ms * u64::from(timing.fall + timing.rise);
    Duration::from_millis(60_000 + timing.ttl_ms + timing.loop_wait_ms + proxy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::testing::deployment;
    use crate::observe::{MemberView, ProxyView, ServerView};

    fn names(accused: &[Accused]) -> Vec<String> {
        nodes(&deployment(), accused).iter().map(|node| node.name.clone()).collect()
    }

    #[test]
    fn whoever_is_accused_is_looked_at_once() {
        let slave = || Accused::Node("pg-slave".to_owned());
        assert_eq!(names(&[Accused::Proxy, slave()]), ["haproxy", "pg-slave"]);
        assert_eq!(names(&[Accused::Dcs, slave(), slave()]), ["zoo", "pg-slave"]);
        assert_eq!(names(&[Accused::Node("gone".to_owned())]), Vec::<String>::new());
    }

    #[test]
    fn a_node_is_told_by_its_process_and_its_own_word() {
        let deployment = deployment();
        let told = |name: &str, process: &NodeStatus, view: &ClusterView| {
            doing(deployment.node(name).expect("a node"), Some(process), view)
        };
        let server = ServerView {
            name: "pg-slave".into(),
            section: "postgres".into(),
            status: "UP".into(),
            check_status: "L7OK".into(),
            check_code: Some(200),
            sessions: 0,
        };
        let member = MemberView {
            node: "pg-slave".into(),
            role: "replica".into(),
            state: "starting".into(),
            ..MemberView::default()
        };
        let view = ClusterView {
            members: vec![member],
            proxy: Some(ProxyView { servers: vec![server], ..ProxyView::default() }),
            ..ClusterView::default()
        };
        let running = NodeStatus::Running { pid: 1, restarts: 0 };
        assert_eq!(told("haproxy", &running, &view), "haproxy runs; pg-slave UP, check L7OK 200");
        let restarted = NodeStatus::Running { pid: 1, restarts: 3 };
        assert_eq!(told("pg-slave", &restarted, &view), "pg-slave runs, was restarted 3 times; starting (replica)");
        let failing = NodeStatus::Failing { last_exit: "exit code 1".into(), restarts: 1 };
        assert_eq!(told("zoo", &failing, &view), "zoo keeps failing (exit code 1)");
    }
}
