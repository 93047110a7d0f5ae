//! ZooKeeper's four-letter word `srvr`: the server's version, and which part it plays in its ensemble.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer that is read.
const MOST: u64 = 4096;

/// What the server says to `srvr`; nothing where it does not answer.
pub async fn srvr(address: SocketAddr, limit: Duration) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"srvr").await.ok()?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer).await.ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(limit, ask).await.ok()?
}

/// The server's part: `leader`, `follower`, `observer` or `standalone`. One without a quorum has none.
pub async fn mode(address: SocketAddr, limit: Duration) -> Option<String> {
    let answer = srvr(address, limit).await?;
    mode_in(&answer).map(str::to_owned)
}

fn mode_in(answer: &str) -> Option<&str> {
    answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::mode_in;

    #[test]
    fn the_mode_is_a_line_of_its_own() {
        assert_eq!(mode_in("Zookeeper version: 3.8.0\nMode: follower\nNode count: 5\n"), Some("follower"));
        assert_eq!(mode_in("This ZooKeeper instance is not currently serving requests\n"), None);
    }
}
