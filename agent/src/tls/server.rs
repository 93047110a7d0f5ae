//! The REST server's side.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::trust::{self, Trust};
use super::{Error, ciphers, pem};
use crate::config::{ServerTls, VerifyClient};

/// Settings for a server with this certificate.
pub fn server(tls: &ServerTls) -> Result<Arc<ServerConfig>, Error> {
    let mut provider = (*super::provider()).clone();
    if let Some(list) = &tls.ciphers {
        ciphers::keep(&mut provider.cipher_suites, list);
    }
    let provider = Arc::new(provider);
    let clients = clients(tls, provider.clone())?;
    let identity = &tls.identity;
    let chain = pem::certificates(&identity.certfile)?;
    let keyfile = identity.keyfile.as_deref().unwrap_or(&identity.certfile);
    let key = pem::key(keyfile, identity.password.as_ref())?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

fn clients(
    tls: &ServerTls,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let (Some(cafile), true) = (&tls.cafile, tls.verify_client != VerifyClient::None) else {
        // Without an authority no certificate could be a good one.
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    trust::of_clients(Trust::new(Some(cafile))?, tls.verify_client == VerifyClient::Optional, provider)
}
