//! What `labrun step` and a session say to each other: one request, then messages until the session has no more to say;
//! each is a line of JSON.
//!
//! On disk: `step.sock` in the deployment's folder, mode 0600. It is bound and reached by way of an open folder, since the
//! path of a socket may have 107 bytes only. One that nobody listens on was left by a session that was killed.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use super::explained::Explained;
use super::listing::ListedPart;
use crate::lab::model::Text;
use crate::verify::{Stamped, Verdict};

/// The socket's file in a deployment's folder.
pub const SOCKET: &str = "step.sock";

/// What a session is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Say what the next step would do.
    Show,
    /// Do it; after a step that did not pass: go on with what comes next.
    Step,
    /// Go on up to the last step that this means, or to the first that does not pass.
    To(String),
    /// The same to the end.
    All,
    /// Try the step that did not pass again; or go back to the beginning of a check.
    Again(Option<String>),
    /// Say how far it is.
    List,
    /// Stop the clients, undo faults, store the run, and end.
    Quit,
}

/// What a session answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// What the step does that is done next, or would be.
    Shown(Box<Explained>),
    /// Something happened.
    Event(Box<Stamped>),
    /// Something to know.
    Note(Text),
    /// How far it is.
    Listing {
        /// The run.
        run: String,
        /// All parts.
        parts: Vec<ListedPart>,
        /// Whether it waits behind a step that did not pass.
        failed: Option<String>,
    },
    /// That is all for this request.
    Outcome(Outcome),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The session waits.
    Waits {
        /// The worst verdict of the steps that were done for this request.
        verdict: Option<Verdict>,
        /// The step that comes next, or the one that did not pass.
        step: String,
        /// Where that one did not pass: how it can be tried again.
        failed: Option<Again>,
    },
    /// The run came to its end, or was ended; it is stored.
    Ended {
        /// The run's folder.
        dir: PathBuf,
        /// Its verdict.
        verdict: Verdict,
        /// Whether it was ended before it came to its end.
        early: bool,
    },
    /// It cannot be done; nothing was.
    Refused {
        /// Why not.
        why: Text,
    },
    /// The run ended, and cannot be kept.
    Broken {
        /// Why not.
        why: String,
    },
}

/// How a step that did not pass can be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// By itself.
    Alone,
    /// With its check, from the beginning: what it did is in effect.
    WithCheck,
}

impl Again {
    /// How a step can be tried again; `alone` says that nothing it did is in effect.
    pub fn of(alone: bool) -> Again {
        if alone { Again::Alone } else { Again::WithCheck }
    }
}

/// Listen in the deployment's folder. The caller holds its lock, so that a socket that is there is nobody's.
pub fn listen(dir: &Path) -> io::Result<UnixListener> {
    let path = dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = File::open(dir)?;
    let listener = UnixListener::bind(within(&folder))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A line to the session of the deployment in `dir`; none where there is no session.
pub async fn connect(dir: &Path) -> io::Result<Option<Line>> {
    let folder = match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match UnixStream::connect(within(&folder)).await {
        Ok(stream) => Ok(Some(Line::of(stream))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The socket by a short path, as long as the folder is open.
fn within(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

/// One end of the line between the two.
pub struct Line {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Line {
    /// Over a stream.
    pub fn of(stream: UnixStream) -> Line {
        let (reader, writer) = stream.into_split();
        Line { reader: BufReader::new(reader), writer }
    }

    /// Say something.
    pub async fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(what)?;
        text.push(b'\n');
        self.writer.write_all(&text).await
    }

    /// Hear the next; none where the other end has gone.
    pub async fn hear<T: for<'de> Deserialize<'de>>(&mut self) -> io::Result<Option<T>> {
        let mut text = String::new();
        match self.reader.read_line(&mut text).await? {
            0 => Ok(None),
            _ => Ok(Some(serde_json::from_str(&text)?)),
        }
    }
}

/// End the session of the deployment in `dir`, in order, and wait until it has: for whoever takes the deployment down.
/// Where there is none, nothing is done.
pub async fn end(dir: &Path) -> io::Result<()> {
    let Some(mut line) = connect(dir).await? else { return Ok(()) };
    line.say(&Request::Quit).await?;
    while line.hear::<Message>().await?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_lies_in_the_folder_however_long_its_path_is() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        assert!(connect(&deep).await.unwrap().is_none() && connect(&deep.join("gone")).await.unwrap().is_none());
        let listener = listen(&deep).unwrap();
        let mut asking = connect(&deep).await.unwrap().unwrap();
        asking.say(&Request::To("failover/stop".to_owned())).await.unwrap();
        let mut answering = Line::of(listener.accept().await.unwrap().0);
        let request: Option<Request> = answering.hear().await.unwrap();
        assert_eq!(request, Some(Request::To("failover/stop".to_owned())));
        drop(answering);
        assert!(asking.hear::<Message>().await.unwrap().is_none());
        drop(listener);
        assert!(connect(&deep).await.unwrap().is_none(), "a socket that was left is no session");
        listen(&deep).unwrap();
    }

    #[test]
    fn what_changed_the_cluster_is_tried_again_with_its_check() {
        assert_eq!([true, false].map(Again::of), [Again::Alone, Again::WithCheck]);
    }
}
