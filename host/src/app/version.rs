//! Keeps the versions of a running application. Each reload makes a new version.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::App;

/// The host remembers the times of this number of reloads, and forgets the times of older reloads.
const KEPT: usize = 1_000;

/// One version of the application and, for https, the TLS certificate. A reload replaces the current version by a new
/// version.
pub(crate) struct Version {
    pub(crate) app: App,
    pub(crate) tls: Option<TlsAcceptor>,
    /// The time at which the version was loaded.
    pub(crate) loaded: SystemTime,
}

impl Version {
    /// Tells the application the address of the host, so that components can send requests to their own application. If
    /// the host serves https, does nothing, because a component cannot send a request to its own application over
    /// https.
    fn publish_address(&self, address: Option<SocketAddr>) {
        if let (None, Some(address)) = (&self.tls, address) {
            self.app.set_address(address);
        }
    }
}

/// Replaces the application of a running process by a newly loaded version.
#[derive(Clone)]
pub(crate) struct Replacer {
    /// The address at which the host accepts requests. The value is `None` in a worker, because a worker accepts no
    /// requests.
    address: Option<SocketAddr>,
    versions: watch::Sender<Arc<Version>>,
    /// All versions that are still in use, the oldest version first.
    living: Arc<Mutex<Vec<Weak<Version>>>>,
    /// The times of the last reloads, the oldest time first.
    reloads: Arc<Mutex<VecDeque<SystemTime>>>,
}

impl Replacer {
    /// Makes a replacer whose first version contains the application `app`. `address` is the address at which the host
    /// accepts requests, or `None` in a worker.
    pub(crate) fn new(app: App, tls: Option<TlsAcceptor>, address: Option<SocketAddr>) -> Self {
        let version = Version { app, tls, loaded: SystemTime::now() };
        version.publish_address(address);
        let version = Arc::new(version);
        let living = Arc::new(Mutex::new(vec![Arc::downgrade(&version)]));
        Self { address, versions: watch::Sender::new(version), living, reloads: Arc::default() }
    }

    /// Returns a receiver that gets the current version of the application, and each later version.
    pub(crate) fn versions(&self) -> watch::Receiver<Arc<Version>> {
        self.versions.subscribe()
    }

    /// Uses `app` for new requests, and the certificate in `tls` for new connections. A server cannot change between
    /// http and https. If a server uses https and `tls` is `None`, the server keeps its old certificate.
    pub(crate) fn replace(&self, app: App, tls: Option<TlsAcceptor>) {
        let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        if reloads.len() == KEPT {
            reloads.pop_front();
        }
        reloads.push_back(SystemTime::now());
        drop(reloads);
        self.versions.send_modify(|version| {
            let tls = version.tls.clone().map(|old| tls.unwrap_or(old));
            let newest = Version { app, tls, loaded: SystemTime::now() };
            newest.publish_address(self.address);
            *version = Arc::new(newest);
            let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
            living.retain(|version| version.strong_count() > 0);
            living.push(Arc::downgrade(version));
        });
    }

    /// Returns a time for each version that is still in use: the time at which the host loaded the version. The current
    /// version is the last item.
    pub(crate) fn loaded(&self) -> Vec<SystemTime> {
        let living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        living.iter().filter_map(Weak::upgrade).map(|version| version.loaded).collect()
    }

    /// Returns the times of the last reloads, the oldest time first.
    pub(crate) fn reloads(&self) -> Vec<SystemTime> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Returns the ids of the current version's components.
    pub(crate) fn components(&self) -> Vec<String> {
        let mut ids: Vec<String> =
            self.versions.borrow().app.components.iter().map(|component| component.id.clone()).collect();
        ids.dedup();
        ids
    }

    /// Reports whether the process serves https.
    pub(crate) fn is_https(&self) -> bool {
        self.versions.borrow().tls.is_some()
    }
}
