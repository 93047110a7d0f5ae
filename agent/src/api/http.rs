//! HTTP/1.0 as Python's `http.server` speaks it, which is what Patroni's clients know: one request a connection,
//! the answer ends with the connection, `OPTIONS` and `HEAD` get a status line and nothing else.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::answer::{Answer, Body};

/// A connection, plain or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The request line and the headers.
const LARGEST_HEAD: usize = 64 << 10;
const HEADERS: usize = 100;
const LARGEST_BODY: u64 = 1 << 20;
const HEAD_WITHIN: Duration = Duration::from_secs(5);
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// What a client still sends when it has its answer is read for so long: otherwise the answer could be lost.
const LINGER: Duration = Duration::from_secs(5);

/// The head of a request, and the connection from which its body can be read.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    headers: Vec<(String, String)>,
    stream: Box<dyn Stream>,
    /// What was read beyond the head.
    rest: Vec<u8>,
}

/// Reads a head; an answer if it is none, nothing if the client says nothing.
pub(super) async fn read(mut stream: Box<dyn Stream>) -> Option<Result<Request, (Box<dyn Stream>, Answer)>> {
    let mut bytes = Vec::new();
    let head = tokio::time::timeout(HEAD_WITHIN, async {
        loop {
            if let Some(parsed) = parse(&bytes) {
                return Some(parsed);
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    });
    Some(match head.await.ok()?? {
        Ok(head) => {
            let rest = bytes.split_off(head.length);
            Ok(Request { method: head.method, path: head.path, query: head.query, headers: head.headers, stream, rest })
        }
        Err(answer) => Err((stream, answer)),
    })
}

struct Head {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    length: usize,
}

/// `None` while more is needed.
fn parse(bytes: &[u8]) -> Option<Result<Head, Answer>> {
    let mut places = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut places);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < LARGEST_HEAD => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(Answer::error(431, "Request Header Fields Too Large")));
        }
        Err(_) => return Some(Err(Answer::error(400, "Bad request syntax"))),
    };
    let target = request.path.unwrap_or("/");
    // A proxy may ask with the whole address.
    let local = target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Some(Ok(Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.split('#').next().unwrap_or_default().to_owned(),
        headers: request.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect(),
        length,
    }))
}

impl Request {
    /// A header by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// The first part of the path, by which Patroni finds what answers.
    pub(super) fn route(&self) -> &str {
        self.path.trim_start_matches('/').split('/').next().unwrap_or_default()
    }

    /// The body as a JSON object; one that is empty, missing or no object is refused, unless it is `optional`.
    pub(super) async fn json(&mut self, optional: bool) -> Result<Map<String, Value>, Answer> {
        let bad = || Answer::error(400, "Bad Request");
        let Some(length) = self.header("content-length") else {
            return if optional { Ok(Map::new()) } else { Err(Answer::error(411, "Length Required")) };
        };
        let length: u64 = if length.is_empty() { 0 } else { length.parse().map_err(|_| bad())? };
        if length > LARGEST_BODY {
            return Err(Answer::error(413, "Request Entity Too Large"));
        }
        if length == 0 && optional {
            return Ok(Map::new());
        }
        let bytes = self.body(length as usize).await.ok_or_else(bad)?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) if optional || !map.is_empty() => Ok(map),
            _ => Err(bad()),
        }
    }

    async fn body(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.rest);
        let have = bytes.len().min(length);
        bytes.resize(length, 0);
        let whole = self.stream.read_exact(&mut bytes[have..]);
        tokio::time::timeout(BODY_WITHIN, whole).await.ok()?.ok()?;
        Some(bytes)
    }

    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }
}

/// Writes the answer, with `extra` headers, and closes.
pub(super) async fn write(mut stream: Box<dyn Stream>, answer: &Answer, server: &str, extra: &[(String, String)]) {
    let bytes = render(answer, server, extra);
    let closed = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        let mut scratch = [0; 16 << 10];
        while stream.read(&mut scratch).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let _ = tokio::time::timeout(LINGER, closed).await;
}

fn render(answer: &Answer, server: &str, extra: &[(String, String)]) -> Vec<u8> {
    let Answer { code, body, headers } = answer;
    let (kind, text) = match body {
        Body::None => return format!("HTTP/1.0 {code} {}\r\n\r\n", reason(*code)).into_bytes(),
        Body::Json(text) => ("application/json", text.clone()),
        Body::Text(text) => ("text/html", text.clone()),
        Body::Metrics(text) => ("text/plain", text.clone()),
        Body::Error(message) => return render_error(*code, message, server),
    };
    let mut head = format!("HTTP/1.0 {code} {}\r\nServer: {server}\r\nDate: {}\r\n", reason(*code), date());
    let own = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let extra = extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.chain([("Content-Type", kind)]).chain(extra) {
        head += &format!("{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", text.as_bytes()].concat()
}

/// Python's error page.
fn render_error(code: u16, message: &str, server: &str) -> Vec<u8> {
    let page = format!(
        "<!DOCTYPE HTML>\n<html lang=\"en\">\n    <head>\n        <meta charset=\"utf-8\">\n        \
         <title>Error response</title>\n    </head>\n    <body>\n        <h1>Error response</h1>\n        \
         <p>Error code: {code}</p>\n        <p>Message: {message}.</p>\n        \
         <p>Error code explanation: {code} - {}.</p>\n    </body>\n</html>\n",
        explanation(code)
    );
    let date = date();
    format!(
        "HTTP/1.0 {code} {message}\r\nServer: {server}\r\nDate: {date}\r\nConnection: close\r\n\
         Content-Type: text/html;charset=utf-8\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    )
    .into_bytes()
}

fn date() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        412 => "Precondition Failed",
        422 => "Unprocessable Entity",
        500 => "Internal Server Error",
        _ => "Service Unavailable",
    }
}

fn explanation(code: u16) -> &'static str {
    match code {
        400 => "Bad request syntax or unsupported method",
        409 => "Request conflict",
        411 => "Client must specify Content-Length",
        413 => "Entity is too large",
        431 => "The server is unwilling to process the request because its header fields are too large",
        501 => "Server does not support this operation",
        502 => "Invalid responses from another server/proxy",
        _ => "The server cannot process the request due to a high load",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn request(text: &str) -> Result<Request, Answer> {
        let (client, server) = tokio::io::duplex(1 << 21);
        let (mut client, text) = (client, text.as_bytes().to_vec());
        client.write_all(&text).await.unwrap();
        client.shutdown().await.unwrap();
        read(Box::new(server)).await.unwrap().map_err(|(_, answer)| answer)
    }

    #[tokio::test]
    async fn a_request_is_read_with_its_headers_and_its_body() {
        let text = "POST /restart?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        let mut request = request(text).await.unwrap();
        assert_eq!((request.method.as_str(), request.route(), request.query.as_str()), ("POST", "restart", "a=b"));
        assert_eq!(request.header("host"), Some("x"));
        assert_eq!(serde_json::to_string(&request.json(false).await.unwrap()).unwrap(), r#"{"a":1}"#);
    }

    #[tokio::test]
    async fn bodies_are_bounded_and_refused_with_the_code_that_patroni_gives() {
        let code = async |head: &str, optional| {
            let mut request = request(&format!("PATCH /config HTTP/1.0\r\n{head}")).await.unwrap();
            request.json(optional).await.map(|_| 200).unwrap_or_else(|answer| answer.code)
        };
        assert_eq!(code("\r\n", false).await, 411);
        assert_eq!(code("\r\n", true).await, 200);
        assert_eq!(code("Content-Length: 0\r\n\r\n", false).await, 400);
        assert_eq!(code("Content-Length: 0\r\n\r\n", true).await, 200);
        assert_eq!(code("Content-Length: 2\r\n\r\n{}", false).await, 400);
        assert_eq!(code("Content-Length: 2\r\n\r\n{}", true).await, 200);
        assert_eq!(code("Content-Length: 3\r\n\r\n[1]", true).await, 400);
        assert_eq!(code("Content-Length: x\r\n\r\n{}", true).await, 400);
        assert_eq!(code("Content-Length: 9\r\n\r\n{}", true).await, 400);
        assert_eq!(code("Content-Length: 100000000\r\n\r\n{", false).await, 413);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        assert_eq!(request("\0\u{1}garbage\r\n\r\n").await.err().unwrap().code, 400);
        let huge = format!("GET / HTTP/1.0\r\nX: {}\r\n", "x".repeat(LARGEST_HEAD));
        assert_eq!(request(&huge).await.err().unwrap().code, 431);
    }

    #[test]
    fn answers_are_those_of_pythons_server() {
        let line = |code| String::from_utf8(render(&Answer { code, ..Answer::text(code, "") }, "s", &[])).unwrap();
        assert!(line(200).starts_with("HTTP/1.0 200 OK\r\nServer: s\r\nDate: "));
        let status = Answer { code: 503, body: Body::None, headers: Vec::new() };
        assert_eq!(render(&status, "s", &[]), b"HTTP/1.0 503 Service Unavailable\r\n\r\n");
        let page = String::from_utf8(render(&Answer::error(501, "Unsupported method ('POST')"), "s", &[])).unwrap();
        assert!(page.starts_with("HTTP/1.0 501 Unsupported method ('POST')\r\n"), "{page}");
        assert!(page.contains("<p>Message: Unsupported method ('POST').</p>"), "{page}");
        assert!(page.contains("501 - Server does not support this operation.</p>"), "{page}");
        let extra = [("X-Frame-Options".to_owned(), "deny".to_owned())];
        let text = String::from_utf8(render(&Answer::text(202, "reload scheduled"), "s", &extra)).unwrap();
        assert!(text.ends_with("Content-Type: text/html\r\nX-Frame-Options: deny\r\n\r\nreload scheduled"), "{text}");
    }
}
