//! The side of who connects to PostgreSQL, as libpq does it with the same options.

use std::path::{Path, PathBuf};

use rustls::ClientConfig;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use super::client::Anybody;
use super::trust::{self, Name, Trust};
use super::{Error, pem};
use crate::config::{ConnectOptions, Secret};

/// Settings for a user with these options. What is not named is looked for where libpq looks: `~/.postgresql/`.
pub fn postgres(options: &ConnectOptions) -> Result<ClientConfig, Error> {
    let provider = super::provider();
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let verifier = match trusted(options)? {
        Some((trust, name)) => trust::of_servers(trust, revoked(options)?, name, provider)?,
        None => std::sync::Arc::new(Anybody(provider)),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    // As libpq has it, a certificate that is not there is none; its key must be.
    let mut config = match file(options, "sslcert", "postgresql.crt").filter(|path| path.exists()) {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let password = options.key_password().map(|password| Secret(password.to_owned()));
            let keyfile = file(options, "sslkey", "postgresql.key").unwrap_or_default();
            builder.with_client_auth_cert(pem::certificates(&path)?, pem::key(&keyfile, password.as_ref())?)?
        }
    };
    if options.get("sslnegotiation") == Some("direct") {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

/// A chain is checked wherever there is a file of authorities, and must be where the mode says so.
fn trusted(options: &ConnectOptions) -> Result<Option<(Trust, Name)>, Error> {
    if options.get("sslrootcert") == Some("system") {
        return Ok(Some((Trust::new(None)?, Name::Checked)));
    }
    let mode = options.get("sslmode").unwrap_or_default();
    let name = if mode == "verify-full" { Name::Checked } else { Name::Any };
    let path = file(options, "sslrootcert", "root.crt").unwrap_or_default();
    if !mode.starts_with("verify") && !path.exists() {
        return Ok(None);
    }
    Ok(Some((Trust::new(Some(&path))?, name)))
}

fn revoked(options: &ConnectOptions) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Unreadable { path, source }
    };
    let mut files: Vec<_> = file(options, "sslcrl", "root.crl").filter(|path| path.exists()).into_iter().collect();
    if let Some(dir) = options.get("sslcrldir").map(Path::new) {
        let entries: Result<Vec<_>, _> = std::fs::read_dir(dir).map_err(unreadable(dir))?.collect();
        files.extend(entries.map_err(unreadable(dir))?.into_iter().map(|entry| entry.path()));
    }
    let mut lists = Vec::new();
    for path in files {
        let text = std::fs::read(&path).map_err(unreadable(&path))?;
        let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
        lists.extend(found.map_err(|error| Error::Unusable { path, reason: error.to_string() })?);
    }
    Ok(lists)
}

/// The file that is named, or libpq's own.
fn file(options: &ConnectOptions, option: &str, default: &str) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".postgresql").join(default));
    options.get(option).map(PathBuf::from).or_else(home)
}
