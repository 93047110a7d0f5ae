//! Asking the peers how far they are: `GET <api_url>` of each, at the same time, within 2 s.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use indexmap::IndexMap;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::clock::Moment;
use crate::cluster::{Lsn, MemberData};
use crate::decide::{Peer, Peers};

/// Patroni's own limit.
const LIMIT: Duration = Duration::from_secs(2);
const LARGEST: usize = 1 << 20;

/// Asks all of them; who does not answer in time counts as unreachable.
pub async fn ask(peers: Vec<(String, String)>) -> Peers {
    let asked = Moment::now();
    let mut tasks = JoinSet::new();
    let mut answers: IndexMap<String, Option<Peer>> = peers.iter().map(|(name, _)| (name.clone(), None)).collect();
    for (name, url) in peers {
        tasks.spawn(async move {
            let answer = tokio::time::timeout(LIMIT, get(&url)).await;
            (name, answer.ok().flatten())
        });
    }
    while let Some(joined) = tasks.join_next().await {
        if let Ok((name, answer)) = joined {
            answers.insert(name, answer.map(|(_, body)| parse(&body)));
        }
    }
    Peers { asked, answers }
}

/// Whether something answers on `url` at all.
pub async fn is_alive(url: &str) -> bool {
    matches!(tokio::time::timeout(LIMIT, get(url)).await, Ok(Some((200, _))))
}

/// The code and the body of a plain `GET`.
pub async fn get(url: &str) -> Option<(u16, Vec<u8>)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_once('/').map_or((rest, "/".to_owned()), |(a, p)| (a, format!("/{p}")));
    let stream = TcpStream::connect(authority).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path).header("host", authority).body(Empty::<Bytes>::new()).ok()?;
    let answer = sender.send_request(request).await.ok()?;
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), LARGEST).collect().await.ok()?.to_bytes();
    driver.abort();
    Some((code, body.to_vec()))
}

/// What a peer's status says.
fn parse(body: &[u8]) -> Peer {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    // Versions before 2.0 call it `wal`.
    let xlog = status.get("xlog").or_else(|| status.get("wal"));
    let position = |key: &str| xlog.and_then(|xlog| xlog.get(key)).and_then(Value::as_u64).map(Lsn);
    let received = position("received_location").into_iter().chain(position("replayed_location")).max();
    let role = status.get("role").and_then(Value::as_str).unwrap_or_default();
    let tags = status.get("tags").and_then(|tags| serde_json::from_value(tags.clone()).ok()).unwrap_or_default();
    let data = MemberData { tags, ..MemberData::default() };
    let watchdog_failed = status.get("watchdog_failed").is_some_and(|failed| failed != &Value::Bool(false));
    Peer {
        is_primary: position("location").is_some() || matches!(role, "primary" | "master"),
        position: position("location").or(received),
        timeline: status.get("timeline").and_then(Value::as_u64).map(|timeline| timeline as u32),
        may_lead: data.may_lead() && !watchdog_failed,
        priority: data.failover_priority(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_answers_are_understood() {
        let rest = include_str!("../../tests/golden/steady-rest.txt");
        let body = |node: &str| {
            let head = format!("--- {node} GET /patroni ");
            parse(rest.lines().skip_while(|line| !line.starts_with(&head)).nth(1).unwrap().as_bytes())
        };
        let leader = body("pg1");
        assert!(leader.is_primary && leader.may_lead);
        assert_eq!((leader.position, leader.timeline, leader.priority), (Some(Lsn(50331840)), Some(1), 1));
        let standby = body("pg2");
        assert!(!standby.is_primary);
        assert_eq!(standby.position, Some(Lsn(50331840)));
    }

    #[test]
    fn a_peer_without_positions_or_sense_is_not_reachable() {
        assert_eq!(parse(br#"{"state": "starting", "role": "replica"}"#).position, None);
        assert_eq!(parse(b"garbage").position, None);
        assert!(!parse(br#"{"tags": {"nofailover": true}}"#).may_lead);
        assert!(!parse(br#"{"watchdog_failed": true}"#).may_lead);
    }

    #[tokio::test]
    async fn a_silent_peer_is_given_up_in_time() {
        let silent = tokio::net::TcpListener::bind("127.20.0.14:0").await.unwrap();
        let url = format!("http://{}/patroni", silent.local_addr().unwrap());
        let peers = ask(vec![("a".into(), url), ("b".into(), "http://127.20.0.14:1/".into())]).await;
        assert_eq!(peers.answers.values().filter(|answer| answer.is_none()).count(), 2);
    }
}
