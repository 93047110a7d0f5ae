//! What can go wrong with a deployment in containers, beyond what the engine itself says.

/// What can go wrong with a deployment in containers.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DockerError {
    /// A base image is neither there nor can it be fetched.
    #[error("the engine has no image {image}, and no registry gave it: {why}")]
    #[diagnostic(
        code(LR0807),
        help("{}", if *stand_in { "without a registry: labrun images build makes a stand-in from Debian packages" } else {
            "docker pull it, or name an image that is there (`image:` of the node in lab.yaml)" })
    )]
    NoImage {
        /// The image.
        image: String,
        /// What the engine said.
        why: String,
        /// Whether labrun can make one.
        stand_in: bool,
    },
    /// An image could not be built.
    #[error("the image {image} could not be built: {why}")]
    #[diagnostic(code(LR0808), help("{help}\nthe build ended with:\n{last}"))]
    Build {
        /// The image.
        image: String,
        /// The engine's words.
        why: String,
        /// What to do.
        help: String,
        /// The last lines that the build printed.
        last: String,
    },
    /// A name is somebody else's.
    #[error("the {kind} {name} is there already, and is not of this deployment: {whose}")]
    #[diagnostic(
        code(LR0809),
        help("remove it yourself if nobody needs it, or deploy under another name: --name OTHER")
    )]
    NameTaken {
        /// Container, network, volume.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Whose it is, as far as its labels say.
        whose: String,
    },
    /// The addresses are another network's.
    #[error("the addresses {subnet} are used by another network: {why}")]
    #[diagnostic(code(LR0810), help("labrun destroy, then labrun deploy: that takes others"))]
    SubnetTaken {
        /// The addresses.
        subnet: String,
        /// The engine's words.
        why: String,
    },
    /// Nodes of an engine on another machine would be reached by nobody here.
    #[error(
        "the engine at {engine} is on another machine: ports that it publishes on its loopback are not reached from here"
    )]
    #[diagnostic(
        code(LR0811),
        help(
            "--publish-on {machine} (or 0.0.0.0) publishes them there; whoever reaches that address then reaches the lab's \
             servers, whose passwords stand in the lab"
        )
    )]
    OnLoopback {
        /// The engine.
        engine: String,
        /// Its machine's address.
        machine: std::net::IpAddr,
    },
}
