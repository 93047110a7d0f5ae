//! A small HTTP/1 client: one request a connection, a deadline, a bound on the body.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::ObserveError;

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 4 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON, where it is JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.body).ok()
    }
}

/// Send one request to `address` and read its answer, all within `limit`.
pub async fn request(method: Method, address: SocketAddr, path: &str, limit: Duration) -> Result<Answer, ObserveError> {
    let what = format!("{method} http://{address}{path}");
    tokio::time::timeout(limit, exchange(&what, method, address, path))
        .await
        .unwrap_or(Err(ObserveError::TimedOut { what: what.clone(), ms: limit.as_millis() }))
}

/// GET, see [`request`].
pub async fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<Answer, ObserveError> {
    request(Method::GET, address, path, limit).await
}

async fn exchange(what: &str, method: Method, address: SocketAddr, path: &str) -> Result<Answer, ObserveError> {
    let unreachable = |why: String| ObserveError::Unreachable { what: what.to_owned(), why };
    let stream = TcpStream::connect(address).await.map_err(|error| unreachable(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", address.to_string())
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| ObserveError::Garbage { what: what.to_owned(), why: error.to_string() })?;
        let response = sender.send_request(request).await.map_err(|error| unreachable(error.to_string()))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(|error| ObserveError::Garbage { what: what.to_owned(), why: error.to_string() })?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
    }
    .await;
    driver.abort();
    answer
}
