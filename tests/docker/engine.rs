//! An engine that fails on demand: a socket before the real one, which dies, or says that its disk is full, at a request.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use labrun::engine::Address;

/// What happens at the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It is gone, and stays so.
    Dies,
    /// Its disk is full.
    Full,
}

/// Listens at a socket in `dir`, and fails at the first POST whose path contains `at`.
pub fn failing(dir: &Path, at: &'static str, failure: Failure) -> PathBuf {
    let path = dir.join(format!("{failure:?}.sock"));
    let listener = UnixListener::bind(&path).unwrap();
    let Address::Unix(real) = Address::from_env().unwrap() else { panic!("the engine has no socket") };
    let dead = Arc::new(AtomicBool::new(false));
    let own = path.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if dead.load(Ordering::SeqCst) {
                return;
            }
            let (server, dead, own) = (UnixStream::connect(&real).unwrap(), Arc::clone(&dead), own.clone());
            let (mut back, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || forward(client, server, at, failure, &dead, &own));
        }
    });
    path
}

fn forward(mut client: UnixStream, mut server: UnixStream, at: &str, failure: Failure, dead: &AtomicBool, own: &Path) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let head = String::from_utf8_lossy(&buffer[..read.min(500)]).into_owned();
        let line = head.lines().next().unwrap_or_default();
        if line.starts_with("POST ") && line.contains(at) {
            if failure == Failure::Full {
                let body = r#"{"message":"write /var/lib/docker/tmp/x: no space left on device"}"#;
                let head = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close";
                let _ = write!(client, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                // All of the request is read, or the answer would be lost with the connection.
                let _ = client.shutdown(Shutdown::Write);
                while let Ok(1..) = client.read(&mut buffer) {}
            } else {
                dead.store(true, Ordering::SeqCst);
                let _ = std::fs::remove_file(own);
            }
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            return;
        }
        if server.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}
