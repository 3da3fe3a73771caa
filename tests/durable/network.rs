//! A network between the tests' processes and a server. A test can cut it.

use std::net::SocketAddr;
use std::thread;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// The state of the link: what happens to bytes that are sent over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    /// The port is closed, and so are all connections.
    Refused,
    /// Nothing arrives, and neither end sees an error. As with TCP, the bytes arrive once the link is open again.
    Silent,
}

/// A forwarder to a server. It ends with the test.
pub(crate) struct Network {
    address: SocketAddr,
    link: watch::Sender<Link>,
}

impl Network {
    pub(crate) fn before(server: SocketAddr) -> Self {
        let (link, links) = watch::channel(Link::Open);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || runtime.block_on(forward(listener, server, links)));
        Self { address, link }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, link: Link) {
        self.link.send(link).unwrap();
    }
}

async fn forward(mut listener: TcpListener, server: SocketAddr, links: watch::Receiver<Link>) -> Option<()> {
    let address = listener.local_addr().unwrap();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(connection(client, server, links.clone()));
                }
                continue;
            }
            refused = until(&links, |link| link == Link::Refused) => refused?,
        }
        drop(listener);
        // Bound, so that nobody else takes the port, and closed all the same.
        let closed = TcpSocket::new_v4().unwrap();
        closed.set_reuseaddr(true).unwrap();
        closed.bind(address).unwrap();
        until(&links, |link| link != Link::Refused).await?;
        listener = closed.listen(1024).unwrap();
    }
}

async fn connection(client: TcpStream, server: SocketAddr, links: watch::Receiver<Link>) -> Option<()> {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = TcpStream::connect(server).await.ok()?.into_split();
    tokio::select! {
        ended = pump(from_client, to_server, &links) => ended,
        ended = pump(from_server, to_client, &links) => ended,
        refused = until(&links, |link| link == Link::Refused) => refused,
    }
}

/// Copies bytes from one end to the other while the link is open, until one of them ends.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, links: &watch::Receiver<Link>) -> Option<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        until(links, |link| link == Link::Open).await?;
        to.write_all(&buffer[..read]).await.ok()?;
    }
}

/// Waits until the link is in a wanted state. None once the test has ended.
async fn until(links: &watch::Receiver<Link>, wanted: impl Fn(Link) -> bool) -> Option<()> {
    links.clone().wait_for(|link| wanted(*link)).await.ok().map(drop)
}
