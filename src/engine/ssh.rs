//! An engine on another machine: `ssh HOST docker system dial-stdio`, the way that Docker's own client takes.
//! ssh's configuration, keys and known hosts are the user's own; it asks nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// More of what ssh has to say is not kept.
const MOST_SAID: u64 = 4 << 10;
/// How long it may take to say it, once its connection is gone.
const SAID_LIMIT: Duration = Duration::from_secs(5);

/// What ssh says at its connections: why there is none, mostly.
#[derive(Clone, Default)]
pub struct Said(Arc<Mutex<Vec<JoinHandle<String>>>>);

impl Said {
    fn hear(&self, errors: ChildStderr) {
        let heard = tokio::spawn(async move {
            let mut text = String::new();
            let mut errors = errors.take(MOST_SAID);
            // What is not text is no help.
            let _ = errors.read_to_string(&mut text).await;
            // ssh must not be held up by what nobody reads.
            let _ = tokio::io::copy(&mut errors.into_inner(), &mut tokio::io::sink()).await;
            text
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
    }

    /// The last line that was said at a connection which is gone, where something was.
    pub async fn last(&self) -> Option<String> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let text = tokio::time::timeout(SAID_LIMIT, heard).await.ok()?.ok()?;
        text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
    }
}

/// The engine of `host`: `user@host` or `user@host:port`; and what ssh says.
pub fn connect(host: &str, limit_s: u64) -> Result<(Docker, Said), bollard::errors::Error> {
    let said = Said::default();
    let client = Client::builder(TokioExecutor::new()).build(Dial { host: host.to_owned(), said: said.clone() });
    let transport = move |request: BollardRequest| {
        let client = client.clone();
        async move {
            let (mut parts, body) = request.into_parts();
            // The one host that every connection leads to; its name is what the client keeps connections by.
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            parts.uri = format!("http://docker{path}").parse()?;
            Ok(client.request(BollardRequest::from_parts(parts, body)).await?)
        }
    };
    let docker = Docker::connect_with_custom_transport(transport, Some("http://docker"), limit_s, API_DEFAULT_VERSION)?;
    Ok((docker, said))
}

/// The words that call ssh for `host`.
pub fn words(host: &str) -> Vec<&str> {
    match host.rsplit_once(':') {
        Some((host, port)) => vec!["-p", port, "--", host],
        None => vec!["--", host],
    }
}

/// Starts an ssh for each connection.
#[derive(Clone)]
struct Dial {
    host: String,
    said: Said,
}

impl tower_service::Service<Uri> for Dial {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pipe>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let begun = begin(&self.host, &self.said);
        Box::pin(async move { begun })
    }
}

/// `ssh` with the other side of the connection at its standard streams.
fn begin(host: &str, said: &Said) -> io::Result<Pipe> {
    let mut command = Command::new("ssh");
    command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-T"]);
    command.args(words(host));
    command.args(["docker", "system", "dial-stdio"]).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(errors) = child.stderr.take() {
        said.hear(errors);
    }
    match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => {
            Ok(Pipe { input: TokioIo::new(input), output: TokioIo::new(output), _child: child })
        }
        _ => Err(io::Error::other("ssh has no standard streams")),
    }
}

/// A connection through a child's standard streams.
struct Pipe {
    input: TokioIo<ChildStdin>,
    output: TokioIo<ChildStdout>,
    _child: Child,
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}
