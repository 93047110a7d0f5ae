//! A ZooKeeper of the scenario's own: one server, or one of an ensemble.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::process::{self, Running};
use super::{Authority, until};

const PORT: u16 = 2181;
/// ZooKeeper, and what it needs for TLS and does not name itself.
const CLASSPATH: [&str; 3] =
    ["/usr/share/java/zookeeper.jar", "/usr/share/java/netty-codec.jar", "/usr/share/java/netty-resolver.jar"];
/// For clients over TLS.
const SECURE_PORT: u16 = 2281;

/// What a lone server runs, and one of several.
const ALONE: &str = "org.apache.zookeeper.server.ZooKeeperServerMain";
const MEMBER: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

/// A server that can be stopped, frozen and started again with what it holds.
pub struct ZooKeeper {
    dir: PathBuf,
    address: Ipv4Addr,
    class: &'static str,
    server: Mutex<Option<Running>>,
}

impl ZooKeeper {
    /// A server with its files in `dir`, not yet started.
    pub fn new(dir: PathBuf, address: Ipv4Addr) -> ZooKeeper {
        let settings = format!(
            "tickTime=2000\ndataDir={}\nclientPortAddress={address}\nclientPort={PORT}\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=srvr\npreAllocSize=512\nsnapCount=1000000\n",
            dir.join("data").display()
        );
        std::fs::write(dir.join("zoo.cfg"), settings).unwrap();
        ZooKeeper { dir, address, class: ALONE, server: Mutex::new(None) }
    }

    /// Of these servers, which have not been started, make an ensemble.
    pub fn ensemble(servers: &mut [ZooKeeper]) {
        let lines = servers
            .iter()
            .enumerate()
            .map(|(index, server)| format!("server.{}={}:2888:3888\n", index + 1, server.address));
        let all = lines.collect::<String>() + "initLimit=10\nsyncLimit=5\n";
        for (index, server) in servers.iter_mut().enumerate() {
            let path = server.dir.join("zoo.cfg");
            let settings = std::fs::read_to_string(&path).unwrap() + &all;
            std::fs::write(&path, settings).unwrap();
            let id = server.dir.join("data").join("myid");
            std::fs::create_dir(id.parent().unwrap()).unwrap();
            std::fs::write(&id, (index + 1).to_string()).unwrap();
            if let Some(user) = process::unprivileged_user() {
                nix::unistd::chown(id.parent().unwrap(), Some(user.uid), Some(user.gid)).unwrap();
            }
            server.class = MEMBER;
        }
    }

    /// A server that also speaks TLS, with the authority's `node.pem`; clients show a certificate if they have one.
    pub fn secure(dir: PathBuf, address: Ipv4Addr, authority: &Authority) -> ZooKeeper {
        let server = ZooKeeper::new(dir, address);
        let path = server.dir.join("zoo.cfg");
        let (identity, trusted) = (authority.file("node.pem"), authority.file("ca.crt"));
        let settings = std::fs::read_to_string(&path).unwrap()
            + &format!(
                "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
                 secureClientPort={SECURE_PORT}\nsecureClientPortAddress={address}\n\
                 ssl.keyStore.location={}\nssl.keyStore.type=PEM\nssl.trustStore.location={}\n\
                 ssl.trustStore.type=PEM\nssl.clientAuth=want\nssl.hostnameVerification=false\n\
                 authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n",
                identity.display(),
                trusted.display()
            );
        std::fs::write(path, settings).unwrap();
        server
    }

    /// `HOST:PORT` for clients over TLS.
    pub fn secure_hosts(&self) -> String {
        format!("{}:{SECURE_PORT}", self.address)
    }

    /// `HOST:PORT` for clients.
    pub fn hosts(&self) -> String {
        format!("{}:{PORT}", self.address)
    }

    /// Start it and wait until it answers.
    pub async fn start(&self) {
        self.launch();
        self.served().await;
    }

    /// Wait until it answers and, in an ensemble, has found the others.
    pub async fn served(&self) {
        until("ZooKeeper serves", async || self.serves()).await;
    }

    /// Start it.
    pub fn launch(&self) {
        let classpath = std::env::var("LABRUN_ZOOKEEPER_CLASSPATH");
        let classpath = classpath.unwrap_or_else(|_| CLASSPATH.join(":"));
        let mut command = Command::new("java");
        // A small heap, and nothing written to disk before it is needed: many of these run side by side.
        command.args(["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no", "-cp"]);
        command.args([&classpath, self.class]);
        command.arg(self.dir.join("zoo.cfg"));
        *self.server.lock().unwrap() = Some(Running::start(command, &self.dir, &self.dir.join("zookeeper.log")));
    }

    fn serves(&self) -> Result<(), String> {
        let address = SocketAddr::from((self.address, PORT));
        let answer = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"srvr")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        match answer() {
            Ok(text) if text.contains("Mode: ") => Ok(()),
            Ok(text) => Err(format!("it answers {text:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Kill it; its clients are refused.
    pub fn stop(&self) {
        self.server.lock().unwrap().take();
        process::kill_all(&self.dir).unwrap();
    }

    /// Stop it in its tracks; its clients wait in vain.
    pub fn freeze(&self) {
        process::signal_all(&self.dir, Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        process::signal_all(&self.dir, Signal::SIGCONT);
    }
}
