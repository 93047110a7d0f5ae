//! A container engine: Docker, or Podman by the same interface. Where it is, how it is reached, and what labrun asks of it.
//!
//! Nothing here knows of labs. Nothing lies on disk.

pub mod address;
pub mod container;
pub mod error;
mod ssh;
pub mod visit;

use bollard::{API_DEFAULT_VERSION, Docker};

pub use address::Address;
pub use error::EngineError;

/// How long one answer may take, in seconds. Long: a stop waits for a service's end, and a slow disk for much.
const ANSWER_LIMIT_S: u64 = 180;

/// An engine that answered.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    address: Address,
}

impl Engine {
    /// Reach the engine at `address`, and speak the newest version that it knows.
    pub async fn connect(address: &Address) -> Result<Engine, EngineError> {
        let mut said = None;
        let unreachable = |error: bollard::errors::Error| EngineError::unreachable(address, error::told(&error));
        let docker = match address {
            Address::Unix(path) => {
                let path = path.to_string_lossy();
                Docker::connect_with_unix(&path, ANSWER_LIMIT_S, API_DEFAULT_VERSION)
            }
            Address::Tcp { host, certs: None } => Docker::connect_with_http(host, ANSWER_LIMIT_S, API_DEFAULT_VERSION),
            Address::Tcp { host, certs: Some(certs) } => {
                // A second provider is refused: then the first one stays, which is as good.
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let [key, cert, ca] = ["key.pem", "cert.pem", "ca.pem"].map(|name| certs.join(name));
                Docker::connect_with_ssl(host, &key, &cert, &ca, ANSWER_LIMIT_S, API_DEFAULT_VERSION)
            }
            Address::Ssh(host) => ssh::connect(host, ANSWER_LIMIT_S).map(|(docker, heard)| {
                said = Some(heard);
                docker
            }),
        };
        match docker.map_err(unreachable)?.negotiate_version().await {
            Ok(docker) => Ok(Engine { docker, address: address.clone() }),
            Err(error) => {
                // ssh knows why, the connection only that it is gone.
                let why = match &said {
                    Some(said) => said.last().await,
                    None => None,
                };
                Err(why.map_or_else(|| unreachable(error), |why| EngineError::unreachable(address, why)))
            }
        }
    }

    /// The engine's whole interface.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// For `map_err`: what the engine did not do, and why.
    pub fn failed(&self, what: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> EngineError {
        let (what, address) = (what.into(), self.address.clone());
        move |error| EngineError::of(what, &address, error)
    }
}
