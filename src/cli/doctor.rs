//! `labrun doctor`.

use super::deploy::USUAL_LAB;
use super::{CliError, Globals, exit, output};
use crate::deploy::doctor::{Finding, Level, examine, examine_engine};
use crate::deploy::{BackendKind, DeployError, sketch_for};
use crate::lab;

/// Check this machine for a lab.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The lab whose programs and ports are looked at.
    #[arg(default_value = USUAL_LAB, hide_default_value = true)]
    lab: String,
    /// Add N to every published port.
    #[arg(long, value_name = "N", default_value_t = 0)]
    port_offset: u16,
    /// Where nodes are to run: as processes of this machine, or in containers.
    #[arg(long, value_name = "BACKEND", default_value = "local")]
    backend: BackendKind,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let loaded = lab::load(&self.lab)?;
        let plan = sketch_for(&loaded, self.port_offset, self.backend).map_err(DeployError::from)?;
        let findings = match self.backend {
            BackendKind::Docker => examine_engine(&plan, &globals.output).await,
            BackendKind::Local | BackendKind::Attached => examine(&plan, &globals.output),
        };
        let ready = findings.iter().all(|finding| finding.level != Level::Error);
        if globals.json {
            output::json(&serde_json::json!({"ready": ready, "findings": findings}))?;
        } else {
            let verdict = if ready { "this machine can run the lab" } else { "this machine cannot run the lab yet" };
            let lines: String = findings.iter().map(|finding| line(finding, globals.colors_out())).collect();
            output::print(&format!("{lines}{verdict}\n"))?;
        }
        Ok(if ready { exit::OK } else { exit::FAILURE })
    }
}

fn line(finding: &Finding, colors: bool) -> String {
    let (word, color) = match finding.level {
        Level::Ok => ("ok", 32),
        Level::Warning => ("warning", 33),
        Level::Error => ("missing", 31),
    };
    let word = if colors { format!("\x1b[{color}m{word:<8}\x1b[0m") } else { format!("{word:<8}") };
    let remedy = finding.remedy.as_ref().map(|remedy| format!("\n{:28}-> {remedy}", "")).unwrap_or_default();
    // A subject may be longer than its column.
    format!("{word}{:<19} {}{remedy}\n", finding.subject, finding.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_to_do() {
        let found = |level, remedy: Option<&str>| Finding {
            subject: "HAProxy".into(),
            level,
            found: "not in PATH".into(),
            remedy: remedy.map(str::to_owned),
        };
        assert_eq!(line(&found(Level::Ok, None), false), "ok      HAProxy             not in PATH\n");
        let missing = line(&found(Level::Error, Some("apt-get install haproxy")), false);
        assert_eq!(
            missing,
            "missing HAProxy             not in PATH\n                            -> apt-get install haproxy\n"
        );
        let long = Finding { subject: "confluentinc/cp-zookeeper:7.7.1".into(), ..found(Level::Ok, None) };
        assert!(line(&long, false).contains("7.7.1 not in PATH"));
        assert!(line(&found(Level::Warning, None), true).starts_with("\x1b[33mwarning"));
    }
}
