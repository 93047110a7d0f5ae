//! Asks everything that a [`ClusterView`] is made of, at the same time and each with a deadline.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;

use super::cluster::Heard;
use super::haproxy::Page;
use super::{ClusterView, Dcs, ObserveError, ProxyView, haproxy, http};
use crate::deploy::Deployment;
use crate::topology::Service;

/// How long any single question may take.
pub const QUESTION_LIMIT: Duration = Duration::from_secs(2);

/// Sees a whole deployment. Its session with ZooKeeper is kept between looks.
pub struct Observer {
    dcs: Dcs,
    nodes: Vec<(String, String, SocketAddr)>,
    proxy: Option<(SocketAddr, Page)>,
}

impl Observer {
    /// An observer of `deployment`.
    pub fn new(deployment: &Deployment) -> Observer {
        let hosts: Vec<SocketAddr> = deployment.zookeeper_nodes().map(|node| node.main).collect();
        let nodes = deployment.postgres_nodes().filter_map(|node| match (&node.service, node.side) {
            (Service::Postgres { member, .. }, Some(rest)) => Some((node.name.clone(), member.clone(), rest)),
            _ => None,
        });
        Observer {
            dcs: Dcs::new(&hosts, &deployment.dcs_base(), QUESTION_LIMIT),
            nodes: nodes.collect(),
            proxy: deployment.proxy().and_then(|node| node.side).map(|side| (side, deployment.statistics_page())),
        }
    }

    /// The reader of the cluster's keys.
    pub fn dcs(&self) -> &Dcs {
        &self.dcs
    }

    /// Whether the deployment has a proxy.
    pub fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// HAProxy's statistics; none without a proxy.
    pub async fn proxy(&self) -> Option<Result<ProxyView, ObserveError>> {
        let (address, page) = self.proxy.as_ref()?;
        Some(haproxy::statistics(*address, page, QUESTION_LIMIT).await)
    }

    /// The cluster, now.
    pub async fn look(&self) -> ClusterView {
        let nodes = async {
            let mut asked = tokio::task::JoinSet::new();
            for (place, (node, member, rest)) in self.nodes.iter().cloned().enumerate() {
                asked.spawn(async move { (place, hear(node, member, rest).await) });
            }
            let mut heard = asked.join_all().await;
            heard.sort_by_key(|(place, _)| *place);
            heard.into_iter().map(|(_, heard)| heard).collect()
        };
        let (dcs, heard, proxy) = tokio::join!(self.dcs.view(), nodes, self.proxy());
        let words = |error: ObserveError| error.to_string();
        let of_proxy = |error: ObserveError| format!("the proxy: {error}");
        ClusterView::assemble(dcs.map_err(words), heard, proxy.map(|proxy| proxy.map_err(of_proxy)))
    }
}

async fn hear(node: String, member: String, rest: SocketAddr) -> Heard {
    let status = http::get(rest, "/patroni", QUESTION_LIMIT);
    let primary = http::request(Method::GET, rest, "/primary", QUESTION_LIMIT);
    let (status, primary) = tokio::join!(status, primary);
    let mut heard = Heard { node, member, ..Heard::default() };
    match status {
        Ok(answer) => heard.rest = answer.json(),
        Err(error) => heard.trouble = Some(format!("{}: {error}", heard.node)),
    }
    heard.primary = primary.is_ok_and(|answer| answer.status == 200);
    heard
}
