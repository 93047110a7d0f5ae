//! A standalone ZooKeeper server of the scenario's own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::process::{self, Running};
use super::until;

const PORT: u16 = 2181;

/// A server that can be stopped, frozen and started again with what it holds.
pub struct ZooKeeper {
    dir: PathBuf,
    address: Ipv4Addr,
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
        ZooKeeper { dir, address, server: Mutex::new(None) }
    }

    /// `HOST:PORT` for clients.
    pub fn hosts(&self) -> String {
        format!("{}:{PORT}", self.address)
    }

    /// Start it and wait until it answers.
    pub async fn start(&self) {
        let classpath = std::env::var("LABRUN_ZOOKEEPER_CLASSPATH");
        let classpath = classpath.unwrap_or_else(|_| "/usr/share/java/zookeeper.jar".to_owned());
        let mut command = Command::new("java");
        // A small heap, and nothing written to disk before it is needed: many of these run side by side.
        command.args(["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no", "-cp"]);
        command.args([&classpath, "org.apache.zookeeper.server.ZooKeeperServerMain"]);
        command.arg(self.dir.join("zoo.cfg"));
        *self.server.lock().unwrap() = Some(Running::start(command, &self.dir, &self.dir.join("zookeeper.log")));
        until("ZooKeeper serves", async || self.serves()).await;
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
            Ok(text) if text.contains("Mode: standalone") => Ok(()),
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
