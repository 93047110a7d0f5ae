//! Why a cluster cannot be attached to. Every error says what to do.

use std::path::PathBuf;

use crate::deploy::DeployError;
use crate::engine::EngineError;
use crate::lab::Diagnostic;

/// Why a cluster cannot be attached to.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum AttachError {
    /// No container of the project is there.
    #[error("no container of {project} is there")]
    #[diagnostic(code(LR0861), help("start it first: docker compose up -d --build{known}"))]
    NotThere {
        /// The project, as it was asked for.
        project: String,
        /// The projects that are there.
        known: String,
    },
    /// Several projects were started from the folder.
    #[error("several projects were started from {}: {projects}", dir.display())]
    #[diagnostic(code(LR0862), help("say which: --attach docker:PROJECT"))]
    Several {
        /// The folder.
        dir: PathBuf,
        /// Their names.
        projects: String,
    },
    /// A service has no container.
    #[error("the service `{service}` has no container")]
    #[diagnostic(code(LR0863), help("start the whole project: docker compose up -d --build"))]
    NoContainer {
        /// The service.
        service: String,
    },
    /// Its files cannot be read as what they are.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Files(#[from] Box<Diagnostic>),
    /// The lab wants more nodes of a kind than there are.
    #[error("the lab has {wanted} {kind} node(s), the cluster {found}: {names}")]
    #[diagnostic(
        code(LR0864),
        help(
            "postgres is what runs Patroni with a configuration, zookeeper what has its image or ZOOKEEPER_*, haproxy what \
             reads haproxy.cfg; labrun lint says what is missing in a project"
        )
    )]
    Lacks {
        /// The kind.
        kind: &'static str,
        /// How many the lab has.
        wanted: usize,
        /// How many there are.
        found: usize,
        /// What was found, and what each is.
        names: String,
    },
    /// A port of a node cannot be reached from this machine.
    #[error("{node}: its port {port} ({what}) cannot be reached from this machine")]
    #[diagnostic(code(LR0865), help("publish it: under `ports` of the service write \"{port}:{port}\""))]
    NoWay {
        /// The node.
        node: String,
        /// The port in its container.
        port: u16,
        /// What answers there.
        what: &'static str,
    },
    /// A file of endpoints that makes no sense.
    #[error("{}: {why}", path.display())]
    #[diagnostic(code(LR0866), help("its format: labrun schema endpoints, and docs/attach.md"))]
    BadEndpoints {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The name is that of a deployment that labrun made.
    #[error("{name} is a deployment that labrun made itself")]
    #[diagnostic(code(LR0867), help("attach under another name: --name NAME"))]
    NotAttached {
        /// The name.
        name: String,
    },
    /// The deployment's folder, lock or state.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Deploy(#[from] DeployError),
    /// The engine.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] EngineError),
}
