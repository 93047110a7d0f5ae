//! An engine on another machine: `ssh HOST docker system dial-stdio`, the way that Docker's own client takes.
//! ssh's configuration, keys and known hosts are the user's own; it asks nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The engine of `host`: `user@host` or `user@host:port`.
pub fn connect(host: &str, limit_s: u64) -> Result<Docker, bollard::errors::Error> {
    let client = Client::builder(TokioExecutor::new()).build(Dial { host: host.to_owned() });
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
    Docker::connect_with_custom_transport(transport, Some("http://docker"), limit_s, API_DEFAULT_VERSION)
}

/// Starts an ssh for each connection.
#[derive(Clone)]
struct Dial {
    host: String,
}

impl tower_service::Service<Uri> for Dial {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pipe>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let begun = begin(&self.host);
        Box::pin(async move { begun })
    }
}

/// `ssh` with the other side of the connection at its standard streams. What it has to say goes to ours.
fn begin(host: &str) -> io::Result<Pipe> {
    let mut command = Command::new("ssh");
    command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-T"]);
    match host.rsplit_once(':') {
        Some((host, port)) => command.args(["-p", port, "--", host]),
        None => command.args(["--", host]),
    };
    command.args(["docker", "system", "dial-stdio"]).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
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
