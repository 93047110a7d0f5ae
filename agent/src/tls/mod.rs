//! TLS: PEM files read into rustls' settings, for the REST server, for asking peers, for PostgreSQL
//! and for ZooKeeper.
//!
//! Nothing of it is kept on disk. Keys are decrypted in memory; neither they nor their passwords are ever logged.

mod ciphers;
mod client;
mod pem;
mod postgres;
mod server;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use thiserror::Error;

pub use client::client;
pub use pem::{authorities, certificates, key, key_pem, system_authorities_pem};
pub use postgres::postgres;
pub use server::server;

/// Why there can be no TLS.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
