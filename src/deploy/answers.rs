//! When a node's own service answers: less than a healthy cluster, enough for the nodes that need it to start.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deploy::DeployedNode;
use crate::observe::http;
use crate::topology::Service;

const QUESTION_LIMIT: Duration = Duration::from_secs(2);

/// What is not yet true of the node's own service, or nothing where it answers.
pub async fn not_yet(node: &DeployedNode) -> Option<String> {
    match (&node.service, node.side) {
        (Service::Zookeeper { .. }, _) => match tokio::time::timeout(QUESTION_LIMIT, srvr(node.main)).await {
            Ok(Ok(answer)) if answer.contains("Mode:") => None,
            Ok(Ok(answer)) => Some(answer.lines().next().unwrap_or("an empty answer").to_owned()),
            Ok(Err(error)) => Some(format!("ZooKeeper at {}: {error}", node.main)),
            Err(_) => Some(format!("ZooKeeper at {} does not answer", node.main)),
        },
        (Service::Postgres { .. }, Some(rest)) => status_of(rest, "/health").await,
        (Service::Haproxy { .. }, Some(stats)) => status_of(stats, "/;csv").await,
        (_, None) => Some("it has no second port to ask".to_owned()),
    }
}

/// Whether the node is the leader, by its agent's word: what HAProxy's check will be told.
pub async fn leads(node: &DeployedNode) -> bool {
    match node.side {
        Some(rest) => status_of(rest, "/primary").await.is_none(),
        None => false,
    }
}

async fn status_of(address: SocketAddr, path: &str) -> Option<String> {
    match http::get(address, path, QUESTION_LIMIT).await {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => {
            let state = answer.json().and_then(|body| Some(format!(" ({})", body.get("state")?.as_str()?)));
            Some(format!("GET {path} answers {}{}", answer.status, state.unwrap_or_default()))
        }
        Err(error) => Some(error.to_string()),
    }
}

/// ZooKeeper's four-letter word `srvr`: its `Mode:` line is there once it serves requests.
async fn srvr(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"srvr").await?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer).await?;
    Ok(answer)
}
