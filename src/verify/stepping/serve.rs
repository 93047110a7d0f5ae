//! The session's process: it listens, and carries out the run.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Sender, UnboundedSender, channel, unbounded_channel};

use super::protocol::{self, Line, Outcome, Request};
use super::session::Session;
use super::shared::{Ask, Ear, Shared};
use crate::deploy::{Deployment, Lock};
use crate::lab::Loaded;
use crate::lab::model::Text;
use crate::verify::course::CurrentLab;
use crate::verify::entry::{Along, Options, Verified, VerifyError, verify_along};
use crate::verify::store::StoreError;
use crate::verify::{Cancel, Canceller};

/// How long clients may take to read the last answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a session begins with.
pub struct With {
    /// How long it waits for somebody to ask.
    pub patience: Duration,
    /// What there is to say before anything was done.
    pub notes: Vec<Text>,
}

/// Carry out a session until the run has ended. The deployment's lock is given back before whoever asked last is answered,
/// so that he can go on at once.
pub async fn serve(
    loaded: &Loaded,
    deployment: &Deployment,
    lock: Lock,
    With { patience, notes }: With,
    (canceller, cancel): (Arc<Canceller>, Cancel),
) -> Result<Verified, VerifyError> {
    let dir = &deployment.dir;
    let listener = protocol::listen(dir).map_err(|source| StoreError::Io {
        what: "listen on",
        path: dir.join(protocol::SOCKET),
        source,
    })?;
    let lab = Arc::new(CurrentLab::of(loaded));
    let shared = Arc::new(Shared::new(Arc::clone(&lab), canceller));
    let (asks, queue) = unbounded_channel();
    let (busy, mut all_done) = channel(1);
    let listening = tokio::spawn(accept(listener, Arc::clone(&shared), asks, busy));
    let session = Session::new(Arc::clone(&shared), queue, deployment.clone(), cancel.clone(), patience);
    let options = Options { notes, ..Options::default() };
    let along = Along { lab: &lab, course: &session };
    let consumers: Vec<Box<dyn crate::verify::Consumer>> = vec![Box::new(Ear(Arc::clone(&shared)))];
    let verified = verify_along(along, deployment, &*deployment.backend(), &options, consumers, cancel).await;
    let _ = std::fs::remove_file(dir.join(protocol::SOCKET));
    drop(lock);
    let outcome = match &verified {
        Ok(Verified { run, dir, interrupted }) => {
            Outcome::Ended { dir: dir.clone(), verdict: run.verdict, early: *interrupted }
        }
        Err(error) => Outcome::Broken { why: error.to_string() },
    };
    session.refuse_the_rest(&outcome).await;
    shared.end(&outcome);
    listening.abort();
    let _ = tokio::time::timeout(FAREWELL, all_done.recv()).await;
    verified
}

/// Hear whoever comes. `busy` is held by everybody who is still being answered.
async fn accept(listener: UnixListener, shared: Arc<Shared>, asks: UnboundedSender<Ask>, busy: Sender<()>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&shared), asks.clone(), busy.clone()));
    }
}

async fn answer(stream: UnixStream, shared: Arc<Shared>, asks: UnboundedSender<Ask>, _busy: Sender<()>) {
    let mut line = Line::of(stream);
    // Whoever says nothing that is understood, or has gone, is not answered.
    let Ok(Some(request)) = line.hear::<Request>().await else { return };
    let (client, mut answers) = unbounded_channel();
    match request {
        Request::List => {
            let _ = line.say(&shared.listing()).await;
            return;
        }
        Request::Quit => shared.quit(client),
        request => {
            let _ = asks.send(Ask { request, client });
        }
    }
    drop(asks);
    while let Some(message) = answers.recv().await {
        if line.say(&message).await.is_err() {
            return;
        }
    }
}
