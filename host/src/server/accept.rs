//! Accepts a serving thread's connections until the shutdown begins.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::time::Duration;

use http::uri::Scheme;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use super::connection;
use super::request_headers::Peer;
use super::thread::ServerThread;
use crate::budget::address::Connected;
use crate::budget::{Limit, descriptors};

/// The longest time that a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause after the thread failed to accept a connection, for example because the process has too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// The error for a new connection if the client's address already has as many connections as the limit allows.
struct AddressFull;

impl ServerThread {
    /// Accepts connections until the shutdown begins. Then waits until all requests and tasks of this thread have
    /// ended.
    pub(crate) async fn run(self: Rc<Self>, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            () = self.accept_all(&listener) => {}
            _ = shutdown.begun() => {}
        }
        drop(listener);
        self.alive.close();
        self.alive.wait().await;
        Ok(())
    }

    async fn accept_all(self: &Rc<Self>, listener: &TcpListener) {
        loop {
            match self.accept(listener).await {
                Ok((stream, client, permit)) => {
                    let descriptor = stream.as_raw_fd();
                    if let Ok(share) = self.share(client) {
                        let connection = self.clone().connection(stream, client);
                        self.alive.spawn_local(async move {
                            connection.await;
                            drop((permit, share));
                        });
                    }
                    if !descriptors::leaves_some_for_connections(descriptor) {
                        self.wait_for_descriptors().await;
                    }
                }
                Err(error) => {
                    if let Some(times) = self.host.failures.due() {
                        let error = error.to_string();
                        tracing::warn!(target: "epilogue::connection", error, times, "cannot accept a connection");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits until enough file descriptors are free for another connection. While this thread waits, new connections
    /// wait in the kernel's queue.
    async fn wait_for_descriptors(&self) {
        if let Some(times) = self.host.shortages.due() {
            tracing::warn!(target: "epilogue::connection", times, "few file descriptors are left: further connections wait");
        }
        while !descriptors::left_for_connections() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits for each new version of the application, and switches this thread to the new version. Without this
    /// function, the thread would switch only when a request arrives, and would keep the idle instances of the old
    /// version until then.
    pub(super) async fn follow(self: Rc<Self>) {
        let mut versions = self.host.versions.clone();
        while versions.changed().await.is_ok() {
            self.serving();
        }
    }

    /// Accepts the next connection. If `max-connections` is reached, waits until another connection has ended. During
    /// this wait, new connections stay in the kernel's queue. The host does not reject the new connections, because
    /// their clients would only connect again.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let (stream, client) = listener.accept().await?;
        let connections = self.host.connections.clone();
        let permit = match connections.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                if let Some(times) = self.host.crowds.due() {
                    let max_connections = self.host.options.max_connections;
                    tracing::warn!(
                        target: "epilogue::connection",
                        max_connections,
                        times,
                        "the limit max-connections is reached: further connections wait"
                    );
                }
                connections.acquire_owned().await.map_err(io::Error::other)?
            }
        };
        Ok((stream, client, permit))
    }

    /// Counts a connection for the client's address. Returns `Ok(None)` if the connections of an address have no limit.
    fn share(&self, client: SocketAddr) -> Result<Option<Connected>, AddressFull> {
        let Some(max) = self.host.options.max_connections_per_address else { return Ok(None) };
        let share = self.host.addresses.of(client.ip()).connect(max.get());
        if share.is_none() {
            Limit::Connections.hit();
            let client = client.ip();
            tracing::debug!(target: "epilogue::connection", %client, "a connection beyond max-connections-per-address was closed");
        }
        share.map(Some).ok_or(AddressFull)
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, client: SocketAddr) {
        // The kernel must send small writes at once, because a response may be small, and the request's tasks start
        // only when the response is sent.
        let set_up = stream.set_nodelay(true).and_then(|()| stream.local_addr());
        let local = match set_up {
            Ok(local) => local,
            // The client has already left.
            Err(_) => return,
        };
        match self.serving().version.tls.clone() {
            None => connection::serve(self, stream, Peer { scheme: Scheme::HTTP, client, local }).await,
            Some(tls) => {
                let mut shutdown = self.shutdown.clone();
                let shaken = tokio::select! {
                    shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => shaken,
                    // The client has not sent a request yet.
                    _ = shutdown.begun() => return,
                };
                match shaken {
                    Ok(Ok(stream)) => {
                        connection::serve(self, stream, Peer { scheme: Scheme::HTTPS, client, local }).await;
                    }
                    Ok(Err(error)) => {
                        let error = error.to_string();
                        tracing::debug!(target: "epilogue::connection", %client, error, "no TLS handshake");
                    }
                    Err(_) => {
                        tracing::debug!(target: "epilogue::connection", %client, "the TLS handshake took too long");
                    }
                }
            }
        }
    }
}
