//! Connecting as the configuration says: which servers, over TLS or not, as whom, and with which rights for others.

use std::sync::Arc;
use std::time::Duration;

use zookeeper_client as zk;

use super::Error;
use crate::config::{ZooKeeper, ZooKeeperTls};
use crate::tls;

/// A connection on which nothing is heard for this long, pings notwithstanding, is given up.
const SILENCE: Duration = Duration::from_secs(4);

/// A new session. Certificates are read anew each time.
pub(super) async fn connect(settings: &ZooKeeper, timeout: Duration) -> Result<zk::Client, Error> {
    // A server that accepts connections and does not answer is given up soon enough to try another one.
    let mut connector = zk::Client::connector()
        .with_session_timeout(timeout)
        .with_connection_timeout((timeout / 5).min(SILENCE))
        .with_fail_eagerly();
    for (scheme, credential) in &settings.auth {
        connector = connector.with_auth(scheme, credential.0.as_bytes());
    }
    let hosts = settings.hosts.join(",") + settings.chroot.as_deref().unwrap_or_default();
    Ok(match &settings.tls {
        None => connector.connect(&hosts).await?,
        Some(tls) => connector.with_tls(options(tls)?).secure_connect(&hosts).await?,
    })
}

fn options(settings: &ZooKeeperTls) -> Result<zk::TlsOptions, Error> {
    let mut options = zk::TlsOptions::new().with_pem_ca(&authorities(settings)?)?;
    if let (Some(cert), Some(key)) = (&settings.cert, &settings.key) {
        let chain = read(cert)?;
        let key = tls::key_pem(key, settings.key_password.as_ref())?;
        options = options.with_pem_identity(&chain, &key)?;
    }
    Ok(any_name(options))
}

/// As kazoo does it: a server proves itself by the authority of its certificate, not by the name in it.
#[allow(unsafe_code)]
fn any_name(options: zk::TlsOptions) -> zk::TlsOptions {
    // SAFETY: the library marks this as unsafe because it trusts any holder of a certificate of the named authority;
    // there is no question of memory. That trust is what the configuration asks for: Patroni's does the same.
    unsafe { options.with_no_hostname_verification() }
}

fn authorities(settings: &ZooKeeperTls) -> Result<String, Error> {
    match &settings.cacert {
        Some(path) => read(path),
        None => Ok(tls::system_authorities_pem()),
    }
}

fn read(path: &std::path::Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path);
    text.map_err(|source| tls::Error::Unreadable { path: path.into(), source }.into())
}

/// The rights of a new key: everybody's, unless certificates are named (ZooKeeper's x509 scheme, as in Patroni 4.1).
pub(super) fn acls(settings: &ZooKeeper) -> Arc<Vec<zk::Acl>> {
    if settings.acls.is_empty() {
        return Arc::new(vec![zk::Acl::new(zk::Permission::ALL, zk::AuthId::anyone())]);
    }
    let one = |(principal, permissions): &(String, Vec<String>)| {
        let all = permissions.iter().fold(zk::Permission::NONE, |all, word| all | permission(word));
        zk::Acl::new(all, zk::AuthId::new("x509", principal))
    };
    Arc::new(settings.acls.iter().map(one).collect())
}

fn permission(word: &str) -> zk::Permission {
    match word {
        "CREATE" => zk::Permission::CREATE,
        "READ" => zk::Permission::READ,
        "WRITE" => zk::Permission::WRITE,
        "DELETE" => zk::Permission::DELETE,
        "ADMIN" => zk::Permission::ADMIN,
        _ => zk::Permission::ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_may_do_everything_unless_certificates_are_named() {
        let open = acls(&ZooKeeper::default());
        assert_eq!((open[0].scheme(), open[0].id(), open[0].permission()), ("world", "anyone", zk::Permission::ALL));
        let named = [("CN=a".to_owned(), vec!["CREATE".to_owned(), "READ".to_owned()])];
        let named = acls(&ZooKeeper { acls: named.to_vec(), ..ZooKeeper::default() });
        assert_eq!((named.len(), named[0].scheme(), named[0].id()), (1, "x509", "CN=a"));
        assert_eq!(named[0].permission(), zk::Permission::CREATE | zk::Permission::READ);
    }
}
