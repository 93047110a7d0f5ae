//! What labrun does to one container: look at it, stop and start it, freeze it, run a program in it, read its log.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerInspectResponse, ContainerState};
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, KillContainerOptions, LogsOptions, StopContainerOptions,
};
use futures_util::StreamExt;
use jiff::Timestamp;

use super::{Engine, EngineError};

/// More of a program's output is read, so that it is not held up, but not kept.
const MOST_OUTPUT: usize = 256 << 10;
/// A configuration is a few KiB; more of a file is not read.
const MAX_FILE: usize = 1 << 20;

/// What a program in a container printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output (bounded).
    pub stdout: String,
    /// Standard error (bounded).
    pub stderr: String,
}

/// What a program prints, as it comes in pieces.
#[derive(Default)]
pub(super) struct Pieces {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Pieces {
    pub(super) fn keep(&mut self, piece: &LogOutput) {
        match piece {
            LogOutput::StdErr { message } => keep(&mut self.stderr, message),
            other => keep(&mut self.stdout, other.as_ref()),
        }
    }

    /// All of it, once the program has ended with that exit code.
    pub(super) fn end(self, code: Option<i64>) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let code = code.and_then(|code| i32::try_from(code).ok());
        Ran { code, stdout: text(self.stdout), stderr: text(self.stderr) }
    }
}

/// A container by its name or id.
#[derive(Debug, Clone, Copy)]
pub struct Container<'e> {
    engine: &'e Engine,
    name: &'e str,
}

impl Engine {
    /// The container of that name or id; whether there is one shows when something is asked of it.
    pub fn container<'e>(&'e self, name: &'e str) -> Container<'e> {
        Container { engine: self, name }
    }
}

impl Container<'_> {
    /// All that the engine knows of it.
    pub async fn inspect(&self) -> Result<ContainerInspectResponse, EngineError> {
        let found = self.engine.docker().inspect_container(self.name, None).await;
        found.map_err(self.failed("look at"))
    }

    /// Its state, and how often the engine had to start it again.
    pub async fn state(&self) -> Result<(ContainerState, u32), EngineError> {
        let found = self.inspect().await?;
        let restarts = found.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        Ok((found.state.unwrap_or_default(), restarts))
    }

    /// Start it; fine where it runs.
    pub async fn start(&self) -> Result<(), EngineError> {
        self.engine.docker().start_container(self.name, None).await.map_err(self.failed("start"))
    }

    /// SIGTERM, wait for its end, and SIGKILL after `limit`; fine where it is stopped.
    pub async fn stop(&self, limit: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(limit.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptions { t: Some(seconds), ..Default::default() };
        self.engine.docker().stop_container(self.name, Some(options)).await.map_err(self.failed("stop"))
    }

    /// A signal to its first process; fine where it does not run. The engine starts what was killed again only when told.
    pub async fn kill(&self, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        match self.engine.docker().kill_container(self.name, Some(options)).await.map_err(self.failed("kill")) {
            Err(error) if error.is_conflict() => Ok(()),
            other => other,
        }
    }

    /// Freeze all its processes; fine where they are.
    pub async fn pause(&self) -> Result<(), EngineError> {
        match self.engine.docker().pause_container(self.name).await.map_err(self.failed("freeze")) {
            Err(error) if error.is_conflict() && self.is_paused().await? => Ok(()),
            other => other,
        }
    }

    /// Let its processes go on; fine where they are not frozen.
    pub async fn unpause(&self) -> Result<(), EngineError> {
        match self.engine.docker().unpause_container(self.name).await.map_err(self.failed("thaw")) {
            Err(error @ EngineError::Refused { .. }) if !error.is_missing() && !self.is_paused().await? => Ok(()),
            other => other,
        }
    }

    async fn is_paused(&self) -> Result<bool, EngineError> {
        Ok(self.state().await?.0.paused == Some(true))
    }

    /// Run a program in it. One that takes longer than `limit` is left alone with the container, which is an error.
    pub async fn exec(&self, argv: &[String], env: &[String], limit: Duration) -> Result<Ran, EngineError> {
        self.exec_as(None, argv, env, limit).await
    }

    /// The same, as a user other than the container's own: `0` for its administrator.
    pub async fn exec_as(
        &self,
        user: Option<&str>,
        argv: &[String],
        env: &[String],
        limit: Duration,
    ) -> Result<Ran, EngineError> {
        let what = format!("run {}", argv.first().map_or("nothing", String::as_str));
        match tokio::time::timeout(limit, self.run(user, argv, env, &what)).await {
            Ok(ran) => ran,
            Err(_) => {
                let why = format!("it has not ended after {} ms", limit.as_millis());
                Err(EngineError::Refused { what: format!("{what} in {}", self.name), status: 408, why })
            }
        }
    }

    async fn run(&self, user: Option<&str>, argv: &[String], env: &[String], what: &str) -> Result<Ran, EngineError> {
        let docker = self.engine.docker();
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(argv.to_vec()),
            env: Some(env.to_vec()),
            user: user.map(str::to_owned),
            ..Default::default()
        };
        let made = docker.create_exec(self.name, options).await.map_err(self.failed(what))?;
        let mut pieces = Pieces::default();
        if let StartExecResults::Attached { mut output, .. } =
            docker.start_exec(&made.id, None).await.map_err(self.failed(what))?
        {
            while let Some(piece) = output.next().await {
                pieces.keep(&piece.map_err(self.failed(what))?);
            }
        }
        let ended = docker.inspect_exec(&made.id).await.map_err(self.failed(what))?;
        Ok(pieces.end(ended.exit_code))
    }

    /// What it has printed after `mark`, and the mark of its end: the time of the last line, in ns. 0 is before all.
    pub async fn logs(&self, mark: u64) -> Result<(String, u64), EngineError> {
        let since = i32::try_from(mark / 1_000_000_000).unwrap_or(i32::MAX);
        let options = LogsOptions { stdout: true, stderr: true, timestamps: true, since, ..self.all_lines() };
        let mut stream = self.engine.docker().logs(self.name, Some(options));
        let (mut text, mut last) = (String::new(), mark);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(self.failed("read the log of"))?;
            let line = String::from_utf8_lossy(piece.as_ref());
            let Some((at, line)) = timed(&line) else { continue };
            if at > mark {
                text.push_str(line);
                last = last.max(at);
            }
        }
        Ok((text, last))
    }

    /// A text in it, also where it does not run.
    pub async fn file(&self, path: &str) -> Option<String> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let mut stream = Box::pin(self.engine.docker().download_from_container(self.name, Some(options)));
        let mut archive = Vec::new();
        while let Some(piece) = stream.next().await {
            archive.extend_from_slice(&piece.ok()?);
            if archive.len() > MAX_FILE {
                return None;
            }
        }
        first_file(&archive)
    }

    fn all_lines(&self) -> LogsOptions {
        LogsOptions { tail: "all".to_owned(), ..Default::default() }
    }

    fn failed(&self, what: &str) -> impl FnOnce(bollard::errors::Error) -> EngineError {
        let (what, container) = (format!("{what} {}", self.name), self.name.to_owned());
        let other = self.engine.failed(what);
        move |error| match other(error) {
            EngineError::Refused { status: 404, why, .. } if why.contains("o such container") => {
                EngineError::NoContainer { container }
            }
            error => error,
        }
    }
}

fn first_file(archive: &[u8]) -> Option<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().ok()?;
    let mut file = entries.filter_map(Result::ok).find(|entry| entry.header().entry_type().is_file())?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut file, &mut text).ok()?;
    Some(text)
}

fn keep(kept: &mut Vec<u8>, more: &[u8]) {
    let room = MOST_OUTPUT.saturating_sub(kept.len());
    kept.extend_from_slice(&more[..more.len().min(room)]);
}

/// A line and its time in ns, from `2026-11-23T06:12:40.123456789Z the line`.
fn timed(line: &str) -> Option<(u64, &str)> {
    let (time, line) = line.split_once(' ')?;
    let at: Timestamp = time.parse().ok()?;
    Some((u64::try_from(at.as_nanosecond()).ok()?, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_is_marked_by_its_time() {
        let at = "2026-11-23T06:12:40.000000002Z";
        let stamped = format!("{at} a line\n");
        let (mark, line) = timed(&stamped).unwrap();
        assert_eq!((mark % 1_000_000_000, line), (2, "a line\n"));
        assert_eq!(timed("no time\n"), None);
    }

    #[test]
    fn much_output_is_kept_up_to_its_bound() {
        let mut kept = vec![0; MOST_OUTPUT - 1];
        keep(&mut kept, b"abc");
        assert_eq!((kept.len(), kept.last()), (MOST_OUTPUT, Some(&b'a')));
    }

    #[test]
    fn a_file_is_taken_out_of_its_archive() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(8);
        archive.append_data(&mut header, "postgres0.yml", &b"scope: c"[..]).unwrap();
        assert_eq!(first_file(&archive.into_inner().unwrap()).as_deref(), Some("scope: c"));
        assert_eq!(first_file(b"nonsense"), None);
    }
}
