//! Where an engine is: what `DOCKER_HOST` and its like say, or where Docker's and Podman's own sockets lie.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EngineError;

/// Docker's socket.
const DOCKER: &str = "/var/run/docker.sock";
/// Podman's, where the system runs it.
const PODMAN: &str = "/run/podman/podman.sock";

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Address {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A port, with TLS where there is a folder of certificates.
    Tcp {
        /// `host:port`.
        host: String,
        /// The folder with `ca.pem`, `cert.pem` and `key.pem`.
        certs: Option<PathBuf>,
    },
    /// Another machine by `ssh`: `user@host` or `user@host:port`, as ssh's own configuration knows it.
    Ssh(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp { host, .. } => write!(f, "tcp://{host}"),
            Address::Ssh(host) => write!(f, "ssh://{host}"),
        }
    }
}

impl Address {
    /// What `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` say; else the socket that is there.
    pub fn from_env() -> Result<Address, EngineError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match variable("DOCKER_HOST") {
            Some(host) => Address::parse(&host, variable("DOCKER_TLS_VERIFY").is_some(), variable("DOCKER_CERT_PATH")),
            None => Ok(Address::Unix(usual_socket(variable("XDG_RUNTIME_DIR").as_deref(), &|path| path.exists()))),
        }
    }

    /// From a `DOCKER_HOST`. The certificates of `~/.docker` are used where TLS is asked for and no folder is named.
    pub fn parse(host: &str, tls: bool, certs: Option<String>) -> Result<Address, EngineError> {
        let bad = |why: &str| EngineError::BadAddress { address: host.to_owned(), why: why.to_owned() };
        let (scheme, rest) = host.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        if rest.is_empty() {
            return Err(bad("nothing follows the scheme"));
        }
        let rest = rest.trim_end_matches('/');
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Address::Unix(PathBuf::from(rest))),
            "unix" => Err(bad("a socket's path begins with /")),
            "ssh" if rest.starts_with('-') || rest.contains('/') => Err(bad("it is no user@host[:port]")),
            "ssh" => Ok(Address::Ssh(rest.to_owned())),
            "tcp" | "http" | "https" => {
                let home = || std::env::var("HOME").ok().map(|home| format!("{home}/.docker"));
                let certs = match tls || scheme == "https" {
                    true => Some(certs.or_else(home).ok_or_else(|| bad("TLS needs DOCKER_CERT_PATH"))?.into()),
                    false => None,
                };
                let port = if certs.is_some() { 2376 } else { 2375 };
                let host = if rest.contains(':') { rest.to_owned() } else { format!("{rest}:{port}") };
                Ok(Address::Tcp { host, certs })
            }
            _ => Err(bad("its scheme is none of unix, tcp, ssh")),
        }
    }

    /// Whether its published ports are ports of this machine's loopback.
    pub fn is_here(&self) -> bool {
        match self {
            Address::Unix(_) => true,
            Address::Tcp { host, .. } => {
                let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).trim_matches(['[', ']']);
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Address::Ssh(_) => false,
        }
    }

    /// The name of the machine that it runs on, as this one knows it.
    pub fn machine(&self) -> &str {
        match self {
            Address::Unix(_) => "localhost",
            Address::Tcp { host, .. } => host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name),
            Address::Ssh(host) => {
                let host = host.rsplit_once('@').map_or(host.as_str(), |(_, host)| host);
                host.rsplit_once(':').map_or(host, |(name, _)| name)
            }
        }
    }
}

/// Docker's socket, or Podman's where only that is there; Docker's too where there is none, to be missed by name.
fn usual_socket(runtime: Option<&str>, exists: &dyn Fn(&Path) -> bool) -> PathBuf {
    let own = runtime.map(Path::new);
    let candidates = [
        Some(PathBuf::from(DOCKER)),
        own.map(|dir| dir.join("docker.sock")),
        own.map(|dir| dir.join("podman/podman.sock")),
        Some(PathBuf::from(PODMAN)),
    ];
    candidates.into_iter().flatten().find(|path| exists(path)).unwrap_or_else(|| DOCKER.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(host: &str) -> Result<Address, String> {
        Address::parse(host, false, None).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_of_an_address_is_known() {
        assert_eq!(parsed("unix:///run/x.sock"), Ok(Address::Unix("/run/x.sock".into())));
        let tcp = |host: &str, certs: Option<&str>| Address::Tcp { host: host.into(), certs: certs.map(PathBuf::from) };
        assert_eq!(parsed("tcp://10.0.0.7:2375"), Ok(tcp("10.0.0.7:2375", None)));
        assert_eq!(parsed("tcp://lab"), Ok(tcp("lab:2375", None)));
        let with_tls = Address::parse("tcp://lab", true, Some("/certs".into()));
        assert_eq!(with_tls.unwrap(), tcp("lab:2376", Some("/certs")));
        assert_eq!(parsed("ssh://me@lab:2222"), Ok(Address::Ssh("me@lab:2222".into())));
        for wrong in ["lab", "unix://", "unix://x.sock", "npipe:////./pipe", "ssh://-oProxyCommand=x", "ssh://a/b"] {
            let error = parsed(wrong).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_machine_of_an_engine_is_this_one_or_has_a_name() {
        let at = |host: &str| parsed(host).unwrap();
        for here in ["unix:///x", "tcp://localhost:1", "tcp://127.0.0.1:1", "tcp://[::1]:1"] {
            assert!(at(here).is_here(), "{here}");
        }
        for (there, name) in [("tcp://lab:1", "lab"), ("ssh://me@lab:2222", "lab"), ("ssh://lab", "lab")] {
            assert!(!at(there).is_here() && at(there).machine() == name, "{there}");
        }
    }

    #[test]
    fn podmans_socket_is_taken_where_docker_has_none() {
        let there = |name: &'static str| move |path: &Path| path == Path::new(name);
        assert_eq!(usual_socket(Some("/run/user/7"), &|_| false), Path::new(DOCKER));
        let podman = "/run/user/7/podman/podman.sock";
        assert_eq!(usual_socket(Some("/run/user/7"), &there(podman)), Path::new(podman));
        assert_eq!(usual_socket(None, &there(PODMAN)), Path::new(PODMAN));
    }
}
