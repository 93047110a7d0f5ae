//! What a command can fail with, and the exit code of each.

use std::io::ErrorKind;
use std::process::ExitCode;

use super::{Globals, exit, output};
use crate::attach::AttachError;
use crate::deploy::DeployError;
use crate::engine::EngineError;
use crate::images::ImageError;
use crate::lab::{Code, Diagnostic, LabError};
use crate::mutants::MutantError;
use crate::observe::SqlError;
use crate::report::ReportError;
use crate::verify::VerifyError;
use crate::verify::recheck::RecheckError;

/// A command failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CliError {
    /// With nodes or deployments.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Deploy(#[from] DeployError),
    /// A cluster that cannot be attached to.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Attach(#[from] AttachError),
    /// The container engine.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] EngineError),
    /// With stand-in images.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Images(#[from] ImageError),
    /// The lab is not sound.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lab(#[from] LabError),
    /// A file or folder of labs.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Finding(Box<Diagnostic>),
    /// A project's folder that cannot be read as one.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lint(Box<Diagnostic>),
    /// A code that there is not.
    #[error("there is no code {code}")]
    #[diagnostic(code(LR0404))]
    UnknownCode {
        /// The code.
        code: String,
        /// What to do.
        #[help]
        help: String,
    },
    /// PostgreSQL refused a statement.
    #[error("{0}")]
    #[diagnostic(code(LR0401))]
    Sql(SqlError),
    /// A role that nobody has.
    #[error("nobody is {role}{why}")]
    #[diagnostic(code(LR0402), help("see who is who: labrun status"))]
    NoOne {
        /// The role.
        role: String,
        /// `: …`, where something is known.
        why: String,
    },
    /// Faults that are still in effect.
    #[error("not everything could be undone: {0}")]
    #[diagnostic(code(LR0405), help("look at the node: labrun status; `labrun destroy` removes it with all faults"))]
    NotHealed(String),
    /// A fault that cannot be injected.
    #[error("`{fault}` is not in effect: {why}")]
    #[diagnostic(code(LR0406), help("what each fault needs: labrun faults; undo what was begun: labrun heal"))]
    NoFault {
        /// The fault.
        fault: String,
        /// Why not.
        why: String,
    },
    /// A verification could not begin, or not be kept.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Verify(#[from] VerifyError),
    /// Nobody steps.
    #[error("no stepping session is under way on {0}")]
    #[diagnostic(code(LR0407), help("one begins with: labrun step"))]
    NoSession(String),
    /// A stepping session that refused what it was asked for.
    #[error("{0}")]
    #[diagnostic(code(LR0408))]
    Refused(String),
    /// A stepping session that did not begin, or broke down.
    #[error("the stepping session ended: {0}")]
    #[diagnostic(code(LR0409), help("undo what it left: labrun heal; begin a new one: labrun step"))]
    SessionFailed(String),
    /// A run cannot be judged again.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recheck(#[from] RecheckError),
    /// A lab's mutants.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mutants(#[from] MutantError),
    /// A report could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Report(#[from] ReportError),
    /// A stream or file of the command itself.
    #[error("cannot {what}: {source}")]
    #[diagnostic(code(LR0403))]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

impl From<Diagnostic> for CliError {
    fn from(finding: Diagnostic) -> Self {
        CliError::Finding(Box::new(finding))
    }
}

impl CliError {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Lab(_) => exit::USAGE,
            CliError::Finding(finding) if matches!(finding.code, Code::Unwritable | Code::Unreadable) => exit::FAILURE,
            CliError::Finding(_) | CliError::Lint(_) | CliError::UnknownCode { .. } => exit::USAGE,
            CliError::Sql(_) => exit::SQL,
            CliError::NoOne { .. } | CliError::Report(ReportError::NoRun { .. }) => exit::NOT_FOUND,
            CliError::Mutants(MutantError::Io { .. }) => exit::FAILURE,
            CliError::Mutants(_) => exit::USAGE,
            CliError::NoSession(_) => exit::NOT_FOUND,
            CliError::Refused(_) => exit::USAGE,
            CliError::NotHealed(_) | CliError::NoFault { .. } | CliError::SessionFailed(_) => exit::FAILURE,
            CliError::Verify(VerifyError::UnknownPart { .. } | VerifyError::CannotFault { .. })
            | CliError::Report(ReportError::Template { .. } | ReportError::Unreadable { .. }) => exit::USAGE,
            CliError::Images(ImageError::Interrupted) => exit::INTERRUPTED,
            CliError::Engine(_) | CliError::Images(_) => exit::FAILURE,
            CliError::Recheck(RecheckError::NoHistory { .. }) => exit::INCONCLUSIVE,
            CliError::Verify(_) | CliError::Report(_) | CliError::Recheck(_) => exit::FAILURE,
            CliError::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe => exit::OK,
            CliError::Io { .. } => exit::FAILURE,
            CliError::Deploy(error) | CliError::Attach(AttachError::Deploy(error)) => of_deploy(error),
            CliError::Attach(AttachError::Engine(_)) => exit::FAILURE,
            CliError::Attach(AttachError::NotThere { .. } | AttachError::NoContainer { .. }) => exit::NOT_FOUND,
            CliError::Attach(_) => exit::USAGE,
        }
    }

    /// Say it on stderr (as JSON on stdout where programs read), and give the exit code.
    pub fn report(self, globals: &Globals) -> ExitCode {
        let code = self.exit_code();
        // Whoever reads us has had enough: that is no failure.
        if matches!(&self, CliError::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe) {
            return ExitCode::from(code);
        }
        if globals.json {
            let diagnostic: &dyn miette::Diagnostic = &self;
            let text = |part: Option<Box<dyn std::fmt::Display + '_>>| part.map(|part| part.to_string());
            let mut error = serde_json::json!({
                "error": {
                    "message": self.to_string(),
                    "code": text(diagnostic.code()),
                    "help": text(diagnostic.help()),
                    "exit_code": code,
                }
            });
            if let CliError::Lab(lab) = &self {
                error["error"]["diagnostics"] = serde_json::json!(lab.diagnostics);
            }
            let _ = output::line(&error.to_string());
        }
        output::tell!("{:?}", miette::Report::new(self));
        ExitCode::from(code)
    }
}

fn of_deploy(error: &DeployError) -> u8 {
    match error {
        DeployError::Locked { .. } => exit::LOCKED,
        DeployError::NoDeployment { .. } | DeployError::UnknownNode { .. } => exit::NOT_FOUND,
        DeployError::Several { .. } | DeployError::BadName { .. } | DeployError::Plan(_) => exit::USAGE,
        DeployError::Differs { .. } => exit::DIFFERS,
        DeployError::Interrupted { .. } => exit::INTERRUPTED,
        _ => exit::FAILURE,
    }
}
