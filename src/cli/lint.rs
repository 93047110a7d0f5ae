//! `labrun lint`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use labrun_agent::supervise::ports;

use super::{CliError, Globals, exit, output};
use crate::import::{Lint, lint};

/// Diagnose a compose project without starting anything.
///
/// Reads docker-compose.yml, Dockerfile, Patroni's YAML files and haproxy.cfg, and tells what will not work or not
/// as meant, with the place in the file. `labrun explain CODE` has more about each finding.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's folder.
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let found = lint(&self.dir, &holder).map_err(|finding| CliError::Lint(Box::new(finding)))?;
        if globals.json {
            output::json(&serde_json::json!({"files": found.files, "findings": found.findings}))?;
        } else {
            for finding in &found.findings {
                output::tell!("{:?}", miette::Report::new(finding.clone()));
            }
            output::line(&summary(&self.dir.display().to_string(), &found))?;
        }
        let bad = found.has_errors() || (self.strict && !found.findings.is_empty());
        Ok(if bad { exit::CHECK_FAILED } else { exit::OK })
    }
}

fn summary(dir: &str, found: &Lint) -> String {
    let warnings = found.findings.iter().filter(|finding| finding.warning).count();
    let errors = found.findings.len() - warnings;
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => format!("ok: {dir}: {} read, nothing to say", counted(found.files, "file")),
        (0, warnings) => format!("ok: {dir}: {}", counted(warnings, "warning")),
        (errors, 0) => format!("broken: {dir}: {}", counted(errors, "error")),
        (errors, warnings) => format!("broken: {dir}: {}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

/// Who holds a port of this machine. The engine's own forwarder may well be this very project, up already.
fn holder(port: u16) -> Option<String> {
    let holder = ports::holder(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
    let program = holder.command.split(' ').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    (program != "docker-proxy").then(|| format!("{program} (process {})", holder.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_listened_on_has_a_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = holder(port).unwrap();
        assert!(told.ends_with(&format!("(process {})", std::process::id())), "{told}");
        drop(listener);
        assert_eq!(holder(port), None);
    }
}
