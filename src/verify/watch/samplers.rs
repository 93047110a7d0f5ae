//! The samplers: each asks one thing again and again, and keeps what it saw when that changes.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Method;
use tokio::task::JoinHandle;

use super::roles::member_of;
use super::{NodeWord, Pace, Samples, Seen};
use crate::deploy::Deployment;
use crate::observe::haproxy::Page;
use crate::observe::{Dcs, DcsView, ObserveError, Sql, SqlError, SqlOutput, haproxy, http};
use crate::topology::Credentials;
use crate::verify::Cancel;
use crate::verify::outage::election::Field;

/// How long one question may take; what does not answer in that time is taken for down.
const LIMIT: Duration = Duration::from_secs(2);

/// How long an agent may take to answer a health check; HAProxy would not wait longer either.
const REST_LIMIT: Duration = Duration::from_secs(1);
/// The time between two looks at the candidates, while it is busy.
const CANDIDATES: Duration = Duration::from_secs(1);

/// In recovery or not, and the timeline: on a primary that of its WAL, on a standby that which it receives.
const WORD: &str = "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() \
     THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint())) \
     ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END";

/// Start a sampler for the keys, one for the candidates, two for each postgres node, and one for the proxy.
pub(super) fn spawn(deployment: &Deployment, samples: &Samples, pace: &Pace, stop: &Cancel) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    let hosts: Vec<SocketAddr> = deployment.zookeeper_nodes().map(|node| node.main).collect();
    if !hosts.is_empty() {
        let dcs = Dcs::new(&hosts, &deployment.dcs_base(), LIMIT);
        tasks.push(tokio::spawn(keys(dcs, samples.clone(), pace.clone(), stop.clone())));
        let asked = deployment.postgres_nodes().filter_map(|node| {
            let (name, member) = member_of(node)?;
            Some((name, member, node.side?))
        });
        let dcs = Dcs::new(&hosts, &deployment.dcs_base(), LIMIT);
        tasks.push(tokio::spawn(candidates(dcs, asked.collect(), samples.clone(), pace.clone(), stop.clone())));
    }
    for node in deployment.postgres_nodes() {
        if let Some(side) = node.side {
            tasks.push(tokio::spawn(rest(node.name.clone(), side, samples.clone(), pace.clone(), stop.clone())));
        }
        let (name, address, credentials) = (node.name.clone(), node.main, deployment.credentials().clone());
        tasks.push(tokio::spawn(word(name, address, credentials, samples.clone(), pace.clone(), stop.clone())));
    }
    if let Some(side) = deployment.proxy().and_then(|node| node.side) {
        tasks.push(tokio::spawn(proxy(
            side,
            deployment.statistics_page(),
            samples.clone(),
            pace.clone(),
            stop.clone(),
        )));
    }
    tasks
}

/// The keys at every beat, and at once when ZooKeeper tells that the leader key changed.
async fn keys(dcs: Dcs, samples: Samples, pace: Pace, stop: Cancel) {
    let mut last = None;
    let mut watch: Option<Pin<Box<dyn Future<Output = bool> + Send>>> = None;
    while !stop.is_cancelled() {
        if watch.is_none() {
            // A DCS that does not answer is asked again with the next beat.
            watch = dcs.watch("leader").await.ok().map(|changed| Box::pin(changed) as Pin<Box<_>>);
        }
        let view = async {
            let leader = dcs.get("leader").await?.map(|key| key.data);
            let sync = dcs.get("sync").await?.map(|key| key.value());
            Ok::<_, ObserveError>(DcsView { leader, sync, ..DcsView::default() })
        };
        let view = view.await;
        // ZooKeeper tells of a change before it answers a question that sees it: a key that was deleted and taken anew
        // since the last look was free in between.
        if let Some(deleted) = watch.as_mut().and_then(|changed| changed.now_or_never()) {
            watch = None;
            keep_freed(&samples, &mut last, deleted);
        }
        // A DCS that does not answer shows nothing: who held the key last may hold it still.
        if let Ok(view) = view {
            let sync = view.sync_standbys();
            keep_change(&samples, &mut last, Seen::Keys { leader: view.leader, sync });
        }
        let Some(changed) = &mut watch else {
            pace.rest(&stop).await;
            continue;
        };
        tokio::select! {
            deleted = changed => {
                watch = None;
                // By the time that it is read again another one may have taken it.
                keep_freed(&samples, &mut last, deleted);
            }
            () = pace.rest(&stop) => {}
        }
    }
}

/// Keep that the leader key was free, where it was deleted.
fn keep_freed(samples: &Samples, last: &mut Option<Seen>, deleted: bool) {
    if let (true, Some(Seen::Keys { sync, .. })) = (deleted, last.clone()) {
        keep_change(samples, last, Seen::Keys { leader: None, sync });
    }
}

/// What there is to know of each candidate for the leader key, while it is busy: then an election may be due.
async fn candidates(dcs: Dcs, nodes: Vec<(String, String, SocketAddr)>, samples: Samples, pace: Pace, stop: Cancel) {
    let mut last = None;
    while !stop.is_cancelled() {
        if pace.is_busy() {
            let status = async { dcs.get("status").await.ok().flatten().map(|key| key.value()) };
            let asked = nodes.iter().map(|(_, _, side)| http::get(*side, "/patroni", REST_LIMIT));
            let (view, status, heard) = tokio::join!(dcs.view(), status, futures_util::future::join_all(asked));
            let nodes = nodes.iter().zip(heard).map(|((node, member, _), answer)| {
                (node.clone(), member.clone(), answer.ok().and_then(|answer| answer.json()))
            });
            let leader_lsn = status.as_ref().and_then(|status| status.get("optime")?.as_u64());
            let field = Field { dcs: view.ok(), leader_lsn, nodes: nodes.collect() };
            keep_change(&samples, &mut last, Seen::Candidates(Box::new(field)));
        }
        tokio::select! {
            () = tokio::time::sleep(CANDIDATES) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Whether the node's agent takes it for the primary, asked as HAProxy asks.
async fn rest(node: String, side: SocketAddr, samples: Samples, pace: Pace, stop: Cancel) {
    let mut last = None;
    while !stop.is_cancelled() {
        let answer = http::request(Method::OPTIONS, side, "/primary", REST_LIMIT).await;
        let primary = answer.ok().map(|answer| answer.status == 200);
        keep_change(&samples, &mut last, Seen::Rest { node: node.clone(), primary });
        pace.rest(&stop).await;
    }
}

async fn word(node: String, address: SocketAddr, credentials: Credentials, samples: Samples, pace: Pace, stop: Cancel) {
    let mut last = None;
    let mut session: Option<Sql> = None;
    while !stop.is_cancelled() {
        if session.is_none() {
            session = Sql::connect(address, &credentials, LIMIT).await.ok();
        }
        let answer = match &session {
            Some(open) => open.run(WORD).await.map_err(Some),
            None => Err(None),
        };
        let word = match answer {
            Ok(output) => read(&output),
            // In the very moment of its promotion a node refuses the one half of the question or the other.
            Err(Some(SqlError::Refused { sqlstate, .. })) if sqlstate == "55000" => continue,
            Err(_) => None,
        };
        if word.is_none() {
            session = None;
        }
        keep_change(&samples, &mut last, Seen::Node { node: node.clone(), word });
        pace.rest(&stop).await;
    }
}

async fn proxy(side: SocketAddr, page: Page, samples: Samples, pace: Pace, stop: Cancel) {
    let mut last = None;
    while !stop.is_cancelled() {
        let up = haproxy::statistics(side, &page, LIMIT).await.ok().map(|view| view.up);
        keep_change(&samples, &mut last, Seen::Proxy { up });
        pace.rest(&stop).await;
    }
}

fn keep_change(samples: &Samples, last: &mut Option<Seen>, seen: Seen) {
    if last.as_ref() != Some(&seen) {
        samples.keep(seen.clone());
        *last = Some(seen);
    }
}

fn read(output: &SqlOutput) -> Option<NodeWord> {
    let row = output.rows.first()?;
    let in_recovery = row.first()?.as_deref()? == "t";
    let timeline = row.get(1)?.as_deref().and_then(|text| text.parse().ok());
    Some(NodeWord { in_recovery, timeline })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_whether_it_is_in_recovery_and_on_which_timeline() {
        let row = |cells: [Option<&str>; 2]| SqlOutput {
            rows: vec![cells.iter().map(|cell| cell.map(str::to_owned)).collect()],
            ..SqlOutput::default()
        };
        assert_eq!(read(&row([Some("f"), Some("12")])), Some(NodeWord { in_recovery: false, timeline: Some(12) }));
        assert_eq!(read(&row([Some("t"), None])), Some(NodeWord { in_recovery: true, timeline: None }));
        assert_eq!(read(&SqlOutput::default()), None);
    }
}
