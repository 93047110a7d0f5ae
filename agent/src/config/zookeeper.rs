//! `zookeeper:`: the servers, TLS, who we are to them, and who else may see our keys.

use std::path::PathBuf;

use serde_json::Value;

use super::Error;
use super::local::{address, bracketed};
use super::reader::{Reader, Secret, scalar, strings};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZooKeeper {
    /// `host:port`, in the file's order.
    pub hosts: Vec<String>,
    /// All paths are below this one: the last host may be followed by it (`a:2181,b:2181/chroot`), as in kazoo.
    pub chroot: Option<String>,
    pub tls: Option<ZooKeeperTls>,
    /// Certificate subject and permissions (ZooKeeper's x509 scheme); anybody may do anything if it is empty.
    pub acls: Vec<(String, Vec<String>)>,
    /// Scheme and credential.
    pub auth: Vec<(String, Secret)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZooKeeperTls {
    /// The system's own authorities if `None`.
    pub cacert: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub key_password: Option<Secret>,
}

const PERMISSIONS: [&str; 6] = ["CREATE", "READ", "WRITE", "DELETE", "ADMIN", "ALL"];

pub(super) fn zookeeper(r: &Reader) -> Result<ZooKeeper, Error> {
    let (hosts, chroot) = hosts(r)?;
    let tls = match r.flag(&["zookeeper", "use_ssl"])? {
        Some(true) => Some(tls(r)?),
        _ => None,
    };
    Ok(ZooKeeper { hosts, chroot, tls, acls: acls(r)?, auth: auth(r)? })
}

fn tls(r: &Reader) -> Result<ZooKeeperTls, Error> {
    if r.flag(&["zookeeper", "verify"])? == Some(false) {
        // Patroni would talk to whoever answers, and give it the cluster's keys.
        return Err(r.wrong(&["zookeeper", "verify"], "cannot be off: name the servers' authority in `cacert`"));
    }
    Ok(ZooKeeperTls {
        cacert: r.path(&["zookeeper", "cacert"])?,
        cert: r.path(&["zookeeper", "cert"])?,
        key: r.path(&["zookeeper", "key"])?,
        key_password: r.secret(&["zookeeper", "key_password"])?,
    })
}

fn hosts(r: &Reader) -> Result<(Vec<String>, Option<String>), Error> {
    let path = ["zookeeper", "hosts"];
    let mut chroot = None;
    let mut listed = strings(r.get(&path));
    if let Some(last) = listed.last_mut()
        && let Some((host, below)) = last.clone().split_once('/')
    {
        let parts: Vec<_> = below.split('/').filter(|part| !part.is_empty()).collect();
        chroot = (!parts.is_empty()).then(|| format!("/{}", parts.join("/")));
        *last = host.to_owned();
    }
    let hosts = listed.iter().map(|host| host.trim()).filter(|host| !host.is_empty());
    let hosts: Option<Vec<_>> =
        hosts.map(|host| address(host, 2181).map(|a| format!("{}:{}", bracketed(&a.host), a.port))).collect();
    match hosts {
        Some(hosts) if !hosts.is_empty() => Ok((hosts, chroot)),
        Some(_) => Err(r.wrong(&path, "is missing")),
        None => Err(r.wrong(&path, "must be a list of host:port")),
    }
}

fn acls(r: &Reader) -> Result<Vec<(String, Vec<String>)>, Error> {
    let path = ["zookeeper", "set_acls"];
    let mut acls = Vec::new();
    for (principal, permissions) in r.map(&path)? {
        let permissions: Vec<_> = strings(Some(&permissions)).iter().map(|word| word.to_ascii_uppercase()).collect();
        if let Some(word) = permissions.iter().find(|word| !PERMISSIONS.contains(&word.as_str())) {
            return Err(r.wrong(&path, &format!("gives `{word}`, which is none of {}", PERMISSIONS.join(", "))));
        }
        if permissions.is_empty() {
            return Err(r.wrong(&path, &format!("gives `{principal}` no permission")));
        }
        acls.push((principal, permissions));
    }
    Ok(acls)
}

fn auth(r: &Reader) -> Result<Vec<(String, Secret)>, Error> {
    let pair = |(scheme, credential): (&String, &Value)| Some((scheme.clone(), Secret(scalar(credential)?)));
    let map = r.map(&["zookeeper", "auth_data"])?;
    map.iter()
        .map(pair)
        .collect::<Option<_>>()
        .ok_or_else(|| r.wrong(&["zookeeper", "auth_data"], "must map schemes to texts"))
}
