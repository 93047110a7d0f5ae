//! A plain HTTP/1 client for the agent's REST API: one connection a request, a deadline for the whole.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.body))
    }

    /// The header's text, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// A request in the making.
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub body: Option<&'a str>,
    pub headers: &'a [(&'a str, &'a str)],
    pub limit: Duration,
}

impl<'a> Ask<'a> {
    pub fn new(method: &'a str, path: &'a str) -> Ask<'a> {
        Ask { method, path, body: None, headers: &[], limit: Duration::from_secs(5) }
    }

    pub fn body(self, body: &'a str) -> Ask<'a> {
        Ask { body: Some(body), ..self }
    }

    pub fn headers(self, headers: &'a [(&'a str, &'a str)]) -> Ask<'a> {
        Ask { headers, ..self }
    }

    /// For the calls that answer when the work is done.
    pub fn patient(self) -> Ask<'a> {
        Ask { limit: Duration::from_secs(90), ..self }
    }

    /// Send it over plain TCP.
    pub async fn send(self, server: SocketAddr) -> Result<Answer, String> {
        let limit = self.limit;
        let told = format!("{} http://{server}{}", self.method, self.path);
        let exchange = async {
            let stream = TcpStream::connect(server).await.map_err(|error| error.to_string())?;
            self.over(stream, server).await
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => answer.map_err(|error| format!("{told}: {error}")),
            Err(_) => Err(format!("{told}: no answer within {limit:?}")),
        }
    }

    /// Send it over `stream`.
    pub async fn over<S>(self, stream: S, server: SocketAddr) -> Result<Answer, String>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let words = |error: hyper::Error| format!("{error:?}");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(self.method).uri(self.path).header("host", server.to_string());
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(self.body.unwrap_or_default().to_owned()));
        let response = sender.send_request(request.body(body).map_err(|error| error.to_string())?).await;
        let response = response.map_err(words)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(words)?.to_bytes();
        driver.abort();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

/// Send `text` as it is and read all that comes back until the server closes.
pub async fn raw(server: SocketAddr, text: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    match tokio::time::timeout(Duration::from_secs(10), exchange).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{server} has not closed the connection within 10 s")),
    }
}
