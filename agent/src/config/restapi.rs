//! `restapi:` and `ctl:`: who may ask this node, and how this node asks its peers.

use std::path::PathBuf;

use super::reader::{Reader, Secret, strings};
use super::{Address, Error};

#[derive(Debug, Clone, PartialEq)]
pub struct RestApi {
    pub listen: Address,
    pub connect_address: Address,
    /// User name and password for what changes something.
    pub authentication: Option<(String, Secret)>,
    /// HTTPS, if there is a certificate.
    pub tls: Option<ServerTls>,
    /// Addresses, networks or names that may change something; anybody if it is empty.
    pub allowlist: Vec<String>,
    /// The members of the cluster may, too; and nobody else, if `allowlist` is empty.
    pub allowlist_include_members: bool,
    /// Put into every answer.
    pub extra_headers: Vec<(String, String)>,
    /// The `Server` header.
    pub server: String,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub certfile: PathBuf,
    /// In `certfile`, too, if `None`.
    pub keyfile: Option<PathBuf>,
    pub password: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub identity: Identity,
    pub cafile: Option<PathBuf>,
    pub verify_client: VerifyClient,
    /// As OpenSSL names cipher suites.
    pub ciphers: Option<String>,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyClient {
    None,
    /// Only those that change something.
    Optional,
    Required,
}

/// How other nodes' REST is asked: Patroni takes this from `ctl:`, and what is missing there from `restapi:`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerAccess {
    pub insecure: bool,
    pub cacert: Option<PathBuf>,
    pub identity: Option<Identity>,
    pub authentication: Option<(String, Secret)>,
}

pub(super) fn restapi(r: &Reader, listen: Address, connect_address: Address) -> Result<RestApi, Error> {
    let tls = server_tls(r)?;
    let mut extra_headers = r.texts(&["restapi", "http_extra_headers"])?;
    if tls.is_some() {
        for (name, value) in r.texts(&["restapi", "https_extra_headers"])? {
            extra_headers.retain(|(known, _)| *known != name);
            extra_headers.push((name, value));
        }
    }
    if let Some((name, _)) = extra_headers.iter().find(|(name, value)| !is_header(name, value)) {
        return Err(r.wrong(&["restapi", "http_extra_headers"], &format!("has no usable header `{name}`")));
    }
    Ok(RestApi {
        listen,
        connect_address,
        authentication: authentication(r, "restapi")?,
        tls,
        allowlist: strings(r.get(&["restapi", "allowlist"])),
        allowlist_include_members: r.flag(&["restapi", "allowlist_include_members"])?.unwrap_or(false),
        extra_headers,
        server: server(r)?,
    })
}

/// A line break in a header would be an answer of somebody else's making.
fn is_header(name: &str, value: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "-_.!#$%&'*+^`|~".contains(c);
    !name.is_empty() && name.chars().all(token) && !value.contains(['\r', '\n'])
}

fn server(r: &Reader) -> Result<String, Error> {
    let tokens = r.text(&["restapi", "server_tokens"])?.unwrap_or_default();
    Ok(match tokens.to_ascii_lowercase().as_str() {
        "productonly" => "Patroni".into(),
        "minimal" => format!("Patroni/{}", crate::decide::VERSION),
        _ => concat!("labrun-agent/", env!("CARGO_PKG_VERSION")).into(),
    })
}

fn authentication(r: &Reader, section: &str) -> Result<Option<(String, Secret)>, Error> {
    let username = r.text(&[section, "authentication", "username"])?;
    let password = r.text(&[section, "authentication", "password"])?;
    Ok(username.zip(password.map(Secret)))
}

fn identity(r: &Reader, section: &str) -> Result<Option<Identity>, Error> {
    let Some(certfile) = r.path(&[section, "certfile"])? else { return Ok(None) };
    let keyfile = r.path(&[section, "keyfile"])?;
    Ok(Some(Identity { certfile, keyfile, password: r.secret(&[section, "keyfile_password"])? }))
}

fn server_tls(r: &Reader) -> Result<Option<ServerTls>, Error> {
    let verify_client = match r.text(&["restapi", "verify_client"])?.as_deref() {
        None | Some("none") => VerifyClient::None,
        Some("optional") => VerifyClient::Optional,
        Some("required") => VerifyClient::Required,
        Some(other) => {
            let reason = format!("must be none, optional or required, not `{other}`");
            return Err(r.wrong(&["restapi", "verify_client"], &reason));
        }
    };
    let Some(identity) = identity(r, "restapi")? else { return Ok(None) };
    let cafile = r.path(&["restapi", "cafile"])?;
    if verify_client == VerifyClient::Required && cafile.is_none() {
        return Err(r.wrong(&["restapi", "cafile"], "is missing: `verify_client: required` would refuse everybody"));
    }
    Ok(Some(ServerTls { identity, cafile, verify_client, ciphers: r.text(&["restapi", "ciphers"])? }))
}

pub(super) fn peers(r: &Reader) -> Result<PeerAccess, Error> {
    let cacert = match r.path(&["ctl", "cacert"])? {
        Some(path) => Some(path),
        None => r.path(&["restapi", "cafile"])?,
    };
    let authentication = match authentication(r, "ctl")? {
        Some(pair) => Some(pair),
        None => authentication(r, "restapi")?,
    };
    let insecure = r.flag(&["ctl", "insecure"])?.unwrap_or(false);
    Ok(PeerAccess { insecure, cacert, identity: identity(r, "ctl")?, authentication })
}
