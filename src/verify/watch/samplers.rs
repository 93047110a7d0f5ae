//! The samplers: each asks one thing again and again, and keeps what it saw when that changes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{NodeWord, Pace, Samples, Seen};
use crate::deploy::Deployment;
use crate::observe::haproxy::Page;
use crate::observe::{Dcs, DcsView, ObserveError, Sql, SqlError, SqlOutput, haproxy};
use crate::topology::Credentials;
use crate::verify::Cancel;

/// How long one question may take; what does not answer in that time is taken for down.
const LIMIT: Duration = Duration::from_secs(2);

/// In recovery or not, and the timeline: on a primary that of its WAL, on a standby that which it receives.
const WORD: &str = "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() \
     THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint())) \
     ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END";

/// Start a sampler for the keys, one for each postgres node, and one for the proxy.
pub(super) fn spawn(deployment: &Deployment, samples: &Samples, pace: &Pace, stop: &Cancel) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    let hosts: Vec<SocketAddr> = deployment.zookeeper_nodes().map(|node| node.main).collect();
    if !hosts.is_empty() {
        let dcs = Dcs::new(&hosts, &deployment.dcs_base(), LIMIT);
        tasks.push(tokio::spawn(keys(dcs, samples.clone(), pace.clone(), stop.clone())));
    }
    for node in deployment.postgres_nodes() {
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

async fn keys(dcs: Dcs, samples: Samples, pace: Pace, stop: Cancel) {
    let mut last = None;
    while !stop.is_cancelled() {
        let view = async {
            let leader = dcs.get("leader").await?.map(|key| key.data);
            let sync = dcs.get("sync").await?.map(|key| key.value());
            Ok::<_, ObserveError>(DcsView { leader, sync, ..DcsView::default() })
        };
        // A DCS that does not answer shows nothing: who held the key last may hold it still.
        if let Ok(view) = view.await {
            let sync = view.sync_standbys();
            keep_change(&samples, &mut last, Seen::Keys { leader: view.leader, sync });
        }
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
