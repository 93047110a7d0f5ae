//! Asking the peers: `GET <api_url>` of each, at the same time, within 2 s; plain or over TLS, as `ctl:` says.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use indexmap::IndexMap;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::access::basic;
use crate::clock::Moment;
use crate::cluster::{Lsn, MemberData};
use crate::config::PeerAccess;
use crate::decide::{Peer, Peers};
use crate::tls;

/// Patroni's own limit.
const LIMIT: Duration = Duration::from_secs(2);
const LARGEST: usize = 1 << 20;

/// How peers are asked: TLS and credentials.
#[derive(Clone)]
pub struct Access {
    settings: Arc<PeerAccess>,
    /// Made when it is first needed, unless files are named for it: the system's authorities are many.
    tls: Arc<OnceLock<Option<Arc<ClientConfig>>>>,
    authorization: Option<String>,
}

impl Access {
    /// Reads the certificates that are named.
    pub fn new(settings: &PeerAccess) -> Result<Access, tls::Error> {
        let authorization = settings.authentication.as_ref();
        let authorization = authorization.map(|(user, password)| format!("Basic {}", basic(user, &password.0)));
        let tls = OnceLock::new();
        if settings.cacert.is_some() || settings.identity.is_some() {
            let _ = tls.set(Some(tls::client(settings)?));
        }
        Ok(Access { settings: Arc::new(settings.clone()), tls: Arc::new(tls), authorization })
    }

    fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.get_or_init(|| tls::client(&self.settings).ok()).clone()
    }
}

/// What a peer answers.
pub struct Reply {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Asks all of them; who does not answer in time counts as unreachable.
pub async fn ask(access: &Access, peers: Vec<(String, String)>) -> Peers {
    let asked = Moment::now();
    let mut tasks = JoinSet::new();
    let mut answers: IndexMap<String, Option<Peer>> = peers.iter().map(|(name, _)| (name.clone(), None)).collect();
    for (name, url) in peers {
        let access = access.clone();
        tasks.spawn(async move { (name, call(&access, "GET", &url, None).await) });
    }
    while let Some(joined) = tasks.join_next().await {
        if let Ok((name, answer)) = joined {
            answers.insert(name, answer.map(|reply| parse(&reply.body)));
        }
    }
    Peers { asked, answers }
}

/// Whether something answers on `url` at all.
pub async fn is_alive(access: &Access, url: &str) -> bool {
    call(access, "GET", url, None).await.is_some_and(|reply| reply.code == 200)
}

/// One request within 2 s, with our credentials; `body` is JSON.
pub async fn call(access: &Access, method: &str, url: &str, body: Option<String>) -> Option<Reply> {
    tokio::time::timeout(LIMIT, exchange(access, method, url, body)).await.ok()?
}

async fn exchange(access: &Access, method: &str, url: &str, body: Option<String>) -> Option<Reply> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/').map_or((rest, "/".to_owned()), |(a, p)| (a, format!("/{p}")));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, if scheme == "https" { 443 } else { 80 }),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut request = Request::builder().method(method).uri(path).header("host", authority);
    if let Some(authorization) = &access.authorization {
        request = request.header("authorization", authorization);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let request = request.body(Full::from(body.unwrap_or_default())).ok()?;
    let stream = TcpStream::connect((host, port)).await.ok()?;
    match scheme {
        "http" => over(stream, request).await,
        "https" => {
            let name = ServerName::try_from(host.to_owned()).ok()?;
            let stream = TlsConnector::from(access.tls()?).connect(name, stream).await;
            over(stream.map_err(|error| tracing::warn!("TLS with {authority}: {error}")).ok()?, request).await
        }
        _ => None,
    }
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>) -> Option<Reply>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await.ok()?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LARGEST).collect().await.ok()?.to_bytes();
    driver.abort();
    Some(Reply { code: head.status.as_u16(), headers: head.headers, body: body.to_vec() })
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
        let access = Access::new(&PeerAccess::default()).unwrap();
        let peers = ask(&access, vec![("a".into(), url), ("b".into(), "http://127.20.0.14:1/".into())]).await;
        assert_eq!(peers.answers.values().filter(|answer| answer.is_none()).count(), 2);
    }

    #[tokio::test]
    async fn credentials_and_a_body_are_sent() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.20.0.14:0").await.unwrap();
        let url = format!("http://{}/failsafe", listener.local_addr().unwrap());
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            while !text.ends_with(b"{\"a\":1}") {
                stream.read_buf(&mut text).await.unwrap();
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\nlsn: 7\r\n\r\nAccepted").await.unwrap();
            String::from_utf8(text).unwrap()
        });
        let authentication = Some(("user".to_owned(), crate::config::Secret("pass".into())));
        let access = Access::new(&PeerAccess { authentication, ..Default::default() }).unwrap();
        let reply = call(&access, "POST", &url, Some("{\"a\":1}".into())).await.unwrap();
        assert_eq!((reply.code, reply.headers["lsn"].to_str().unwrap(), &*reply.body), (200, "7", &b"Accepted"[..]));
        let sent = peer.await.unwrap();
        assert!(sent.starts_with("POST /failsafe HTTP/1.1\r\n"), "{sent}");
        assert!(sent.contains("authorization: Basic dXNlcjpwYXNz\r\n"), "{sent}");
    }
}
