//! Running programs, PostgreSQL's and the user's: without our configuration in their environment, killed if they
//! are given up. Of PostgreSQL's the end of what they print becomes the reason of a failure; the user's print into
//! our log.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;

use super::Error;
use crate::config::{is_patroni_variable, words};

/// Of a failed program's output, this many bytes of its end are kept.
const KEPT: usize = 2000;

/// A command whose environment holds no `PATRONI_*` variable and whose messages are English.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_patroni_variable) {
            command.env_remove(name);
        }
    }
    command.env("LC_MESSAGES", "C").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end; its standard output, or the reason of its failure.
pub(super) async fn run(mut command: Command) -> Result<String, Error> {
    let program = Path::new(command.as_std().get_program()).to_path_buf();
    let output = command.output().await.map_err(|source| Error::Program { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(KEPT)..]).trim().replace('\n', " / ");
    Err(Error::Failed {
        program: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        status: output.status.to_string(),
        output: text,
    })
}

/// Runs a command line of the user's with further arguments, in our working directory and without a shell. If it is
/// given up, its children are killed with it.
pub(super) async fn call(line: &str, arguments: &[String], environment: &[(&str, &str)]) -> Result<(), Error> {
    let words = words(line).ok_or_else(|| Error::Other(format!("`{line}` is no command")))?;
    let mut command = command(Path::new(&words[0]));
    command.args(&words[1..]).args(arguments).envs(environment.iter().copied());
    to_its_end(command).await
}

/// Runs a line as PostgreSQL runs its commands: by the shell, in the data directory.
pub(super) async fn shell(line: &str, data_dir: &Path) -> Result<(), Error> {
    let mut command = command(Path::new("/bin/sh"));
    command.args(["-c", line]).current_dir(data_dir);
    to_its_end(command).await
}

async fn to_its_end(mut command: Command) -> Result<(), Error> {
    let program = Path::new(command.as_std().get_program()).to_path_buf();
    command.process_group(0);
    let mut child = command.spawn().map_err(|source| Error::Program { program: program.clone(), source })?;
    let mut group = Group(child.id());
    let status = child.wait().await.map_err(|source| Error::Program { program: program.clone(), source })?;
    group.0 = None;
    if status.success() {
        return Ok(());
    }
    let program = program.display().to_string();
    Err(Error::Failed { program, status: status.to_string(), output: "see above".into() })
}

/// A process group that ends when this is dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = killpg(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_users_program_gets_its_words_and_no_secrets_and_dies_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        let script = format!("printf \'%s|\' \"$@\" > {0}; env >> {0}", told.display());
        let line = format!("/bin/sh -c '{}' name 'two words'", script.replace('\'', "'\\''"));
        call(&line, &["--a=b c".into()], &[("EXTRA", "here")]).await.unwrap();
        let text = std::fs::read_to_string(&told).unwrap();
        assert!(text.starts_with("two words|--a=b c|") && text.contains("EXTRA=here"), "{text}");
        assert!(!text.contains("PATRONI_"), "{text}");
        assert!(call("/bin/sh -c 'exit 3'", &[], &[]).await.unwrap_err().to_string().contains('3'));
        assert!(call("'", &[], &[]).await.is_err());

        let pid = dir.path().join("pid");
        let line = format!("/bin/sh -c 'sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait'", pid.display());
        let running = tokio::spawn(async move { call(&line, &[], &[]).await });
        while !pid.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let child: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        running.abort();
        while crate::postgres::postmaster::is_alive(child) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
