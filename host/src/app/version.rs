//! The versions of an application that a process goes through, as it is reloaded.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::App;

/// What a reload replaces.
pub(crate) struct Version {
    pub(crate) app: App,
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Version {
    /// Makes known where the application is reached, unless that is by https, which its requests to itself do not speak.
    fn publish_address(&self, address: Option<SocketAddr>) {
        if let (None, Some(address)) = (&self.tls, address) {
            self.app.set_address(address);
        }
    }
}

/// Replaces the application of a process, while it runs.
#[derive(Clone)]
pub(crate) struct Replacer {
    /// Where it is reached, if it is.
    address: Option<SocketAddr>,
    versions: watch::Sender<Arc<Version>>,
}

impl Replacer {
    /// Begins with this application, which is reached at `address` if it serves.
    pub(crate) fn new(app: App, tls: Option<TlsAcceptor>, address: Option<SocketAddr>) -> Self {
        let version = Version { app, tls };
        version.publish_address(address);
        Self { address, versions: watch::Sender::new(Arc::new(version)) }
    }

    /// The application as it is, and each that comes.
    pub(crate) fn versions(&self) -> watch::Receiver<Arc<Version>> {
        self.versions.subscribe()
    }

    /// Gives requests that begin from now on to `app`, and connections that begin to `tls`. Whether it is https or http that
    /// is served stays as it is; without a new certificate the old one goes on.
    pub(crate) fn replace(&self, app: App, tls: Option<TlsAcceptor>) {
        self.versions.send_modify(|version| {
            let tls = version.tls.clone().map(|old| tls.unwrap_or(old));
            let newest = Version { app, tls };
            newest.publish_address(self.address);
            *version = Arc::new(newest);
        });
    }

    /// Whether it is https that is served.
    pub(crate) fn is_https(&self) -> bool {
        self.versions.borrow().tls.is_some()
    }
}
