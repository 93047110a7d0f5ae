//! Certificates and keys from PEM files.

use std::path::Path;

use pkcs8::der::zeroize::Zeroizing;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Error;
use crate::config::Secret;

fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let text = std::fs::read_to_string(path);
    text.map(Zeroizing::new).map_err(|source| Error::Unreadable { path: path.into(), source })
}

fn unusable(path: &Path, reason: impl ToString) -> Error {
    Error::Unusable { path: path.into(), reason: reason.to_string() }
}

/// The chain in `path`, the node's own certificate first.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(unusable(path, "there is no certificate in it")),
        Err(error) => Err(unusable(path, error)),
    }
}

/// Who is trusted: the authorities in `path`, or the system's own.
pub fn authorities(path: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match path {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| unusable(path, error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// The private key in `path`, decrypted with `password` where it is encrypted.
pub fn key(path: &Path, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(path)?;
    match decrypted(path, &text, password)? {
        Some(document) => Ok(PrivatePkcs8KeyDer::from(document.as_bytes().to_vec()).into()),
        None => PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| unusable(path, error)),
    }
}

/// As [`key`], as a PEM text.
pub fn key_pem(path: &Path, password: Option<&Secret>) -> Result<Zeroizing<String>, Error> {
    let text = read(path)?;
    match decrypted(path, &text, password)? {
        Some(document) => document.to_pem("PRIVATE KEY", Default::default()).map_err(|error| unusable(path, error)),
        None => Ok(text),
    }
}

/// `None` if the key is not encrypted.
fn decrypted(path: &Path, text: &str, password: Option<&Secret>) -> Result<Option<pkcs8::SecretDocument>, Error> {
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let reason = "it is encrypted in OpenSSL's old format: convert it by `openssl pkcs8 -topk8 -in OLD -out NEW`";
        return Err(unusable(path, reason));
    }
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let Some(begin) = text.find(BEGIN) else { return Ok(None) };
    let end = text[begin..].find(END).ok_or_else(|| unusable(path, "its end is missing"))?;
    let password = password.ok_or_else(|| unusable(path, "it is encrypted, and there is no password for it"))?;
    let (_, document) = pkcs8::SecretDocument::from_pem(&text[begin..begin + end + END.len()])
        .map_err(|error| unusable(path, error))?;
    let encrypted = pkcs8::EncryptedPrivateKeyInfo::try_from(document.as_bytes());
    let encrypted = encrypted.map_err(|error| unusable(path, error))?;
    match encrypted.decrypt(password.0.as_bytes()) {
        Ok(document) => Ok(Some(document)),
        Err(_) => Err(unusable(path, "it cannot be decrypted: is the password right?")),
    }
}

/// The system's own authorities as a PEM text.
pub fn system_authorities_pem() -> String {
    let found = rustls_native_certs::load_native_certs().certs;
    let pem = |certificate: CertificateDer| {
        pkcs8::der::pem::encode_string("CERTIFICATE", Default::default(), &certificate).unwrap_or_default()
    };
    found.into_iter().map(pem).collect()
}
