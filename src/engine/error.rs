//! What can go wrong with an engine. Every error says what to do.

use bollard::errors::Error;

use super::Address;

/// What can go wrong with an engine.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EngineError {
    /// It does not answer.
    #[error("the container engine at {address} is not reached: {why}")]
    #[diagnostic(code(LR0801), help("{help}"))]
    Unreachable {
        /// Where it should be.
        address: String,
        /// Why not.
        why: String,
        /// What to do.
        help: String,
    },
    /// `DOCKER_HOST` makes no sense.
    #[error("DOCKER_HOST `{address}` is no engine's address: {why}")]
    #[diagnostic(code(LR0802), help("unix:///var/run/docker.sock, tcp://HOST:PORT, or ssh://USER@HOST"))]
    BadAddress {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// It answered no.
    #[error("the engine does not {what}: {why}")]
    #[diagnostic(code(LR0803))]
    Refused {
        /// What was asked for.
        what: String,
        /// The HTTP status of its answer.
        status: u16,
        /// Its words.
        why: String,
    },
    /// It went away in the middle.
    #[error("the connection with the engine broke: {what}: {why}")]
    #[diagnostic(
        code(LR0804),
        help("once it runs again, the same command goes on from what is there; labrun destroy removes that")
    )]
    Lost {
        /// What was asked for.
        what: String,
        /// What was seen.
        why: String,
    },
    /// Its disk is full.
    #[error("the engine's disk is full: {what}: {why}")]
    #[diagnostic(code(LR0805), help("see what takes room: docker system df; then try again"))]
    DiskFull {
        /// What was asked for.
        what: String,
        /// Its words.
        why: String,
    },
    /// There is no such container.
    #[error("the container {container} is not there: somebody has removed it")]
    #[diagnostic(code(LR0806), help("labrun deploy makes it again, and leaves the others as they are"))]
    NoContainer {
        /// Its name.
        container: String,
    },
}

impl EngineError {
    /// An engine that does not answer, with what to do for its kind of address.
    pub fn unreachable(address: &Address, why: String) -> EngineError {
        let help = match address {
            Address::Unix(_) if why.contains("ermission denied") => {
                "your user may not use it: join its group (usermod -aG docker USER), or use a rootless engine"
                    .to_owned()
            }
            Address::Unix(_) => {
                "start it (systemctl start docker), or say where it is: DOCKER_HOST=unix:///PATH".to_owned()
            }
            Address::Tcp { certs: None, .. } => {
                "see that it listens there; with TLS: DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH=DIR".to_owned()
            }
            Address::Tcp { certs: Some(certs), .. } => {
                format!("see that it listens there, and that {} holds ca.pem, cert.pem, key.pem", certs.display())
            }
            Address::Ssh(host) => {
                let words = super::ssh::words(host).join(" ").replace("-- ", "");
                format!("see that this works without a question: ssh {words} docker version")
            }
        };
        EngineError::Unreachable { address: address.to_string(), why, help }
    }

    /// What the engine did not do.
    pub fn of(what: String, address: &Address, error: Error) -> EngineError {
        let why = told(&error);
        if why.contains("no space left on device") || why.contains("disk quota exceeded") {
            return EngineError::DiskFull { what, why };
        }
        match error {
            Error::DockerResponseServerError { status_code: status, .. } => EngineError::Refused { what, status, why },
            Error::DockerStreamError { .. } | Error::DockerContainerWaitError { .. } => {
                EngineError::Refused { what, status: 500, why }
            }
            Error::SocketNotFoundError(_) => EngineError::unreachable(address, why),
            _ if connects(&error) => EngineError::unreachable(address, why),
            _ => EngineError::Lost { what, why },
        }
    }

    /// Whether the engine said that there is no such thing.
    pub fn is_missing(&self) -> bool {
        matches!(self, EngineError::Refused { status: 404, .. } | EngineError::NoContainer { .. })
    }

    /// Whether the engine said that it is so already (a name that is taken, something that is being removed).
    pub fn is_conflict(&self) -> bool {
        matches!(self, EngineError::Refused { status: 409, .. })
    }
}

/// Whether there was no connection at all.
fn connects(error: &Error) -> bool {
    matches!(error, Error::HyperLegacyError { err } if err.is_connect())
}

/// An error in its own words, down to its cause.
pub fn told(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return message.trim().to_owned();
    }
    // The names of the layers that an error came through help nobody.
    let first: &dyn std::error::Error = match error {
        Error::HyperLegacyError { err } => std::error::Error::source(err).unwrap_or(err),
        other => other,
    };
    let mut words = vec![first.to_string()];
    let mut cause = first.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !words.iter().any(|word| word.contains(&text)) {
            words.push(text);
        }
        cause = inner.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status_code: u16, message: &str) -> EngineError {
        let error = Error::DockerResponseServerError { status_code, message: message.into() };
        EngineError::of("make x".into(), &Address::Unix("/x".into()), error)
    }

    #[test]
    fn an_answer_is_sorted_by_what_one_does_about_it() {
        assert!(of(404, "No such container: x").is_missing());
        assert!(of(409, "Conflict").is_conflict());
        let full = of(500, "write /var/lib/docker/tmp/x: no space left on device");
        assert!(matches!(full, EngineError::DiskFull { .. }), "{full}");
        let lost = EngineError::of("make x".into(), &Address::Unix("/x".into()), Error::RequestTimeoutError);
        assert!(matches!(lost, EngineError::Lost { .. }), "{lost}");
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_named_with_what_to_do() {
        let address = Address::Unix("/nonexistent/docker.sock".into());
        let error = super::super::Engine::connect(&address).await.unwrap_err();
        let EngineError::Unreachable { address, help, .. } = error else { panic!("{error}") };
        assert_eq!(address, "unix:///nonexistent/docker.sock");
        assert!(help.contains("DOCKER_HOST"), "{help}");
    }

    #[tokio::test]
    async fn ssh_says_itself_why_there_is_no_engine() {
        // A port on which nobody listens.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let address = Address::Ssh(format!("somebody@127.0.0.1:{port}"));
        let error = super::super::Engine::connect(&address).await.unwrap_err();
        let EngineError::Unreachable { why, help, .. } = error else { panic!("{error}") };
        // Where ssh is not installed, that is why.
        assert!(why.contains("Connection refused") || why.contains("No such file"), "{why}");
        assert!(help.contains(&format!("ssh -p {port} somebody@127.0.0.1 docker version")), "{help}");
    }
}
