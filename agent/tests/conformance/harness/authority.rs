//! Certificates for TLS.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Node, process};

/// An authority and a certificate for everybody on the loopback, made by `openssl`.
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// A new authority, and a key for the nodes, in `dir`.
    pub async fn new(dir: &Path) -> Authority {
        let authority = Authority { dir: dir.to_owned() };
        authority.openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt").await;
        authority.openssl("req -newkey rsa:2048 -nodes -subj /CN=node -keyout node.key -out node.csr").await;
        authority
    }

    /// A certificate that is good for the nodes' addresses.
    pub async fn sign(&self, addresses: &[String]) {
        let names: Vec<_> = addresses.iter().map(|address| format!("IP:{address}")).collect();
        std::fs::write(self.dir.join("names"), format!("subjectAltName={}\n", names.join(","))).unwrap();
        let sign =
            "x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out node.crt";
        self.openssl(sign).await;
        let both = ["node.crt", "node.key"].map(|name| std::fs::read_to_string(self.file(name)).unwrap()).concat();
        std::fs::write(self.file("node.pem"), both).unwrap();
    }

    /// A certificate that is its own authority (`all.crt`, `all.key`), as `openssl req -x509` makes it.
    pub async fn all_in_one(dir: &Path, addresses: &[String]) {
        let names: Vec<_> = addresses.iter().map(|address| format!("IP:{address}")).collect();
        let make = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=all -keyout all.key -out all.crt -addext";
        let authority = Authority { dir: dir.to_owned() };
        authority.openssl(&format!("{make} subjectAltName={}", names.join(","))).await;
    }

    async fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.current_dir(&self.dir).args(arguments.split(' '));
        let output = process::run(command, Duration::from_secs(60)).await;
        assert_eq!(output.code, Some(0), "openssl {arguments}: {output:?}");
    }

    /// `ca.crt`, `node.crt`, `node.key`, or both parts of the latter in `node.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The first line that the node answers over TLS, empty where it refuses the session.
    pub async fn ask(&self, node: &Node, request: &str, with_certificate: bool) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-connect", &node.rest_address().to_string()]);
        command.arg("-CAfile").arg(self.file("ca.crt"));
        if with_certificate {
            command.arg("-cert").arg(self.file("node.crt")).arg("-key").arg(self.file("node.key"));
        }
        // -quiet goes on after the end of its input, until the server closes.
        let output = process::run_with(command, &format!("{request} HTTP/1.0\r\n\r\n"), Duration::from_secs(30)).await;
        output.stdout.lines().next().unwrap_or_default().trim().to_owned()
    }
}
