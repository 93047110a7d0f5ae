//! The side of who asks a peer: as urllib3 is set up by Patroni's `ctl:` section.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::trust::{self, Name, Trust};
use super::{Error, pem};
use crate::config::PeerAccess;

/// Settings for asking peers. `insecure` means no check of the server at all, or, with a certificate of our own, none
/// of its name.
pub fn client(access: &PeerAccess) -> Result<Arc<ClientConfig>, Error> {
    let provider = super::provider();
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let identity = access.identity.as_ref();
    let builder = if access.insecure && identity.is_none() {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        let trust = Trust::new(access.cacert.as_deref())?;
        let name = if access.insecure { Name::Any } else { Name::Checked };
        let verifier = trust::of_servers(trust, Vec::new(), name, provider)?;
        builder.dangerous().with_custom_certificate_verifier(verifier)
    };
    let Some(identity) = identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = pem::certificates(&identity.certfile)?;
    let keyfile = identity.keyfile.as_deref().unwrap_or(&identity.certfile);
    let key = pem::key(keyfile, identity.password.as_ref())?;
    Ok(Arc::new(builder.with_client_auth_cert(chain, key)?))
}

/// Believes whoever answers (`ctl.insecure`).
#[derive(Debug)]
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer,
        _: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
