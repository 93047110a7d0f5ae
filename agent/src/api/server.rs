//! The server: few connections, short ones, plain or over TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::access::{Access, Caller};
use super::answer::{Answer, Body, answer};
use super::http::{self, Stream};
use super::{Request as Ask, Shared, change};
use crate::clock::Moment;
use crate::config::{Address, RestApi};
use crate::decide::Process;
use crate::tls;

const CONNECTIONS: usize = 64;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a question about WAL positions waits for a fresh look, and what is fresh to people and to proxies.
const LOOK: Duration = Duration::from_millis(500);
const FRESH: Duration = Duration::from_millis(100);

/// How REST is served: what a reload may change.
pub struct Rest {
    listen: Address,
    pub(super) access: Access,
    acceptor: Option<TlsAcceptor>,
    extra_headers: Vec<(String, String)>,
    server: String,
}

impl Rest {
    /// Reads the certificates and looks the allowlist's names up.
    pub async fn new(rest: &RestApi) -> Result<Rest, tls::Error> {
        let acceptor = rest.tls.as_ref().map(|tls| tls::server(tls).map(TlsAcceptor::from)).transpose()?;
        Ok(Rest {
            listen: rest.listen.clone(),
            access: Access::new(rest).await,
            acceptor,
            extra_headers: rest.extra_headers.clone(),
            server: rest.server.clone(),
        })
    }
}

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

/// Serves until the process ends; follows `settings`, also to another address.
pub async fn serve(mut listener: TcpListener, mut settings: watch::Receiver<Arc<Rest>>, shared: Shared) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut rest = settings.borrow_and_update().clone();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let (rest, shared) = (rest.clone(), shared.clone());
                    tokio::spawn(async move {
                        connection(stream, from, &rest, &shared).await;
                        drop(place);
                    });
                }
                // Out of file descriptors, most likely.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            changed = settings.changed() => {
                if changed.is_err() {
                    return;
                }
                let new = settings.borrow_and_update().clone();
                if new.listen != rest.listen {
                    match bind(&new.listen).await {
                        Ok(elsewhere) => listener = elsewhere,
                        Err(error) => tracing::error!("{error}"),
                    }
                }
                rest = new;
            }
        }
    }
}

async fn connection(stream: TcpStream, from: SocketAddr, rest: &Rest, shared: &Shared) {
    let (stream, has_certificate): (Box<dyn Stream>, bool) = match &rest.acceptor {
        None => (Box::new(stream), false),
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let known = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
                (Box::new(stream), known)
            }
            Ok(Err(error)) => return tracing::debug!("TLS with {from}: {error}"),
            Err(_) => return,
        },
    };
    let (stream, answer) = match http::read(stream).await {
        None => return,
        Some(Err((stream, answer))) => (stream, answer),
        Some(Ok(mut request)) => {
            let answer = respond(&mut request, from, has_certificate, rest, shared).await;
            tracing::debug!("REST: {from} {} {} {}", request.method, request.path, answer.code);
            (request.into_stream(), answer)
        }
    };
    http::write(stream, &answer, &rest.server, &rest.extra_headers).await;
}

async fn respond(
    request: &mut http::Request,
    from: SocketAddr,
    has_certificate: bool,
    rest: &Rest,
    shared: &Shared,
) -> Answer {
    if matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        let asked = Moment::now();
        let for_peers = is_for_peers(&request.path);
        let age = if for_peers { Duration::ZERO } else { FRESH };
        let fresh = !wants_positions(&request.path) || look_after(shared, asked, age).await;
        let view = shared.view.borrow().clone();
        let answer = answer(&request.method, &request.path, &request.query, &view, &shared.scope, view.made);
        let known = fresh && view.pg.server.as_ref().is_none_or(|server| server.known_position().is_some());
        return if for_peers && !known { without_positions(answer) } else { answer };
    }
    let Some(call) = change::Call::of(&request.method, request.route()) else {
        return Answer::error(501, &format!("Unsupported method ('{}')", request.method));
    };
    if let Some(counts_members) = call.is_guarded() {
        let authorization = request.header("authorization").map(str::to_owned);
        let caller = Caller { address: from.ip(), has_certificate, authorization: authorization.as_deref() };
        let view = shared.view.borrow().clone();
        if let Some(refusal) = rest.access.refusal(&caller, &view, counts_members).await {
            return refusal;
        }
    }
    change::perform(call, request, shared).await
}

/// Peers in a race, and people, read positions from these.
fn wants_positions(path: &str) -> bool {
    matches!(path.trim_end_matches('/'), "" | "/patroni" | "/metrics" | "/replica" | "/read-only")
}

/// Peers in a race ask this route, and count the answer as a vote.
fn is_for_peers(path: &str) -> bool {
    path.trim_end_matches('/') == "/patroni"
}

/// A status that peers count as no vote. Patroni tells no positions either if PostgreSQL does not answer it.
fn without_positions(mut answer: Answer) -> Answer {
    if let Body::Json(text) = &mut answer.body
        && let Ok(Value::Object(mut status)) = serde_json::from_str(text)
    {
        status.shift_remove("xlog");
        *text = Value::Object(status).to_string();
    }
    answer
}

/// Waits for a look at PostgreSQL that began later than `asked`, or less than `age` before; false if it is not had in
/// time.
///
/// A look that began before a peer's question may miss what was acknowledged in between: as a vote in quorum mode it
/// would let a node lead that lacks an acknowledged write.
async fn look_after(shared: &Shared, asked: Moment, age: Duration) -> bool {
    let counts = |observed: Moment| observed > asked || asked.since(observed) < age;
    let mut views = shared.view.clone();
    let look = async {
        loop {
            let seen = {
                let view = views.borrow_and_update();
                // A PostgreSQL that is down has no news, and peers in a race wait for the answer.
                if view.pg.process != Process::Up || counts(view.pg.observed) {
                    return true;
                }
                view.pg.observed
            };
            // A look that is under way answers no question that came after its start: then it is asked for again.
            if shared.requests.send(Ask::Look).await.is_err()
                || views.wait_for(|view| view.pg.observed > seen || view.pg.process != Process::Up).await.is_err()
            {
                return false;
            }
        }
    };
    tokio::time::timeout(LOOK, look).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::peers;
    use crate::decide::testing;
    use tokio::sync::mpsc;

    /// A loop whose looks each begin at the time that is given.
    fn shared(begins: &'static [Moment]) -> Shared {
        let mut view = testing::replica();
        view.pg.observed = Moment(1000);
        let (views, view) = watch::channel(Arc::new(view));
        let (requests, mut asked) = mpsc::channel(8);
        tokio::spawn(async move {
            for begin in begins {
                asked.recv().await;
                views.send_modify(|view| Arc::make_mut(view).pg.observed = *begin);
            }
            // The last look hangs; whoever waits is not told that the loop is gone.
            std::future::pending::<()>().await;
        });
        Shared {
            view,
            requests,
            scope: "c".into(),
            peers: watch::channel(peers::Access::new(&Default::default()).unwrap()).1,
        }
    }

    #[tokio::test]
    async fn a_look_that_began_before_the_question_does_not_count() {
        let asked = Moment(2000);
        assert!(look_after(&shared(&[Moment(1500), Moment(2001)]), asked, Duration::ZERO).await);
        assert!(!look_after(&shared(&[Moment(1500), Moment(2000)]), asked, Duration::ZERO).await);
        assert!(look_after(&shared(&[Moment(1950)]), asked, FRESH).await);
    }

    #[test]
    fn a_status_that_is_not_fresh_tells_no_positions() {
        let status = testing::replica();
        let told = answer("GET", "/patroni", "", &status, "c", status.made);
        assert!(matches!(&told.body, Body::Json(text) if text.contains("\"xlog\"")), "{told:?}");
        let kept = without_positions(told);
        assert!(
            matches!(&kept.body, Body::Json(text) if !text.contains("xlog") && text.contains("\"role\"")),
            "{kept:?}"
        );
    }
}
