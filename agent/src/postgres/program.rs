//! Running PostgreSQL's programs: without our configuration in their environment, killed if they are given
//! up, and with the end of what they print as the reason of a failure.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::Error;
use crate::config::is_patroni_variable;

/// Of a failed program's output, this many bytes of its end are kept.
const KEPT: usize = 2000;

/// A command whose environment holds no `PATRONI_*` variable and whose messages are English.
pub(super) fn command(program: &Path) -> Command {
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
