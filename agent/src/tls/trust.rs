//! Who is believed: whoever has a certificate of a trusted authority, as webpki checks it; and, as in OpenSSL, whoever
//! has one that stands in the authorities' file itself. Such is the one that `openssl req -x509` makes for server,
//! client and authority in one: webpki takes no authority's certificate for anybody's own.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use x509_cert::der::Decode;

use super::{Error, pem};

/// Authorities, and certificates that need none.
#[derive(Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// What stands in `path`; the system's authorities without one.
    pub fn new(path: Option<&Path>) -> Result<Trust, Error> {
        let named = path.map(pem::certificates).transpose()?.unwrap_or_default();
        Ok(Trust { roots: Arc::new(pem::authorities(path)?), named })
    }

    /// Whether this certificate is trusted itself, and if so, whether it is at this time.
    fn names(&self, certificate: &CertificateDer, now: UnixTime) -> Option<Result<(), rustls::Error>> {
        self.named.iter().any(|known| known == certificate).then(|| {
            let parsed = x509_cert::Certificate::from_der(certificate);
            let validity = parsed.map_err(|_| CertificateError::BadEncoding)?.tbs_certificate.validity;
            let (from, until) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
            match now.as_secs() {
                now if now < from.as_secs() => Err(CertificateError::NotValidYet.into()),
                now if now > until.as_secs() => Err(CertificateError::Expired.into()),
                _ => Ok(()),
            }
        })
    }
}

/// Whether the name that a server was asked by must be in its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Checked,
    Any,
}

/// How a client checks servers.
pub fn of_servers(
    trust: Trust,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    name: Name,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let builder = WebPkiServerVerifier::builder_with_provider(trust.roots.clone(), provider).with_crls(revoked);
    let by_authority = builder.build().map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(Arc::new(Servers { trust, by_authority, name }))
}

/// How a server checks clients; `optional`: one without a certificate is let in, too.
pub fn of_clients(
    trust: Trust,
    optional: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let builder = WebPkiClientVerifier::builder_with_provider(trust.roots.clone(), provider);
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    let by_authority = builder.build().map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(Arc::new(Clients { trust, by_authority }))
}

/// Signatures are checked as webpki checks them, whoever the certificate is trusted by: the same three methods on both
/// sides.
macro_rules! signatures_as_by_authority {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.by_authority.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.by_authority.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.by_authority.supported_verify_schemes()
        }
    };
}

#[derive(Debug)]
struct Servers {
    trust: Trust,
    by_authority: Arc<WebPkiServerVerifier>,
    name: Name,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer,
        chain: &[CertificateDer],
        name: &ServerName,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(itself) = self.trust.names(certificate, now) {
            itself?;
            if self.name == Name::Checked {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match self.by_authority.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.name == Name::Any => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    signatures_as_by_authority!();
}

#[derive(Debug)]
struct Clients {
    trust: Trust,
    by_authority: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Clients {
    fn verify_client_cert(
        &self,
        certificate: &CertificateDer,
        chain: &[CertificateDer],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.trust.names(certificate, now) {
            Some(itself) => itself.map(|()| ClientCertVerified::assertion()),
            None => self.by_authority.verify_client_cert(certificate, chain, now),
        }
    }

    fn offer_client_auth(&self) -> bool {
        self.by_authority.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.by_authority.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_authority.root_hint_subjects()
    }

    signatures_as_by_authority!();
}
