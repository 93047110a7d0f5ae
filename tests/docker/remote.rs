//! Engines elsewhere: by TLS, whose other end is before the real engine's socket here, and by ssh, for which a program of that
//! name stands in.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use labrun::engine::Address;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::support::{Place, Said};

/// Only ZooKeeper: what is tried is the way to the engine.
const KEEPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/labs/keeper");

fn socket() -> PathBuf {
    let Address::Unix(path) = Address::from_env().unwrap() else { panic!("the engine has no socket") };
    path
}

/// Writes `ca.pem`, `cert.pem` and `key.pem` of a client, and gives the TLS of a server that knows nobody else.
fn certificates(dir: &Path) -> ServerConfig {
    std::fs::create_dir_all(dir).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let (cert, key) = signed("client");
    for (file, text) in [("ca.pem", authority.pem()), ("cert.pem", cert), ("key.pem", key)] {
        std::fs::write(dir.join(file), text).unwrap();
    }
    let (cert, key) = signed("127.0.0.1");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap()
}

/// Leads every client with a good certificate to the engine, as long as the test's process lives; gives the port.
fn before_the_engine(config: ServerConfig) -> u16 {
    let (sender, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap().port()).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut engine = tokio::net::UnixStream::connect(socket()).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
                });
            }
        });
    });
    port.recv().unwrap()
}

/// Deployed by a command that is told as `prepare` says where the engine is; seen and removed by others that are not.
fn lives(place: &Place, prepare: impl Fn(&mut Command)) {
    let told = |args: &[&str]| {
        let mut command = place.command(args);
        prepare(&mut command);
        command
    };
    let run = |args: &[&str]| Said::of(told(args).output().unwrap());
    let doctor = run(&["doctor", KEEPER, "--backend", "docker", "--port-offset", &place.offset()]).ends(0);
    assert!(doctor.out.contains("can run the lab"), "{}", doctor.out);
    run(&place.words("deploy", KEEPER, &place.offset())).ends(0);
    assert!(place.in_engine().iter().any(|what| what.starts_with("container")), "{:?}", place.in_engine());
    // The way to the engine stands in the state.
    let again = |args: &[&str]| {
        let mut command = told(args);
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_TLS_VERIFY").env_remove("DOCKER_CERT_PATH");
        Said::of(command.output().unwrap())
    };
    let status = again(&["status", "--json"]).ends(0).json();
    assert_eq!(status["ready"], true, "{status:#}");
    again(&["destroy"]).ends(0);
    assert_eq!(place.in_engine(), Vec::<String>::new());
}

pub fn tls() {
    let place = Place::new();
    let (certs, others) = (place.dir().join("certs"), place.dir().join("others"));
    let port = before_the_engine(certificates(&certs));
    let host = format!("tcp://127.0.0.1:{port}");
    let with = |command: &mut Command, certs: &Path| {
        command.env("DOCKER_HOST", &host).env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", certs);
    };
    // Somebody else's certificates: neither side knows the other.
    certificates(&others);
    let mut stranger = place.command(&place.words("deploy", KEEPER, "0"));
    with(&mut stranger, &others);
    let said = Said::of(stranger.output().unwrap()).ends(4);
    for word in ["LR0801", &host, "invalid peer certificate", &others.display().to_string()] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    lives(&place, |command| with(command, &certs));
}

pub fn ssh() {
    let place = Place::new();
    let folder = place.dir().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    // As labrun calls it: `ssh -G -- HOST` for what its configuration says, else with the command for the other side.
    let stand_in = |hostname: &str| {
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = -G ]; then echo 'hostname {hostname}'; exit; fi\n\
             case \"$*\" in *stranger*) echo 'stranger@lab: Permission denied (publickey).' >&2; exit 255;; esac\n\
             case \"$*\" in *'-p 2222 -- me@lab docker system dial-stdio') ;; *) echo \"called as $*\" >&2; exit 9;; esac\n\
             exec docker -H unix://{} system dial-stdio\n",
            socket().display()
        );
        let path = folder.join("ssh");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let by = |command: &mut Command, host: &str| {
        command.env("DOCKER_HOST", host).env("PATH", &path);
    };
    stand_in("192.0.2.7");
    let deploy = |host: &str, more: &[&str]| {
        let offset = place.offset();
        let mut command = place.command(&[&place.words("deploy", KEEPER, &offset)[..], more].concat());
        by(&mut command, host);
        Said::of(command.output().unwrap())
    };
    let said = deploy("ssh://stranger@lab:2222", &[]).ends(4);
    for word in ["LR0801", "Permission denied (publickey)", "ssh -p 2222 stranger@lab docker version"] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    // Another machine's loopback is not reached from here: nothing is made.
    let said = deploy("ssh://me@lab:2222", &[]).ends(4);
    assert!(said.err.contains("LR0811") && said.err.contains("--publish-on 192.0.2.7"), "{}", said.err);
    assert_eq!(place.in_engine(), Vec::<String>::new());
    assert!(!place.output.join(&place.name).exists());
    stand_in("127.0.0.1");
    lives(&place, |command| by(command, "ssh://me@lab:2222"));
}
