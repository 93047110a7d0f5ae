//! What can go wrong with nodes and deployments. Every error says what to do.

use std::path::PathBuf;

/// What can go wrong with nodes and deployments.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DeployError {
    /// A program is not installed.
    #[error("{program} is not installed: {looked}")]
    #[diagnostic(code(LR0301), help("install it: {package}"))]
    MissingProgram {
        /// The program.
        program: String,
        /// Where it was looked for.
        looked: String,
        /// How it is installed (`apt-get install haproxy`).
        package: String,
    },
    /// A port of the host is taken.
    #[error("port {port} on 127.0.0.1, published by {node}, is taken{holder}")]
    #[diagnostic(code(LR0302), help("free it, or move all published ports: --port-offset 10000"))]
    PortTaken {
        /// The port.
        port: u16,
        /// The node that publishes it.
        node: String,
        /// Who holds it: ` by NAME (pid N)`, where that could be found.
        holder: String,
    },
    /// A node did not become what it should in time.
    #[error("{node} is not up after {after_s} s: {last_status}")]
    #[diagnostic(code(LR0303), help("{evidence}"))]
    NotUp {
        /// The node, or `the cluster`.
        node: String,
        /// How long was waited.
        after_s: u64,
        /// What was not yet true.
        last_status: String,
        /// What each guilty node is doing, and the last lines of its log.
        evidence: String,
    },
    /// There is no such node.
    #[error("there is no node `{node}` in {deployment} (its nodes: {known})")]
    #[diagnostic(code(LR0304))]
    UnknownNode {
        /// As it was asked for.
        node: String,
        /// The deployment.
        deployment: String,
        /// All nodes.
        known: String,
    },
    /// Something is left after a destroy.
    #[error("{deployment} is not wholly destroyed: {left}")]
    #[diagnostic(code(LR0305), help("run `labrun destroy` again; if it stays, look at the processes named above"))]
    Left {
        /// The deployment.
        deployment: String,
        /// What is left.
        left: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    #[diagnostic(code(LR0306))]
    Io {
        /// What was tried (`write`).
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A process could not be started, signalled or awaited.
    #[error("{what}: {why}")]
    #[diagnostic(code(LR0307))]
    Process {
        /// What was tried.
        what: String,
        /// Why not.
        why: String,
    },
    /// There is no such deployment.
    #[error("there is no deployment {}in {}", name.as_ref().map(|n| format!("`{n}` ")).unwrap_or_default(), output.display())]
    #[diagnostic(code(LR0308), help("{known}"))]
    NoDeployment {
        /// The name that was asked for, where one was.
        name: Option<String>,
        /// The output folder.
        output: PathBuf,
        /// Which ones there are, or how to make one.
        known: String,
    },
    /// Several deployments, and none was named.
    #[error("there are several deployments in {}: {names}", output.display())]
    #[diagnostic(code(LR0309), help("say which: --name NAME"))]
    Several {
        /// The output folder.
        output: PathBuf,
        /// Their names.
        names: String,
    },
    /// Another command changes the deployment at this moment.
    #[error("{deployment} is being changed by `{command}` (pid {pid})")]
    #[diagnostic(
        code(LR0310),
        help("wait for its end, or stop it: kill {pid} (a stepping session: labrun step --quit)")
    )]
    Locked {
        /// The deployment.
        deployment: String,
        /// The process that holds the lock.
        pid: i32,
        /// Its command.
        command: String,
    },
    /// The state file makes no sense.
    #[error("the state file {} cannot be understood: {why}", path.display())]
    #[diagnostic(code(LR0311), help("`labrun destroy` removes the deployment all the same"))]
    BadState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The deployment exists, and was made from something else.
    #[error("{deployment} is deployed already, and differs from what is asked for now:\n{differences}")]
    #[diagnostic(
        code(LR0312),
        help("remove it first: labrun destroy --name {deployment}; or deploy beside it: --name OTHER")
    )]
    Differs {
        /// The deployment.
        deployment: String,
        /// What differs, one line each.
        differences: String,
    },
    /// No block of loopback addresses is free.
    #[error("no block of loopback addresses has its ports free; the last one tried: {address} is taken{holder}")]
    #[diagnostic(
        code(LR0313),
        help(
            "a server that listens on all addresses (0.0.0.0) takes its port from every node: stop it while the lab runs"
        )
    )]
    NoAddresses {
        /// The address that was taken.
        address: std::net::SocketAddr,
        /// Who holds it: ` by NAME (pid N)`, where that could be found.
        holder: String,
    },
    /// The user that should run the nodes cannot.
    #[error("nodes cannot run as user `{user}`: {why}")]
    #[diagnostic(code(LR0314), help("name another one: --user NAME (PostgreSQL refuses to run as root)"))]
    BadUser {
        /// The user.
        user: String,
        /// Why not.
        why: String,
    },
    /// A name that cannot be a deployment's.
    #[error("`{name}` cannot be a deployment's name")]
    #[diagnostic(code(LR0315), help("lower-case letters, digits and dashes, at most 40, a letter or digit first"))]
    BadName {
        /// As it was asked for.
        name: String,
    },
    /// A node of a cluster anywhere, without a command for what is to be done.
    #[error("{node} cannot be acted on: its description has no command to {act} it")]
    #[diagnostic(code(LR0868), help("write one in the file of endpoints: `commands: {{{act}: [PROGRAM, WORD, …]}}`"))]
    NoCommand {
        /// The node.
        node: String,
        /// What is to be done.
        act: &'static str,
    },
    /// The nodes' own network does not come up.
    #[error("the network of {deployment} does not come up: {why}")]
    #[diagnostic(
        code(LR0317),
        help(
            "faults of the network need `ip`, `nft`, and the right to make network namespaces: as root, or where the kernel gives user namespaces to everybody"
        )
    )]
    Network {
        /// The deployment.
        deployment: String,
        /// Why not.
        why: String,
    },
    /// The lab cannot be planned.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(#[from] crate::topology::PlanError),
    /// The container engine.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// What this machine hands in to an image.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Images(#[from] crate::images::ImageError),
    /// A deployment in containers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Docker(#[from] super::docker::DockerError),
    /// A signal asked labrun to stop.
    #[error("interrupted")]
    #[diagnostic(code(LR0316), help("{left}"))]
    Interrupted {
        /// What is left and how to remove it.
        left: String,
    },
}

impl DeployError {
    /// For `map_err`: an [`DeployError::Io`] that says what was tried on what.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> DeployError {
        let path = path.into();
        move |source| DeployError::Io { what, path, source }
    }

    /// A process that could not be handled.
    pub fn process(what: impl Into<String>, why: impl std::fmt::Display) -> DeployError {
        DeployError::Process { what: what.into(), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    /// Every code of this file, and of the command line's own errors, has its page.
    #[test]
    fn every_code_is_explained() {
        let sources = [
            include_str!("error.rs"),
            include_str!("../cli/error.rs"),
            include_str!("../engine/error.rs"),
            include_str!("docker/error.rs"),
        ];
        let codes = sources.iter().flat_map(|text| text.split("code(LR").skip(1)).filter_map(|rest| rest.get(..4));
        let codes: Vec<_> = codes.filter(|code| code.chars().all(|c| c.is_ascii_digit())).collect();
        assert!(codes.len() > 18, "{codes:?}");
        for code in codes {
            let page = format!("{}/docs/errors/LR{code}.md", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page}: {error}"));
            assert!(text.starts_with(&format!("# LR{code}: ")) && text.contains("**What to do.**"), "{page}");
        }
    }
}
