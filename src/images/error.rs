//! What can go wrong with stand-in images. Every error says what to do.

use std::path::PathBuf;

use crate::engine::EngineError;

/// What can go wrong with stand-in images.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ImageError {
    /// The program that makes a base system is not there.
    #[error("mmdebstrap is not installed: it makes the base system of the images")]
    #[diagnostic(code(LR0851), help("install it: apt-get install mmdebstrap"))]
    NoTool,
    /// Neither root nor user namespaces.
    #[error("a base system cannot be made by this user: {why}")]
    #[diagnostic(code(LR0852), help("run it as root (sudo labrun images build), or allow user namespaces: {allow}"))]
    NoRight {
        /// What is missing.
        why: String,
        /// What allows it.
        allow: String,
    },
    /// The base system could not be made.
    #[error("the base system could not be made: mmdebstrap ended with {ended}")]
    #[diagnostic(code(LR0853), help("its last words:\n{last}"))]
    Bootstrap {
        /// How it ended.
        ended: String,
        /// The last lines that it printed.
        last: String,
    },
    /// The engine did not build an image.
    #[error("{image} could not be built: {why}")]
    #[diagnostic(code(LR0854), help("the last lines of the build:\n{last}"))]
    Build {
        /// The image.
        image: String,
        /// The engine's words.
        why: String,
        /// The last lines that the build printed.
        last: String,
    },
    /// An image of that name is there, and is not labrun's.
    #[error("there is an image {image} already, and it is not labrun's stand-in")]
    #[diagnostic(
        code(LR0855),
        help(
            "the official image serves as well: nothing needs to be built. To replace it all the same: \
             labrun images build --force"
        )
    )]
    Foreign {
        /// The image.
        image: String,
    },
    /// Containers use an image that is to go.
    #[error("{image} is in use: {why}")]
    #[diagnostic(
        code(LR0856),
        help("remove what uses it first (docker ps --all --filter ancestor={image}), then try again")
    )]
    InUse {
        /// The image.
        image: String,
        /// The engine's words.
        why: String,
    },
    /// The engine's machine is of another architecture.
    #[error("the engine runs on {engine}, this machine is {here}: the base system would not run there")]
    #[diagnostic(
        code(LR0857),
        help("run `labrun images build` on a machine like the engine's, with DOCKER_HOST set there")
    )]
    Architecture {
        /// The engine's.
        engine: String,
        /// This machine's.
        here: String,
    },
    /// Interrupted by the user.
    #[error("interrupted")]
    #[diagnostic(code(LR0316), help("what was built stays; the same command goes on: labrun images build"))]
    Interrupted,
    /// A file or folder could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    #[diagnostic(code(LR0306))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The engine.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] EngineError),
}

impl ImageError {
    /// For `map_err`: an [`ImageError::Io`] that says what was tried on what.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> ImageError {
        let path = path.into();
        move |source| ImageError::Io { what, path, source }
    }
}
