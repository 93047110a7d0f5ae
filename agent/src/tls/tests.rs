//! Both sides against each other.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::config::{Identity, PeerAccess, Secret, ServerTls, VerifyClient};

/// An authority and a certificate for 127.0.0.1, as files.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(dir.path().join("ca.crt"), authority.pem()).unwrap();
        std::fs::write(dir.path().join("both.pem"), certificate.pem() + &key.serialize_pem()).unwrap();
        Files(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn identity(&self) -> Identity {
        Identity { certfile: self.path("both.pem"), keyfile: None, password: None }
    }

    fn server(&self, verify_client: VerifyClient) -> ServerTls {
        ServerTls {
            identity: self.identity(),
            cafile: Some(self.path("ca.crt")),
            verify_client,
            ciphers: Some("HIGH".into()),
        }
    }

    fn access(&self, cacert: bool, insecure: bool, certificate: bool) -> PeerAccess {
        PeerAccess {
            insecure,
            cacert: cacert.then(|| self.path("ca.crt")),
            identity: certificate.then(|| self.identity()),
            authentication: None,
        }
    }
}

/// Whether the two agree when the client asks for `name`, and whether the server then knows the client.
async fn meet(server_side: &ServerTls, access: &PeerAccess, name: &'static str) -> Option<bool> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let acceptor = TlsAcceptor::from(server(server_side).unwrap());
    let connector = TlsConnector::from(client(access).unwrap());
    let accepted = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let mut stream = acceptor.accept(far).await.ok()?;
        let known = stream.get_ref().1.peer_certificates().is_some();
        stream.write_all(b"x").await.ok()?;
        stream.flush().await.ok()?;
        Some(known)
    });
    let connected = async {
        use tokio::io::AsyncReadExt;
        let mut stream = connector.connect(ServerName::try_from(name).unwrap(), near).await.ok()?;
        stream.read_u8().await.ok()
    };
    let connected = connected.await;
    let known = accepted.await.unwrap();
    connected.and(known)
}

#[tokio::test]
async fn peers_know_each_other_by_the_authority_and_the_name() {
    let files = Files::new();
    let server = files.server(VerifyClient::Optional);
    assert_eq!(meet(&server, &files.access(true, false, false), "127.0.0.1").await, Some(false));
    assert_eq!(meet(&server, &files.access(true, false, true), "127.0.0.1").await, Some(true));
    assert_eq!(meet(&server, &files.access(true, false, false), "other.example").await, None);
    assert_eq!(meet(&server, &files.access(true, true, true), "other.example").await, Some(true));
    assert_eq!(meet(&server, &files.access(false, true, false), "other.example").await, Some(false));
    assert_eq!(meet(&server, &files.access(false, false, false), "127.0.0.1").await, None);
}

/// The file that `openssl req -x509` makes, which serves as server, client and authority.
#[tokio::test]
async fn a_certificate_that_is_trusted_itself_needs_no_authority_while_it_is_valid() {
    let all_in_one = |until: i32| {
        let files = Files::new();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(files.path("ca.crt"), certificate.pem()).unwrap();
        std::fs::write(files.path("both.pem"), certificate.pem() + &key.serialize_pem()).unwrap();
        files
    };
    let files = all_in_one(2999);
    let required = files.server(VerifyClient::Required);
    assert_eq!(meet(&required, &files.access(true, false, true), "127.0.0.1").await, Some(true));
    assert_eq!(meet(&required, &files.access(true, false, true), "other.example").await, None);
    assert_eq!(meet(&required, &files.access(true, true, true), "other.example").await, Some(true));
    assert_eq!(meet(&required, &Files::new().access(true, true, true), "127.0.0.1").await, None);
    let expired = all_in_one(1999);
    assert_eq!(meet(&expired.server(VerifyClient::None), &expired.access(true, true, true), "127.0.0.1").await, None);
    assert_eq!(meet(&expired.server(VerifyClient::Required), &expired.access(false, true, true), "x").await, None);
}

#[tokio::test]
async fn a_certificate_may_be_required_and_may_be_ignored() {
    let files = Files::new();
    let required = files.server(VerifyClient::Required);
    assert_eq!(meet(&required, &files.access(true, false, false), "127.0.0.1").await, None);
    assert_eq!(meet(&required, &files.access(true, false, true), "127.0.0.1").await, Some(true));
    let none = files.server(VerifyClient::None);
    assert_eq!(meet(&none, &files.access(true, false, true), "127.0.0.1").await, Some(false));
}

#[test]
fn an_encrypted_key_needs_its_password_and_no_error_tells_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/encrypted.key");
    let secret = |text: &str| Secret(text.into());
    assert!(key(&path, Some(&secret("of the key"))).is_ok());
    assert!(key_pem(&path, Some(&secret("of the key"))).unwrap().starts_with("-----BEGIN PRIVATE KEY"));
    let error = key(&path, Some(&secret("wrong word"))).unwrap_err().to_string();
    assert!(error.contains("is the password right?") && !error.contains("wrong word"), "{error}");
    assert!(key(&path, None).unwrap_err().to_string().contains("there is no password"));
    assert!(matches!(key(Path::new("/nowhere"), None), Err(Error::Unreadable { .. })));
}
