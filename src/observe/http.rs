//! A small HTTP/1 client: one request a connection, a deadline, a bound on the body.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
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
    ask(method, address, path, None, limit).await
}

/// The same with a name and a password (RFC 7617), where the server asks for them.
pub async fn ask(
    method: Method,
    address: SocketAddr,
    path: &str,
    login: Option<(&str, &str)>,
    limit: Duration,
) -> Result<Answer, ObserveError> {
    send(method, address, path, login, String::new(), limit).await
}

/// The same with a body, JSON where there is one.
pub async fn send(
    method: Method,
    address: SocketAddr,
    path: &str,
    login: Option<(&str, &str)>,
    body: String,
    limit: Duration,
) -> Result<Answer, ObserveError> {
    let what = format!("{method} http://{address}{path}");
    tokio::time::timeout(limit, exchange(&what, method, (address, path), login, body))
        .await
        .unwrap_or(Err(ObserveError::TimedOut { what: what.clone(), ms: limit.as_millis() }))
}

/// GET, see [`request`].
pub async fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<Answer, ObserveError> {
    request(Method::GET, address, path, limit).await
}

async fn exchange(
    what: &str,
    method: Method,
    (address, path): (SocketAddr, &str),
    login: Option<(&str, &str)>,
    body: String,
) -> Result<Answer, ObserveError> {
    let unreachable = |why: String| ObserveError::Unreachable { what: what.to_owned(), why };
    let stream = TcpStream::connect(address).await.map_err(|error| unreachable(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", address.to_string())
            .header("connection", "close");
        if let Some((user, password)) = login {
            request = request.header("authorization", format!("Basic {}", base64(&format!("{user}:{password}"))));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
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

/// RFC 4648, with padding.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place > three.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn a_login_is_written_as_the_rfc_has_it() {
        assert_eq!(["", "f", "fo", "foo", "admin:word"].map(base64), ["", "Zg==", "Zm8=", "Zm9v", "YWRtaW46d29yZA=="]);
    }
}
