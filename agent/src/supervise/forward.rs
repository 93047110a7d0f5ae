//! Published ports: plain TCP from an address of the host into the node.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Error, Publish, ports};

/// Bound listeners, one a published port, and the task that serves each.
#[derive(Default)]
pub(super) struct Forwards {
    tasks: JoinSet<()>,
}

/// A port that is listened on, and where its connections go. It stays in the network in which it was bound.
pub(super) struct Bound {
    listener: std::net::TcpListener,
    to: SocketAddr,
}

/// Listens on every published address; the first that is busy is an error and none stays bound.
pub(super) fn bind(publish: &[Publish]) -> Result<Vec<Bound>, Error> {
    let bind = |port: &Publish| {
        let bound = std::net::TcpListener::bind(port.listen);
        let busy = |source| Error::PortBusy { listen: port.listen, source, holder: ports::holder(port.listen) };
        Ok(Bound { listener: bound.map_err(busy)?, to: port.to })
    };
    publish.iter().map(bind).collect()
}

impl Forwards {
    /// Carries connections from the ports that were bound.
    pub(super) fn open(bound: Vec<Bound>) -> Result<Forwards, Error> {
        let mut forwards = Forwards::default();
        for Bound { listener, to } in bound {
            let source = |source| Error::System { what: "listen", source };
            listener.set_nonblocking(true).map_err(source)?;
            forwards.tasks.spawn(serve(TcpListener::from_std(listener).map_err(source)?, to));
        }
        Ok(forwards)
    }

    /// Closes the ports and every connection through them.
    pub(super) async fn close(&mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => { connections.spawn(carry(client, to)); }
                // Out of file descriptors, most likely: let connections end before the next try.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until either side closes it; a service that is down closes it at once.
async fn carry(mut client: TcpStream, to: SocketAddr) {
    let Ok(mut service) = TcpStream::connect(to).await else {
        return;
    };
    let _ = (client.set_nodelay(true), service.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(&mut client, &mut service).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn free() -> SocketAddr {
        TcpListener::bind("127.20.0.11:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_a_service_that_is_down_closes_the_connection() {
        let (listen, to) = (free().await, free().await);
        let mut forwards = Forwards::open(bind(&[Publish { listen, to }]).unwrap()).unwrap();
        let mut down = TcpStream::connect(listen).await.unwrap();
        assert_eq!(down.read(&mut [0; 1]).await.unwrap_or(0), 0);

        let service = TcpListener::bind(to).await.unwrap();
        let mut client = TcpStream::connect(listen).await.unwrap();
        let (mut served, _) = service.accept().await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut four = [0; 4];
        served.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"ping");
        served.write_all(b"pong").await.unwrap();
        client.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"pong");

        forwards.close().await;
        assert_eq!(client.read(&mut four).await.unwrap_or(0), 0);
        assert!(TcpStream::connect(listen).await.is_err());
    }

    #[tokio::test]
    async fn a_busy_port_names_its_holder() {
        let busy = TcpListener::bind("127.20.0.12:0").await.unwrap();
        let listen = busy.local_addr().unwrap();
        let error = bind(&[Publish { listen, to: listen }]).err().unwrap();
        let text = error.to_string();
        assert!(
            text.contains(&listen.to_string()) && text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        assert_eq!(error.exit_code(), crate::exit::PORT_BUSY);
    }
}
