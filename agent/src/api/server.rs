//! The HTTP server: few connections, short ones, small bodies.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::answer::{Answer, Body, answer};
use super::{Request as Ask, Shared};
use crate::clock::Moment;
use crate::cluster::Failover;
use crate::config::Address;
use crate::decide::Process;

const CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(90);
const LARGEST_BODY: usize = 1 << 20;
/// How long a question about WAL positions waits for a fresh look, and what is fresh.
const LOOK: Duration = Duration::from_millis(300);
const FRESH: Duration = Duration::from_secs(1);

/// Listens; an address that is busy says who holds it.
pub async fn bind(address: &Address) -> Result<TcpListener, String> {
    let host = if address.host == "*" { "0.0.0.0" } else { address.host.as_str() };
    let host = host.split(',').next().unwrap_or(host).trim();
    TcpListener::bind((host, address.port)).await.map_err(|error| {
        let holder =
            format!("{host}:{}", address.port).parse::<SocketAddr>().ok().and_then(crate::supervise::ports::holder);
        let by = holder.map(|h| format!(" (held by process {}, {})", h.pid, h.command)).unwrap_or_default();
        format!("cannot listen for REST on {host}:{}: {error}{by}", address.port)
    })
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, shared: Shared) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, shared)).await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: TcpStream, shared: Shared) {
    let service = service_fn(|request| handle(request, shared.clone()));
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn handle(request: Request<Incoming>, shared: Shared) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().clone();
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let answer = match method {
        Method::GET | Method::HEAD | Method::OPTIONS => {
            if wants_positions(&path) {
                fresh_look(&shared).await;
            }
            let view = shared.view.borrow().clone();
            answer(method.as_str(), &path, &query, &view, &shared.scope, view.made)
        }
        _ => change(&method, &path, request, &shared).await,
    };
    Ok(response(answer, method == Method::HEAD))
}

/// Peers in a race, and people, read positions from these.
fn wants_positions(path: &str) -> bool {
    matches!(path.trim_end_matches('/'), "" | "/patroni" | "/metrics" | "/replica" | "/read-only")
}

async fn fresh_look(shared: &Shared) {
    let mut views = shared.view.clone();
    let (observed, runs) = {
        let view = views.borrow_and_update();
        (view.pg.observed, view.pg.process == Process::Up)
    };
    // A PostgreSQL that is down has no news, and peers in a race wait for the answer.
    if !runs || Moment::now().since(observed) < FRESH || shared.requests.send(Ask::Look).await.is_err() {
        return;
    }
    let newer = views.wait_for(|view| view.pg.observed > observed);
    let _ = tokio::time::timeout(LOOK, newer).await;
}

/// What changes something: needs the password, if there is one.
async fn change(method: &Method, path: &str, request: Request<Incoming>, shared: &Shared) -> Answer {
    let route = path.trim_end_matches('/');
    let known =
        matches!((method.as_str(), route), ("POST", "/reload" | "/switchover" | "/failover") | ("PATCH", "/config"));
    if !known {
        return Answer::error(501, &format!("Unsupported method ('{method}')."));
    }
    if let Some(refusal) = unauthorized(&request, shared) {
        return refusal;
    }
    if route == "/reload" {
        let _ = shared.requests.send(Ask::Reload).await;
        return Answer::text(202, "reload scheduled");
    }
    let body = match body(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match route {
        "/config" => patch_config(body, shared).await,
        _ => failover(route == "/switchover", &body, shared).await,
    }
}

fn unauthorized(request: &Request<Incoming>, shared: &Shared) -> Option<Answer> {
    let (user, password) = shared.authentication.as_ref()?;
    let Some(header) = request.headers().get("authorization").and_then(|value| value.to_str().ok()) else {
        return Some(Answer::text(401, "no auth header received"));
    };
    let expected = base64(format!("{user}:{password}").as_bytes());
    let given = header.strip_prefix("Basic ").unwrap_or_default();
    // As long whatever the header is.
    let same =
        given.len() == expected.len() && given.bytes().zip(expected.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0;
    (!same).then(|| Answer::text(401, "not authenticated"))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = if i <= chunk.len() { DIGITS[(word >> (18 - 6 * i)) as usize & 63] } else { b'=' };
            text.push(digit as char);
        }
    }
    text
}

async fn body(request: Request<Incoming>) -> Result<Map<String, Value>, Answer> {
    if !request.headers().contains_key("content-length") && !request.headers().contains_key("transfer-encoding") {
        return Err(Answer::error(411, "Length Required."));
    }
    let bad = || Answer::error(400, "Bad Request.");
    let bytes = Limited::new(request.into_body(), LARGEST_BODY).collect().await.map_err(|_| bad())?.to_bytes();
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) if !map.is_empty() => Ok(map),
        _ => Err(bad()),
    }
}

async fn patch_config(patch: Map<String, Value>, shared: &Shared) -> Answer {
    if shared.view.borrow().dcs.cluster.as_ref().is_none_or(|cluster| cluster.config.is_none()) {
        return Answer::error(503, "Service Unavailable");
    }
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::PatchConfig(patch, sender)).await;
    match receiver.await {
        Ok(Some(json)) => Answer { code: 200, body: Body::Json(json) },
        _ => Answer::error(409, "Conflict"),
    }
}

/// How long a switchover is watched.
const WATCHED: Duration = Duration::from_secs(60);

async fn failover(switchover: bool, body: &Map<String, Value>, shared: &Shared) -> Answer {
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned).filter(|text| !text.is_empty());
    let asked = Failover {
        leader: text("leader"),
        candidate: text("candidate").or_else(|| text("member")),
        scheduled_at: text("scheduled_at"),
    };
    let switchover = switchover || asked.leader.is_some();
    if let Some(refusal) = refused(switchover, &asked, shared) {
        return refusal;
    }
    let from = shared.view.borrow().dcs.cluster.as_ref().and_then(|cluster| cluster.leader_name().map(str::to_owned));
    let (sender, receiver) = oneshot::channel();
    let scheduled = asked.scheduled_at.is_some();
    let candidate = asked.candidate.clone();
    let _ = shared.requests.send(Ask::Failover(asked, sender)).await;
    if receiver.await != Ok(true) {
        return Answer::text(503, "failed to write failover key into DCS");
    }
    if scheduled {
        return Answer::text(202, "Switchover scheduled");
    }
    let (done, passive) = if switchover { ("switched", "Switchover") } else { ("failed", "Failover") };
    watch_handover(from, candidate, done, passive, shared).await
}

fn refused(switchover: bool, asked: &Failover, shared: &Shared) -> Option<Answer> {
    let view = shared.view.borrow();
    let cluster = view.dcs.cluster.as_ref()?;
    let no = |code: u16, why: &str| Some(Answer::text(code, why));
    if switchover && asked.leader.is_none() {
        return no(400, "Switchover could be performed only from a specific leader");
    }
    if !switchover && asked.candidate.is_none() {
        return no(400, "Failover could be performed only to a specific candidate");
    }
    if asked.leader.is_some() && asked.leader == asked.candidate {
        return no(400, "Switchover target and source are the same");
    }
    if !switchover && asked.scheduled_at.is_some() {
        return no(400, "Failover can't be scheduled");
    }
    if let Some(at) = &asked.scheduled_at {
        match at.parse::<jiff::Timestamp>() {
            Err(_) => {
                return no(
                    422,
                    "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601",
                );
            }
            Ok(at) if at < jiff::Timestamp::now() => return no(422, "Cannot schedule switchover in the past"),
            Ok(_) => {}
        }
    }
    if asked.leader.as_deref().is_some_and(|leader| cluster.leader_name() != Some(leader)) {
        return no(412, "leader name does not match");
    }
    let sync = cluster.sync();
    if let Some(candidate) = &asked.candidate {
        if !cluster.members.contains_key(candidate) {
            return no(412, "candidate does not exists");
        }
        if switchover && sync.is_active() && !sync.has_standby(candidate) {
            return no(412, "candidate name does not match with sync_standby");
        }
    } else if cluster.members.len() < 2 {
        return no(412, "switchover is not possible: cluster does not have members except leader");
    } else if sync.is_active() && sync.standbys.is_empty() {
        return no(412, "switchover is not possible: can not find sync_standby");
    }
    None
}

/// Waits for the outcome and puts it in Patroni's words.
async fn watch_handover(
    from: Option<String>,
    candidate: Option<String>,
    done: &str,
    passive: &str,
    shared: &Shared,
) -> Answer {
    let mut views = shared.view.clone();
    let outcome = views.wait_for(|view| {
        let Some(cluster) = view.dcs.cluster.as_ref().filter(|_| view.dcs.reachable) else { return false };
        let other = cluster.leader_name().is_some_and(|leader| from.as_deref() != Some(leader));
        other || (cluster.failover().is_none() && cluster.leader.is_some())
    });
    let leader = match tokio::time::timeout(WATCHED, outcome).await {
        Ok(Ok(view)) => view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader_name().map(str::to_owned)),
        _ => return Answer::text(503, &format!("{passive} status unknown")),
    };
    match leader.filter(|leader| from.as_ref() != Some(leader)) {
        Some(leader) if candidate.as_ref().is_none_or(|candidate| *candidate == leader) => {
            Answer::text(200, &format!("Successfully {done} over to \"{leader}\""))
        }
        Some(leader) => {
            let wanted = candidate.unwrap_or_default();
            let done = format!("{}{}", done[..1].to_uppercase(), &done[1..]);
            Answer::text(200, &format!("{done} over to \"{leader}\" instead of \"{wanted}\""))
        }
        None => Answer::text(503, &format!("{passive} failed")),
    }
}

fn response(answer: Answer, head: bool) -> Response<Full<Bytes>> {
    let (kind, text) = match answer.body {
        Body::None => ("", String::new()),
        Body::Json(text) => ("application/json", text),
        Body::Text(text) => ("text/html", text),
        Body::Metrics(text) => ("text/plain", text),
        Body::Error(message) => ("text/html;charset=utf-8", error_page(answer.code, &message)),
    };
    let mut builder = Response::builder().status(answer.code);
    if !kind.is_empty() {
        builder = builder.header("content-type", kind);
    }
    if answer.code == 401 {
        builder = builder.header("www-authenticate", "Basic realm=\"Patroni\"");
    }
    let body = if head { String::new() } else { text };
    builder.body(Full::from(body)).unwrap_or_default()
}

fn error_page(code: u16, message: &str) -> String {
    format!(
        "<!DOCTYPE HTML>\n<html lang=\"en\">\n    <head>\n        <meta charset=\"utf-8\">\n        \
         <title>Error response</title>\n    </head>\n    <body>\n        <h1>Error response</h1>\n        \
         <p>Error code: {code}</p>\n        <p>Message: {message}</p>\n    </body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_usual_one() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"ab"), "YWI=");
        assert_eq!(base64(b"user:pass"), "dXNlcjpwYXNz");
    }
}
